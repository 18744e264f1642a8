//! How wide a text is, without a font: a generous guess, so that no text is wider than its box in
//! any of the usual sans-serif fonts.

/// The width of `text` at `size` pixels, in pixels.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(em).sum::<f64>() * size
}

/// The advance of a character in units of the font's size, at least that of DejaVu Sans.
const fn em(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '\'' => 0.29,
        ' ' | '.' | ',' | ':' | ';' | '|' | 'I' | '/' | '\\' => 0.34,
        'f' | 'r' | 't' | '(' | ')' | '[' | ']' => 0.42,
        'm' | 'w' | 'W' | 'M' | '@' | '%' | '…' => 1.0,
        '<' | '>' | '=' | '+' | '~' | '#' | 'O' | 'Q' | 'G' | 'D' | 'H' | 'N' | 'U' => 0.86,
        'A'..='Z' => 0.72,
        '\0'..='\u{7f}' => 0.65,
        // Of other scripts some are wide; none is wider than a square.
        _ => 1.0,
    }
}

/// `text` on one line and with at most `most` characters, the last of which then is `…`.
pub(super) fn elided(text: &str, most: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// `text` in lines no wider than `most` pixels, broken at blanks; a word that is wider stands alone.
pub(super) fn wrapped(text: &str, size: f64, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line, size) + width(" ", size) + width(word, size) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{elided, width, wrapped};

    #[test]
    fn texts_are_cut_and_wrapped_between_characters() {
        assert_eq!(elided("four\nwords", 10), "four words");
        assert_eq!(elided("größer", 4), "grö…");
        assert_eq!(elided("größer", 6), "größer");
        assert!(width("wide", 10.0) > width("lili", 10.0));
        assert_eq!(wrapped("one two three", 10.0, 60.0), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable", 10.0, 6.0), ["unbreakable"]);
        assert!(wrapped("", 10.0, 6.0).is_empty());
    }
}
