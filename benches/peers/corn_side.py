"""Corn: a coordinator and its workers, as `corn up` starts them."""

import json
import subprocess
import time

import ours
from rounds import ABREAST, CHAINS, HANDED, MIB, RATES, WARM_HAND, WORD, Missing

TRANSPORTS = ("by_pointer", "by_shared_memory", "by_tcp")

HAND = f"""
component Fill() {{
    in  count: int
    out bytes: tensor<u8>[n <= {max(HANDED) * MIB}]
    run reference "bytes.fill"
}}

component Length() {{
    in  bytes: tensor<u8>[n <= {max(HANDED) * MIB}]
    out count: int
    run reference "bytes.count"
}}

let s0 = Fill()
let s1 = Length()

graph hand(count: int) -> int {{ s1(s0(count)) }}

route go = hand(count) -> result
"""


def chain(k):
    """k stages. Equal components would be one, so each has a declaration of its own."""
    text, value = "", "text"
    for i in range(k):
        text += (
            f'component Stage{i}() {{\n    in  text: text\n    out text: text\n    run reference "text.upper"\n}}\n\n'
        )
        value = f"s{i}({value})"
    text += "".join(f"let s{i} = Stage{i}()\n" for i in range(k))
    return text + f"\ngraph chain(text: text max 64B) -> text {{ {value} }}\n\nroute go = chain(text) -> result\n"


def place(graph, stages, together):
    lines = ["s0: apart"] + [f"s{i}: with s0" if together else f"s{i}: apart" for i in range(1, stages)]
    return (
        f"\ncluster one {{ node here {{ cpu 16 memory 20GiB }} }}\n\nplace {graph} on one {{\n    "
        + "\n    ".join(lines)
        + "\n}\n"
    )


class Corn:
    def __init__(self, binary, together):
        self.together = together
        self.name = "Corn, one process" if together else "Corn"
        self.stage = "a step in one worker process" if together else "a worker process"
        self.contract = "handed on by pointer" if together else "read in place, in shared memory"
        self.binary = binary
        self.up = None
        self.transports = set()

    def run(self, *arguments):
        ran = subprocess.run([self.binary, *map(str, arguments)], env=self.env, capture_output=True, text=True)
        if ran.returncode:
            said = (ran.stderr + ran.stdout).strip().splitlines()
            raise Missing(f"`corn {' '.join(map(str, arguments[:2]))}` fails: {' / '.join(said[:3]) or ran.returncode}")
        return ran.stdout

    def start(self, name, text, inflight):
        file = self.at / f"{name}.corn"
        file.write_text(text)
        self.run("up", file, "--detach", "--inflight", inflight)
        self.up = name

    def down(self):
        name, self.up = self.up, None
        self.run("down", name)

    def stop(self):
        """After a round; one that broke off may have left a deployment, or the rest of one."""
        if self.up:
            subprocess.run([self.binary, "down", self.up], env=self.env, capture_output=True)
            self.up = None

    def call(self, value, repeat, concurrency=1):
        said = json.loads(
            self.run("call", self.up, "--in", value, "--repeat", repeat, "--concurrency", concurrency, "--json")
        )
        if said["failed"] or said["done"] != repeat:
            raise Missing(f"{said['failed']} of {repeat} requests fail")
        return said

    def result(self, value):
        return json.loads(self.run("call", self.up, "--in", value, "--json"))["outputs"]["result"]

    def round(self, at, record, counts):
        self.at = at
        self.env = ours.marked(CORN_STATE_DIR=str(at / "state"))
        word = f"text={WORD}"
        for k in CHAINS:
            self.start(f"chain{k}", chain(k) + place("chain", k, self.together), ABREAST)
            if self.result(word) != WORD:
                raise Missing(f"{k} stages make another word")
            self.call(word, counts.warm)
            before = ours.used()
            took = self.call(word, counts.one)
            record("cpu", k, ours.since(before) / counts.one * 1e6)
            record("chain", k, took["whole_us"]["p50"])
            if k in RATES:
                record("rate", k, self.call(word, counts.many, ABREAST)["per_second"])
            self.down()
        if self.together:
            return  # what goes by pointer is in the other's hand-over, as what is subtracted
        for what, together in (("hand, apart", False), ("hand, one", True)):
            self.start("one" if together else "apart", HAND + place("hand", 2, together), 1)
            for mib in HANDED:
                count = f"count={mib * MIB}"
                if self.result(count) != mib * MIB:
                    raise Missing(f"{mib} MiB come out as another length")
                self.call(count, WARM_HAND)
                record(what, mib, self.call(count, counts.hand)["whole_us"]["p50"])
            if not together:
                self.transports |= self.handed_over_by()
            self.down()

    def handed_over_by(self):
        """By what tensors went between the workers, as `corn ps` says: nothing may fall back unseen."""
        for _ in range(30):  # workers tell now and then
            workers = json.loads(self.run("ps", self.up, "--json"))[0]["status"]["workers"]
            used = {way for way in TRANSPORTS for worker in workers if worker.get(way)}
            if used:
                return {way.removeprefix("by_").replace("_", " ") for way in used}
            time.sleep(0.1)
        return {"nothing that it counts"}
