//! A text that an editor changes, with its lines. Editors count columns in UTF-16 units unless
//! they agree on something else; the compiler counts bytes.

use lsp_types::{Position, PositionEncodingKind, Range, TextDocumentContentChangeEvent};

/// In what an editor counts columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    Utf16,
}

impl Encoding {
    /// The first that the editor offers and that is known here; UTF-16 if it says nothing.
    pub(crate) fn choose(offered: Option<&[PositionEncodingKind]>) -> Self {
        let known = |kind: &PositionEncodingKind| match kind.as_str() {
            "utf-8" => Some(Self::Utf8),
            "utf-16" => Some(Self::Utf16),
            _ => None,
        };
        offered.unwrap_or_default().iter().find_map(known).unwrap_or(Self::Utf16)
    }

    pub(crate) fn kind(self) -> PositionEncodingKind {
        match self {
            Self::Utf8 => PositionEncodingKind::UTF8,
            Self::Utf16 => PositionEncodingKind::UTF16,
        }
    }

    /// The length of `text` in columns.
    pub(crate) fn columns(self, text: &str) -> u32 {
        match self {
            Self::Utf8 => text.len() as u32,
            Self::Utf16 => text.chars().map(|c| c.len_utf16() as u32).sum(),
        }
    }
}

/// A text with the starts of its lines.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    text: String,
    /// The first byte of each line.
    lines: Vec<usize>,
}

impl Text {
    /// A byte order mark at the start is left out, as the compiler does.
    pub(crate) fn new(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { text, lines }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The byte at `position`; one past the end of a line or of the text is moved inside.
    pub(crate) fn offset(&self, position: Position, encoding: Encoding) -> usize {
        let Some(start) = self.lines.get(position.line as usize) else { return self.text.len() };
        let line = self.text[*start..].split(['\n', '\r']).next().unwrap_or_default();
        let mut columns = 0;
        for (at, character) in line.char_indices() {
            if columns >= position.character {
                return start + at;
            }
            columns += encoding.columns(character.encode_utf8(&mut [0; 4]));
            // A column inside a character is the character's start.
            if columns > position.character {
                return start + at;
            }
        }
        start + line.len()
    }

    pub(crate) fn position(&self, offset: usize, encoding: Encoding) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.lines.partition_point(|start| *start <= offset).saturating_sub(1);
        let character = encoding.columns(&self.text[self.lines[line]..offset]);
        Position { line: line as u32, character }
    }

    /// The range of bytes `start..end`.
    pub(crate) fn range(&self, start: u32, end: u32, encoding: Encoding) -> Range {
        Range::new(self.position(start as usize, encoding), self.position(end as usize, encoding))
    }

    /// The text after the editor's changes.
    pub(crate) fn changed(self, changes: Vec<TextDocumentContentChangeEvent>, encoding: Encoding) -> Self {
        changes.into_iter().fold(self, |text, change| {
            let Some(range) = change.range else { return Self::new(&change.text) };
            let start = text.offset(range.start, encoding);
            let end = text.offset(range.end, encoding).max(start);
            let mut whole = text.text;
            whole.replace_range(start..end, &change.text);
            Self::new(&whole)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_bytes_are_each_other_in_both_encodings() {
        let text = Text::new("\u{feff}aé𝄞b\r\nc\n");
        for (encoding, column) in [(Encoding::Utf8, 7), (Encoding::Utf16, 4)] {
            let position = Position::new(0, column);
            assert_eq!(text.offset(position, encoding), 7);
            assert_eq!(text.position(7, encoding), position);
            assert_eq!(text.offset(Position::new(0, 99), encoding), 8);
            assert_eq!(text.offset(Position::new(1, 1), encoding), 11);
            assert_eq!(text.offset(Position::new(7, 0), encoding), 12);
            assert_eq!(text.position(99, encoding), Position::new(2, 0));
        }
        assert_eq!(text.offset(Position::new(0, 3), Encoding::Utf16), 3, "inside a character");
    }

    #[test]
    fn changes_are_made_one_after_the_other() {
        let change = |start: (u32, u32), end: (u32, u32), text: &str| TextDocumentContentChangeEvent {
            range: Some(Range::new(Position::new(start.0, start.1), Position::new(end.0, end.1))),
            range_length: None,
            text: text.to_owned(),
        };
        let text = Text::new("let a\nlet b\n");
        let changes =
            vec![change((0, 4), (0, 5), "xy"), change((1, 0), (2, 0), ""), change((9, 9), (0, 0), "!")];
        assert_eq!(text.clone().changed(changes, Encoding::Utf16).as_str(), "let xy\n!");
        let whole =
            TextDocumentContentChangeEvent { range: None, range_length: None, text: "new".to_owned() };
        assert_eq!(text.changed(vec![whole], Encoding::Utf16).as_str(), "new");
    }
}
