//! Reads the pictures of films: H.264 in MP4, QuickTime and Matroska, upright, in the order and at the times at which
//! they are shown.

mod colour;
mod h264;

use std::collections::{HashMap, HashSet};

use corn_core::datum::{Frame, Image, Video};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use crate::error::{MediaError, contain};
use crate::matroska::{self, Matroska};
use crate::mp4::{self, Medium, Movie};
use crate::sniff::MediaKind;
use crate::video::{MAX_FRAMES, VideoLimits};
use h264::Pictures;

/// What is said where pictures are coded in another way.
pub(crate) const PICTURES_TAKEN: &str = "of films, H.264 is read; convert it first";

/// Decodes the pictures that are shown, of each interval at the rate of `limits` the first; together they are held to
/// the limits before and while they are decoded.
pub(crate) fn read(bytes: &[u8], kind: MediaKind, limits: VideoLimits) -> Result<Video, MediaError> {
    let film =
        if kind == MediaKind::Mp4 { from_mp4(bytes, limits) } else { from_matroska(bytes, kind, limits) };
    film?.finish()
}

/// Whether a file has sound in it and no pictures.
pub(crate) fn is_only_sound(bytes: &[u8], kind: MediaKind) -> bool {
    let looked = contain(kind, || {
        Ok(if kind == MediaKind::Mp4 {
            let movie = Movie::read(bytes)?;
            movie.track(Medium::Pictures).is_none() && movie.track(Medium::Sound).is_some()
        } else {
            matroska::is_only_sound(bytes, kind)?
        })
    });
    looked.unwrap_or(false)
}

fn from_mp4(bytes: &[u8], limits: VideoLimits) -> Result<Film, MediaError> {
    let movie = Movie::read(bytes)?;
    let track =
        movie.track(Medium::Pictures).ok_or(MediaError::Lacks { kind: mp4::KIND, what: "pictures" })?;
    let mut pictures = Pictures::new(mp4::KIND, mp4::picture(track)?, limits.max_bytes)?;
    let samples = movie.samples(track)?;
    let start = track.edit.start;
    let end = track.edit.length.map_or(i64::MAX, |length| start.saturating_add_unsigned(length));
    let is_shown = |sample: &mp4::Sample<'_>| sample.ends() > start && sample.shown() < end;
    let time_us = |sample: &mp4::Sample<'_>| {
        let in_film = sample.shown().saturating_sub(start).max(0);
        us(in_film.cast_unsigned().saturating_add(track.edit.delay), track.timescale.get())
    };
    let mut film = Film::new(mp4::KIND, limits, track.turn);
    film.begins_at_zero = !movie.is_timed(track);
    let shown = samples.iter().filter(|sample| is_shown(sample)).map(time_us);
    film.check(shown, pictures.size())?;
    for sample in &samples {
        film.spend(pictures.size())?;
        let time_us = time_us(sample);
        if let Some(picture) = pictures.decode(sample.data, film.last_us)?
            && is_shown(sample)
        {
            film.take(&picture, pictures.look(), time_us)?;
        }
    }
    Ok(film)
}

fn us(units: u64, timescale: u32) -> u64 {
    let us = u128::from(units) * 1_000_000 / u128::from(timescale);
    u64::try_from(us).unwrap_or(u64::MAX)
}

fn from_matroska(bytes: &[u8], kind: MediaKind, limits: VideoLimits) -> Result<Film, MediaError> {
    let mut file = Matroska::open(bytes, kind)?;
    let (track, config) = file.pictures()?;
    let mut pictures = Pictures::new(kind, &config, limits.max_bytes)?;
    let mut film = Film::new(kind, limits, Orientation::NoTransforms);
    film.begins_at_zero = true;
    if limits.rate.is_none() {
        film.check_count(file.blocks(track), pictures.size())?;
    } else {
        let mut times = Vec::new();
        let mut ahead = Matroska::open(bytes, kind)?;
        while let Some(packet) = ahead.next(track)? {
            times.push(matroska::us(&packet));
        }
        film.check(times.into_iter(), pictures.size())?;
    }
    while let Some(packet) = file.next(track)? {
        film.spend(pictures.size())?;
        if let Some(picture) = pictures.decode(&packet.data, film.last_us)? {
            film.take(&picture, pictures.look(), matroska::us(&packet))?;
        }
    }
    Ok(film)
}

/// The pictures decoded so far.
struct Film {
    kind: MediaKind,
    limits: VideoLimits,
    left: u64,
    /// Bytes that may still be decoded, whether they are kept or not.
    work: u64,
    turn: Orientation,
    frames: Vec<Frame>,
    /// Where the frame of each interval is, if only one is kept.
    kept: HashMap<u64, usize>,
    /// When the first is shown, if intervals begin there.
    begins_us: u64,
    /// When the picture decoded last is shown, for errors.
    last_us: u64,
    /// Whether the times say only how far the pictures are apart.
    begins_at_zero: bool,
}

impl Film {
    fn new(kind: MediaKind, limits: VideoLimits, turn: Orientation) -> Self {
        Self {
            kind,
            limits,
            left: limits.max_bytes,
            work: limits.work(),
            turn,
            frames: Vec::new(),
            kept: HashMap::new(),
            begins_us: 0,
            last_us: 0,
            begins_at_zero: false,
        }
    }

    /// Holds what the tables say of when pictures are shown against the bounds.
    fn check(
        &mut self,
        shown_us: impl Iterator<Item = u64> + Clone,
        size: (u32, u32),
    ) -> Result<(), MediaError> {
        if self.begins_at_zero {
            self.begins_us = shown_us.clone().min().unwrap_or(0);
        }
        let frames = match self.limits.rate {
            None => shown_us.count(),
            Some(_) => shown_us.filter_map(|time_us| self.interval(time_us)).collect::<HashSet<_>>().len(),
        };
        self.check_count(frames as u64, size)
    }

    fn check_count(&self, frames: u64, (width, height): (u32, u32)) -> Result<(), MediaError> {
        let max_pixels = self.limits.max_bytes / 3;
        let pixels = u64::from(width) * u64::from(height);
        if pixels > max_pixels {
            return Err(MediaError::TooLarge { kind: self.kind, width, height, max_pixels });
        }
        let room = (max_pixels / pixels.max(1)).min(MAX_FRAMES as u64);
        if frames > room { Err(self.too_many(room as usize)) } else { Ok(()) }
    }

    /// Takes note that a picture is decoded next.
    fn spend(&mut self, (width, height): (u32, u32)) -> Result<(), MediaError> {
        let bytes = u64::from(width) * u64::from(height) * 3;
        self.work = self.work.checked_sub(bytes).ok_or_else(|| self.too_many(self.frames.len()))?;
        Ok(())
    }

    fn too_many(&self, frames: usize) -> MediaError {
        let what_to_do = "send a shorter one, a smaller one or fewer frames a second";
        let bound = format!("{} bytes and {MAX_FRAMES} frames; {what_to_do}", self.limits.max_bytes);
        MediaError::TooManyFrames { kind: self.kind, frames, bound }
    }

    /// In which interval a picture is that is shown then, if only one of each is kept.
    fn interval(&self, time_us: u64) -> Option<u64> {
        self.limits.rate.map(|rate| rate.interval(time_us.saturating_sub(self.begins_us)))
    }

    fn take(&mut self, picture: &h264::Picture, look: colour::Look, time_us: u64) -> Result<(), MediaError> {
        self.last_us = time_us;
        let (width, height) = (picture.width as u32, picture.height as u32);
        let interval = self.interval(time_us);
        let before = interval.and_then(|interval| self.kept.get(&interval)).copied();
        if let Some(place) = before {
            // They come in the order in which they can be decoded.
            let frame = &self.frames[place];
            if frame.time_us <= time_us {
                return Ok(());
            }
            self.left += frame.image.rgb.len() as u64;
        }
        let rest = self.left.checked_sub(u64::from(width) * u64::from(height) * 3);
        let has_place = before.is_some() || self.frames.len() < MAX_FRAMES;
        let Some(rest) = rest.filter(|_| has_place) else {
            return Err(self.too_many(self.frames.len()));
        };
        self.left = rest;
        let rgb = colour::rgb(picture, look);
        let image = if self.turn == Orientation::NoTransforms {
            Image { width, height, rgb: rgb.into() }
        } else {
            let flat = RgbImage::from_raw(width, height, rgb).unwrap_or_default();
            let mut turned = DynamicImage::ImageRgb8(flat);
            turned.apply_orientation(self.turn);
            Image {
                width: turned.width(),
                height: turned.height(),
                rgb: turned.into_rgb8().into_raw().into(),
            }
        };
        let frame = Frame { time_us, image: image.into() };
        if let Some(place) = before {
            self.frames[place] = frame;
        } else {
            self.kept.extend(interval.map(|interval| (interval, self.frames.len())));
            self.frames.push(frame);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Video, MediaError> {
        // They come in the order in which they can be decoded.
        self.frames.sort_by_key(|frame| frame.time_us);
        let Some(first) = self.frames.first().map(|frame| frame.time_us) else {
            return Err(MediaError::Lacks { kind: self.kind, what: "pictures" });
        };
        if self.begins_at_zero {
            self.frames.iter_mut().for_each(|frame| frame.time_us -= first);
        }
        Ok(Video { frames: self.frames })
    }
}
