#!/bin/sh
# How the files beside this script were made (Debian 12: ffmpeg 5.1). They are synthetic: tones and a test chart.
set -eu
cd "$(dirname "$0")"
tones="-f lavfi -i sine=frequency=440:sample_rate=16000:duration=0.2 -f lavfi -i sine=frequency=440:sample_rate=16000:duration=0.2"
stereo="-filter_complex [0][1]amerge=inputs=2 -ac 2 -map_metadata -1 -fflags +bitexact -flags:a +bitexact"
quiet="-y -loglevel error"
ffmpeg $quiet $tones $stereo -c:a libmp3lame -b:a 48k tone.mp3
ffmpeg $quiet $tones $stereo -c:a flac -compression_level 8 tone.flac
ffmpeg $quiet $tones $stereo -c:a libvorbis -q:a 0 tone.ogg
ffmpeg $quiet $tones $stereo -c:a pcm_s24le -ar 8000 tone.wav
ffmpeg $quiet $tones $stereo -c:a libopus -b:a 16k opus.ogg
chart="-f lavfi -i testsrc2=size=48x32:duration=1:rate=1 -frames:v 1 -fflags +bitexact -flags:v +bitexact"
ffmpeg $quiet $chart chart.png
ffmpeg $quiet $chart -q:v 3 chart.jpg
ffmpeg $quiet $chart -c:v libwebp -lossless 0 -q:v 80 chart.webp
# Four pictures, a quarter of a second each.
moving="-f lavfi -i testsrc2=size=48x32:duration=1:rate=4 -fflags +bitexact -flags:v +bitexact"
ffmpeg $quiet $moving -loop 0 moving.gif
ffmpeg $quiet $moving -f apng -plays 0 moving.png
ffmpeg $quiet $moving -c:v libwebp_anim -lossless 1 -loop 0 moving.webp
