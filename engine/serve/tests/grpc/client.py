"""Corn's own Python client against a server at sys.argv[1]. Ends with 0 if everything is as it should be."""

import io
import sys
import wave
from pathlib import Path

import grpc
import numpy as np
from corn_client import Client, CornError, Video

MEDIA = Path(__file__).parents[3] / "media/tests/data"

with Client(sys.argv[1], timeout=20) as corn:
    names = [route.name for graph in corn.describe().graphs for route in graph.routes]
    assert names[:3] == ["say", "talk", "shout"], names

    answer = corn.call("speak", prompt="One is here. Two is there.")
    assert answer == {"reply": "One is here. Two is there. "} and answer.route == "say", answer
    assert answer.request_id
    voice = corn.call("speak.talk", prompt="One is here. Two is there.", outputs=["voice"])["voice"]
    assert voice.rate_hz == 16000 and voice.samples.shape == (25 * 160,) and voice.samples.dtype == np.float32
    file = corn.call("talk", prompt="One is here.", outputs=["voice"], audio="wav")["voice"]
    assert wave.open(io.BytesIO(file)).getnframes() == 12 * 160

    stream = corn.stream("talk", prompt="One is here. Two is there.", priority="high")
    pieces = list(stream)
    assert "".join(piece for output, piece in pieces if output == "reply") == "One is here. Two is there. "
    assert sum(output == "voice" for output, _ in pieces) == 2
    assert stream.route == "talk" and stream.outputs == ["reply", "voice"] and stream.request_id

    assert corn.call("shout", lines=["a", "é"])["loud"] == ["A", "É"]
    photo = np.array([[[255, 0, 0], [255, 0, 0]]], dtype=np.uint8)
    colour = corn.call("colour", photo=photo, outputs=["colour", "negative"])
    assert colour["colour"].tolist() == [1.0, 0.0, 0.0]
    assert colour["negative"].tolist() == [[[0, 255, 255], [0, 255, 255]]]
    png = corn.call("colour", photo=photo, outputs=["negative"], images="png")["negative"]
    assert png.startswith(b"\x89PNG")
    assert corn.call("colour", photo=png)["colour"].tolist() == [0.0, 1.0, 1.0]
    data = np.arange(1000).astype(np.uint8)
    assert (corn.call("echo", data=data)["data"] == data).all()
    assert [piece.tolist() for _, piece in corn.stream("count", upto=2)] == [[0.0], [1.0]]
    assert len(corn.call("count")["ticks"]) == 3

    film, moving = MEDIA / "film/high.mp4", MEDIA / "moving.gif"
    shown = "0 40 80 120 160 200 240 280 320 360 400 440"
    assert corn.call("watch", clip=film)["times"] == shown
    assert corn.call("watch", clip=film.read_bytes())["times"] == shown
    assert corn.call("watch", clip=Video(moving))["times"] == "0 250 500 750"
    assert corn.call("watch", clip=[(0, photo), (40_000, png)])["times"] == "0 40"
    media = [film, MEDIA / "film/cavlc.mkv", Video(moving), [(0, png)]]
    assert corn.call("look", media=media)["times"] == [shown, shown, "0 250 500 750", "0"]
    talk = [{"role": "user", "content": ["what is this?", film]}]
    assert corn.call("discuss", talk=talk)["times"] == [shown]

    def fails(call):
        try:
            call()
        except CornError as error:
            return error
        raise AssertionError("it should fail")

    error = fails(lambda: corn.call("speak", promt="x"))
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT and error.blame == "request" and not error.retry
    assert "did you mean 'prompt'?" in str(error), error
    error = fails(lambda: corn.call("watch", clip=MEDIA / "film/hevc.mp4"))
    assert str(error).startswith("input 'clip': this MP4 file uses HEVC"), error
    # What a file is, is told from its content: a sound without pictures, and a picture even if it moves.
    for file, kind in ((MEDIA / "film/tone.m4a", "audio"), (MEDIA / "film/tone.webm", "audio"), (moving, "image")):
        assert f"{kind} in 'media' is taken by no route" in str(fails(lambda file=file: corn.call("look", media=[file])))
    error = fails(lambda: corn.call("fail", text="x"))
    assert error.component == "broken" and error.request_id, error
    error = fails(lambda: corn.call("endless", upto=0, timeout=0.3))
    assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert fails(lambda: corn.call("nothing", x=1)).code == grpc.StatusCode.NOT_FOUND
    with corn.stream("endless", upto=0) as stream:
        for _ in range(100):
            next(stream)
print("everything is as it should be")
