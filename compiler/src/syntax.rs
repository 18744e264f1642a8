//! Text to syntax tree.
//!
//! The way of a text: `token` cuts it into tokens; `repair` mends the token sequence where a
//! mistake is plain (a slip of a keyword, a bracket that is missing, a construct of a later
//! version), so that one mistake stays one message; the generated parser (`parser`) makes the
//! tree. `print` writes a tree back as text; `format` lays a text out anew and keeps its comments.

pub mod ast;
mod format;
mod hint;
mod lexeme;
mod parser;
mod print;
mod repair;
mod token;
mod tree;

lalrpop_util::lalrpop_mod!(
    #[allow(warnings, clippy::all, clippy::pedantic, reason = "generated from grammar.lalrpop")]
    grammar,
    "/syntax/grammar.rs"
);

pub use self::format::format;
pub use self::lexeme::{Lexeme, LexemeKind, is_reserved, lexemes};
pub use self::parser::{MAX_SOURCE_BYTES, lex, parse};
pub use self::print::print;
