//! Pictures, sounds and videos that requests bring or name by URL: found, counted, bounded, and only then decoded.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use corn_core::{Audio, Datum, Frame, Video};
use corn_media::{
    AudioLimits, ImageLimits, MediaKind, VideoLimits, read_audio, read_image, read_video, sniff,
};
use corn_plan::plan::Limits;
use corn_plan::{Kind, Modality};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::refusal::Refusal;
use crate::fetch::{self, BytesLeft, Fetcher, Trouble};

/// From one frame to the next, where they come apart.
const FRAME_US: u64 = 1_000_000;
/// Fetches of one request at once.
const FETCHES_AT_ONCE: usize = 8;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One of the media of a request, as it came.
#[derive(Debug)]
pub(super) struct Medium {
    pub(super) kind: Modality,
    /// Where it stood, such as `messages[2].content[1].image_url`.
    pub(super) param: String,
    pub(super) content: Content,
}

/// What was sent.
#[derive(Debug)]
pub(super) enum Content {
    /// In base64, and the format that the client says it has.
    Base64(String, Option<String>),
    /// A URL of http or https, whose content has not been fetched yet.
    Away(String),
    /// As it is.
    Raw(axum::body::Bytes),
    /// Sound as 16-bit samples, little-endian, at this rate.
    Samples(u32, axum::body::Bytes),
}

/// What may still come of a request's media.
pub(super) struct Room {
    audio_ms: Option<u64>,
    /// Milliseconds of sound taken so far.
    pub(super) heard_ms: u64,
}

impl Medium {
    /// What a URL stands for: its content, if that is in it.
    pub(super) fn from_url(kind: Modality, param: String, url: &str) -> Result<Self, Refusal> {
        let Some(data) = url.strip_prefix("data:") else {
            let start = url.get(..8).unwrap_or(url).to_ascii_lowercase();
            if start.starts_with("http://") || start.starts_with("https://") {
                return Ok(Self { kind, param, content: Content::Away(url.to_owned()) });
            }
            let kind = kind.name();
            let message =
                format!("'{param}' is no URL of http or https, and no data URL (data:{kind}/…;base64,…)");
            return Err(Refusal::param(param, message).code("url_not_allowed"));
        };
        let Some((head, content)) = data.split_once(',') else {
            let message = format!("'{param}': a data URL has a comma before its content");
            return Err(Refusal::param(param, message));
        };
        let Some(media_type) = head.strip_suffix(";base64") else {
            let message = format!("'{param}': the content of a data URL must be in base64 (data:…;base64,…)");
            return Err(Refusal::param(param, message));
        };
        let class = media_type.split('/').next().unwrap_or_default();
        // A picture may move, or be one of the frames; and of a film the sound may be meant.
        let is_class = class == kind.name()
            || (kind == Modality::Video && class == "image")
            || (kind == Modality::Audio && class == "video");
        if !media_type.is_empty() && !is_class && !media_type.starts_with("application/octet-stream") {
            let message = format!("'{param}' is said to be {media_type}, and must be {}/…", kind.name());
            return Err(Refusal::param(param, message));
        }
        Ok(Self { kind, param, content: Content::Base64(content.to_owned(), None) })
    }

    /// Decoded, if it is within the bounds of `kind` and there is room.
    pub(super) fn read(self, kind: &Kind, room: &mut Room) -> Result<Datum, Refusal> {
        let Self { kind: modality, param, content } = self;
        let wrong = |problem: String| Refusal::param(&param, format!("'{param}': {problem}"));
        if let (Content::Base64(text, _), Modality::Video, Kind::Video { rate, max_bytes }) =
            (&content, modality, kind)
            && text.contains(',')
        {
            return apart(text, VideoLimits { rate: *rate, max_bytes: *max_bytes }).map_err(wrong);
        }
        let (bytes, format) = match content {
            Content::Samples(rate_hz, samples) => {
                let Kind::Audio { max_ms, .. } = kind else {
                    return Err(wrong("it is a sound, and no sound is taken there".to_owned()));
                };
                let audio = from_samples(rate_hz, &samples);
                let most_ms = (*max_ms).min(room.left_ms());
                if audio.duration_ms() > most_ms {
                    let message =
                        format!("it is {} ms long; at most {most_ms} ms are taken", audio.duration_ms());
                    return Err(wrong(message));
                }
                room.heard_ms += audio.duration_ms();
                return Ok(Datum::Audio(audio.into()));
            }
            Content::Raw(bytes) => (bytes, None),
            Content::Away(_) => return Err(Refusal::ours(format!("'{param}' was not fetched"))),
            Content::Base64(text, format) => {
                let bytes =
                    BASE64.decode(text).map_err(|error| wrong(format!("it is no base64: {error}")))?;
                (bytes.into(), format)
            }
        };
        if let Some((said, is)) = format.zip(sniff(&bytes))
            && !short_names(is).contains(&said.as_str())
        {
            return Err(wrong(format!("its format is said to be {said}, and it is {is}")));
        }
        match (modality, kind) {
            (Modality::Image, Kind::Image { max_bytes }) => {
                let image = read_image(&bytes, ImageLimits::from_bytes(*max_bytes));
                image.map(|image| Datum::Image(image.into())).map_err(|error| wrong(error.to_string()))
            }
            (Modality::Audio, Kind::Audio { max_ms, .. }) => {
                let left_ms = room.left_ms();
                if left_ms == 0 {
                    return Err(wrong("the sounds before it are as long as all may be together".to_owned()));
                }
                let limits = AudioLimits { max_ms: (*max_ms).min(left_ms) };
                let audio = read_audio(&bytes, limits).map_err(|error| wrong(error.to_string()))?;
                room.heard_ms += audio.duration_ms();
                Ok(Datum::Audio(audio.into()))
            }
            (Modality::Video, Kind::Video { rate, max_bytes }) => {
                let video = read_video(&bytes, VideoLimits { rate: *rate, max_bytes: *max_bytes });
                video.map(|video| Datum::Video(video.into())).map_err(|error| wrong(error.to_string()))
            }
            _ => Err(wrong(format!("{} cannot be read here", modality.name()))),
        }
    }
}

/// A video whose frames came each for itself, with commas between them: one a second, since nothing says when they are.
fn apart(text: &str, VideoLimits { rate, max_bytes }: VideoLimits) -> Result<Datum, String> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut left = max_bytes;
    for (place, text) in text.split(',').enumerate() {
        let at = |problem: String| format!("frame {place}: {problem}");
        let time_us = place as u64 * FRAME_US;
        let is_left_out = rate
            .zip(frames.last())
            .is_some_and(|(rate, last)| rate.interval(last.time_us) == rate.interval(time_us));
        if is_left_out {
            continue;
        }
        let bytes = BASE64.decode(text).map_err(|error| at(format!("it is no base64: {error}")))?;
        let image =
            read_image(&bytes, ImageLimits::from_bytes(left)).map_err(|error| at(error.to_string()))?;
        left = left.saturating_sub(image.rgb.len() as u64);
        frames.push(Frame { time_us, image: image.into() });
    }
    Ok(Datum::Video(Video { frames }.into()))
}

/// Fetches those of `media` that are named by URL, several at once. None is asked for before all of them may be.
pub(super) async fn fetch(
    fetcher: &Arc<Fetcher>,
    media: impl Iterator<Item = &mut Medium>,
    left: BytesLeft,
) -> Result<(), Refusal> {
    let mut away: Vec<&mut Medium> =
        media.filter(|medium| matches!(medium.content, Content::Away(_))).collect();
    let mut fetches = Vec::with_capacity(away.len());
    let left = Arc::new(left);
    for (place, medium) in away.iter().enumerate() {
        let Content::Away(url) = &medium.content else { continue };
        let (param, url) = (medium.param.clone(), url.clone());
        fetcher.allow(&url).map_err(|trouble| not_fetched(&param, trouble))?;
        let (fetcher, left) = (Arc::clone(fetcher), Arc::clone(&left));
        fetches.push(async move {
            let bytes = fetcher.fetch(&url, &left).await;
            bytes.map(|bytes| (place, bytes)).map_err(|trouble| not_fetched(&param, trouble))
        });
    }
    let fetched = stream::iter(fetches).buffer_unordered(FETCHES_AT_ONCE).try_collect::<Vec<_>>();
    let fetched = tokio::time::timeout(fetch::WHOLE, fetched).await.unwrap_or_else(|_| {
        let seconds = fetch::WHOLE.as_secs();
        let message = format!("what 'messages' names by URL could not be fetched within {seconds} s");
        Err(Refusal::param("messages", message).code("url_not_fetched"))
    });
    for (place, bytes) in fetched? {
        away[place].content = Content::Raw(bytes);
    }
    Ok(())
}

fn not_fetched(param: &str, trouble: Trouble) -> Refusal {
    let (problem, code) = match trouble {
        Trouble::NotAllowed(problem) => (problem, "url_not_allowed"),
        Trouble::Failed(problem) => (problem, "url_not_fetched"),
    };
    Refusal::param(param, format!("'{param}': {problem}")).code(code)
}

/// What clients call a format.
const fn short_names(kind: MediaKind) -> &'static [&'static str] {
    match kind {
        MediaKind::Wav => &["wav"],
        MediaKind::Mp3 => &["mp3"],
        MediaKind::Flac => &["flac"],
        MediaKind::OggVorbis => &["ogg"],
        MediaKind::OggOpus => &["opus", "ogg"],
        MediaKind::Aac => &["aac"],
        MediaKind::Mp4 => &["m4a", "mp4", "mov"],
        MediaKind::Matroska | MediaKind::WebM => &["webm", "mkv"],
        MediaKind::Png => &["png"],
        MediaKind::Jpeg => &["jpeg"],
        MediaKind::WebP => &["webp"],
        MediaKind::Gif => &["gif"],
    }
}

impl Room {
    /// Holds `media` against what can be told before any of them is decoded.
    pub(super) fn new(limits: &Limits, media: &[&Medium]) -> Result<Self, Refusal> {
        let mut images = media.iter().filter(|medium| medium.kind == Modality::Image);
        if let Some(max) = limits.images
            && let Some(first_over) = images.nth(max as usize)
        {
            let param = &first_over.param;
            return Err(Refusal::param(
                param,
                format!("'{param}' is one more than the {max} pictures allowed"),
            ));
        }
        Ok(Self { audio_ms: limits.audio_ms, heard_ms: 0 })
    }

    fn left_ms(&self) -> u64 {
        self.audio_ms.map_or(u64::MAX, |max_ms| max_ms.saturating_sub(self.heard_ms))
    }
}

fn from_samples(rate_hz: u32, samples: &[u8]) -> Audio {
    let one = |bytes: &[u8]| f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) / 32_768.0;
    let samples: Vec<f32> = samples.chunks_exact(2).map(one).collect();
    Audio { rate_hz, samples: samples.into() }
}
