//! Sound on its way out.

use corn_core::{Audio, Datum};
use corn_media::{OneRate, SoundFormat, write_sound};

use super::refusal::Refusal;

/// Why a word is none of the formats.
pub(super) const NOT_WRITTEN: &str = "that is not written";

/// What clients call a format.
pub(super) fn format(word: &str) -> SoundFormat {
    match word {
        "mp3" => SoundFormat::Mp3,
        "opus" => SoundFormat::Opus,
        "flac" => SoundFormat::Flac,
        "wav" => SoundFormat::Wav,
        _ => SoundFormat::Pcm,
    }
}

/// Pieces of sound as one file, at the rate of the first.
pub(super) fn whole(pieces: &[Datum], format: SoundFormat) -> Result<Vec<u8>, Refusal> {
    let pieces = pieces.iter().filter_map(|it| if let Datum::Audio(audio) = it { Some(audio) } else { None });
    let mut joined: Option<(u32, OneRate, Vec<f32>)> = None;
    for piece in pieces {
        let rate_hz = piece.rate_hz;
        let (_, rate, samples) = joined.get_or_insert_with(|| (rate_hz, OneRate::new(rate_hz), Vec::new()));
        samples.extend(rate.push(piece));
    }
    let (rate_hz, samples) = match joined {
        Some((rate_hz, mut rate, mut samples)) => {
            samples.extend(rate.finish());
            (rate_hz, samples)
        }
        None => (NOTHING_HZ, Vec::new()),
    };
    let file = write_sound(&Audio { rate_hz, samples: samples.into() }, format);
    file.map_err(|error| Refusal::ours(error.to_string()))
}

/// The rate of a file without any sound.
const NOTHING_HZ: u32 = 24_000;
