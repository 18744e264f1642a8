"""The processes of a system: all that were started with a mark in their environment."""

import os
import resource
import signal
import time
from pathlib import Path

MARK = "CORN_PEERS"
TICKS = os.sysconf("SC_CLK_TCK")


def mark():
    return os.environ.get(MARK, str(os.getpid()))


def marked(**more):
    """The environment to start a system with."""
    return {**os.environ, MARK: mark(), **more}


def processes():
    """The ids of those that run."""
    wanted = f"{MARK}={mark()}".encode()
    found = set()
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and wanted in (process / "environ").read_bytes().split(b"\0"):
                found.add(int(process.name))
        except OSError:
            pass  # ended, or somebody else's
    return found


def used():
    """What each has used so far, in seconds, and what clients have: children of this process, which are waited for."""
    seconds = {}
    for process in processes():
        try:
            # The name of a program stands in brackets and may have spaces: user and system time come after it.
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        seconds[process] = (int(fields[11]) + int(fields[12])) / TICKS
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds["ended"] = ended.ru_utime + ended.ru_stime
    return seconds


def since(before):
    """Seconds that were used since; of a process that ended meanwhile nothing is known."""
    return sum(seconds - before.get(process, 0) for process, seconds in used().items())


def end_all():
    """Whatever a system has left running is ended; which those were."""
    ended = set()
    for _ in range(50):
        running = processes()
        if not running:
            break
        ended |= running
        for process in running:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.1)
    return ended
