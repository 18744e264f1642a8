//! Puts the keyword that was meant in place of the word that was written.
//!
//! Where only a keyword can stand, a name is a slip: at the start of an item, of a component's line,
//! and before `name =`. The nearest keyword is taken; with none near, the part is taken out whole.

use super::Tokens;
use crate::diagnostic::{Diagnostic, nearest, syntax};
use crate::syntax::token::{Tok, Token};

const ITEMS: [&str; 5] = ["use", "let", "component", "graph", "route"];
const CLAUSES: [&str; 5] = ["in", "out", "run", "needs", "batch"];

/// What other languages call it.
const FOREIGN: [(&str, &str); 16] = [
    ("import", "use"),
    ("from", "use"),
    ("include", "use"),
    ("var", "let"),
    ("const", "let"),
    ("val", "let"),
    ("fn", "graph"),
    ("def", "graph"),
    ("func", "graph"),
    ("function", "graph"),
    ("model", "component"),
    ("class", "component"),
    ("input", "in"),
    ("output", "out"),
    ("require", "needs"),
    ("requires", "needs"),
];

/// Which words can begin something where a token stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    TopLevel,
    ComponentBody,
    /// In a block or a record.
    Braces,
    /// In the body of a loop, where `name = value` is right.
    LoopBody,
    /// In other brackets.
    Inside,
}

impl Place {
    /// The words that can stand here where only a keyword can.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::TopLevel => &ITEMS,
            Self::ComponentBody => &CLAUSES,
            Self::Braces | Self::LoopBody => &["let"],
            Self::Inside => &[],
        }
    }
}

pub(super) fn slips<'t>(tokens: &Tokens<'t>, found: &mut Vec<Diagnostic>) -> Tokens<'t> {
    let mut kept: Vec<Token<'t>> = Vec::with_capacity(tokens.all.len());
    let mut places = vec![Place::TopLevel];
    // Whether the next brace opens a component's body.
    let mut in_component = false;
    // Whether this is in an item of the deployment, whose words have places of their own.
    let mut deploys = false;
    // Constructs whose brace is still to come, innermost last: in how many brackets, and whether it is a loop.
    let mut pending: Vec<(usize, bool)> = Vec::new();
    let mut index = 0;
    while index < tokens.all.len() {
        let token = &tokens.all[index];
        let place = places.last().copied().unwrap_or(Place::TopLevel);
        match &token.tok {
            tok if tok.begins_item() => {
                places.truncate(1);
                pending.clear();
                in_component = *tok == Tok::Component;
                deploys = !matches!(tok, Tok::Use | Tok::Component | Tok::Graph | Tok::Route);
            }
            tok if tok.begins_construct() => {
                pending.push((places.len(), *tok == Tok::Loop));
                if let (Tok::If | Tok::Match | Tok::Switch, Some(Tok::OpenBrace)) =
                    (tok, tokens.get(index + 1))
                {
                    found.push(syntax::missing_subject(
                        tokens.span(index),
                        tok.reserved().unwrap_or_default(),
                    ));
                    kept.push(token.clone());
                    kept.push(Token { tok: Tok::Skipped, start: token.end, end: token.end });
                    index += 1;
                    continue;
                }
            }
            Tok::OpenBrace if in_component && place == Place::TopLevel => {
                in_component = false;
                places.push(Place::ComponentBody);
            }
            Tok::OpenBrace
                if tokens.begins_value(index) && kept.last().is_some_and(|last| last.tok != Tok::Skipped) =>
            {
                places.push(Place::Braces);
            }
            Tok::OpenBrace => {
                let begun = pending.pop_if(|(depth, _)| *depth == places.len());
                let is_loop = begun.is_some_and(|(_, is_loop)| is_loop);
                places.push(if is_loop { Place::LoopBody } else { Place::Braces });
            }
            Tok::OpenParen | Tok::OpenBracket => places.push(Place::Inside),
            tok if tok.closes() && places.len() > 1 => {
                places.pop();
                // What was begun inside and has no brace was broken.
                pending.retain(|(depth, _)| *depth <= places.len());
            }
            Tok::Name(word) if let Some((meant, keyword)) = construct(tokens, index, word) => {
                found.push(syntax::misspelt_word(tokens.span(index), word, meant));
                if keyword.begins_construct() {
                    pending.push((places.len(), keyword == Tok::Loop));
                }
                kept.push(Token { tok: keyword, ..token.clone() });
                index += 1;
                continue;
            }
            Tok::Name(word)
                if !deploys && let Some((meant, keyword)) = bound(tokens, index, word, &pending) =>
            {
                found.push(syntax::misspelt_word(tokens.span(index), word, meant));
                kept.push(Token { tok: keyword, ..token.clone() });
                index += 1;
                continue;
            }
            Tok::Name(word) => {
                let end = slip(tokens, index, word, place, &mut kept, found);
                if end > index {
                    if place == Place::TopLevel {
                        in_component = kept.last().is_some_and(|last| last.tok == Tok::Component);
                    }
                    index = end;
                    continue;
                }
            }
            _ => {}
        }
        kept.push(token.clone());
        index += 1;
    }
    tokens.with(kept)
}

/// Mends what begins at `index`, if it is a slip, and returns where to go on; `index` itself if the token is
/// to be kept.
fn slip<'t>(
    tokens: &Tokens<'t>,
    index: usize,
    word: &str,
    place: Place,
    kept: &mut Vec<Token<'t>>,
    found: &mut Vec<Diagnostic>,
) -> usize {
    let span = tokens.span(index);
    if !tokens.is_fresh(index) {
        return index;
    }
    let binds =
        tokens.get(index + 1).and_then(Tok::name).filter(|_| tokens.get(index + 2) == Some(&Tok::Equals));
    let replace = |keyword: Tok<'t>| Token { tok: keyword, start: span.start, end: span.end };
    let meant = meant(word, place.words());
    match (place, binds) {
        (Place::TopLevel | Place::Braces, Some(name)) if matches!(meant, None | Some("let")) => {
            found.push(syntax::binding_without_let(span, word, name));
            kept.push(replace(Tok::Let));
            index + 1
        }
        (Place::TopLevel | Place::Braces, _) if tokens.get(index + 1) == Some(&Tok::Equals) => {
            found.push(syntax::binding_without_let(span, "", word));
            kept.push(Token { tok: Tok::Let, start: span.start, end: span.start });
            index
        }
        (Place::TopLevel | Place::ComponentBody, _) => {
            let constructor =
                if place == Place::TopLevel { syntax::unknown_item } else { syntax::unknown_clause };
            found.push(constructor(span, word, meant));
            if let Some(keyword) = meant.and_then(keyword) {
                kept.push(replace(keyword));
                return index + 1;
            }
            let end = end_of_unknown(tokens, index, place);
            kept.push(tokens.skipped(index, end));
            end
        }
        (Place::Braces | Place::LoopBody | Place::Inside, _) => index,
    }
}

/// Words inside values.
const CONSTRUCTS: [&str; 7] = ["when", "if", "match", "switch", "loop", "else", "until"];

/// The word of the language that `word` is a slip of, where a name cannot stand: a value follows on the same line.
fn construct(tokens: &Tokens<'_>, index: usize, word: &str) -> Option<(&'static str, Tok<'static>)> {
    let follows = matches!(tokens.get(index + 1), Some(Tok::Name(_) | Tok::OpenBrace | Tok::If));
    if !follows || tokens.starts_line(index + 1) {
        return None;
    }
    let meant = nearest(word, CONSTRUCTS)?;
    let before = tokens.before(index);
    let stands = match meant {
        "else" => before == Some(&Tok::CloseBrace),
        "until" => before.is_some_and(Tok::ends_value),
        _ => tokens.begins_value(index) || tokens.is_fresh(index),
    };
    let is_body = meant != "else" && tokens.get(index + 1) == Some(&Tok::OpenBrace);
    let binds = tokens.get(index + 2) == Some(&Tok::Equals) && meant != "loop";
    if !stands || is_body || binds {
        return None;
    }
    let keyword = match meant {
        "when" => Tok::When,
        "if" => Tok::If,
        "match" => Tok::Match,
        "switch" => Tok::Switch,
        "loop" => Tok::Loop,
        "else" => Tok::Else,
        _ => Tok::Until,
    };
    Some((meant, keyword))
}

/// The word before a bound that `word` is a slip of: what is before it is a type or the head of a loop, and a number
/// follows.
fn bound(
    tokens: &Tokens<'_>,
    index: usize,
    word: &str,
    pending: &[(usize, bool)],
) -> Option<(&'static str, Tok<'static>)> {
    let is_set = matches!(tokens.get(index + 1), Some(Tok::Int(_) | Tok::Float(_) | Tok::Quantity(_)));
    if !is_set || tokens.starts_line(index) || !tokens.before(index).is_some_and(Tok::ends_value) {
        return None;
    }
    let is_loop = pending.last().is_some_and(|(_, is_loop)| *is_loop);
    let meant = nearest(word, ["max", "window"])?;
    let keyword = if meant == "max" { Tok::Max } else { Tok::Window };
    ((is_loop && meant == "max") || ends_type(tokens, index)).then_some((meant, keyword))
}

/// Whether the tokens before `index` are a type: names and brackets after a mark that a type follows.
fn ends_type(tokens: &Tokens<'_>, index: usize) -> bool {
    let mut depth = 0_usize;
    for token in tokens.all[..index].iter().rev() {
        match &token.tok {
            Tok::Greater => depth += 1,
            tok if tok.closes() => depth += 1,
            Tok::Less if depth == 0 => return true,
            Tok::Less => depth -= 1,
            tok if tok.opens() && depth == 0 => return false,
            tok if tok.opens() => depth -= 1,
            Tok::Colon | Tok::Arrow if depth == 0 => return true,
            tok if depth > 0 || tok.name().is_some() || *tok == Tok::Enum => {}
            _ => return false,
        }
    }
    false
}

/// The one of `words` that was probably meant.
fn meant(word: &str, words: &[&'static str]) -> Option<&'static str> {
    let foreign = FOREIGN.iter().filter(|(_, ours)| words.contains(ours));
    let exact = foreign.clone().find(|(other, _)| *other == word).map(|(_, ours)| *ours);
    exact.or_else(|| nearest(word, words.iter().copied())).or_else(|| {
        let near = nearest(word, foreign.clone().map(|(other, _)| *other))?;
        foreign.clone().find(|(other, _)| *other == near).map(|(_, ours)| *ours)
    })
}

fn keyword(word: &str) -> Option<Tok<'static>> {
    Some(match word {
        "use" => Tok::Use,
        "let" => Tok::Let,
        "component" => Tok::Component,
        "graph" => Tok::Graph,
        "route" => Tok::Route,
        "in" => Tok::In,
        "out" => Tok::Out,
        "run" => Tok::Run,
        "needs" => Tok::Needs,
        "batch" => Tok::Batch,
        _ => return None,
    })
}

/// One past the last token of an unknown item or clause: before the next known one.
fn end_of_unknown(tokens: &Tokens<'_>, start: usize, place: Place) -> usize {
    let mut depth = 0_usize;
    let mut index = start + 1;
    while let Some(tok) = tokens.get(index) {
        match tok {
            tok if tok.begins_item() => return index,
            Tok::Let if depth == 0 => return index,
            Tok::Name(word)
                if depth == 0 && tokens.is_fresh(index) && meant(word, place.words()).is_some() =>
            {
                return index;
            }
            Tok::In | Tok::Out | Tok::Run | Tok::Needs | Tok::Batch
                if place == Place::ComponentBody && depth == 0 && tokens.starts_line(index) =>
            {
                return index;
            }
            Tok::OpenParen | Tok::OpenBracket | Tok::OpenBrace => depth += 1,
            Tok::CloseBrace if depth == 0 && place == Place::ComponentBody => return index,
            Tok::CloseParen | Tok::CloseBracket | Tok::CloseBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
        index += 1;
    }
    tokens.all.len()
}
