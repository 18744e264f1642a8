//! Source texts and places in them.
//!
//! The compiler reads no files: its caller hands it texts through [`Sources`], by module path.

/// A source text, by its number in [`SourceMap`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A place in a source text: bytes `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The smallest span of one file that covers both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        debug_assert_eq!(self.file, other.file, "a span stays in one file");
        Self { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A named source text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The name that diagnostics show: a path as the user gave it, or `std::speech`.
    pub name: String,
    /// The text.
    pub text: String,
}

/// Every text of one compilation.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// Adds a text and returns its number. A byte order mark at its start is left out, so that
    /// places are those that an editor shows.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).expect("fewer than 2³² files"));
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.remove(0);
        }
        self.files.push(SourceFile { name: name.into(), text });
        id
    }

    /// The text numbered `id`.
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// How many texts there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    pub fn line_column(&self, file: FileId, offset: u32) -> (usize, usize) {
        let text = &self.file(file).text;
        let before = &text[..text.floor_char_boundary(offset as usize)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// Where the texts of `use` come from. The caller implements it; the compiler only asks.
pub trait Sources {
    /// The text of module `path` (`["std", "speech"]`, or a file beside the one that asks),
    /// or a sentence that says why there is none.
    fn module(&self, path: &[&str]) -> Result<SourceFile, String>;

    /// Module paths that exist, for hints.
    fn known(&self) -> Vec<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_and_skip_a_byte_order_mark() {
        let mut sources = SourceMap::default();
        let file = sources.add("a", "\u{feff}ab\r\né\tc");
        assert_eq!(sources.line_column(file, 1), (1, 2));
        assert_eq!(sources.line_column(file, 4), (2, 1));
        assert_eq!(sources.line_column(file, 6), (2, 2));
        assert_eq!(sources.line_column(file, 7), (2, 3));
        assert_eq!(sources.line_column(file, 99), (2, 4));
    }
}
