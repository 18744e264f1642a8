"""Holds sessions with a server by the `openai` client, plain and asynchronous, and holds every event against its type.

Usage: client.py HOST:PORT SPEECH.wav
"""

import asyncio
import base64
import faulthandler
import sys
import wave

import openai
from openai import AsyncOpenAI, OpenAI

# A session that hangs says where.
faulthandler.dump_traceback_later(120, exit=True)
BASE = f"http://{sys.argv[1]}/v1"


def speech():
    """What a person says in 2 s, at 24 kHz."""
    with wave.open(sys.argv[2]) as file:
        assert file.getsampwidth() == 2 and file.getnchannels() == 1
        rate, samples = file.getframerate(), memoryview(file.readframes(file.getnframes())).cast("h")
    # Between the two nearest samples: good enough to be heard as a voice.
    made = bytearray()
    for n in range(len(samples) * 24000 // rate - 2):
        at, part = divmod(n * rate / 24000, 1)
        value = samples[int(at)] * (1 - part) + samples[int(at) + 1] * part
        made += int(value).to_bytes(2, "little", signed=True)
    return bytes(made)


def silence(ms):
    return bytes(48 * ms)


def pieces(sound):
    """In tenths of a second, as a microphone brings it."""
    return [base64.b64encode(sound[at : at + 4800]).decode() for at in range(0, len(sound), 4800)]


def checked(event):
    """The event, if the client knows it and it is all that its type says."""
    kind = type(event)
    assert kind.__module__.startswith("openai.types.realtime"), event
    said = kind.model_fields["type"].annotation.__args__
    assert said == (event.type,), f"{event.type} was taken for {said}"
    kind.model_validate(event.to_dict())
    assert event.event_id, event
    return event


def said(text):
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def until(connection, kind):
    events = []
    for event in connection:
        events.append(checked(event))
        if event.type == kind:
            return events


async def until_async(connection, kind):
    events = []
    async for event in connection:
        events.append(checked(event))
        if event.type == kind:
            return events


def heard(events):
    sound = b"".join(base64.b64decode(e.delta) for e in events if e.type == "response.output_audio.delta")
    words = "".join(e.delta for e in events if e.type == "response.output_audio_transcript.delta")
    return words, len(sound) // 48


def plain():
    client = OpenAI(base_url=BASE, api_key="any")
    with client.realtime.connect(model="companion") as connection:
        created = checked(connection.recv())
        assert created.type == "session.created" and created.session.type == "realtime", created
        assert created.session.model == "companion" and created.session.output_modalities == ["audio"]

        # By voice; the server finds the turn.
        for piece in pieces(silence(1000) + speech() + silence(1000)):
            connection.input_audio_buffer.append(audio=piece)
        events = until(connection, "response.done")
        kinds = [event.type for event in events]
        for kind in ["speech_started", "speech_stopped", "committed"]:
            assert f"input_audio_buffer.{kind}" in kinds, kinds
        words, ms = heard(events)
        assert words.startswith("user: <") and ms > 0, (words, ms)
        done = events[-1].response
        assert done.status == "completed" and done.usage.total_tokens > 0, done
        assert done.output[0].content[0].transcript == words

        # What was not heard is taken back.
        connection.conversation.item.truncate(item_id=done.output[0].id, content_index=0, audio_end_ms=ms // 2)
        assert until(connection, "conversation.item.truncated")[-1].audio_end_ms == ms // 2
        connection.conversation.item.retrieve(item_id=done.output[0].id)
        got = checked(connection.recv())
        assert got.type == "conversation.item.retrieved" and len(got.item.content[0].transcript) < len(words), got

        # In writing.
        connection.session.update(
            session={
                "type": "realtime",
                "output_modalities": ["text"],
                "instructions": "Be kind.",
                "audio": {"input": {"turn_detection": None}},
            }
        )
        updated = until(connection, "session.updated")[-1].session
        assert updated.audio.input.turn_detection is None and updated.instructions == "Be kind.", updated
        connection.conversation.item.create(item=said("hello"), previous_item_id="root")
        first = until(connection, "conversation.item.done")[-1]
        assert first.previous_item_id is None and first.item.content[0].text == "hello", first
        connection.response.create(response={"input": [said("aside")], "conversation": "none"})
        events = until(connection, "response.done")
        text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
        assert text == "system: Be kind.\nuser: aside\n", text
        assert next(e for e in events if e.type == "response.output_text.done").text == text
        connection.conversation.item.delete(item_id=first.item.id)
        until(connection, "conversation.item.deleted")

        # Sound that the client commits.
        connection.input_audio_buffer.append(audio=base64.b64encode(silence(300)).decode())
        connection.input_audio_buffer.clear()
        until(connection, "input_audio_buffer.cleared")
        connection.input_audio_buffer.append(audio=base64.b64encode(silence(500)).decode())
        connection.input_audio_buffer.commit()
        until(connection, "conversation.item.done")

        # What was said is written down.
        connection.session.update(
            session={
                "type": "realtime",
                "audio": {"input": {"turn_detection": None, "transcription": {"model": "ear"}}},
            }
        )
        updated = until(connection, "session.updated")[-1].session
        assert updated.audio.input.transcription.model == "ear", updated
        connection.input_audio_buffer.append(audio=base64.b64encode(silence(1200)).decode())
        connection.input_audio_buffer.commit()
        events = until(connection, "conversation.item.input_audio_transcription.completed")
        written = events[-1]
        deltas = [e for e in events if e.type == "conversation.item.input_audio_transcription.delta"]
        assert deltas and "".join(e.delta for e in deltas) == written.transcript, events
        assert written.usage.type == "duration" and written.usage.seconds == 2, written

        # What is wrong is an event, and the session goes on.
        connection.response.create(event_id="mine", response={"tools": [{"type": "function", "name": "f"}]})
        error = checked(connection.recv())
        assert error.type == "error" and error.error.event_id == "mine", error
        assert error.error.param == "response.tools" and error.error.type == "invalid_request_error", error
        connection.response.create()
        assert until(connection, "response.done")[-1].response.status == "completed"


async def interrupted():
    client = AsyncOpenAI(base_url=BASE, api_key="any")
    async with client.realtime.connect(model="chatterbox") as connection:
        await connection.conversation.item.create(item=said("talk to me"))
        await connection.response.create()
        await until_async(connection, "response.output_audio.delta")
        for piece in pieces(speech()):
            await connection.input_audio_buffer.append(audio=piece)
        events = await until_async(connection, "response.done")
        assert any(event.type == "input_audio_buffer.speech_started" for event in events)
        done = events[-1].response
        assert done.status == "cancelled" and done.status_details.reason == "turn_detected", done
        for piece in pieces(silence(1000)):
            await connection.input_audio_buffer.append(audio=piece)
        await until_async(connection, "response.output_audio.delta")
        await connection.response.cancel()
        done = (await until_async(connection, "response.done"))[-1].response
        assert done.status == "cancelled" and done.status_details.reason == "client_cancelled", done


async def several():
    """Sessions beside each other, each with its own conversation."""
    client = AsyncOpenAI(base_url=BASE, api_key="any")

    async def one(name):
        async with client.realtime.connect(model="companion") as connection:
            await connection.conversation.item.create(item=said(name))
            await connection.response.create()
            words, ms = heard(await until_async(connection, "response.done"))
            assert words == f"user: {name}\n" and ms > 0, words

    await asyncio.gather(*(one(f"caller {n}") for n in range(8)))


async def unknown():
    try:
        async with AsyncOpenAI(base_url=BASE, api_key="any").realtime.connect(model="nobody"):
            raise AssertionError("a session with nobody")
    except Exception as error:
        assert "404" in str(error), error


print(f"openai {openai.__version__}")
plain()
asyncio.run(interrupted())
asyncio.run(several())
asyncio.run(unknown())
print("all as expected")
