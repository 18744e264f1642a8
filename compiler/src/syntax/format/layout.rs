//! Documents: texts with the places where a line may end.

use super::pieces::Trailing;

/// How deep a line lies under the one that it belongs to.
pub(super) const INDENT: usize = 4;

/// How deep a line lies that goes on with the one before it.
pub(super) const CONTINUED: usize = 8;

/// Lines of one kind below one another may be aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Let,
    Route,
    Case,
}

/// A part of a document.
pub(super) enum Doc<'t> {
    Text(&'t str),
    /// The end of a line where the group around it is broken.
    Break(Break),
    /// Here only where the group around it is broken.
    IfBroken(&'static str),
    /// Here only where it is not.
    IfFlat(&'static str),
    /// Breaks the groups around it.
    Force,
    /// A comment for the end of the line, wherever that will be. Breaks the groups around it.
    Trailing(Trailing<'t>),
    Indent(Vec<Doc<'t>>),
    Group(Group<'t>),
    /// Two parts with a space between, or where they are too long for one line but not for two, a new line.
    Header {
        left: Vec<Doc<'t>>,
        right: Vec<Doc<'t>>,
    },
    /// What stands below others of its kind.
    Line {
        table: Option<Table>,
        docs: Vec<Doc<'t>>,
    },
    /// Where a line is aligned with those above and below, and whether it was in the source.
    Stop {
        is_padded: bool,
    },
}

/// A place where a line may end.
#[derive(Clone, Copy)]
pub(super) struct Break {
    /// What stands here if it does not.
    pub(super) flat: &'static str,
    /// Whether it always does.
    pub(super) is_hard: bool,
    /// Whether an empty line follows.
    pub(super) is_blank: bool,
}

/// A part whose breaks are taken all or none.
pub(super) struct Group<'t> {
    pub(super) docs: Vec<Doc<'t>>,
    /// Its width on one line; `None` if it cannot be there.
    pub(super) width: Option<usize>,
}

impl<'t> Group<'t> {
    pub(super) fn new(docs: Vec<Doc<'t>>) -> Self {
        let width = width(&docs);
        Self { docs, width }
    }
}

impl Doc<'_> {
    pub(super) const fn hard(is_blank: bool) -> Self {
        Self::Break(Break { flat: "", is_hard: true, is_blank })
    }
}

/// The characters of `text`.
pub(super) fn length(text: &str) -> usize {
    text.chars().count()
}

/// The width of `docs` on one line; `None` if they cannot be there.
pub(super) fn width(docs: &[Doc<'_>]) -> Option<usize> {
    docs.iter().try_fold(0, |sum, doc| {
        let one = match doc {
            Doc::Text(text) => length(text),
            Doc::Break(one) if one.is_hard => return None,
            Doc::Break(one) => one.flat.len(),
            Doc::IfFlat(text) => text.len(),
            Doc::IfBroken(_) | Doc::Stop { .. } => 0,
            Doc::Force | Doc::Trailing(_) => return None,
            Doc::Indent(docs) | Doc::Line { docs, .. } => width(docs)?,
            Doc::Group(group) => group.width?,
            Doc::Header { left, right } => width(left)? + 1 + width(right)?,
        };
        Some(sum + one)
    })
}

/// The width of `docs` up to the first place where the line may end, and whether there is one.
pub(super) fn lead(docs: &[Doc<'_>]) -> (usize, bool) {
    let mut sum = 0;
    for doc in docs {
        let (one, ends) = match doc {
            Doc::Text(text) => (length(text), false),
            Doc::Break(_) => (0, true),
            Doc::IfBroken(_) | Doc::IfFlat(_) | Doc::Force | Doc::Trailing(_) | Doc::Stop { .. } => {
                (0, false)
            }
            Doc::Indent(docs) | Doc::Line { docs, .. } | Doc::Group(Group { docs, .. }) => lead(docs),
            Doc::Header { left, .. } => {
                let (one, ends) = lead(left);
                (one, ends || one > 0)
            }
        };
        sum += one;
        if ends {
            return (sum, true);
        }
    }
    (sum, false)
}
