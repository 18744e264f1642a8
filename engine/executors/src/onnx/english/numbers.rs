//! Names of numbers, as they are read aloud in American English.
//!
//! Every function takes ASCII digits and gives lower-case words with one space between them.

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const THOUSANDS: [&str; 6] = ["", "thousand", "million", "billion", "trillion", "quadrillion"];
/// Numbers with more digits are read digit by digit.
const MAX_DIGITS: usize = 18;

/// `1203` → "one thousand two hundred three".
pub(super) fn cardinal(number: &str) -> String {
    let significant = number.trim_start_matches('0');
    if significant.is_empty() {
        return ONES[0].to_owned();
    }
    let Some(value) = significant.parse::<u64>().ok().filter(|_| significant.len() <= MAX_DIGITS) else {
        return digits(number);
    };
    let mut groups = Vec::new();
    let mut rest = value;
    for name in THOUSANDS {
        let group = below_thousand((rest % 1000) as usize);
        if !group.is_empty() {
            groups.push(if name.is_empty() { group } else { format!("{group} {name}") });
        }
        rest /= 1000;
    }
    groups.reverse();
    groups.join(" ")
}

fn below_thousand(value: usize) -> String {
    let tail = below_hundred(value % 100);
    match (value / 100, tail.is_empty()) {
        (0, _) => tail,
        (hundreds, true) => format!("{} hundred", ONES[hundreds]),
        (hundreds, false) => format!("{} hundred {tail}", ONES[hundreds]),
    }
}

/// Empty for zero.
fn below_hundred(value: usize) -> String {
    match value {
        0 => String::new(),
        1..20 => ONES[value].to_owned(),
        _ if value.is_multiple_of(10) => TENS[value / 10].to_owned(),
        _ => format!("{} {}", TENS[value / 10], ONES[value % 10]),
    }
}

/// `21` → "twenty first".
pub(super) fn ordinal(number: &str) -> String {
    let cardinal = cardinal(number);
    let (head, last) = cardinal.rsplit_once(' ').unwrap_or(("", &cardinal));
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        tens if tens.ends_with('y') => format!("{}ieth", &tens[..tens.len() - 1]),
        other => format!("{other}th"),
    };
    if head.is_empty() { last } else { format!("{head} {last}") }
}

/// `1905` → "nineteen oh five"; `2005` → "two thousand five"; `1900` → "nineteen hundred".
pub(super) fn year(number: &str) -> String {
    let (Some(high), Some(low)) = (
        number.get(..2).and_then(|high| high.parse::<usize>().ok()),
        number.get(2..4).and_then(|low| low.parse::<usize>().ok()),
    ) else {
        return cardinal(number);
    };
    if number.len() != 4 || high < 10 || (high % 10 == 0 && low < 10) {
        return cardinal(number);
    }
    let high = below_hundred(high);
    match low {
        0 => format!("{high} hundred"),
        1..10 => format!("{high} oh {}", ONES[low]),
        _ => format!("{high} {}", below_hundred(low)),
    }
}

/// The plural of a number's name: "nineteen nineties", "twenties", "sixes".
pub(super) fn plural(name: &str) -> String {
    if let Some(stem) = name.strip_suffix('y') {
        format!("{stem}ies")
    } else if name.ends_with('x') {
        format!("{name}es")
    } else {
        format!("{name}s")
    }
}

/// `2050` → "two zero five zero".
pub(super) fn digits(number: &str) -> String {
    let names: Vec<&str> =
        number.bytes().filter(u8::is_ascii_digit).map(|digit| ONES[usize::from(digit - b'0')]).collect();
    names.join(" ")
}

/// A number with an optional decimal point: `3.14` → "three point one four".
pub(super) fn decimal(number: &str) -> String {
    match number.split_once('.') {
        None => cardinal(number),
        Some((whole, fraction)) => format!("{} point {}", cardinal(whole), digits(fraction)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_names() {
        let lines = [
            (
                "cardinal",
                cardinal as fn(&str) -> String,
                "0 7 10 13 20 21 99 100 101 110 342 1000 1001 1203 10000 65536 1000000 1234567 2000000000 999999999999999999 1000000000000000000 007",
            ),
            ("ordinal", ordinal, "0 1 2 3 4 5 8 9 10 11 12 13 20 21 22 23 30 40 99 100 101 112 1000"),
            ("year", year, "1066 1492 1900 1905 1984 1999 2000 2001 2009 2010 2024 1100 0999"),
            ("digits", digits, "2050 007"),
            ("decimal", decimal, "3.14 0.5 10.05 42"),
        ];
        let table: Vec<String> = lines
            .iter()
            .flat_map(|(what, name, numbers)| {
                numbers.split(' ').map(move |number| format!("{what:8} {number:20} {}", name(number)))
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
