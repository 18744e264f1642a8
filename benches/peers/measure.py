"""Measures Corn, Ray and Triton in turns, and prints what came out. `run.sh` brings what this needs."""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import ours
from corn_side import Corn
from ray_side import Ray
from rounds import ABREAST, CHAINS, FULL, HANDED, QUICK, RATES, Missing
from triton_side import Triton


class Yardstick:
    """What the machine takes by itself, measured in the same rounds as the systems."""

    name = "the machine"

    def __init__(self, tools):
        self.tools = tools

    def round(self, at, record, counts):
        said = json.loads(subprocess.run([self.tools / "yardstick"], check=True, capture_output=True).stdout)
        for metric, values in said.items():
            for x, ways in values.items():
                for way, value in ways.items():
                    record(metric, f"{x}, {way}", value)

    def stop(self):
        pass


def busy_cores(seconds=1.0):
    """How many cores others use, asked while nothing of ours runs."""

    def ticks():
        fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        return sum(fields[:3]) + sum(fields[5:8])  # all but idle and waiting; with what a host took away

    before, start = ticks(), time.monotonic()
    time.sleep(seconds)
    return (ticks() - before) / ours.TICKS / (time.monotonic() - start)


def slope(points):
    """Of the line with the least squares through them: what one more stage takes."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


class Samples:
    """What the rounds gave: by system, metric and x, a value for each round."""

    def __init__(self):
        self.of = {}

    def add(self, system, metric, x, value):
        self.of.setdefault(system, {}).setdefault(metric, {}).setdefault(str(x), []).append(value)

    def all(self, system, metric, x):
        return self.of.get(system, {}).get(metric, {}).get(str(x), [])

    def best(self, system, metric, x, pick=min):
        values = self.all(system, metric, x)
        return pick(values) if values else None

    def step(self, system):
        """The slope of the best medians, and the slopes of the single rounds."""
        columns = [self.all(system, "chain", k) for k in CHAINS]
        if not all(columns):
            return None, []
        each = [slope(list(zip(CHAINS, values))) for values in zip(*columns)]
        return slope([(k, min(values)) for k, values in zip(CHAINS, columns)]), each

    def hand(self, system, mib):
        """Made in one process and read in another, less both in one: of the best medians, and of the single rounds."""
        apart, one = (self.all(system, metric, mib) for metric in ("hand, apart", "hand, one"))
        if not apart or not one:
            return None, []
        return min(apart) - min(one), [a - b for a, b in zip(apart, one)]


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def span(values):
    return f"[{number(min(values))}…{number(max(values))}]" if values else ""


def ratio(value, of):
    return "–" if not value or not of or value < 0 or of < 0 else f"{value / of:.2f}"


def table(head, rows):
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        print("| " + " | ".join(cells) + " |")
    print()


def report(samples, systems, names):
    """Everything in µs is the best of the rounds' medians, beside it how far the rounds went."""
    corn, one, machine = "Corn", "Corn, one process", Yardstick.name
    shown = [name for name in names if name in samples.of]

    print(
        "Q1. A chain of stages without work, one request at a time: µs a request, [all rounds]; CPU of all processes, the client's too\n"
    )
    steps = {name: samples.step(name) for name in shown}
    rows = []
    for name in shown:
        step, each = steps[name]
        cells = [
            f"{number(samples.best(name, 'chain', k))} {span(samples.all(name, 'chain', k))}".strip() for k in CHAINS
        ]
        rows.append(
            [name, *cells, f"{number(step)} {span(each)}".strip()]
            + [ratio(step, steps.get(of, (None,))[0]) for of in (corn, one)]
            + [number(samples.best(name, "cpu", max(CHAINS)))]
        )
    head = [f"{k} stage{'s' * (k > 1)}" for k in CHAINS]
    table(["", *head, "one more stage", f"÷ {corn}", f"÷ {one}", f"CPU of {max(CHAINS)}"], rows)

    print(f"Q1. The same, {ABREAST} requests at once: requests a second, the best round, [all rounds]\n")
    rows = []
    for name in shown:
        cells = []
        for k in RATES:
            best = samples.best(name, "rate", k, max)
            cells.append(f"{number(best)} {span(samples.all(name, 'rate', k))}".strip())
            cells.append(ratio(best, samples.best(corn, "rate", k, max)))
        rows.append([name, *cells])
    table(["", *(cell for k in RATES for cell in (f"{k} stage{'s' * (k > 1)}", f"÷ {corn}"))], rows)

    print(
        "Q2. A tensor made in one process and read in another, less both in one: µs, [all rounds], = apart − in one\n"
    )
    rows = []
    for name in shown:
        cells = []
        for mib in HANDED:
            hand, each = samples.hand(name, mib)
            apart, alone = (samples.best(name, metric, mib) for metric in ("hand, apart", "hand, one"))
            cells.append(f"{number(hand)} {span(each)} = {number(apart)} − {number(alone)}" if each else "–")
            cells.append(ratio(hand, samples.best(machine, "memcpy", f"{mib}, warm")))
        if any(cell != "–" for cell in cells):
            rows.append([name, *cells])
    for way in ("warm", "cold", "cold, shared"):
        cells = []
        for mib in HANDED:
            values = samples.all(machine, "memcpy", f"{mib}, {way}")
            cells.append(f"{number(min(values, default=None))} {span(values)}".strip())
            cells.append(ratio(min(values, default=None), samples.best(machine, "memcpy", f"{mib}, warm")))
        rows.append([f"memcpy, {way}", *cells])
    table(["", *(cell for mib in HANDED for cell in (f"{mib} MiB", "÷ memcpy"))], rows)

    print("Waking another process, one way: µs, half of a round trip, [all rounds]\n")
    places = [x for x in ("unpinned", "one core", "two cores") if samples.all(machine, "wake", f"{x}, eventfd")]
    rows = []
    for by in ("eventfd", "pipe"):
        values = [samples.all(machine, "wake", f"{x}, {by}") for x in places]
        rows.append([by, *(f"{number(min(v))} {span(v)}" for v in values)])
    table(["", *places], rows)
    step = steps.get(corn, (None,))[0]
    if step:
        of = ", ".join(f"{ratio(step, samples.best(machine, 'wake', f'{x}, eventfd'))} {x}" for x in places)
        print(f"One more stage of Corn between processes, in one-way wake-ups (aim: under 2): {of}\n")

    for system in systems:
        if system.name in shown:
            print(f"{system.name}: a stage is {system.stage}; a tensor is {system.contract}")
            if getattr(system, "transports", None):
                print(f"    `corn ps` says that tensors were handed over by {', '.join(sorted(system.transports))}")


def machine():
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": model[0].partition(":")[2].strip() if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "load at the start": os.getloadavg()[0],
    }


def main():
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--corn", required=True, type=Path)
    ask.add_argument("--tools", required=True, type=Path, help="where yardstick, client and libtriton_idle.so lie")
    ask.add_argument("--ray", type=Path, help="Ray's Python")
    ask.add_argument("--triton", type=Path, help="the Python that has Triton")
    ask.add_argument("--missing", action="append", default=[], metavar="SYSTEM=WHY", help="what could not be brought")
    ask.add_argument("--rounds", type=int, default=5)
    ask.add_argument("--only", default="", metavar="WORD", help="only systems with this in their names")
    ask.add_argument("--quick", action="store_true", help="few requests: tries everything, and its figures say nothing")
    ask.add_argument("--json", type=Path, help="where all samples go")
    given = ask.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C does: what was started is ended
    counts = QUICK if given.quick else FULL

    missing = dict(entry.split("=", 1) for entry in given.missing)
    systems = [Corn(given.corn, together=False), Corn(given.corn, together=True)]
    if given.ray:
        systems.append(Ray(given.ray))
    if given.triton:
        systems += [Triton(given.tools, given.triton, processes) for processes in (False, True)]
    systems = [system for system in systems if given.only.lower() in system.name.lower()]
    names = [system.name for system in systems]

    about, samples, others = machine(), Samples(), []
    for turn in range(given.rounds):
        for system in [Yardstick(given.tools), *systems]:
            if system.name in missing:
                continue
            others.append(busy_cores())
            print(f"round {turn + 1} of {given.rounds}: {system.name}", file=sys.stderr)
            at = Path(tempfile.mkdtemp(prefix="corn-peers-", dir="/tmp"))  # short: sockets have short names
            try:
                try:
                    system.round(at, partial(samples.add, system.name), counts)
                finally:
                    system.stop()
            except (Missing, OSError, ValueError, KeyError, subprocess.SubprocessError) as why:
                missing[system.name] = f"round {turn + 1}: {why or type(why).__name__}"
                print(f"  !! {system.name} is out: {missing[system.name]}", file=sys.stderr)
            finally:
                ours.end_all()
                for left in Path("/dev/shm").glob(f"corn_peers_{os.getpid()}*"):
                    left.unlink(missing_ok=True)
                shutil.rmtree(at, ignore_errors=True)

    about["cores used by others"] = {"median": sorted(others)[len(others) // 2], "most": max(others)}
    used = about["cores used by others"]
    print(
        f"\n{about['cpu']}, {about['cores']} cores, {about['system']}; rounds in turns: {given.rounds}, nothing pinned"
    )
    print(
        f"Load {about['load at the start']:.2f} at the start; between the turns others used "
        f"{used['median']:.2f} cores, at most {used['most']:.2f}\n"
    )
    report(samples, systems, names)
    for name, why in missing.items():
        whole = "NOT MEASURED" if name not in samples.of else "NOT MEASURED TO THE END"
        print(f"\n!! {whole}: {name}: {why}")
    if used["median"] > 0.1 or given.quick:
        print("\n!! NO RESULTS: " + ("a quick run" if given.quick else "the machine was not quiet"))
    if given.json:
        steps = {name: samples.step(name)[0] for name in names}
        hands = {name: {mib: samples.hand(name, mib)[0] for mib in HANDED} for name in names}
        given.json.write_text(
            json.dumps(
                {
                    "machine": about,
                    "rounds": given.rounds,
                    "requests": vars(counts),
                    "stage": {system.name: system.stage for system in systems},
                    "contract": {system.name: system.contract for system in systems},
                    "one more stage, us": steps,
                    "hand-over, us": hands,
                    "missing": missing,
                    "samples": samples.of,
                },
                indent=1,
                ensure_ascii=False,
            )
            + "\n"
        )
    sys.exit(1 if any(name.startswith("Corn") for name in missing) else 0)


main()
