"""Triton: its server as the wheel of pytriton brings it, with ensembles of models that do nothing."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import ours
from rounds import ABREAST, CHAINS, HANDED, MIB, RATES, WARM_HAND, WORD, Missing

# What one process of the Python backend does, by the output that is asked for. BYTES writes into one buffer again and
# again, so that no new pages are paid for.
STAGE = """
import numpy
import triton_python_backend_utils as triton

class TritonPythonModel:
    def initialize(self, args):
        self.buffer = numpy.ones(64 << 20, numpy.uint8)

    def fill(self, count):
        made = self.buffer[:count]
        made.fill(count % 251)
        return made

    def execute(self, requests):
        return [triton.InferenceResponse([self.answer(request)]) for request in requests]

    def answer(self, request):
        wanted = next(iter(request.requested_output_names()))
        value = triton.get_input_tensor_by_name(request, "IN").as_numpy()
        if wanted == "BYTES":
            value = self.fill(int(value[0]))
        elif wanted == "LENGTH":
            value = numpy.array([value.nbytes], numpy.int64)
        elif wanted == "BOTH":
            value = numpy.array([self.fill(int(value[0])).nbytes], numpy.int64)
        return triton.Tensor(wanted, value)
"""


def port(name, kind):
    return f'{{ name: "{name}" data_type: TYPE_{kind} dims: [ {1 if kind == "INT64" else -1} ] }}'


def model(at, name, backend, taken, output, made):
    """One stage: `taken` is the type of what goes in, `made` that of what comes out."""
    folder = at / name / "1"
    folder.mkdir(parents=True)
    if backend == "python":
        (folder / "model.py").write_text(STAGE)
    (at / name / "config.pbtxt").write_text(
        f'backend: "{backend}"\ninput [ {port("IN", taken)} ]\noutput [ {port(output, made)} ]\n'
        "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
    )


def ensemble(at, name, stages, taken, made):
    """`stages` one after the other: names of models with the names of their outputs."""
    (at / name / "1").mkdir(parents=True)
    steps, value = [], "IN"
    for i, (stage, output) in enumerate(stages):
        after = "OUT" if i == len(stages) - 1 else f"v{i}"
        steps.append(
            f'{{ model_name: "{stage}" model_version: -1 input_map {{ key: "IN" value: "{value}" }} '
            f'output_map {{ key: "{output}" value: "{after}" }} }}'
        )
        value = after
    (at / name / "config.pbtxt").write_text(
        f'platform: "ensemble"\ninput [ {port("IN", taken)} ]\noutput [ {port("OUT", made)} ]\n'
        f"ensemble_scheduling {{ step [ {', '.join(steps)} ] }}\n"
    )


def request(path, name, output, kind, value=b"", shared=None):
    """Writes a request whose input is `value` in binary, or lies in the region `shared`, of so many bytes."""
    size = shared[1] if shared else len(value)
    where = (
        {"shared_memory_region": shared[0], "shared_memory_byte_size": size} if shared else {"binary_data_size": size}
    )
    tensor = {"name": "IN", "datatype": kind, "shape": [1 if kind == "INT64" else size], "parameters": where}
    head = json.dumps(
        {"inputs": [tensor], "outputs": [{"name": output, "parameters": {"binary_data": True}}]},
        separators=(",", ":"),
    ).encode()
    path.write_bytes(
        f"POST /v2/models/{name}/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
        f"Inference-Header-Content-Length: {len(head)}\r\nContent-Length: {len(head) + len(value)}\r\n\r\n".encode()
        + head
        + value
    )


class Triton:
    def __init__(self, tools, python, processes):
        self.processes = processes
        self.name = "Triton, processes" if processes else "Triton"
        self.stage = "a process of the Python backend" if processes else "a step inside the server, in C"
        self.contract = (
            "copied into the server and out of it"
            if processes
            else "read in place: the client makes it in memory that the server maps"
        )
        self.tools = tools
        self.python = python
        self.server = None

    def start(self, at):
        self.at = at
        site = Path(self.ask_python("import sysconfig; print(sysconfig.get_paths()['purelib'])"))
        version = self.ask_python("import sys; print('%d.%d' % sys.version_info[:2])")
        server = site / "pytriton" / "tritonserver"
        backends = self.at / "backends"
        if self.processes:
            # The server looks for the stub of one version of Python beside its library.
            shutil.copytree(server / "backends" / "python", backends / "python")
            stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
            if not stub.exists():
                raise Missing(f"its Python backend has nothing for Python {version}")
            shutil.copy(stub, backends / "python")
        else:
            (backends / "idle").mkdir(parents=True)
            shutil.copy(self.tools / "libtriton_idle.so", backends / "idle")
        models = self.at / "models"
        backend = "python" if self.processes else "idle"
        for i in range(max(CHAINS)):
            model(models, f"same{i}", backend, "UINT8", "SAME", "UINT8")
        for k in CHAINS:
            ensemble(models, f"chain{k}", [(f"same{i}", "SAME") for i in range(k)], "UINT8", "UINT8")
        model(models, "count", backend, "UINT8", "LENGTH", "INT64")
        if self.processes:
            model(models, "fill", backend, "INT64", "BYTES", "UINT8")
            model(models, "both", backend, "INT64", "BOTH", "INT64")
            ensemble(models, "hand", [("fill", "BYTES"), ("count", "LENGTH")], "INT64", "INT64")
            ensemble(models, "alone", [("both", "BOTH")], "INT64", "INT64")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        env = ours.marked(LD_LIBRARY_PATH=str(site / "nvidia_pytriton.libs"), CUDA_VISIBLE_DEVICES="")
        # The Python backend takes its modules from the first Python there.
        env["PATH"] = f"{Path(self.python).parent}:{env['PATH']}"
        log = open(self.at / "log", "wb")
        self.server = subprocess.Popen(
            [
                server / "bin" / "tritonserver",
                f"--model-repository={models}",
                f"--backend-directory={backends}",
                f"--backend-config=python,shm-region-prefix-name=corn_peers_{os.getpid()}",
                "--http-address=127.0.0.1",
                f"--http-port={self.port}",
                "--allow-grpc=false",
                "--allow-metrics=false",
                "--exit-timeout-secs=5",
            ],
            env=env,
            stdout=log,
            stderr=log,
        )
        for _ in range(600):
            if self.server.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/health/ready", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        said = [line for line in (self.at / "log").read_text(errors="replace").splitlines() if line.strip()]
        why = [line for line in said if re.match(r"[EF]\d{4} |.*(error|rror:)", line)] or said[-3:]
        raise Missing("its server does not start: " + " / ".join(why[-3:]))

    def stop(self):
        if self.server:
            self.server.terminate()
            try:
                self.server.wait(15)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
            self.server = None

    def ask_python(self, text):
        return subprocess.run([self.python, "-c", text], check=True, capture_output=True, text=True).stdout.strip()

    def call(self, name, output, kind, value, repeat, concurrency=1, shared=None):
        path = self.at / "request"
        region = ("shared", shared[1]) if shared else None
        request(path, name, output, kind, value, region)
        command = [self.tools / "client", str(self.port), path, str(repeat), str(concurrency)]
        command += [shared[0], str(shared[1])] if shared else []
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            raise Missing(f"a request fails: {ran.stderr.strip().splitlines()[-1]}")
        return json.loads(ran.stdout)

    def round(self, at, record, counts):
        self.start(at)
        for k in CHAINS:
            ask = [f"chain{k}", "OUT", "UINT8", WORD.encode()]
            if self.call(*ask, counts.warm)["number"] != int.from_bytes(WORD.encode(), "little"):
                raise Missing(f"{k} stages make another word")
            before = ours.used()
            record("chain", k, self.call(*ask, counts.one)["p50_us"])
            record("cpu", k, ours.since(before) / counts.one * 1e6)
        for k in RATES:
            ask = [f"chain{k}", "OUT", "UINT8", WORD.encode()]
            record("rate", k, self.call(*ask, counts.many, ABREAST)["per_second"])
        for mib in HANDED:
            self.hand(record, mib, counts)

    def hand(self, record, mib, counts):
        size = mib * MIB
        if self.processes:
            count = size.to_bytes(8, "little")
            for what, name in (("hand, apart", "hand"), ("hand, one", "alone")):
                self.call(name, "OUT", "INT64", count, WARM_HAND)
                took = self.call(name, "OUT", "INT64", count, counts.hand)
                if took["number"] != size:
                    raise Missing(f"{name} counts {took['number']} bytes of {size}")
                record(what, mib, took["p50_us"])
            return
        # The client is the process that makes the tensor, in memory that the server has mapped, and the server reads
        # it there: no copy at all, and the hand-over is a request and its answer.
        key = f"/corn_peers_{os.getpid()}"
        path = Path("/dev/shm") / key[1:]
        try:
            with open(path, "wb") as file:
                file.truncate(size)
            self.post("systemsharedmemory/region/shared/register", {"key": key, "offset": 0, "byte_size": size})
            ask = ["count", "LENGTH", "UINT8", b""]
            self.call(*ask, WARM_HAND, shared=(key, size))
            took = self.call(*ask, counts.hand, shared=(key, size))
            if took["number"] != size:
                raise Missing(f"the server counts {took['number']} bytes of {size}")
            record("hand, apart", mib, took["p50_us"])
            record("hand, one", mib, took["fill_us"])
            self.post("systemsharedmemory/region/shared/unregister", {})
        finally:
            path.unlink(missing_ok=True)

    def post(self, path, body):
        ask = urllib.request.Request(f"http://127.0.0.1:{self.port}/v2/{path}", json.dumps(body).encode())
        urllib.request.urlopen(ask, timeout=10).read()
