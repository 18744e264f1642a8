//! Tells a format from the first bytes of its content.

use std::fmt;

use corn_plan::Modality;

use crate::error::MediaError;
use crate::film;

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// RIFF WAVE.
    Wav,
    /// MPEG audio layer III, with or without an ID3 tag.
    Mp3,
    /// Free Lossless Audio Codec, native container.
    Flac,
    /// Vorbis in an Ogg container.
    OggVorbis,
    /// Opus in an Ogg container.
    OggOpus,
    /// Advanced Audio Coding, each frame behind a header of its own (ADTS).
    Aac,
    /// MP4 and its like: QuickTime, M4A, 3GP.
    Mp4,
    /// Matroska.
    Matroska,
    /// Matroska as browsers write it.
    WebM,
    /// Portable Network Graphics.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    WebP,
    /// Graphics Interchange Format.
    Gif,
}

impl MediaKind {
    /// Whether this is a format of sound.
    pub const fn is_audio(self) -> bool {
        matches!(self, Self::Wav | Self::Mp3 | Self::Flac | Self::OggVorbis | Self::OggOpus | Self::Aac)
    }

    /// Whether this is a format of moving pictures, of sound, or of both.
    pub const fn is_film(self) -> bool {
        matches!(self, Self::Mp4 | Self::Matroska | Self::WebM)
    }

    /// Whether this is a format of pictures.
    pub const fn is_image(self) -> bool {
        !self.is_audio() && !self.is_film()
    }

    /// The name that people use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wav => "WAV",
            Self::Mp3 => "MP3",
            Self::Flac => "FLAC",
            Self::OggVorbis => "Ogg Vorbis",
            Self::OggOpus => "Ogg Opus",
            Self::Aac => "AAC",
            Self::Mp4 => "MP4",
            Self::Matroska => "Matroska",
            Self::WebM => "WebM",
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The format of `bytes`, if it is one that is read. Looks only at the content's beginning, so
/// the rest may still be damaged.
pub fn sniff(bytes: &[u8]) -> Option<MediaKind> {
    let tagged = |offset: usize, tag: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(tag));
    match () {
        () if tagged(0, b"RIFF") && tagged(8, b"WAVE") => Some(MediaKind::Wav),
        () if tagged(0, b"RIFF") && tagged(8, b"WEBP") => Some(MediaKind::WebP),
        () if tagged(0, b"fLaC") => Some(MediaKind::Flac),
        () if tagged(0, b"OggS") && tagged(28, b"\x01vorbis") => Some(MediaKind::OggVorbis),
        () if tagged(0, b"OggS") && tagged(28, b"OpusHead") => Some(MediaKind::OggOpus),
        () if tagged(0, b"ID3") => Some(MediaKind::Mp3),
        () if tagged(0, b"\x89PNG\r\n\x1a\n") => Some(MediaKind::Png),
        () if tagged(0, b"\xff\xd8\xff") => Some(MediaKind::Jpeg),
        () if tagged(0, b"GIF87a") || tagged(0, b"GIF89a") => Some(MediaKind::Gif),
        () if tagged(0, b"\x1a\x45\xdf\xa3") => Some(matroska(bytes)),
        () if tagged(4, b"ftyp") && !is_still(bytes) => Some(MediaKind::Mp4),
        // QuickTime files of old say nothing of what they are.
        () if [b"moov", b"mdat", b"wide"].iter().any(|word| tagged(4, *word)) => Some(MediaKind::Mp4),
        () if bytes.first_chunk().copied().is_some_and(is_aac_frame) => Some(MediaKind::Aac),
        () if is_mp3_frame(bytes) => Some(MediaKind::Mp3),
        () => None,
    }
}

/// Which of the media a file is where any of them is taken: a film with pictures in it is a video, one without is a
/// sound, and a picture is one even if it moves. The rest of the file may still be damaged.
///
/// # Errors
/// If it is of no format that is read.
pub fn modality(bytes: &[u8]) -> Result<Modality, MediaError> {
    match sniff(bytes) {
        _ if bytes.is_empty() => Err(MediaError::Empty { wanted: "media" }),
        Some(kind) if kind.is_audio() => Ok(Modality::Audio),
        Some(kind) if kind.is_image() => Ok(Modality::Image),
        // Of a film that cannot be read, its reader says why.
        Some(kind) if film::is_only_sound(bytes, kind) => Ok(Modality::Audio),
        Some(_) => Ok(Modality::Video),
        None => Err(MediaError::NotAccepted { wanted: "media", found: describe(bytes) }),
    }
}

/// Whether `bytes` begin with the header of an MPEG layer III frame: eleven bits of sync, a known
/// version, layer III, and a bit rate and sample rate that exist.
fn is_mp3_frame(bytes: &[u8]) -> bool {
    let [0xff, second, third, ..] = *bytes else { return false };
    let version = second >> 3 & 0b11;
    let layer = second >> 1 & 0b11;
    second & 0xe0 == 0xe0
        && version != 0b01
        && layer == 0b01
        && third >> 4 != 0b1111
        && third >> 4 != 0
        && third >> 2 & 0b11 != 0b11
}

/// Whether a file of boxes is of a picture, which its first brand says.
fn is_still(bytes: &[u8]) -> bool {
    let brand = bytes.get(8..12).unwrap_or_default();
    [b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"]
        .iter()
        .any(|still| *still == brand)
}

/// Which of both a file is says the type of the document in its header.
fn matroska(bytes: &[u8]) -> MediaKind {
    let head = &bytes[..bytes.len().min(64)];
    if head.windows(4).any(|window| window == b"webm") { MediaKind::WebM } else { MediaKind::Matroska }
}

/// Whether these begin an AAC frame with a header: twelve bits of sync, layer 0, and a sample rate that exists.
const fn is_aac_frame([first, second, third]: [u8; 3]) -> bool {
    first == 0xff && second & 0xf6 == 0xf0 && third >> 2 & 0xf < 13
}

/// Beginnings of content that people send by mistake: offset, bytes, name.
const KNOWN: [(usize, &[u8], &str); 19] = [
    (0, b"OggS", "an Ogg file without Vorbis or Opus sound"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftyp", "a HEIF picture"),
    (8, b"AVI ", "an AVI film"),
    (0, b"FLV\x01", "a Flash film"),
    (0, b"\x30\x26\xb2\x75", "a Windows Media file"),
    (0, b"\0\0\x01\xba", "an MPEG film"),
    // The first packet of a transport stream is its table of programs, or that of its services.
    (0, b"\x47\x40\0", "an MPEG transport stream"),
    (0, b"\x47\x40\x11", "an MPEG transport stream"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"FORM", "an AIFF file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<", "a text of tags, such as HTML"),
];

/// What content that is not accepted looks like, for the error.
pub(crate) fn describe(bytes: &[u8]) -> String {
    if let Some(kind) = sniff(bytes) {
        let article = if matches!(
            kind,
            MediaKind::Mp3 | MediaKind::OggVorbis | MediaKind::OggOpus | MediaKind::Aac | MediaKind::Mp4
        ) {
            "an"
        } else {
            "a"
        };
        return format!("{article} {kind} file");
    }
    let known =
        KNOWN.iter().find(|(offset, tag, _)| bytes.get(*offset..).is_some_and(|rest| rest.starts_with(tag)));
    match known {
        Some((_, _, name)) => (*name).to_owned(),
        None if is_text(bytes) => "plain text".to_owned(),
        None => {
            let start: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("content of an unknown format (it starts with {})", start.join(" "))
        }
    }
}

fn is_text(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(256)];
    let valid = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The window may cut a character; anything else is not text.
        Err(error) if error.error_len().is_none() => {
            str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    valid.chars().all(|char| !char.is_control() || char.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_content() {
        let cases: [(&[u8], Option<MediaKind>); 10] = [
            (b"RIFF\0\0\0\0WAVEfmt ", Some(MediaKind::Wav)),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some(MediaKind::WebP)),
            (b"RIFF\0\0\0\0AVI LIST", None),
            (b"fLaC\0\0\0\x22", Some(MediaKind::Flac)),
            (b"ID3\x04\0\0\0\0\0\0", Some(MediaKind::Mp3)),
            (b"\xff\xfb\x90\x64", Some(MediaKind::Mp3)),
            (b"\xff\xff\xff\xff", None),
            (b"\xff\xd8\xff\xe0", Some(MediaKind::Jpeg)),
            (b"\x89PNG\r\n\x1a\n", Some(MediaKind::Png)),
            (b"", None),
        ];
        for (bytes, kind) in cases {
            assert_eq!(sniff(bytes), kind, "{bytes:?}");
        }
    }

    #[test]
    fn foreign_content_is_named() {
        assert_eq!(describe(b"BM........"), "a BMP picture");
        assert_eq!(describe("héllo".as_bytes()), "plain text");
        assert_eq!(describe(&[1, 2, 3, 0xff]), "content of an unknown format (it starts with 01 02 03 ff)");
    }
}
