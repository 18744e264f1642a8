"""Asks a server every question that the `openai` client can ask it, and holds the answers against what they must be.

Usage: openai_client.py HOST:PORT HOST:PORT_OF_ONE_THAT_TAKES_ONE_REQUEST
"""

import asyncio
import base64
import faulthandler
import io
import json
import struct
import sys
import wave
import zlib

import openai
from openai import AsyncOpenAI, OpenAI

# A question that is never answered says where it was asked.
faulthandler.dump_traceback_later(120, exit=True)
BASE = f"http://{sys.argv[1]}/v1"
BUSY = f"http://{sys.argv[2]}/v1"
client = OpenAI(base_url=BASE, api_key="any")


def user(content):
    return [{"role": "user", "content": content}]


def png(width, height):
    def chunk(tag, body):
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    rows = b"".join(b"\0" + b"\x40\x80\xc0" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wav(ms, rate=16000):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(b"\0\x10" * (rate * ms // 1000))
    return file.getvalue()


def fails(error, ask, **expected):
    try:
        ask()
    except error as caught:
        for name, value in expected.items():
            assert getattr(caught, name) == value, (name, getattr(caught, name), value)
        return caught
    raise AssertionError(f"no {error.__name__}")


def models():
    names = [model.id for model in client.models.list()]
    assert {"assistant", "parrot", "reader", "ear", "painter", "lexicon"} <= set(names), names
    assert client.models.retrieve("parrot").id == "parrot"
    fails(openai.NotFoundError, lambda: client.models.retrieve("nobody"), code="model_not_found")


def chat():
    answer = client.chat.completions.create(model="parrot", messages=user("One two three."))
    assert answer.choices[0].message.content == "One two three. "
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == 3 and answer.usage.completion_tokens == 3
    assert answer._request_id.startswith("req_")

    options = {"include_usage": True}
    stream = client.chat.completions.create(
        model="parrot", messages=user("One two."), stream=True, stream_options=options
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "One two. "
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 2
    options["continuous_usage_stats"] = True
    # What says only who asks is taken.
    more = {"user": "ann", "metadata": {"of": "tests"}, "stop": []}
    chunks = list(client.chat.completions.create(
        model="parrot", messages=user("One two."), stream=True, stream_options=options, **more
    ))
    assert [chunk.usage.completion_tokens for chunk in chunks] == [0, 1, 2, 2, 2], chunks

    picture = "data:image/png;base64," + base64.b64encode(png(5, 4)).decode()
    sound = base64.b64encode(wav(120)).decode()
    answer = client.chat.completions.create(
        model="assistant",
        messages=[
            {"role": "system", "content": "Look."},
            *user(
                [
                    {"type": "text", "text": "at"},
                    {"type": "image_url", "image_url": {"url": picture, "detail": "auto"}},
                    {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}},
                ]
            ),
        ],
    )
    assert answer.choices[0].message.content == "system: Look.\nuser: at <5x4> <120 ms>\n"
    # What was answered can be sent back as it came.
    again = [*user("hello"), answer.choices[0].message, *user("more")]
    answer = client.chat.completions.create(model="assistant", messages=again)
    assert answer.choices[0].message.content.endswith("user: more\n")


def answers_by_a_schema():
    schema = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "string"}}}
    named = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema, "strict": True}}
    ask = lambda model, format, **more: client.chat.completions.create(
        model=model, messages=user("x"), response_format=format, **more
    )
    said = lambda answer: answer.choices[0].message.content.split()[1]
    assert json.dumps(json.loads(said(ask("shaped", named)))) == json.dumps(schema)
    assert said(ask("shaped", {"type": "json_object"})) == '{"type":"object"}'
    pieces = [chunk.choices[0].delta.content or "" for chunk in ask("shaped", named, stream=True)]
    assert json.loads("".join(pieces).split()[1]) == schema
    fails(openai.BadRequestError, lambda: ask("parrot", named), param="response_format")
    wrong = {"type": "json_schema", "json_schema": {"name": "it", "schema": []}}
    fails(openai.BadRequestError, lambda: ask("shaped", wrong), param="response_format.json_schema.schema")


def chat_with_sound():
    text = "One is here. Two is there."
    answer = client.chat.completions.create(
        model="parrot",
        messages=user(text),
        modalities=["text", "audio"],
        audio={"voice": "default", "format": "wav"},
    )
    message = answer.choices[0].message
    assert message.content is None and message.audio.transcript == text + " "
    with wave.open(io.BytesIO(base64.b64decode(message.audio.data))) as file:
        assert file.getframerate() == 16000 and file.getnframes() == (12 + 13) * 160

    stream = client.chat.completions.create(
        model="parrot",
        messages=user(text),
        modalities=["text", "audio"],
        audio={"voice": "default", "format": "pcm16"},
        stream=True,
    )
    transcript, sound, ids, expires = "", b"", [], []
    for chunk in stream:
        audio = chunk.choices[0].delta.audio
        audio = audio.model_dump(exclude_unset=True) if audio else {}
        transcript += audio.get("transcript", "")
        sound += base64.b64decode(audio.get("data", ""))
        ids += [audio["id"]] if "id" in audio else []
        expires += [audio["expires_at"]] if "expires_at" in audio else []
    assert transcript == text + " " and len(ids) == 1 and len(expires) == 1
    # 25 hundredths of a second at 24 kHz, two bytes each.
    assert len(sound) == 25 * 240 * 2, len(sound)
    fails(
        openai.BadRequestError,
        lambda: client.chat.completions.create(
            model="parrot",
            messages=user(text),
            modalities=["text", "audio"],
            audio={"voice": "default", "format": "aac"},
        ),
        param="audio.format",
    )
    for format, start in [("mp3", b"\xff\xf3"), ("flac", b"fLaC"), ("opus", b"OggS")]:
        ask = {"model": "parrot", "messages": user(text), "modalities": ["text", "audio"]}
        ask["audio"] = {"voice": "default", "format": format}
        data = base64.b64decode(client.chat.completions.create(**ask).choices[0].message.audio.data)
        assert data.startswith(start) and len(data) > 500, (format, data[:8])
        deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(**ask, stream=True)]
        audio = [delta.audio.model_dump(exclude_unset=True) for delta in deltas if delta.audio]
        data = b"".join(base64.b64decode(it.get("data", "")) for it in audio)
        assert data.startswith(start) and len(data) > 500, (format, data[:8])


def speech():
    # It has one voice, and the API demands that one is named.
    answer = client.audio.speech.create(model="reader", voice="alloy", input="one two", response_format="wav")
    with wave.open(io.BytesIO(answer.read())) as file:
        assert len(file.readframes(1 << 30)) == 8 * 160 * 2 and file.getframerate() == 16000
    with client.audio.speech.with_streaming_response.create(
        model="reader", voice="default", input="one two", response_format="pcm"
    ) as answer:
        assert answer.headers["content-type"] == "audio/pcm"
        assert sum(len(piece) for piece in answer.iter_bytes()) == 8 * 240 * 2
    # Where nothing is said, it is MP3.
    text = "a sentence that is long enough to be more than a packet of any format"
    formats = {None: b"\xff\xf3", "mp3": b"\xff\xf3", "flac": b"fLaC", "opus": b"OggS", "wav": b"RIFF"}
    types = {"flac": "audio/flac", "opus": "audio/ogg; codecs=opus", "wav": "audio/wav"}
    for format, start in formats.items():
        more = {"response_format": format} if format else {}
        answer = client.audio.speech.create(model="reader", voice="default", input=text, **more)
        sound = answer.read()
        assert sound.startswith(start) and len(sound) > 1000, (format, sound[:8], len(sound))
        assert answer.response.headers["content-type"] == types.get(format, "audio/mpeg")
    with client.audio.speech.with_streaming_response.create(
        model="reader", voice="default", input="one two", response_format="pcm", stream_format="sse"
    ) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert '"speech.audio.done"' in lines[-1] and '"speech.audio.delta"' in lines[0]
    fails(
        openai.BadRequestError,
        lambda: client.audio.speech.create(model="reader", voice="default", input="x", response_format="aac"),
        param="response_format",
    )
    for speed in [2, 9, 0.1]:
        ask = lambda: client.audio.speech.create(model="reader", voice="default", input="x", speed=speed)
        fails(openai.BadRequestError, ask, param="speed")
    assert client.audio.speech.create(model="reader", voice="default", input="x", speed=1.0).read()


def transcriptions():
    file = ("said.wav", wav(500), "audio/wav")
    answer = client.audio.transcriptions.create(model="ear", file=file)
    assert answer.text == "500 ms at 16000 Hz", answer.text
    assert answer.usage.type == "duration" and answer.usage.seconds == 1
    assert client.audio.transcriptions.create(model="ear", file=file, response_format="text") == answer.text
    events = list(client.audio.transcriptions.create(model="ear", file=file, stream=True))
    assert [event.type for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == answer.text
    verbose = client.audio.transcriptions.create(model="ear", file=file, response_format="verbose_json")
    assert (verbose.text, verbose.duration, verbose.language) == (answer.text, 0.5, "unknown"), verbose
    for field, value in [("response_format", "srt"), ("language", "en")]:
        fails(
            openai.BadRequestError,
            lambda: client.audio.transcriptions.create(model="ear", file=file, **{field: value}),
            param=field,
        )
    broken = ("said.wav", b"RIFFnothing", "audio/wav")
    fails(openai.BadRequestError, lambda: client.audio.transcriptions.create(model="ear", file=broken), param="file")


def images():
    answer = client.images.generate(model="painter", prompt="red")
    assert base64.b64decode(answer.data[0].b64_json).startswith(b"\x89PNG")
    answer = client.images.generate(model="painter", prompt="red", n=3, response_format="b64_json", output_format="jpeg")
    assert len(answer.data) == 3
    assert all(base64.b64decode(image.b64_json).startswith(b"\xff\xd8") for image in answer.data)


    usage = client.images.generate(model="painter", prompt="red and blue", n=2).usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (3, 2, 5)
    events = list(client.images.generate(model="painter", prompt="red", n=2, stream=True, output_format="webp"))
    assert [event.type for event in events] == ["image_generation.completed"] * 2
    assert all(base64.b64decode(event.b64_json)[8:12] == b"WEBP" and event.size == "3x1" for event in events)
    # A graph that makes one picture after the other.
    assert len(client.images.generate(model="sketcher", prompt="red and blue").data) == 3
    events = client.images.generate(model="sketcher", prompt="red and blue", stream=True, partial_images=0)
    assert [event.size for event in events] == ["3x1", "3x1", "4x1"]
    for field, value in [("partial_images", 2), ("quality", "high"), ("size", "64x64"), ("response_format", "url")]:
        ask = lambda: client.images.generate(model="painter", prompt="red", **{field: value})
        fails(openai.BadRequestError, ask, param=field)


def edits():
    one, two = png(5, 4), png(6, 3)
    answer = client.images.edit(model="editor", image=one, prompt="same")
    kept = base64.b64decode(answer.data[0].b64_json)
    assert len(answer.data) == 1 and kept[16:24] == one[16:24], answer
    assert answer.usage.input_tokens_details.image_tokens == 1 and answer.usage.output_tokens == 1
    answer = client.images.edit(model="editor", image=[one, two], prompt="negative", output_format="png", n=1)
    assert [base64.b64decode(image.b64_json)[16:24] for image in answer.data] == [one[16:24], two[16:24]]
    assert base64.b64decode(answer.data[0].b64_json) != kept
    (event,) = client.images.edit(model="editor", image=one, prompt="same", stream=True)
    assert event.type == "image_edit.completed" and event.size == "5x4" and base64.b64decode(event.b64_json) == kept
    edit = lambda **more: client.images.edit(**{"model": "editor", "image": one, "prompt": "x", **more})
    fails(openai.BadRequestError, lambda: edit(mask=one), param="mask")
    fails(openai.BadRequestError, lambda: edit(image=[one, two, one]), param="image[2]")
    fails(openai.BadRequestError, lambda: edit(image=[one, one[:40]]), param="image[1]")
    fails(openai.BadRequestError, lambda: edit(input_fidelity="high"), param="input_fidelity")
    fails(openai.NotFoundError, lambda: edit(model="painter"), param="model")


def completions():
    answer = client.completions.create(model="parrot", prompt="One two three.")
    assert answer.object == "text_completion" and answer.choices[0].text == "One two three. "
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == 3 and answer.usage.completion_tokens == 3
    several = [f"number {n}" for n in range(12)]
    answer = client.completions.create(model="parrot", prompt=several)
    assert [(it.index, it.text) for it in answer.choices] == [(n, f"number {n} ") for n in range(12)]
    chunks = list(
        client.completions.create(
            model="parrot", prompt="One two.", stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "One two. "
    assert chunks[-2].choices[0].finish_reason == "stop" and chunks[-1].usage.completion_tokens == 2
    ask = lambda **more: client.completions.create(**{"model": "parrot", "prompt": "x", **more})
    assert ask(echo=False, n=1, best_of=1).choices[0].text == "x "
    for field, value in [("echo", True), ("suffix", "y"), ("logprobs", 2), ("n", 2), ("best_of", 3)]:
        fails(openai.BadRequestError, lambda: ask(**{field: value}), param=field)
    fails(openai.BadRequestError, lambda: ask(prompt=[1, 2]), param="prompt[0]")
    fails(openai.BadRequestError, lambda: ask(prompt=["a", "b"], stream=True), param="prompt")


def embeddings():
    lines = ["alpha", "beta", "gamma", "delta", "alpha"]
    for model in ["lexicon", "vector"]:
        answer = client.embeddings.create(model=model, input=lines)
        floats = client.embeddings.create(model=model, input=lines, encoding_format="float")
        assert [entry.index for entry in answer.data] == list(range(5))
        assert answer.data[0].embedding == answer.data[4].embedding != answer.data[1].embedding
        for a, b in zip(answer.data, floats.data):
            assert len(a.embedding) == 8 and all(abs(x - y) < 1e-6 for x, y in zip(a.embedding, b.embedding))
        assert answer.usage.prompt_tokens == 5
    assert len(client.embeddings.create(model="vector", input="one").data) == 1


def errors():
    ask = lambda **more: client.chat.completions.create(**{"model": "parrot", "messages": user("x"), **more})
    caught = fails(openai.BadRequestError, lambda: ask(temperature=0.3), param="temperature")
    assert caught.request_id.startswith("req_") and "cannot be set" in caught.message
    fails(openai.BadRequestError, lambda: ask(extra_body={"flavour": 1}), param="flavour")
    fails(openai.NotFoundError, lambda: ask(model="nobody"), param="model")
    fails(openai.InternalServerError, lambda: ask(model="broken", messages=user("at once")), code="component_failed")
    stream = ask(model="broken", stream=True)
    caught = fails(openai.APIError, lambda: list(stream))
    assert "component 'breaks'" in caught.message
    caught = fails(openai.InternalServerError, lambda: ask(model="endless"), code="deadline")
    assert caught.status_code == 504


def busy():
    one = OpenAI(base_url=BUSY, api_key="any", max_retries=0)
    stream = lambda: one.chat.completions.create(model="endless", messages=user("go"), stream=True)
    held = [stream()]
    next(iter(held[0]))

    async def crowd():
        many = AsyncOpenAI(base_url=BUSY, api_key="any", max_retries=0)
        asks = [many.chat.completions.create(model="parrot", messages=user("me")) for _ in range(12)]
        answers = await asyncio.gather(*asks, return_exceptions=True)
        await many.close()
        return answers

    answers = asyncio.run(crowd())
    refused = [it for it in answers if isinstance(it, openai.RateLimitError)]
    assert refused and all(it.response.headers["retry-after"] == "1" for it in refused), answers
    held[0].close()
    one.close()


async def at_once():
    many = AsyncOpenAI(base_url=BASE, api_key="any")

    async def one(n):
        stream = await many.chat.completions.create(model="parrot", messages=user(f"number {n}"), stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert await asyncio.gather(*(one(n) for n in range(8))) == [f"number {n} " for n in range(8)]
    await many.close()


for check in [models, chat, answers_by_a_schema, chat_with_sound, speech, transcriptions, images, edits, completions, embeddings, errors, busy]:
    check()
    print(check.__name__, "is as expected")
asyncio.run(at_once())
print("all as expected")
