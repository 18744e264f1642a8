//! Reads everything that is written with digits: amounts, dates, times, years, ranges, units.

use super::numbers::{cardinal, decimal, digits, ordinal, plural, year};
use super::tables::{ATTACHED_UNITS, CURRENCIES, MONTHS, SCALES, UNITS};
use super::tokens::Token;

/// What stands beside a figure, without its punctuation.
#[derive(Clone, Copy)]
pub(super) struct Beside<'a> {
    pub(super) previous: &'a str,
    pub(super) next: &'a str,
}

/// A figure in words.
pub(super) struct Read {
    pub(super) tokens: Vec<Token>,
    /// Whether `next` was read along with it.
    pub(super) took_next: bool,
}

/// Reads `core`, which holds at least one digit and no white space.
pub(super) fn figure(core: &str, beside: Beside<'_>) -> Read {
    let mut took_next = false;
    let said = signed(core, beside, &mut took_next)
        .or_else(|| amount(core, beside, &mut took_next))
        .or_else(|| time(core))
        .or_else(|| date(core))
        .or_else(|| height(core))
        .or_else(|| counted(core, beside))
        .or_else(|| joined(core, beside, &mut took_next))
        .or_else(|| number(core, beside, &mut took_next));
    let tokens = said.map_or_else(|| mixed(core), |words| spoken(&words));
    Read { tokens, took_next }
}

/// Words become tokens; a word in capitals is spelled.
fn spoken(words: &str) -> Vec<Token> {
    let token = |word: &str| {
        if word == "," {
            Token::Mark(',')
        } else if word.chars().all(|c| c.is_ascii_uppercase()) {
            Token::Letters(word.to_owned())
        } else {
            Token::Word(word.to_owned())
        }
    };
    words.split_whitespace().map(token).collect()
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Splits a plain number off the start: digits, thousands commas, one decimal point. The number
/// comes without its commas.
fn leading_number(text: &str) -> Option<(String, &str)> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = 0;
    while digit(at) || (at > 0 && bytes.get(at) == Some(&b',') && (1..4).all(|ahead| digit(at + ahead))) {
        at += 1;
    }
    if bytes.get(at) == Some(&b'.') && digit(at + 1) {
        at += 1;
        while digit(at) {
            at += 1;
        }
    }
    if at == 0 {
        return None;
    }
    let mut number = text[..at].replace(',', "");
    if number.starts_with('.') {
        number.insert(0, '0');
    }
    Some((number, &text[at..]))
}

/// `-5`, `+3`, `~20`, `#7`.
fn signed(core: &str, beside: Beside<'_>, took_next: &mut bool) -> Option<String> {
    let mut chars = core.chars();
    let word = match chars.next()? {
        '-' | '−' => "minus",
        '+' => "plus",
        '~' | '≈' => "about",
        '#' => "number",
        '<' => "less than",
        '>' => "more than",
        '±' => "plus or minus",
        _ => return None,
    };
    let rest = chars.as_str();
    let rest = amount(rest, beside, took_next)
        .or_else(|| counted(rest, beside))
        .or_else(|| number(rest, beside, took_next))?;
    Some(format!("{word} {rest}"))
}

/// `$5`, `$12.50`, `$3.5 million`, `€20k`, `US$5`.
fn amount(core: &str, beside: Beside<'_>, took_next: &mut bool) -> Option<String> {
    let bare = core.strip_prefix("US").unwrap_or(core);
    let sign = bare.chars().next()?;
    let (_, one, many, cent, cents) = *CURRENCIES.iter().find(|currency| currency.0 == sign)?;
    let (number, rest) = leading_number(&bare[sign.len_utf8()..])?;
    let scale = |word: &str| SCALES.iter().find(|scale| scale.0 == word).map(|scale| scale.1);
    if let Some(scale) = scale(rest) {
        return Some(format!("{} {scale} {many}", decimal(&number)));
    }
    if !rest.is_empty() {
        // A range or a rate: "$5-10", "$20/month".
        let rest = rest.trim_start_matches(['-', '–']);
        if let Some((end, "")) = leading_number(rest.trim_start_matches(sign)) {
            return Some(format!("{} to {} {many}", decimal(&number), decimal(&end)));
        }
        let per = rest.strip_prefix('/').filter(|per| per.chars().all(|c| c.is_ascii_alphabetic()))?;
        return Some(format!("{} {} per {per}", decimal(&number), if number == "1" { one } else { many }));
    }
    if let Some(scale) = scale(beside.next).filter(|_| beside.next.len() > 2) {
        *took_next = true;
        return Some(format!("{} {scale} {many}", decimal(&number)));
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let whole_said = format!("{} {}", cardinal(whole), if whole == "1" { one } else { many });
    if fraction.len() != 2 {
        let unit = if number == "1" { one } else { many };
        return Some(format!("{} {unit}", decimal(&number)));
    }
    let fraction_said = format!("{} {}", cardinal(fraction), if fraction == "01" { cent } else { cents });
    Some(match (whole.trim_start_matches('0').is_empty(), fraction == "00") {
        (_, true) => whole_said,
        (true, false) => fraction_said,
        (false, false) => format!("{whole_said} and {fraction_said}"),
    })
}

/// `3:30`, `14:05`, `7:00pm`, `1:02:03`; `3:1` is a ratio.
fn time(core: &str) -> Option<String> {
    let (clock, half) = match core.to_ascii_lowercase() {
        lower if lower.ends_with("am") || lower.ends_with("pm") => core.split_at(core.len() - 2),
        _ => (core, ""),
    };
    let half = half.to_ascii_uppercase();
    let parts: Vec<&str> = clock.split(':').collect();
    if !parts.iter().all(|part| all_digits(part) && part.len() <= 3) {
        return None;
    }
    let minute = |part: &str| match part {
        "00" => String::new(),
        _ if part.starts_with('0') => format!("oh {}", cardinal(part)),
        _ => cardinal(part),
    };
    match parts[..] {
        [hour] if !half.is_empty() => Some(format!("{} {half}", cardinal(hour))),
        [hour, "00"] if half.is_empty() && hour.len() <= 2 => Some(match hour.parse::<u32>() {
            Ok(1..=12) => format!("{} o'clock", cardinal(hour)),
            _ => format!("{} hundred hours", cardinal(hour)),
        }),
        [hour, minutes] if minutes.len() == 2 && hour.len() <= 2 => {
            Some(format!("{} {} {half}", cardinal(hour), minute(minutes)))
        }
        [one, other] => Some(format!("{} to {}", cardinal(one), cardinal(other))),
        [hour, minutes, seconds] if minutes.len() == 2 && seconds.len() == 2 => {
            let counted = |count: &str, unit: &str| {
                let plural = if count.trim_start_matches('0') == "1" { "" } else { "s" };
                format!("{} {unit}{plural}", cardinal(count))
            };
            let [hours, minutes] = [counted(hour, "hour"), counted(minutes, "minute")];
            Some(format!("{hours} {minutes} {} {half}", counted(seconds, "second")))
        }
        _ => None,
    }
}

/// `2024-05-01` and `5/1/2024`.
fn date(core: &str) -> Option<String> {
    let (year_part, month, day) = if let [year, month, day] = core.split('-').collect::<Vec<_>>()[..] {
        (year, month, day)
    } else if let [month, day, year] = core.split('/').collect::<Vec<_>>()[..] {
        (year, month, day)
    } else {
        return None;
    };
    let short = |part: &str| all_digits(part) && part.len() <= 2;
    if !all_digits(year_part) || year_part.len() != 4 || !short(month) || !short(day) {
        return None;
    }
    let name = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    (1..=31)
        .contains(&day.parse::<u32>().ok()?)
        .then(|| format!("{name} {} {}", ordinal(day), year(year_part)))
}

/// `21st`, `1990s`, `'90s`, `5's`, `May 5`, `24/7`, `3/4`.
fn counted(core: &str, beside: Beside<'_>) -> Option<String> {
    let lower = core.to_ascii_lowercase();
    for suffix in ["st", "nd", "rd", "th"] {
        if let Some(number) = lower.strip_suffix(suffix).map(|number| number.replace(',', ""))
            && all_digits(&number)
        {
            return Some(ordinal(&number));
        }
    }
    let decade = lower.strip_suffix("'s").or_else(|| lower.strip_suffix('s')).unwrap_or("");
    let decade = decade.trim_start_matches('\'');
    if all_digits(decade) && decade.ends_with('0') && matches!(decade.len(), 2 | 4) {
        return Some(plural(&if decade.len() == 4 { year(decade) } else { cardinal(decade) }));
    }
    if all_digits(core) && core.len() <= 2 && (1..=31).contains(&core.parse::<u32>().unwrap_or(0)) {
        let month = |word: &str| MONTHS.contains(&word.to_ascii_lowercase().as_str());
        let is_date = |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase()) && month(word);
        if is_date(beside.previous) || is_date(beside.next) {
            return Some(ordinal(core));
        }
    }
    if let Some((over, under)) = core.split_once('/')
        && all_digits(over)
        && all_digits(under)
    {
        return Some(fraction(over, under));
    }
    None
}

fn fraction(over: &str, under: &str) -> String {
    let single = over == "1";
    match under {
        _ if over.len() > 2 || under.len() > 2 => format!("{} over {}", cardinal(over), cardinal(under)),
        "2" if single => "one half".to_owned(),
        "2" => format!("{} halves", cardinal(over)),
        "4" => format!("{} {}", cardinal(over), if single { "quarter" } else { "quarters" }),
        "3" | "5" | "6" | "8" | "9" | "10" | "12" | "16" => {
            let part = ordinal(under);
            format!("{} {}", cardinal(over), if single { part } else { plural(&part) })
        }
        _ => format!("{} {}", cardinal(over), cardinal(under)),
    }
}

/// `5'10"`: feet and inches.
fn height(core: &str) -> Option<String> {
    let (feet, inches) = core.split_once('\'')?;
    let inches = inches.trim_end_matches(['"', '\'']);
    (all_digits(feet) && all_digits(inches) && inches.len() <= 2)
        .then(|| format!("{} foot {}", cardinal(feet), cardinal(inches)))
}

/// Numbers joined by a sign: `10-20`, `3x4`, `1.2.3`, `555-1234`.
fn joined(core: &str, beside: Beside<'_>, took_next: &mut bool) -> Option<String> {
    let parts: Vec<&str> = core.split(['-', '–', '−']).collect();
    if parts.len() > 1 && parts.iter().all(|part| all_digits(part)) {
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        if parts.len() > 2 || lengths == [3, 4] {
            return Some(parts.iter().map(|part| digits(part)).collect::<Vec<_>>().join(" , "));
        }
        let years = lengths[0] == 4 && matches!(lengths[1], 2 | 4);
        let name = |part: &str| if years && part.len() == 4 { year(part) } else { cardinal(part) };
        let unit = unit_name(beside.next, parts[1], true);
        *took_next = unit.is_some();
        return Some(format!("{} to {} {}", name(parts[0]), name(parts[1]), unit.unwrap_or("")));
    }
    if let [low, high] = parts[..]
        && let (Some((low, "" | "%")), Some((high, unit))) = (leading_number(low), leading_number(high))
    {
        let unit = if unit.is_empty() { "" } else { unit_name(unit, &high, false)? };
        return Some(format!("{} to {} {unit}", decimal(&low), decimal(&high)));
    }
    for (signs, word) in [(&['x', '×'][..], " by "), (&['*', '·'], " times ")] {
        let sides: Vec<&str> = core.split(signs).collect();
        if sides.len() > 1 && sides.iter().all(|side| all_digits(side)) {
            let sides: Vec<String> = sides.iter().map(|side| cardinal(side)).collect();
            return Some(sides.join(word));
        }
    }
    let dotted: Vec<&str> = core.trim_start_matches(['v', 'V']).split('.').collect();
    if dotted.len() > 2 && dotted.iter().all(|part| all_digits(part)) {
        let dotted: Vec<String> = dotted.iter().map(|part| cardinal(part)).collect();
        let version = core.starts_with(['v', 'V']) && !beside.previous.eq_ignore_ascii_case("version");
        return Some(format!("{} {}", if version { "version" } else { "" }, dotted.join(" point ")));
    }
    None
}

/// A number with or without a unit.
fn number(core: &str, beside: Beside<'_>, took_next: &mut bool) -> Option<String> {
    let (number, rest) = leading_number(core)?;
    let plain = all_digits(core);
    if rest.is_empty() {
        if plain && core.len() > 1 && core.starts_with('0') {
            return Some(digits(core));
        }
        let unit = unit_name(beside.next, &number, true);
        let said =
            if plain && unit.is_none() && is_year(core, beside) { year(core) } else { decimal(&number) };
        *took_next = unit.is_some();
        return Some(format!("{said} {}", unit.unwrap_or("")));
    }
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    if let Some((sign_one, sign_many)) =
        rest.chars().next().filter(|_| rest.chars().count() == 1).and_then(|c| {
            CURRENCIES.iter().find(|currency| currency.0 == c).map(|currency| (currency.1, currency.2))
        })
    {
        return Some(format!("{} {}", decimal(&number), if number == "1" { sign_one } else { sign_many }));
    }
    // "5K run" but "4K": a lone capital after one digit names a thing.
    let names_a_thing = number.len() == 1 && matches!(rest, "K" | "M" | "B" | "V" | "L" | "W" | "G" | "D");
    let unit = if names_a_thing { None } else { unit_name(rest, &number, false) }?;
    Some(format!("{} {unit}", decimal(&number)))
}

fn unit_name(unit: &str, number: &str, apart: bool) -> Option<&'static str> {
    if unit.is_empty() || (apart && ATTACHED_UNITS.contains(&unit)) {
        return None;
    }
    let (_, one, many) = UNITS.iter().find(|entry| entry.0 == unit)?;
    Some(if number == "1" { one } else { many })
}

/// Four digits alone are a year, unless they count something.
fn is_year(core: &str, beside: Beside<'_>) -> bool {
    let counts = |word: &str| {
        let plural = word.len() > 3 && word.ends_with('s');
        (plural && word.starts_with(|c: char| c.is_ascii_lowercase()))
            || ["people", "children", "men", "women", "percent", "feet", "km", "miles"].contains(&word)
    };
    let known = ["was", "is", "has", "as", "his", "this", "its", "thus", "across", "versus"];
    core.len() == 4
        && (1100..2100).contains(&core.parse::<u32>().unwrap_or(0))
        && (!counts(beside.next) || known.contains(&beside.next))
}

/// Consonant, vowel, consonant: "zip" in "7zip" is a word.
fn is_syllable(run: &str) -> bool {
    let vowel = |letter: u8| b"aeiou".contains(&letter);
    matches!(*run.as_bytes(), [a, b, c] if a.is_ascii_lowercase() && !vowel(a) && vowel(b) && !vowel(c))
}

/// Letters and digits together: `mp3`, `H2O`, `COVID-19`, `GPT-4o`. Letters go on as words.
fn mixed(core: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = core;
    while let Some(first) = rest.chars().next() {
        let kind = |c: char| (c.is_ascii_digit(), c.is_alphabetic() || c == '\'');
        let length = rest.find(|c| kind(c) != kind(first)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(length);
        if first.is_ascii_digit() {
            let long = run.len() > 4 || (run.len() > 1 && run.starts_with('0'));
            tokens.extend(spoken(&if long { digits(run) } else { cardinal(run) }));
        } else if first.is_alphabetic() {
            let short = run.len() <= 3 && core.chars().count() <= 5;
            tokens.push(if short && !is_syllable(run) {
                Token::Letters(run.to_owned())
            } else {
                Token::Word(run.to_owned())
            });
        } else if run == "." {
            tokens.push(Token::Word("point".to_owned()));
        } else {
            tokens.extend(run.chars().filter_map(super::tables::symbol_name).flat_map(spoken));
        }
        rest = after;
    }
    tokens
}
