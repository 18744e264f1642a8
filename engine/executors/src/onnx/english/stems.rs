//! Pronounces a word through its stem: "vectorized" from "vector", "unplugs" from "plug",
//! "whiteboard" from "white" and "board".
//!
//! All functions work on lower-case ASCII words and misaki's notation. A stem is asked for by a
//! closure, so that this file knows nothing of dictionaries.

/// Vowels and r, after which American speakers flap a t: "waiting".
const FLAPPING: &str = "AIOWYiuæɑəɛɪɹʊʌ";

/// A stem with an "s" after it.
pub(super) fn with_s(stem: &str) -> String {
    let end = match stem.chars().last() {
        Some('p' | 't' | 'k' | 'f' | 'θ') => "s",
        Some('s' | 'z' | 'ʃ' | 'ʒ' | 'ʧ' | 'ʤ') => "ᵻz",
        _ => "z",
    };
    format!("{stem}{end}")
}

/// A stem with "ed" after it.
fn with_ed(stem: &str) -> String {
    match stem.chars().last() {
        Some('p' | 'k' | 'f' | 'θ' | 'ʃ' | 's' | 'ʧ') => format!("{stem}t"),
        Some('d') => format!("{stem}ᵻd"),
        Some('t') => format!("{}ᵻd", flapped(stem)),
        _ => format!("{stem}d"),
    }
}

/// A final t between vowels becomes a flap.
fn flapped(stem: &str) -> String {
    match stem.strip_suffix('t') {
        Some(head) if head.ends_with(|c| FLAPPING.contains(c)) => format!("{head}ɾ"),
        _ => stem.to_owned(),
    }
}

/// "simple" + ly, "final" + ly: one l is said.
fn with_ly(stem: &str) -> String {
    format!("{}i", if stem.ends_with('l') { stem.to_owned() } else { format!("{stem}l") })
}

/// The main stress becomes a side stress.
pub(super) fn weakened(phonemes: &str) -> String {
    phonemes.replace('ˌ', "").replace('ˈ', "ˌ")
}

/// "simple" → "simply": the syllable of the l is gone.
fn simply(stem: &str) -> Option<String> {
    stem.strip_suffix("ᵊl").map(|head| format!("{head}li"))
}

type Join = fn(&str) -> String;

/// Endings that leave the stem's stress alone, longest first.
const SUFFIXES: &[(&str, Join)] = &[
    ("ization", |stem| format!("{}əzˈAʃən", weakened(stem))),
    ("ability", |stem| format!("{}əbˈɪləɾi", weakened(stem))),
    ("ically", |stem| format!("{stem}ɪkli")),
    ("izing", |stem| format!("{stem}ˌIzɪŋ")),
    ("izers", |stem| format!("{stem}ˌIzəɹz")),
    ("izer", |stem| format!("{stem}ˌIzəɹ")),
    ("ized", |stem| format!("{stem}ˌIzd")),
    ("izes", |stem| format!("{stem}ˌIzᵻz")),
    ("ize", |stem| format!("{stem}ˌIz")),
    ("ness", |stem| format!("{stem}nəs")),
    ("less", |stem| format!("{stem}ləs")),
    ("ment", |stem| format!("{stem}mənt")),
    ("able", |stem| format!("{}əbᵊl", flapped(stem))),
    ("ably", |stem| format!("{}əbli", flapped(stem))),
    ("like", |stem| format!("{stem}lˌIk")),
    ("wise", |stem| format!("{stem}wˌIz")),
    ("ship", |stem| format!("{stem}ʃˌɪp")),
    ("hood", |stem| format!("{stem}hˌʊd")),
    ("ward", |stem| format!("{stem}wəɹd")),
    ("some", |stem| format!("{stem}səm")),
    ("ful", |stem| format!("{stem}fᵊl")),
    ("ing", |stem| format!("{}ɪŋ", flapped(stem))),
    ("ish", |stem| format!("{}ɪʃ", flapped(stem))),
    ("ism", |stem| format!("{stem}ˌɪzəm")),
    ("ist", |stem| format!("{stem}əst")),
    ("est", |stem| format!("{}əst", flapped(stem))),
    ("ers", |stem| format!("{}əɹz", flapped(stem))),
    ("er", |stem| format!("{}əɹ", flapped(stem))),
    ("ed", with_ed),
    ("ly", with_ly),
    ("y", |stem| format!("{}i", flapped(stem))),
];

const PREFIXES: &[(&str, &str)] = &[
    ("anti", "ˌænti"),
    ("auto", "ˌɔɾO"),
    ("bio", "bˌIO"),
    ("co", "kˌO"),
    ("counter", "kˌWntəɹ"),
    ("cross", "kɹˌɔs"),
    ("cyber", "sˌIbəɹ"),
    ("de", "dˌi"),
    ("dis", "dˌɪs"),
    ("extra", "ˌɛkstɹə"),
    ("fore", "fˌɔɹ"),
    ("geo", "ʤˌiO"),
    ("hyper", "hˌIpəɹ"),
    ("im", "ɪm"),
    ("in", "ɪn"),
    ("inter", "ˌɪntəɹ"),
    ("macro", "mˌækɹO"),
    ("mega", "mˌɛɡə"),
    ("meta", "mˌɛɾə"),
    ("micro", "mˌIkɹO"),
    ("mid", "mˌɪd"),
    ("mini", "mˌɪni"),
    ("mis", "mˌɪs"),
    ("mono", "mˌɑnO"),
    ("multi", "mˌʌlti"),
    ("nano", "nˌænO"),
    ("neuro", "nˌʊɹO"),
    ("non", "nˌɑn"),
    ("out", "ˌWt"),
    ("over", "ˌOvəɹ"),
    ("poly", "pˌɑli"),
    ("post", "pˌOst"),
    ("pre", "pɹˌi"),
    ("proto", "pɹˌOɾO"),
    ("pseudo", "sˌudO"),
    ("re", "ɹˌi"),
    ("self", "sˌɛlf"),
    ("semi", "sˌɛmi"),
    ("sub", "sˌʌb"),
    ("super", "sˌupəɹ"),
    ("tele", "tˌɛlə"),
    ("trans", "tɹˌænz"),
    ("ultra", "ˌʌltɹə"),
    ("un", "ˌʌn"),
    ("under", "ˌʌndəɹ"),
    ("up", "ˌʌp"),
];

/// `word` through its stem, where `known` says how stems sound. `known` is asked for shorter
/// words only, so it may call this again.
pub(super) fn through_stem(word: &str, known: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    if word.len() < 4 || !word.is_ascii() {
        return None;
    }
    plural(word, known).or_else(|| suffixed(word, known)).or_else(|| prefixed(word, known))
}

fn plural(word: &str, known: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    let stem = word.strip_suffix('s').filter(|stem| !stem.ends_with('s') && !stem.ends_with('u'))?;
    let said = if let Some(stem) = stem.strip_suffix("ie").filter(|stem| stem.len() > 1) {
        known(&format!("{stem}y")).or_else(|| known(&format!("{stem}ie")))
    } else {
        known(stem).or_else(|| stem.strip_suffix('e').and_then(&mut *known))
    };
    said.map(|said| with_s(&said))
}

fn suffixed(word: &str, known: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    for (suffix, join) in SUFFIXES {
        let Some(stem) = word.strip_suffix(suffix).filter(|stem| stem.len() >= 3) else { continue };
        let vowel_suffix = suffix.starts_with(['a', 'e', 'i', 'y']);
        let bytes = stem.as_bytes();
        let doubled = bytes.len() > 3 && bytes[bytes.len() - 1] == bytes[bytes.len() - 2];
        let said = known(stem)
            .or_else(|| vowel_suffix.then(|| known(&format!("{stem}e"))).flatten())
            .or_else(|| (vowel_suffix && doubled).then(|| known(&stem[..stem.len() - 1])).flatten())
            .or_else(|| known(&format!("{}y", stem.strip_suffix('i')?)))
            .map(|said| join(&said))
            .or_else(|| if *suffix == "ly" { simply(&known(&format!("{stem}le"))?) } else { None });
        if said.is_some() {
            return said;
        }
    }
    None
}

fn prefixed(word: &str, known: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    PREFIXES.iter().find_map(|(prefix, sound)| {
        let stem = word.strip_prefix(prefix).filter(|stem| stem.len() >= 4)?;
        known(stem).map(|said| format!("{sound}{said}"))
    })
}

/// `word` as two known words, such as "dataflow"; the split with the longest shorter half wins.
pub(super) fn compound(word: &str, known: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    const MAX_COMPOUND: usize = 24;
    if !word.is_ascii() || word.len() < 6 || word.len() > MAX_COMPOUND {
        return None;
    }
    let mut splits: Vec<usize> = (3..=word.len() - 3).collect();
    splits.sort_by_key(|at| at.abs_diff(word.len() - at));
    splits.into_iter().find_map(|at| {
        let (first, second) = word.split_at(at);
        let (first, second) = (known(first)?, known(second)?);
        Some(format!("{first}{}", weakened(&second)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_said_through_their_stems() {
        let dictionary = [
            ("token", "tˈOkᵊn"),
            ("wait", "wˈAt"),
            ("plug", "plˈʌɡ"),
            ("bus", "bˈʌs"),
            ("city", "sˈɪɾi"),
            ("make", "mˈAk"),
            ("happy", "hˈæpi"),
            ("simple", "sˈɪmpᵊl"),
            ("box", "bˈɑks"),
            ("cloud", "klˈWd"),
            ("data", "dˈAɾə"),
            ("flow", "flˈO"),
            ("compute", "kəmpjˈut"),
            ("quick", "kwˈɪk"),
            ("deploy", "dəplˈY"),
        ];
        let words = "tokens waits buses cities boxes waited plugged clouded making plugging happiness simply quickly \
                     tokenized tokenization unplugged redeploy multicloud dataflow deployable deployability \
                     quickest happier cloudy glass zzz";
        let mut table = Vec::new();
        for word in words.split_whitespace() {
            fn say(word: &str, dictionary: &[(&str, &str)], depth: u8) -> Option<String> {
                let found = dictionary.iter().find(|entry| entry.0 == word).map(|entry| entry.1.to_owned());
                if depth == 0 {
                    found
                } else {
                    found.or_else(|| through_stem(word, &mut |stem| say(stem, dictionary, depth - 1)))
                }
            }
            let said =
                say(word, &dictionary, 3).or_else(|| compound(word, &mut |part| say(part, &dictionary, 0)));
            table.push(format!("{word:14} {}", said.as_deref().unwrap_or("-")));
        }
        insta::assert_snapshot!(table.join("\n"));
    }
}
