"""Ray's side of a round, under Ray's own Python: what is measured goes to standard output, a JSON list a line."""

import collections
import json
import logging
import os
import statistics
import sys
import time

import numpy
import ray
from ray.dag import InputNode

import ours
from rounds import ABREAST, CHAINS, FULL, HANDED, MIB, QUICK, RATES, WARM_HAND, WORD


@ray.remote(num_cpus=1)
class Stage:
    """Fills one buffer again and again, so that no new pages are paid for."""

    def __init__(self):
        self.buffer = numpy.ones(max(HANDED) * MIB, numpy.uint8)

    def same(self, value):
        return value

    def fill(self, count):
        made = self.buffer[:count]
        made.fill(count % 251)
        return made

    def length(self, made):
        return made.nbytes

    def both(self, count):
        return self.length(self.fill(count))


def compiled(stages, bytes_each=None, inflight=1):
    """The stages, one after the other, as a compiled graph whose channels have room for so many bytes."""
    with InputNode() as given:
        value = given
        for stage in stages:
            value = stage.bind(value)
    room = {"_buffer_size_bytes": bytes_each + 65536} if bytes_each else {}
    return value.experimental_compile(_max_inflight_executions=inflight, **room)


def one_by_one(graph, value, repeat):
    """Their times in µs, and the last result."""
    took = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = ray.get(graph.execute(value))
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1e6, result


def abreast(graph, value, repeat):
    """A window of requests, each read when the window is full: faster here than the graph's face for asyncio."""
    waiting = collections.deque()
    start = time.perf_counter()
    for _ in range(repeat):
        if len(waiting) == ABREAST:
            ray.get(waiting.popleft())
        waiting.append(graph.execute(value))
    while waiting:
        ray.get(waiting.popleft())
    return repeat / (time.perf_counter() - start)


def record(metric, x, value):
    print(json.dumps([metric, x, value]), file=answers, flush=True)


def measure(counts):
    actors = [Stage.remote() for _ in range(max(CHAINS))]
    ray.get([actor.same.remote(0) for actor in actors])
    for k in CHAINS:
        graph = compiled([actor.same for actor in actors[:k]], inflight=ABREAST)
        _, result = one_by_one(graph, WORD, counts.warm)
        assert result == WORD, result
        before = ours.used()
        took, _ = one_by_one(graph, WORD, counts.one)
        record("cpu", k, ours.since(before) / counts.one * 1e6)
        record("chain", k, took)
        if k in RATES:
            record("rate", k, abreast(graph, WORD, counts.many))
        graph.teardown()
    for mib in HANDED:
        size = mib * MIB
        for what in ("hand, apart", "hand, one"):
            if what == "hand, apart":
                made_by, read_by = Stage.remote(), Stage.remote()
                actors, stages = [made_by, read_by], [made_by.fill, read_by.length]
            else:
                made_by = Stage.remote()
                actors, stages = [made_by], [made_by.both]
            ray.get([actor.same.remote(0) for actor in actors])
            graph = compiled(stages, bytes_each=size)
            one_by_one(graph, size, WARM_HAND)
            took, result = one_by_one(graph, size, counts.hand)
            assert result == size, result
            record(what, mib, took)
            # Taking down a graph that handed over arrays hangs, so its actors are ended instead.
            kept.append(graph)
            for actor in actors:
                ray.kill(actor)


kept = []
# What Ray and its workers print is no answer.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
ray.init(
    num_cpus=16,  # actors, not cores
    include_dashboard=False,
    log_to_driver=False,
    logging_level=logging.CRITICAL,
    object_store_memory=1 << 30,
    _temp_dir=sys.argv[2],
)
measure(QUICK if sys.argv[1] == "quick" else FULL)
# No farewell, which would take down those graphs: whoever started this ends its processes.
os._exit(0)
