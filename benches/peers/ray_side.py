"""Ray: compiled graphs of actors, driven from Ray's own Python, as they have to be."""

import json
import re
import subprocess
import threading
from pathlib import Path

import ours
from rounds import QUICK, Missing

SEMAPHORE = re.compile(r"sem\.(?:hdr|obj)(\d+)-")
LONGEST = 300  # seconds of one round


class Ray:
    name = "Ray compiled graph"
    stage = "an actor process"
    contract = "copied into shared memory, and read there"

    def __init__(self, python):
        self.python = python
        self.driver = None

    def round(self, at, record, counts):
        inside = Path(__file__).with_name("ray_inside.py")
        log = open(at / "log", "wb")
        self.driver = subprocess.Popen(
            [self.python, inside, "quick" if counts is QUICK else "full", at / "ray"],
            env=ours.marked(RAY_USAGE_STATS_ENABLED="0"),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        self.seen = {self.driver.pid}
        watch = threading.Timer(LONGEST, self.driver.kill)
        watch.start()
        try:
            for line in self.driver.stdout:
                self.seen |= ours.processes()
                record(*json.loads(line))
            if self.driver.wait():
                said = (at / "log").read_text(errors="replace").strip().splitlines()
                raise Missing(said[-1] if said else f"it ends after {LONGEST} s without a word")
        finally:
            watch.cancel()

    def stop(self):
        """Ends all that it started, and takes away the semaphores of channels, which it leaves behind."""
        if not self.driver:
            return
        self.driver.kill()
        self.driver.wait()
        self.seen |= ours.end_all()
        for left in Path("/dev/shm").glob("sem.*"):
            name = SEMAPHORE.match(left.name)
            if name and int(name[1]) in self.seen:
                left.unlink(missing_ok=True)
        self.driver = None
