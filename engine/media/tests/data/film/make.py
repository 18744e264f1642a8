"""Makes the films and sounds beside this script, and frames.txt: what FFmpeg makes of their pictures.

    pip install av==18.1.0 numpy && python make.py

They are synthetic: a moving pattern and a tone of 440 Hz. Pictures are held exactly, for H.264 leaves a decoder no
choice: the checksum is of the red, green and blue that integer arithmetic makes of FFmpeg's luma and chroma. The three
means beside it are of what FFmpeg itself makes of them.
"""

import fractions
import pathlib
import zlib

import av
import numpy as np

HERE = pathlib.Path(__file__).parent
RATE = 25
SOUND_HZ = 48_000


def picture(at, width, height, pixels):
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 3 + at * 5, y * 4 + at * 3, (x + y) * 2 + at * 7], -1) % 256
    left = at * 3 % width
    rgb[height // 4 : height // 2, left : left + width // 6] = [230, 30, 20]
    return av.VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24").reformat(format=pixels)


def tone(seconds, layout, sample_format):
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * SOUND_HZ)) / SOUND_HZ)
    channels = 2 if layout == "stereo" else 1
    frame = av.AudioFrame.from_ndarray(np.tile(wave.astype(np.float32), (channels, 1)), "fltp", layout)
    frame.sample_rate = SOUND_HZ
    frame.pts = 0
    resampler = av.AudioResampler(sample_format, layout, SOUND_HZ)
    return resampler.resample(frame) + resampler.resample(None)


def make(name, *, video=None, size=(96, 64), frames=12, pixels="yuv420p", sound=None, layout="stereo", seconds=0.48,
         options=None, muxer=None, matrix=None):
    with av.open(str(HERE / name), "w", options={"fflags": "+bitexact", **(muxer or {})}) as file:
        streams = []
        if video:
            stream = file.add_stream(video, rate=RATE, options={"flags": "+bitexact", **(options or {})})
            stream.width, stream.height = size
            stream.pix_fmt = pixels
            stream.codec_context.thread_count = 1
            if matrix:
                stream.codec_context.colorspace = matrix
            made = []
            for at in range(frames):
                frame = picture(at, *size, pixels)
                frame.pts, frame.time_base = at, fractions.Fraction(1, RATE)
                made.append(frame)
            streams.append((stream, made))
        if sound:
            stream = file.add_stream(sound, rate=SOUND_HZ, options={"flags": "+bitexact", "strict": "experimental"})
            stream.layout = layout
            stream.bit_rate = 48_000
            stream.codec_context.open()
            made = tone(seconds, layout, stream.format.name)
            fifo = av.AudioFifo()
            for frame in made:
                fifo.write(frame)
            length = stream.codec_context.frame_size or 1024
            pieces = []
            while (piece := fifo.read(length, partial=True)) is not None:
                piece.pts, piece.time_base = len(pieces) * length, fractions.Fraction(1, SOUND_HZ)
                pieces.append(piece)
            streams.append((stream, pieces))
        packets = []
        for stream, made in streams:
            for frame in [*made, None]:
                packets += stream.encode(frame)
        for packet in sorted(packets, key=lambda it: float((it.dts or 0) * it.time_base)):
            file.mux(packet)


X264 = {"preset": "medium", "crf": "30"}


def x264(**more):
    return {**X264, "x264-params": ":".join(f"{key.replace('_', '-')}={value}" for key, value in more.items())}


FILMS = {
    "high.mp4": dict(video="libx264", size=(178, 102), options=x264(bframes=3, ref=4), sound="aac"),
    "baseline.mov": dict(video="libx264", size=(66, 34), options={**X264, "profile": "baseline"}),
    "pieces.mp4": dict(video="libx264", options=x264(keyint=5, bframes=2), sound="aac",
                       muxer={"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "open.mp4": dict(video="libx264", options=x264(open_gop=1, keyint=6, min_keyint=3, bframes=3, direct="temporal")),
    "cavlc.mkv": dict(video="libx264", options=x264(cabac=0, bframes=2, weightp=2, slices=2), sound="libopus"),
    "full.mp4": dict(video="libx264", options=x264(fullrange="on", colormatrix="bt709"), frames=4),
}


def expect():
    lines = []
    for name in FILMS:
        with av.open(str(HERE / name)) as file:
            for frame in file.decode(video=0):
                rgb = converted(frame)
                means = frame.to_ndarray(format="rgb24").reshape(-1, 3).mean(0)
                time_us = round(float(frame.pts * frame.time_base) * 1e6)
                lines.append(f"{name} {time_us} {frame.width}x{frame.height} {zlib.crc32(rgb.tobytes()):08x} "
                             + " ".join(f"{mean:.1f}" for mean in means))
    (HERE / "frames.txt").write_text("\n".join(lines) + "\n")


def converted(frame):
    def plane(at, width, height):
        plane = frame.planes[at]
        return np.array(plane).reshape(-1, plane.line_size)[:height, :width].astype(np.int64)

    width, height = frame.width, frame.height
    y = plane(0, width, height)
    u, v = (plane(at, width // 2, height // 2).repeat(2, 0).repeat(2, 1) - 128 for at in (1, 2))
    is_full = int(frame.color_range) == 2
    red, blue = (0.2126, 0.0722) if int(frame.colorspace) == 1 else (0.299, 0.114)
    green = 1 - red - blue
    black, luma, chroma = (0, 1, 1) if is_full else (16, 255 / 219, 255 / 224)

    def fixed(value):
        return round(value * 65536)

    y = (y - black) * fixed(luma)
    r = y + v * fixed(2 * (1 - red) * chroma) + 32768 >> 16
    b = y + u * fixed(2 * (1 - blue) * chroma) + 32768 >> 16
    g = y - u * fixed(2 * (1 - blue) * blue / green * chroma) - v * fixed(2 * (1 - red) * red / green * chroma)
    g = g + 32768 >> 16
    return np.clip(np.stack([r, g, b], -1), 0, 255).astype(np.uint8)


def main():
    for name, how in FILMS.items():
        make(name, **how)
    expect()
    # Pictures that are refused, each by its name.
    few = dict(frames=3, size=(64, 48))
    make("hevc.mp4", video="libx265", options={"x265-params": "log-level=none:info=0"}, **few)
    make("av1.mp4", video="libsvtav1", options={"preset": "12"}, **few)
    make("part2.mp4", video="mpeg4", **few)
    make("444.mp4", video="libx264", pixels="yuv444p", options=X264, **few)
    make("10bit.mp4", video="libx264", pixels="yuv420p10le", options=X264, **few)
    make("interlaced.mp4", video="libx264", options=x264(interlaced=1), **few)
    make("vp9.webm", video="libvpx-vp9", sound="libopus", **few)
    # Sounds alone.
    make("tone.m4a", sound="aac")
    make("mono.aac", sound="aac", layout="mono")
    make("alac.m4a", sound="alac", seconds=0.1)
    make("mp3.mp4", sound="libmp3lame")
    make("flac.mp4", sound="flac")
    make("opus.mp4", sound="libopus")
    make("tone.webm", sound="libopus", muxer={"live": "1"})
    make("vorbis.webm", sound="vorbis")
    make("ac3.mp4", sound="ac3")


if __name__ == "__main__":
    main()
