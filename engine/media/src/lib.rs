//! Reads, writes and converts images, audio, films and animations at Corn's edges.
//!
//! Everything here takes bytes of unknown origin: the format is told from the content, never from
//! a name; sizes are checked against bounds before anything is decoded; and whatever is wrong
//! with the bytes is a [`MediaError`] that says what, where, and what would be accepted. Inside
//! Corn a picture is always RGB, a sound always mono f32 ([`corn_core::datum`]).

mod audio;
mod error;
mod film;
mod flac;
mod jpeg;
mod matroska;
mod mp3;
mod mp4;
mod ogg;
mod opus;
mod picture;
mod resample;
mod riff;
mod sniff;
mod sound;
mod video;
mod wav;
mod write;

pub use audio::{AudioLimits, read_audio};
pub use error::MediaError;
pub use picture::{Format, ImageLimits, read_image, write_image};
pub use resample::{OneRate, Resampler, resample};
pub use sniff::{MediaKind, modality, sniff};
pub use video::{VideoLimits, read_video};
pub use wav::{WavWriter, write_wav};
pub use write::{SoundFormat, SoundWriter, write_sound};
