//! Takes the Markdown out of a text, so that what is left can be read aloud.
//!
//! Answers of language models come as Markdown. Headings, bullets and table rows become
//! sentences of their own; marks of emphasis, links' targets, tags and fences are dropped.

/// The text without its markup. Lines that stand alone end in a full stop.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line.trim();
        if is_rule(line) {
            end_sentence(&mut out);
            continue;
        }
        let (body, alone) = unmarked_line(line);
        if alone || line.is_empty() {
            end_sentence(&mut out);
        }
        if !out.is_empty() && !out.ends_with(char::is_whitespace) {
            out.push(' ');
        }
        inline(&body, &mut out);
        if alone {
            end_sentence(&mut out);
        }
    }
    out.trim().to_owned()
}

/// A line that only draws: `---`, `***`, a code fence, a table's ruler.
fn is_rule(line: &str) -> bool {
    line.starts_with("```")
        || line.starts_with("~~~")
        || (line.len() >= 3 && line.chars().all(|c| matches!(c, '-' | '*' | '_' | '=' | '|' | ':' | ' ')))
}

/// The line without its leading mark, and whether it stands alone (heading, bullet, table row).
fn unmarked_line(line: &str) -> (String, bool) {
    let quoted = line.trim_start_matches('>').trim_start();
    let heading = quoted.trim_start_matches('#');
    if heading.len() < quoted.len() && heading.starts_with(' ') {
        return (heading.trim_matches([' ', '#']).to_owned(), true);
    }
    if let Some(item) = ["- ", "* ", "+ ", "• ", "– "].iter().find_map(|mark| quoted.strip_prefix(mark)) {
        let item = ["[ ] ", "[x] ", "[X] "].iter().find_map(|mark| item.strip_prefix(mark)).unwrap_or(item);
        return (item.trim().to_owned(), true);
    }
    let digits = quoted.bytes().take_while(u8::is_ascii_digit).count();
    if (1..=2).contains(&digits) && (quoted[digits..].starts_with(". ") || quoted[digits..].starts_with(") "))
    {
        // "1. Open the lid": the number is spoken, as a part of its own.
        return (format!("{}: {}", &quoted[..digits], quoted[digits + 2..].trim()), true);
    }
    if quoted.starts_with('|') && quoted.ends_with('|') && quoted.len() > 1 {
        return (quoted.trim_matches('|').replace('|', ", "), true);
    }
    (quoted.to_owned(), false)
}

fn end_sentence(out: &mut String) {
    let end = out.trim_end().len();
    out.truncate(end);
    if out.chars().last().is_some_and(|last| last.is_alphanumeric() || matches!(last, ')' | '"' | '%' | '\''))
    {
        out.push('.');
    }
}

/// Drops the marks within a line.
fn inline(line: &str, out: &mut String) {
    let chars: Vec<char> = line.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        match chars[at] {
            '`' | '\u{200b}' | '\u{fe0f}' => at += 1,
            '\\' if rest.get(1).is_some_and(char::is_ascii_punctuation) => {
                out.push(rest[1]);
                at += 2;
            }
            '*' | '~' | '_' if emphasis(&chars, at) => at += 1,
            '!' if rest.get(1) == Some(&'[') && link(&rest[1..]).is_some() => at += 1,
            '[' => {
                let (label, length) = link(rest).unwrap_or_else(|| (String::new(), 1));
                inline(&label, out);
                at += length;
            }
            '<' => at += tag_length(rest, out),
            '&' => at += entity_length(rest, out),
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
}

/// Whether the `*`, `~` or `_` at `at` marks emphasis rather than multiplication or a name.
fn emphasis(chars: &[char], at: usize) -> bool {
    let mark = chars[at];
    let before = chars[..at].iter().rev().find(|c| **c != mark);
    let after = chars[at..].iter().find(|c| **c != mark);
    let inside = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric());
    let doubled = chars.get(at + 1) == Some(&mark) || (at > 0 && chars[at - 1] == mark);
    match mark {
        '~' => doubled,
        '_' => !(inside(before) && inside(after)),
        _ => {
            let spaced = |c: Option<&char>| c.is_none_or(|c| c.is_whitespace());
            doubled || !(spaced(before) && spaced(after) || digit(before) && digit(after))
        }
    }
}

fn digit(c: Option<&char>) -> bool {
    c.is_some_and(char::is_ascii_digit)
}

/// `[label](target)` at the start of `chars`: the label and the length of it all.
fn link(chars: &[char]) -> Option<(String, usize)> {
    let close = chars.iter().position(|c| *c == ']')?;
    if chars[1..close].contains(&'[') {
        return None;
    }
    let label: String = chars[1..close].iter().collect();
    if chars.get(close + 1) == Some(&'(') {
        let end = chars[close..].iter().position(|c| *c == ')')?;
        return Some((label, close + end + 1));
    }
    // A footnote mark such as [1] or [^2] is not read.
    let number = label.trim_start_matches('^');
    (!number.is_empty() && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
        .then_some((String::new(), close + 1))
}

/// Skips an HTML tag, keeps the address of `<https://…>`; a lone `<` stays.
fn tag_length(rest: &[char], out: &mut String) -> usize {
    let is_tag = rest.get(1).is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
    let end = rest.iter().take(200).position(|c| *c == '>');
    match end {
        Some(end) if is_tag => {
            let inner: String = rest[1..end].iter().collect();
            if inner.contains("://") || inner.contains('@') {
                out.push_str(&inner);
            } else {
                out.push(' ');
            }
            end + 1
        }
        _ => {
            out.push('<');
            1
        }
    }
}

fn entity_length(rest: &[char], out: &mut String) -> usize {
    const ENTITIES: [(&str, char); 6] =
        [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&#39;", '\''), ("&nbsp;", ' ')];
    for (name, character) in ENTITIES {
        if name.chars().eq(rest.iter().copied().take(name.len())) {
            out.push(character);
            return name.len();
        }
    }
    out.push('&');
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_not_read() {
        let texts = [
            "This is **very** *important*, and `cargo test` is __fine__.",
            "# A heading\n\nText below\ngoes on.",
            "Steps:\n1. Open it\n2. Close it\n\n- one\n* two\n  + three",
            "See [the guide](https://example.com/a_b) or ![a cat](cat.png).",
            "| a | b |\n|---|---|\n| 1 | 2 |",
            "```rust\nlet x = 1;\n```",
            "2 * 3 = 6 and 2*3, snake_case_name, _really_ so.",
            "> quoted &amp; &lt;b&gt; <b>bold</b> 3 < 5 [1]",
            "~~gone~~ and ~5 left\\*",
            "---",
            "**",
            "",
        ];
        let table: Vec<String> = texts.iter().map(|text| format!("{text:?}\n  {:?}", plain(text))).collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
