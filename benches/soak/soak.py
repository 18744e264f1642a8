#!/usr/bin/env python3
"""benches/soak/soak.py CORN [MINUTES]

Keeps a deployment under load for MINUTES (5 if not said) and holds that no process of it grows: requests of words and of
speech over three worker processes, sixteen at once, of which some are given up in the middle. Memory and open files of
each process are read every two seconds. Prints what they were in the first and the last quarter of the time, after a
warm-up, and ends with 1 if one of them grew by more than a tenth and 4 MiB, or by more than 8 files. An hour is
`soak.py CORN 60`.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = """
use std::reference::{Tone}
component Words() {
    in  text: text
    out words: stream<text max 1KiB>
    run reference "text.words"
    batch 8
}
component Upper() { in text: text max 8KiB out text: text max 8KiB run reference "text.upper" }
let upper = Upper()
let words = Words()
let tone  = Tone()
graph speak(prompt: text max 8KiB) -> { reply: stream<text>, voice: stream<audio>? } {
    let reply = words(upper(prompt))
    { reply, voice: tone(reply.sentences()) }
}
route talk = speak(prompt) -> reply + voice
route chat = speak(prompt) -> reply
cluster one { node here { cpu 8 memory 8GiB } }
place speak on one {
    upper: apart
    words: apart
    tone: apart
}
"""
WARM_UP_S = 30
SAMPLE_S = 2
MOST_FILES = 8
MOST_BYTES = 4 << 20


def corn(*arguments, **options):
    return subprocess.run([BINARY, *map(str, arguments)], env=ENV, capture_output=True, text=True, **options)


def load(route, repeat, concurrency):
    arguments = ["call", "soak", "--route", route, "--in", f"prompt={PROMPT}"]
    arguments += ["--repeat", str(repeat), "--concurrency", str(concurrency), "--json"]
    return subprocess.Popen(
        [BINARY, *arguments], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def sample(pids):
    """Resident bytes and open files of each process."""
    seen = {}
    for name, pid in pids.items():
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        seen[name] = (pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd")))
    return seen


def processes(coordinator):
    status = json.loads(corn("ps", "soak", "--json").stdout)[0]["status"]
    return {"coordinator": coordinator} | {f"w{it['worker']}": it["pid"] for it in status["workers"]}


def held():
    """What workers hold for requests, as they said last."""
    status = json.loads(corn("ps", "soak", "--json").stdout)[0]["status"]
    return sum(it["leases"] + it["bytes"] + it["arena_bytes"] for it in status["workers"])


def drive(until, take):
    """Keeps requests coming until then; how many were answered, and how many failed."""
    answered = failed = 0
    next_sample = time.monotonic()
    while time.monotonic() < until:
        steady = [load("chat", 2000, 8), load("talk", 400, 8)]
        # Its requests are given up in the middle.
        brief = load("talk", 100000, 4)
        while any(it.poll() is None for it in steady):
            if time.monotonic() >= next_sample:
                next_sample = time.monotonic() + SAMPLE_S
                take()
            time.sleep(0.05)
        brief.send_signal(signal.SIGKILL)
        brief.communicate()
        for it in steady:
            figures = json.loads(it.communicate()[0].splitlines()[0])
            answered += figures["done"]
            failed += figures["failed"]
    return answered, failed


def quarter(samples, name, what):
    count = max(len(samples) // 4, 1)
    of = lambda part: statistics.median(it[name][what] for it in part)
    return of(samples[:count]), of(samples[-count:])


def main():
    log = open(HOME / "up.log", "w")
    up = subprocess.Popen([BINARY, "up", str(HOME / "soak.corn"), "--inflight", "16"], env=ENV, stderr=log)
    try:
        while " is up: " not in (HOME / "up.log").read_text():
            if up.poll() is not None:
                sys.exit((HOME / "up.log").read_text())
            time.sleep(0.05)
        pids = processes(up.pid)
        drive(time.monotonic() + min(WARM_UP_S, MINUTES * 20), lambda: None)
        samples = []
        answered, failed = drive(time.monotonic() + MINUTES * 60, lambda: samples.append(sample(pids)))
        grew = failed > 0
        print(f"{answered} answered, {failed} failed in {MINUTES:g} minutes; {len(samples)} samples")
        print(f"{'process':<12} {'memory, first':>14} {'last quarter':>14} {'files':>6} {'':>6}")
        for name in pids:
            (bytes_before, bytes_after), (files_before, files_after) = (
                quarter(samples, name, 0),
                quarter(samples, name, 1),
            )
            is_larger = bytes_after > bytes_before * 1.1 and bytes_after > bytes_before + MOST_BYTES
            is_worse = is_larger or files_after > files_before + MOST_FILES
            grew |= is_worse
            mib = lambda count: f"{count / (1 << 20):.1f} MiB"
            print(
                f"{name:<12} {mib(bytes_before):>14} {mib(bytes_after):>14} {files_before:>6g} {files_after:>6g}"
                + ("   grew" if is_worse else "")
            )
        left, until = held(), time.monotonic() + 10
        while left and time.monotonic() < until:
            time.sleep(0.1)
            left = held()
        print("everything was given back" if left == 0 else f"{left} leases and bytes are still held")
        return 1 if grew or left else 0
    finally:
        corn("down", "soak")
        up.wait()


BINARY = str(Path(sys.argv[1]).resolve())
MINUTES = float(sys.argv[2]) if len(sys.argv) > 2 else 5
PROMPT = "One is here. Two is there. " * 40
with tempfile.TemporaryDirectory(prefix="corn") as home:
    HOME = Path(home)
    ENV = os.environ | {"CORN_STATE_DIR": str(HOME / "state"), "NO_COLOR": "1"}
    (HOME / "soak.corn").write_text(PROGRAM)
    sys.exit(main())
