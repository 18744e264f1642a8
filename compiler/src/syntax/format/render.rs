//! Documents to lines: what fits on a line of [`WIDTH`] characters stays on one, and of what does not
//! the outermost is broken first.

use super::WIDTH;
use super::layout::{self, CONTINUED, Doc, INDENT, Table};
use super::pieces::Trailing;

/// A line in the making.
#[derive(Default)]
pub(super) struct Line<'t> {
    pub(super) indent: usize,
    pub(super) text: String,
    pub(super) comment: Option<Trailing<'t>>,
    /// What kind of line it is, if it may be aligned with others.
    pub(super) table: Option<Table>,
    /// The columns where it may be, and whether it was in the source.
    pub(super) stops: Vec<(usize, bool)>,
}

impl Line<'_> {
    /// The width without its comment.
    pub(super) fn width(&self) -> usize {
        self.indent + layout::length(&self.text)
    }
}

/// The lines of `docs`.
pub(super) fn lines<'t>(docs: &[Doc<'t>]) -> Vec<Line<'t>> {
    let mut renderer = Renderer { lines: Vec::new(), line: Line::default(), more: Vec::new() };
    renderer.broken(docs, 0, 0);
    renderer.end_line(0, false);
    renderer.lines
}

/// The lines as a text, without empty ones before the first.
pub(super) fn text(lines: &[Line<'_>]) -> String {
    let mut text = String::new();
    let is_empty = |line: &&Line<'_>| line.text.is_empty() && line.comment.is_none();
    for line in lines.iter().skip_while(is_empty) {
        if !line.text.is_empty() {
            text.extend(std::iter::repeat_n(' ', line.indent));
            text.push_str(&line.text);
        }
        if let Some(comment) = line.comment {
            text.extend(std::iter::repeat_n(' ', comment.gap));
            text.push_str(comment.text);
        }
        text.push('\n');
    }
    text
}

struct Renderer<'t> {
    lines: Vec<Line<'t>>,
    line: Line<'t>,
    /// Comments for the end of the line after its first, and how deep they stand.
    more: Vec<(usize, Trailing<'t>)>,
}

impl<'t> Renderer<'t> {
    fn end_line(&mut self, indent: usize, is_blank: bool) {
        self.go_on(indent);
        // A line ends with one comment; more are lines of their own.
        let indent = self.more.iter().map(|(own, _)| *own).fold(indent, usize::max);
        for (_, comment) in self.more.drain(..) {
            self.lines.push(Line { indent, text: comment.text.to_owned(), ..Line::default() });
        }
        if is_blank {
            self.lines.push(Line::default());
        }
    }

    /// Ends a line in the middle of what stands in it.
    fn go_on(&mut self, indent: usize) {
        let line = std::mem::replace(&mut self.line, Line { indent, ..Line::default() });
        self.lines.push(line);
    }

    /// Lays `docs` out with their breaks taken. `tail` is the width of what follows them on the line.
    fn broken(&mut self, docs: &[Doc<'t>], indent: usize, tail: usize) {
        for (index, doc) in docs.iter().enumerate() {
            let rest = || {
                let (width, ends) = layout::lead(&docs[index + 1..]);
                if ends { width } else { width + tail }
            };
            match doc {
                Doc::Break(one) => self.end_line(indent, one.is_blank),
                Doc::IfBroken(text) | Doc::Text(text) => self.line.text.push_str(text),
                Doc::Indent(docs) => self.broken(docs, indent + INDENT, rest()),
                Doc::Group(group) => {
                    let tail = rest();
                    if group.width.is_some_and(|width| self.fits(width + tail)) {
                        self.flat(&group.docs);
                    } else {
                        self.broken(&group.docs, indent, tail);
                    }
                }
                Doc::Header { left, right } => self.header(left, right, indent, rest()),
                Doc::Line { table, docs } => self.aligned(*table, docs, indent, rest()),
                Doc::Stop { is_padded } => {
                    let column = self.line.width();
                    self.line.stops.push((column, *is_padded));
                }
                Doc::Trailing(comment) if self.line.comment.is_none() => self.line.comment = Some(*comment),
                Doc::Trailing(comment) => self.more.push((indent, *comment)),
                Doc::IfFlat(_) | Doc::Force => {}
            }
        }
    }

    fn header(&mut self, left: &[Doc<'t>], right: &[Doc<'t>], indent: usize, tail: usize) {
        let (first, second) = (width(left), width(right));
        let is_one = first.zip(second).is_some_and(|(first, second)| self.fits(first + 1 + second + tail));
        let is_two = !is_one
            && first.is_some_and(|first| self.fits(first))
            && second.is_some_and(|second| indent + CONTINUED + second + tail <= WIDTH);
        if is_two {
            self.broken(left, indent, 0);
            self.go_on(indent + CONTINUED);
        } else {
            let (start, ends) = layout::lead(right);
            self.broken(left, indent, 1 + start + if ends { 0 } else { tail });
            self.line.text.push(' ');
        }
        self.broken(right, indent, tail);
    }

    /// A line that may be aligned with others if it is one.
    fn aligned(&mut self, table: Option<Table>, docs: &[Doc<'t>], indent: usize, tail: usize) {
        let first = self.lines.len();
        self.broken(docs, indent, tail);
        match self.lines.get_mut(first) {
            Some(begun) => begun.stops.clear(),
            None => self.line.table = table,
        }
    }

    /// Lays `docs` out on one line.
    fn flat(&mut self, docs: &[Doc<'t>]) {
        for doc in docs {
            match doc {
                Doc::Break(one) => self.line.text.push_str(one.flat),
                Doc::IfFlat(text) | Doc::Text(text) => self.line.text.push_str(text),
                Doc::IfBroken(_) | Doc::Stop { .. } | Doc::Force | Doc::Trailing(_) => {}
                Doc::Indent(docs) | Doc::Line { docs, .. } => self.flat(docs),
                Doc::Group(group) => self.flat(&group.docs),
                Doc::Header { left, right } => {
                    self.flat(left);
                    self.line.text.push(' ');
                    self.flat(right);
                }
            }
        }
    }

    fn fits(&self, more: usize) -> bool {
        self.line.width() + more <= WIDTH
    }
}

/// The width of `docs` on one line, a comment after them apart.
fn width(docs: &[Doc<'_>]) -> Option<usize> {
    let widths = docs.iter().filter(|doc| !matches!(doc, Doc::Trailing(_)));
    widths.map(|doc| layout::width(std::slice::from_ref(doc))).sum()
}
