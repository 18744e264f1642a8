"""Asks `corn serve` what real clients ask, and prints a table of what went as it should.

checks.py --http HOST:PORT --grpc HOST:PORT --models small|real

Every client comes as it is, in the versions that run.sh pins. What small reference models answer is known exactly; of
real models it is what the question asks for: words that are there, sound that is not silent, meanings that are near.
"""

import argparse
import asyncio
import base64
import io
import json
import queue
import subprocess
import sys
import threading
import time
import traceback
import wave
from pathlib import Path
from typing import Literal, Optional

import grpc
import numpy as np
import openai
import pydantic
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from openai import AsyncOpenAI, OpenAI
from tritonclient.utils import InferenceServerException

MEDIA = Path(__file__).resolve().parents[2] / "dsl-examples" / "media"
QUESTION = "The capital of France is Paris."

arguments = argparse.ArgumentParser()
arguments.add_argument("--http", required=True)
arguments.add_argument("--grpc", required=True)
arguments.add_argument("--models", choices=["small", "real"], required=True)
arguments = arguments.parse_args()
BASE = f"http://{arguments.http}"
IS_SMALL = arguments.models == "small"

checks = []


def check(client):
    """Adds a function to the table, as a check by `client`. Its first line of documentation is its name."""

    def add(function):
        checks.append((client, function.__doc__, function))
        return function

    return add


def user(text):
    return [{"role": "user", "content": text}]


def is_answer(text):
    """Whether it is what the language model makes of QUESTION."""
    assert text.strip(), "an empty answer"
    if IS_SMALL:
        assert text == QUESTION + " ", text


def is_sound(samples):
    samples = np.asarray(samples, dtype=np.float64)
    assert samples.size > 1000, f"{samples.size} samples"
    assert np.abs(samples).max() > 0.01, "silence"


def read_wav(file):
    with wave.open(io.BytesIO(file)) as sound:
        assert sound.getsampwidth() == 2
        # A file that is sent while it is made does not know its length: what is there counts.
        return np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2") / 32768


def fails(error, ask, **expected):
    try:
        ask()
    except error as caught:
        for name, value in expected.items():
            assert getattr(caught, name) == value, f"{name} is {getattr(caught, name)!r}, not {value!r}"
        return caught
    raise AssertionError(f"no {error.__name__}")


# curl


def curl(*options, path="", body=None):
    """Status, headers and body of an answer."""
    command = ["curl", "--silent", "--show-error", "--no-buffer", "--max-time", "120", "--dump-header", "-", *options]
    if body is not None:
        command += ["--header", "content-type: application/json", "--data", json.dumps(body)]
    done = subprocess.run([*command, BASE + path], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    head, _, answer = done.stdout.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, answer


@check("curl")
def curl_health():
    """GET /health, /health/live, /version"""
    for path in ["/health", "/health/live", "/version"]:
        assert curl(path=path)[0] == 200, path
    assert json.loads(curl(path="/version")[2])["version"]


@check("curl")
def curl_metrics():
    """GET /metrics"""
    status, headers, text = curl(path="/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4"), headers
    assert b"# TYPE corn_requests_total counter\n" in text and b"# EOF" not in text


@check("curl")
def curl_chat():
    """POST /v1/chat/completions"""
    status, headers, answer = curl(path="/v1/chat/completions", body={"model": "chat", "messages": user(QUESTION)})
    assert status == 200 and headers["x-request-id"].startswith("req_"), headers
    is_answer(json.loads(answer)["choices"][0]["message"]["content"])


@check("curl")
def curl_stream():
    """POST /v1/chat/completions, stream: events, and [DONE] at the end"""
    asked = {"model": "chat", "messages": user(QUESTION), "stream": True}
    status, headers, answer = curl(path="/v1/chat/completions", body=asked)
    events = [line.removeprefix("data: ") for line in answer.decode().splitlines() if line.startswith("data: ")]
    assert status == 200 and headers["content-type"].startswith("text/event-stream"), headers
    assert events[-1] == "[DONE]", events[-1]
    deltas = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1]]
    is_answer("".join(deltas))


@check("curl")
def curl_mistakes():
    """Errors: a JSON body, the status, and the field at fault"""
    status, headers, answer = curl(path="/v1/chat/completions", body={"model": "chta", "messages": user("x")})
    error = json.loads(answer)["error"]
    assert status == 404 and error["param"] == "model" and headers["x-should-retry"] == "false", (status, error)
    status, _, answer = curl(path="/v1/chat/completions", body={"model": "chat", "messages": user("x"), "flavour": 1})
    assert status == 400 and json.loads(answer)["error"]["param"] == "flavour", answer
    assert curl(path="/v1/nothing")[0] == 404 and curl("--request", "PUT", path="/v1/models")[0] == 405


# The openai client

client = OpenAI(base_url=f"{BASE}/v1", api_key="any", timeout=120)


@check("openai")
def models():
    """models.list, models.retrieve"""
    names = {model.id for model in client.models.list()}
    assert {"chat", "speak", "hear", "meaning"} <= names, names
    assert client.models.retrieve("chat").id == "chat"
    fails(openai.NotFoundError, lambda: client.models.retrieve("nobody"), code="model_not_found")


@check("openai")
def chat():
    """chat.completions.create, with usage"""
    answer = client.chat.completions.create(model="chat", messages=user(QUESTION))
    is_answer(answer.choices[0].message.content)
    usage = answer.usage
    # Words, where no component counts tokens.
    assert usage.prompt_tokens == 6 if IS_SMALL else usage.prompt_tokens > 6, usage
    assert usage.completion_tokens > 0, usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage
    assert answer._request_id.startswith("req_"), answer._request_id


class City(pydantic.BaseModel):
    """A part of what an answer is to be."""

    name: str = pydantic.Field(max_length=20)
    is_by_the_sea: Optional[bool]


class Country(pydantic.BaseModel):
    """What an answer is to be."""

    capital: City
    continent: Literal["Africa", "Asia", "Europe"]
    others: list[City] = pydantic.Field(max_length=2)
    inhabitants: int = pydantic.Field(ge=0, lt=10_000_000_000)


@check("openai")
def parse():
    """chat.completions.parse and create, response_format: json_schema, json_object"""
    ask = "France is a country of Europe, and its capital is Paris. Describe it as JSON."
    if IS_SMALL:
        # It says what it is asked, and behind that the schema.
        schema = {"type": "object", "title": "Country"}
        named = {"type": "json_schema", "json_schema": {"name": "country", "schema": schema}}
        answer = client.chat.completions.create(model="form", messages=user("x"), response_format=named)
        assert json.loads(answer.choices[0].message.content.removeprefix("x")) == schema, answer
        return
    answer = client.chat.completions.parse(model="form", messages=user(ask), response_format=Country, max_tokens=300)
    choice = answer.choices[0]
    assert choice.finish_reason == "stop" and isinstance(choice.message.parsed, Country), choice
    with client.chat.completions.stream(
        model="form", messages=user(ask), response_format=Country, max_tokens=300
    ) as stream:
        streamed = stream.get_final_completion().choices[0].message.parsed
    assert streamed == choice.message.parsed, streamed
    free = client.chat.completions.create(
        model="form", messages=user(ask), response_format={"type": "json_object"}, max_tokens=300
    )
    if free.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(free.choices[0].message.content), dict), free
    unusable = {"name": "it", "schema": {"type": "array", "uniqueItems": True}}
    ask_for = lambda: client.chat.completions.create(
        model="form", messages=user(ask), response_format={"type": "json_schema", "json_schema": unusable}
    )
    assert "uniqueItems" in fails(openai.BadRequestError, ask_for).message


@check("openai")
def chat_with_sound():
    """chat.completions.create, modalities text and audio"""
    answer = client.chat.completions.create(
        model="chat",
        messages=user(QUESTION),
        modalities=["text", "audio"],
        audio={"voice": "default", "format": "wav"},
    )
    audio = answer.choices[0].message.audio
    is_answer(audio.transcript)
    is_sound(read_wav(base64.b64decode(audio.data)))


@check("openai")
def completions():
    """completions.create, several prompts"""
    answer = client.completions.create(model="chat", prompt=[QUESTION, QUESTION])
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice in answer.choices:
        is_answer(choice.text)


@check("openai")
def speech():
    """audio.speech.create: wav, mp3, opus, flac, pcm"""
    begins = {"wav": b"RIFF", "mp3": (b"\xff", b"ID3"), "opus": b"OggS", "flac": b"fLaC"}
    for kind, magic in begins.items():
        sound = client.audio.speech.create(model="speak", voice="default", input=QUESTION, response_format=kind)
        assert sound.content.startswith(magic), (kind, sound.content[:8])
    sound = client.audio.speech.create(model="speak", voice="default", input=QUESTION, response_format="pcm")
    is_sound(np.frombuffer(sound.content, dtype="<i2") / 32768)


@check("openai")
def transcriptions():
    """audio.transcriptions.create: json, text"""
    for kind in ["json", "text"]:
        with (MEDIA / "question.wav").open("rb") as sound:
            said = client.audio.transcriptions.create(model="hear", file=sound, response_format=kind)
        said = said if kind == "text" else said.text
        assert "capital of france" in said.lower(), said


@check("openai")
def embeddings():
    """embeddings.create: base64 (the client's own choice), float"""
    texts = ["A dog runs in the park.", "A puppy plays outside.", "Interest rates were raised."]
    rows = [entry.embedding for entry in client.embeddings.create(model="meaning", input=texts).data]
    floats = client.embeddings.create(model="meaning", input=texts, encoding_format="float").data
    np.testing.assert_allclose(rows, [entry.embedding for entry in floats], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3)
    if not IS_SMALL:
        dog, puppy, rates = np.asarray(rows)
        assert dog @ puppy > dog @ rates + 0.2, (dog @ puppy, dog @ rates)


@check("openai")
def mistakes():
    """errors: status, class, param, code, request id"""
    ask = lambda **more: client.chat.completions.create(**{"model": "chat", "messages": user("x"), **more})
    caught = fails(openai.BadRequestError, lambda: ask(extra_body={"flavour": 1}), param="flavour")
    assert caught.request_id.startswith("req_"), caught
    fails(openai.NotFoundError, lambda: ask(model="nobody"), param="model", code="model_not_found")
    fails(openai.BadRequestError, lambda: ask(messages=[]), param="messages")


@check("openai stream")
def streamed_chat():
    """chat.completions.create(stream=True), with usage at the end"""
    stream = client.chat.completions.create(
        model="chat", messages=user(QUESTION), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant", chunks[0]
    is_answer("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 1, chunks[-1]


@check("openai stream")
def streamed_sound():
    """audio.speech.with_streaming_response"""
    ask = client.audio.speech.with_streaming_response.create(
        model="speak", voice="default", input=f"{QUESTION} {QUESTION}", response_format="pcm"
    )
    with ask as answer:
        is_sound(np.frombuffer(b"".join(answer.iter_bytes()), dtype="<i2") / 32768)


@check("openai stream")
def stream_given_up():
    """a stream that is closed early leaves room for others"""
    for _ in range(24):
        stream = client.chat.completions.create(model="chat", messages=user(QUESTION), stream=True)
        next(iter(stream))
        stream.close()
    is_answer(client.chat.completions.create(model="chat", messages=user(QUESTION)).choices[0].message.content)


@check("openai async")
def at_once():
    """AsyncOpenAI: eight at once, streamed and not"""

    async def ask_all():
        async with AsyncOpenAI(base_url=f"{BASE}/v1", api_key="any", timeout=240) as many:

            async def whole():
                answer = await many.chat.completions.create(model="chat", messages=user(QUESTION))
                return answer.choices[0].message.content

            async def streamed():
                stream = await many.chat.completions.create(model="chat", messages=user(QUESTION), stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*[ask() for _ in range(4) for ask in (whole, streamed)])

    for answer in asyncio.run(ask_all()):
        is_answer(answer)


# tritonclient


def text_input(text, name="prompt"):
    tensor = triton.InferInput(name, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode()], dtype=np.object_))
    return tensor


def triton_client():
    return triton.InferenceServerClient(arguments.grpc)


@check("tritonclient")
def server_and_models():
    """live, ready, metadata, configuration, repository index"""
    with triton_client() as server:
        assert server.is_server_live() and server.is_server_ready() and server.is_model_ready("chat.ask")
        assert server.get_server_metadata().name == "corn"
        metadata = server.get_model_metadata("chat.talk")
        tensors = [(it.name, it.datatype) for it in [*metadata.inputs, *metadata.outputs]]
        assert tensors == [("prompt", "BYTES"), ("reply", "BYTES"), ("voice", "FP32")], tensors
        config = server.get_model_config("chat.talk", as_json=True)["config"]
        assert config["model_transaction_policy"]["decoupled"], config
        index = {model.name: model.state for model in server.get_model_repository_index().models}
        assert index["chat.ask"] == "READY" and index["picture.picture"] == "READY", index


@check("tritonclient")
def infer():
    """infer: text, id, sound with its rate, gzip"""
    with triton_client() as server:
        answer = server.infer("chat.talk", [text_input(QUESTION)], request_id="7", compression_algorithm="gzip")
        assert answer.get_response().id == "7"
        is_answer(answer.as_numpy("reply")[0].decode())
        is_sound(answer.as_numpy("voice"))
        assert answer.get_output("voice").parameters["sample_rate"].int64_param in (16000, 22050)


@check("tritonclient")
def infer_picture():
    """infer: a picture as a file and as pixels, pixels back"""
    file = triton.InferInput("photo", [1], "BYTES")
    file.set_data_from_numpy(np.array([(MEDIA / "coffee.jpg").read_bytes()], dtype=np.object_))
    pixels = triton.InferInput("photo", [64, 96, 3], "UINT8")
    pixels.set_data_from_numpy(np.full((64, 96, 3), 10, dtype=np.uint8))
    with triton_client() as server:
        made = server.infer("picture", [file]).as_numpy("image")
        assert made.dtype == np.uint8 and made.ndim == 3 and made.std() > 5, made.shape
        made = server.infer("picture", [pixels]).as_numpy("image")
        assert made.shape[2] == 3, made.shape
        assert not IS_SMALL or (made == 245).all()


@check("tritonclient")
def infer_tensor():
    """infer: a tensor of floats"""
    with triton_client() as server:
        row = server.infer("meaning", [text_input("A dog runs.", "text")]).as_numpy("vector")
        assert row.dtype == np.float32 and abs(np.linalg.norm(row) - 1) < 1e-3, row


@check("tritonclient")
def triton_mistakes():
    """errors: status and words, deadline"""
    with triton_client() as server:
        caught = fails(InferenceServerException, lambda: server.infer("chat.ask", [text_input("x", "promt")]))
        assert caught.status() == "StatusCode.INVALID_ARGUMENT" and "did you mean 'prompt'" in caught.message(), caught
        caught = fails(InferenceServerException, lambda: server.get_model_metadata("chta.ask"))
        assert caught.status() == "StatusCode.NOT_FOUND", caught
        # Small models are quick: they get more than can be done in the time.
        asked = "word " * 3_000 if IS_SMALL else QUESTION
        late = lambda: server.infer("chat.talk", [text_input(asked)], client_timeout=1e-3)
        caught = fails(InferenceServerException, late)
        assert caught.status() == "StatusCode.DEADLINE_EXCEEDED", caught


@check("tritonclient async")
def async_infer():
    """async_infer: eight at once, and one that is cancelled"""
    said = queue.Queue()
    with triton_client() as server:
        callback = lambda result, error: said.put((result, error))
        for _ in range(8):
            server.async_infer("chat.ask", [text_input(QUESTION)], callback)
        for _ in range(8):
            result, error = said.get(timeout=240)
            assert error is None, error
            is_answer(result.as_numpy("reply")[0].decode())
        server.async_infer("chat.ask", [text_input(QUESTION)], callback).cancel()
        _, error = said.get(timeout=30)
        assert error is None or "CANCELLED" in str(error), error


@check("tritonclient async")
def aio_infer():
    """tritonclient.grpc.aio"""

    async def ask():
        async with triton_aio.InferenceServerClient(arguments.grpc) as server:
            assert await server.is_server_ready()
            asked = [server.infer("meaning", [text_input(f"text {n}", "text")]) for n in range(8)]
            return await asyncio.gather(*asked)

    assert len({answer.as_numpy("vector").shape for answer in asyncio.run(ask())}) == 1


@check("tritonclient stream")
def stream_infer():
    """async_stream_infer: pieces, an error in mid-stream, an empty final response"""
    said = queue.Queue()
    with triton_client() as server:
        server.start_stream(lambda result, error: said.put((result, error)))
        server.async_stream_infer("chat.ask", [text_input("x", "promt")], request_id="wrong")
        _, error = said.get(timeout=30)
        assert "did you mean 'prompt'" in str(error), error
        server.async_stream_infer(
            "chat.ask", [text_input(QUESTION)], request_id="right", enable_empty_final_response=True
        )
        pieces = []
        while True:
            result, error = said.get(timeout=120)
            assert error is None, error
            response = result.get_response()
            assert response.id == "right"
            if response.parameters["triton_final_response"].bool_param:
                assert not response.outputs
                break
            pieces.append(result.as_numpy("reply")[0].decode())
        server.stop_stream()
    assert len(pieces) > 1, pieces
    is_answer("".join(pieces))


# grpcio: health and reflection


@check("grpcio health")
def health():
    """Check and Watch, of the server and of each service"""
    with grpc.insecure_channel(arguments.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ["", "corn.v1.Corn", "inference.GRPCInferenceService"]:
            asked = health_pb2.HealthCheckRequest(service=service)
            assert stub.Check(asked, timeout=10).status == health_pb2.HealthCheckResponse.SERVING, service
            watch = stub.Watch(asked, timeout=10)
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING, service
            watch.cancel()
        unknown = health_pb2.HealthCheckRequest(service="nobody")
        assert fails(grpc.RpcError, lambda: stub.Check(unknown)).code() == grpc.StatusCode.NOT_FOUND


def reflected(stub, **asked):
    request = reflection_pb2.ServerReflectionRequest(**asked)
    return next(stub.ServerReflectionInfo(iter([request])))


@check("grpcio reflection")
def services():
    """the list of services"""
    with grpc.insecure_channel(arguments.grpc) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        answer = reflected(stub, list_services="")
        names = {service.name for service in answer.list_services_response.service}
        assert {"corn.v1.Corn", "inference.GRPCInferenceService", "grpc.health.v1.Health"} <= names, names


@check("grpcio reflection")
def described():
    """descriptors, with which corn.v1.Corn is asked without its files"""
    with grpc.insecure_channel(arguments.grpc) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        pool = descriptor_pool.DescriptorPool()
        answer = reflected(stub, file_containing_symbol="corn.v1.Corn").file_descriptor_response
        for file in answer.file_descriptor_proto:
            pool.Add(descriptor_pb2.FileDescriptorProto.FromString(file))
        message = lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"corn.v1.{name}"))
        infer_call = channel.unary_unary(
            "/corn.v1.Corn/Infer",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=message("InferResponse").FromString,
        )
        asked = {"route": "ask", "inputs": {"prompt": {"text": QUESTION}}}
        answer = infer_call(json_format.ParseDict(asked, message("InferRequest")()), timeout=120)
        assert answer.outputs[0].name == "reply" and answer.request_id, answer
        is_answer(answer.outputs[0].value.text)


def wait_for_models():
    """Until everything is loaded."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        try:
            if curl(path="/health")[0] == 200:
                return
        except AssertionError:
            pass
        threading.Event().wait(0.2)
    raise SystemExit(f"checks.py: {BASE}/health does not say that everything is loaded, after 5 minutes")


def main():
    wait_for_models()
    failed = 0
    for name, what, function in checks:
        began = time.monotonic()
        try:
            function()
            outcome = "pass"
        except Exception as problem:
            outcome = "FAIL"
            failed += 1
            trace = traceback.extract_tb(problem.__traceback__)
            at = next((frame for frame in reversed(trace) if frame.filename == __file__), trace[-1])
            why = f"line {at.lineno}: {type(problem).__name__}: {' '.join(str(problem).split())[:300] or at.line}"
        print(f"{outcome}  {name:<20} {what:<72} {time.monotonic() - began:6.2f} s", flush=True)
        if outcome == "FAIL":
            print(f"      {why}", flush=True)
    print(f"conformance, {arguments.models} models: {len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
