//! A text in the house's form: what `corn fmt` writes.
//!
//! `pieces` joins each token with the comments around it; `items` and `values` walk the tree and
//! lay the pieces out as a document (`layout`) whose lists and blocks may or may not be broken;
//! `render` decides that for a line of [`WIDTH`] characters; `align` puts tables and the comments
//! at the ends of lines below one another.
//!
//! The text of every token is copied from the source and every token is taken in its order, so
//! formatting cannot change what a program means. Only commas before a closing bracket come and go.

mod align;
mod build;
mod deploy;
mod items;
mod layout;
mod pieces;
mod render;
mod values;

use self::build::Builder;
use super::parse;
use crate::diagnostic::Diagnostic;
use crate::source::FileId;

/// The longest line that is made where it can be broken.
const WIDTH: usize = 110;

/// `text` formatted, or what is wrong with its syntax.
///
/// Comments are kept. Formatting what is formatted changes nothing.
pub fn format(file: FileId, text: &str) -> Result<String, Vec<Diagnostic>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (tree, problems) = parse(file, text);
    if problems.iter().any(Diagnostic::is_error) {
        return Err(problems);
    }
    let mut builder = Builder::new(pieces::pieces(file, text));
    builder.file(&tree);
    let mut lines = render::lines(&builder.into_document());
    align::align(&mut lines);
    Ok(render::text(&lines))
}
