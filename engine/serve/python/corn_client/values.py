"""Python values as Corn's, and back. What an input declares decides how a value is sent."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import corn_pb2 as pb

DTYPES = {
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "u8": np.uint8,
    "bool": np.bool_,
}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
ROLES = {"system": pb.ROLE_SYSTEM, "user": pb.ROLE_USER, "assistant": pb.ROLE_ASSISTANT}


@dataclass
class Audio:
    """Sound of one channel: float32 samples in -1..1, so many a second."""

    samples: np.ndarray
    rate_hz: int


@dataclass
class Video:
    """A film, or what moves: a file, or pairs of a time in µs and an image.

    Where any of the media is taken, a GIF is a picture unless it is said to be a video.
    """

    content: object


def write(value, kind, form):
    """The message for `value`, which an input of this kind and form brings."""
    if form == pb.FORM_LIST:
        return pb.Value(list=pb.List(items=[write(item, kind, pb.FORM_VALUE) for item in value]))
    if kind in ("text", "enum"):
        return pb.Value(text=value)
    if kind == "int":
        return pb.Value(int=value)
    if kind == "float":
        return pb.Value(float=value)
    if kind == "bool":
        return pb.Value(bool=value)
    if kind == "image":
        return pb.Value(image=_image(value))
    if kind == "audio":
        return pb.Value(audio=_audio(value))
    if kind == "video":
        return pb.Value(video=_video(value))
    if kind == "media":
        return pb.Value(**_medium(value))
    if kind == "messages":
        return pb.Value(messages=pb.Conversation(messages=[_message(message) for message in value]))
    if kind == "tensor":
        return pb.Value(tensor=_tensor(value))
    raise TypeError(f"this client cannot send a {kind}")


def _file(value):
    return value.read_bytes() if isinstance(value, Path) else bytes(value)


def _image(value):
    if not isinstance(value, np.ndarray):
        return pb.Image(encoded=_file(value))
    if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3:
        raise TypeError(f"a picture is uint8 of shape (height, width, 3), not {value.dtype} of {value.shape}")
    height, width, _ = value.shape
    return pb.Image(pixels=pb.Pixels(width=width, height=height, rgb=np.ascontiguousarray(value).tobytes()))


def _audio(value):
    if not isinstance(value, Audio):
        return pb.Audio(encoded=_file(value))
    samples = np.ascontiguousarray(value.samples, dtype="<f4")
    return pb.Audio(samples=pb.Samples(rate_hz=value.rate_hz, f32=samples.tobytes()))


def _video(value):
    value = value.content if isinstance(value, Video) else value
    if isinstance(value, (Path, bytes, bytearray, memoryview)):
        return pb.Video(encoded=_file(value))
    return pb.Video(frames=[pb.Frame(time_us=time_us, image=_image(image)) for time_us, image in value])


def _medium(value):
    """Media of a kind that the value itself says: a sound, pixels, a video, or a file."""
    if isinstance(value, Audio):
        return {"audio": _audio(value)}
    if isinstance(value, np.ndarray):
        return {"image": _image(value)}
    if isinstance(value, (Video, list, tuple)):
        return {"video": _video(value)}
    file = _file(value)
    if file.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")) or (file[:4] == b"RIFF" and file[8:12] == b"WEBP"):
        return {"image": pb.Image(encoded=file)}
    if _has_pictures(file):
        return {"video": pb.Video(encoded=file)}
    return {"audio": pb.Audio(encoded=file)}


def _has_pictures(file):
    """Whether a file of several tracks has one of pictures: a handler of MP4 says so, or a codec of Matroska."""
    if file.startswith(b"\x1a\x45\xdf\xa3"):
        return re.search(rb"\x86[\x80-\xff]V_", file) is not None
    is_mp4 = file[4:8] in (b"ftyp", b"moov", b"mdat", b"wide")
    return is_mp4 and re.search(rb"hdlr.{8}vide", file, re.DOTALL) is not None


def _message(message):
    """`{"role": "user", "content": …}`; content is a text, or a list of texts and media."""
    content = message["content"]
    parts = [content] if isinstance(content, str) else content
    parts = [pb.Part(text=part) if isinstance(part, str) else pb.Part(**_medium(part)) for part in parts]
    return pb.Message(role=ROLES[message["role"]], parts=parts)


def _tensor(value):
    array = np.asarray(value)
    name = NAMES.get(array.dtype.newbyteorder("="))
    if name is None:
        # ml_dtypes has the dtype that numpy lacks.
        if array.dtype.name != "bfloat16":
            raise TypeError(f"there is no dtype {array.dtype} in Corn; there is bf16, {', '.join(DTYPES)}")
        name, array = "bf16", array.view(np.uint16)
    data = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).tobytes()
    return pb.Tensor(dtype=name, shape=array.shape, data=data)


def read(value):
    """What a message of an answer holds; None if it holds nothing."""
    kind = value.WhichOneof("kind")
    if kind is None:
        return None
    held = getattr(value, kind)
    if kind == "list":
        return [read(item) for item in held.items]
    if kind == "image":
        return _pixels(held)
    if kind == "audio":
        return _sound(held)
    if kind == "video":
        return [(frame.time_us, _pixels(frame.image)) for frame in held.frames]
    if kind == "tensor":
        return _array(held)
    if kind == "messages":
        return [{"role": _role(message.role), "content": [_part(part) for part in message.parts]} for message in held.messages]
    return held


def _pixels(image):
    """Pixels as an array, a file as bytes."""
    if image.WhichOneof("content") == "encoded":
        return image.encoded
    pixels = image.pixels
    return np.frombuffer(pixels.rgb, dtype=np.uint8).reshape(pixels.height, pixels.width, 3)


def _sound(audio):
    if audio.WhichOneof("content") == "encoded":
        return audio.encoded
    return Audio(np.frombuffer(audio.samples.f32, dtype="<f4"), audio.samples.rate_hz)


def _array(tensor):
    if tensor.dtype == "bf16":
        # The upper half of a float32.
        halves = np.frombuffer(tensor.data, dtype="<u2").astype(np.uint32) << 16
        return halves.view(np.float32).reshape(tuple(tensor.shape))
    dtype = np.dtype(DTYPES[tensor.dtype]).newbyteorder("<")
    return np.frombuffer(tensor.data, dtype=dtype).reshape(tuple(tensor.shape))


def _role(role):
    return next((name for name, known in ROLES.items() if known == role), "")


def _part(part):
    kind = part.WhichOneof("content")
    if kind == "text":
        return part.text
    return None if kind is None else read(pb.Value(**{kind: getattr(part, kind)}))
