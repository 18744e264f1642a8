//! Tells a format from the first bytes of its content.

use std::fmt;

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
        matches!(self, Self::Wav | Self::Mp3 | Self::Flac | Self::OggVorbis | Self::OggOpus)
    }

    /// Whether this is a format of pictures.
    pub const fn is_image(self) -> bool {
        !self.is_audio()
    }

    /// The name that people use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wav => "WAV",
            Self::Mp3 => "MP3",
            Self::Flac => "FLAC",
            Self::OggVorbis => "Ogg Vorbis",
            Self::OggOpus => "Ogg Opus",
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
        () if is_mp3_frame(bytes) => Some(MediaKind::Mp3),
        () => None,
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

/// Beginnings of content that people send by mistake: offset, bytes, name.
const KNOWN: [(usize, &[u8], &str); 23] = [
    (0, b"OggS", "an Ogg file without Vorbis or Opus sound"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftypM4A", "an M4A (AAC) file"),
    (4, b"ftypqt", "a QuickTime film"),
    (4, b"ftyp3g", "a 3GP film"),
    (4, b"ftyp", "an MP4 file"),
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
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
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
        return format!("a {kind} file");
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
