"""Triton's own client, as it comes, against a server at sys.argv[1]. Ends with 0 if everything is as it should be."""

import queue
import sys
import threading
import time

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

URL = sys.argv[1]


def text_input(name, *texts):
    tensor = triton.InferInput(name, [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=np.object_))
    return tensor


def count_input(upto):
    tensor = triton.InferInput("upto", [1], "INT64")
    tensor.set_data_from_numpy(np.array([upto], dtype=np.int64))
    return tensor


def fails(call, code, *words):
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == code, (error.status(), error.message())
        for word in words:
            assert word in error.message(), error.message()
    else:
        raise AssertionError(f"it should fail with {code}")


def server_and_models(client):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("talk")
    assert client.get_server_metadata().name == "corn"
    metadata = client.get_model_metadata("speak.talk")
    assert [(it.name, it.datatype, list(it.shape)) for it in metadata.inputs] == [("prompt", "BYTES", [1])]
    assert [(it.name, it.datatype) for it in metadata.outputs] == [("reply", "BYTES"), ("voice", "FP32")]
    config = client.get_model_config("speak.talk", as_json=True)["config"]
    assert config["model_transaction_policy"]["decoupled"], config
    assert config["input"][0]["data_type"] == "TYPE_STRING", config
    index = client.get_model_repository_index()
    assert {model.state for model in index.models} == {"READY"}, index
    fails(lambda: client.get_model_metadata("tlak"), "StatusCode.NOT_FOUND", "did you mean 'talk'?")
    fails(client.get_inference_statistics, "StatusCode.UNIMPLEMENTED", "statistics are not kept")
    fails(client.get_cuda_shared_memory_status, "StatusCode.UNIMPLEMENTED", "send contents in requests")


def infer(client):
    result = client.infer("talk", [text_input("prompt", "One is here. Two is there.")], request_id="42")
    assert result.get_response().id == "42"
    assert result.as_numpy("reply").tolist() == [b"One is here. Two is there. "]
    voice = result.as_numpy("voice")
    assert voice.dtype == np.float32 and voice.shape == (25 * 160,), voice.shape
    assert result.get_output("voice").parameters["sample_rate"].int64_param == 16000
    only = client.infer("talk", [text_input("prompt", "Hi.")], outputs=[triton.InferRequestedOutput("voice")])
    assert [it.name for it in only.get_response().outputs] == ["voice"]
    loud = client.infer("shout", [text_input("lines", "a", "é", "")], compression_algorithm="gzip")
    assert [it.decode() for it in loud.as_numpy("loud")] == ["A", "É", ""]
    ticks = client.infer("count", [count_input(4)]).as_numpy("ticks")
    assert ticks.tolist() == [[0], [1], [2], [3]], ticks
    assert client.infer("count", [], parameters={"upto": 2}).as_numpy("ticks").shape == (2, 1)
    pixels = triton.InferInput("photo", [1, 2, 3], "UINT8")
    pixels.set_data_from_numpy(np.array([[[255, 0, 0], [255, 0, 0]]], dtype=np.uint8))
    both = [triton.InferRequestedOutput(name) for name in ("colour", "negative")]
    colour = client.infer("colour", [pixels], outputs=both, priority=1)
    assert colour.as_numpy("colour").tolist() == [1.0, 0.0, 0.0]
    assert colour.as_numpy("negative").tolist() == [[[0, 255, 255], [0, 255, 255]]]
    data = np.arange(1 << 20, dtype=np.uint8)
    tensor = triton.InferInput("data", [1 << 20], "UINT8")
    tensor.set_data_from_numpy(data)
    assert (client.infer("echo", [tensor]).as_numpy("data") == data).all()


def mistakes(client):
    refused = "StatusCode.INVALID_ARGUMENT"
    promt = [text_input("promt", "x")]
    fails(lambda: client.infer("talk", promt), refused, "'promt' is not an input", "did you mean 'prompt'?")
    fails(lambda: client.infer("talk", [count_input(1)]), refused, "'upto' is not an input of model 'speak.talk'")
    fails(lambda: client.infer("shout", [text_input("lines", *"123456789")]), refused, "over the bound of 8")
    fails(lambda: client.infer("talk", [text_input("prompt", "x")], sequence_id=7), refused, "no sequences")
    fails(lambda: client.infer("fail", [text_input("text", "x")]), "StatusCode.INTERNAL", "component 'broken'")


def deadline_and_cancel(client):
    began = time.monotonic()
    late = "StatusCode.DEADLINE_EXCEEDED"
    fails(lambda: client.infer("endless", [count_input(0)], client_timeout=0.3), late)
    fails(lambda: client.infer("endless", [count_input(0)], timeout=300_000), late)
    assert time.monotonic() - began < 20
    ended = threading.Event()
    seen = []

    def callback(result, error):
        seen.append(error)
        ended.set()

    call = client.async_infer("endless", [count_input(0)], callback)
    time.sleep(0.2)
    call.cancel()
    assert ended.wait(20) and "CANCELLED" in str(seen[0].status()), seen


def stream(url):
    said = queue.Queue()
    with triton.InferenceServerClient(url) as client:
        client.start_stream(lambda result, error: said.put((result, error)))
        prompt = [text_input("prompt", "One is here. Two is there.")]
        client.async_stream_infer("talk", prompt, request_id="a", enable_empty_final_response=True)
        reply, sounds = b"", 0
        while True:
            result, error = said.get(timeout=10)
            assert error is None, error
            response = result.get_response()
            assert response.id == "a"
            if response.parameters["triton_final_response"].bool_param:
                assert not response.outputs
                break
            for output in response.outputs:
                if output.name == "reply":
                    reply += result.as_numpy("reply")[0]
                else:
                    sounds += 1
                    assert result.as_numpy("voice").dtype == np.float32
        assert (reply, sounds) == (b"One is here. Two is there. ", 2)
        # A mistake is said in the stream, which goes on.
        client.async_stream_infer("talk", [text_input("promt", "x")], request_id="b")
        _, error = said.get(timeout=10)
        assert "did you mean 'prompt'?" in str(error), error
        client.async_stream_infer("fail", [text_input("text", "x")], request_id="c")
        _, error = said.get(timeout=10)
        assert "component 'broken'" in str(error), error
        client.async_stream_infer("count", [count_input(2)], request_id="d")
        assert [said.get(timeout=10)[0].as_numpy("ticks").tolist() for _ in range(2)] == [[0.0], [1.0]]
        client.async_stream_infer("endless", [count_input(0)], request_id="e")
        for _ in range(100):
            assert said.get(timeout=10)[1] is None
        client.stop_stream(cancel_requests=True)


with triton.InferenceServerClient(URL) as client:
    server_and_models(client)
    infer(client)
    mistakes(client)
    deadline_and_cancel(client)
stream(URL)
print("everything is as it should be")
