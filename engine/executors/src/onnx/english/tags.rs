//! Guesses a word's part of speech from its neighbours, for the few words whose sound depends on
//! it: "they record a record", "she read it", "close the close door".
//!
//! This is no tagger: it looks two words back and one ahead, knows the closed classes (articles,
//! pronouns, auxiliaries, prepositions) and says [`Tag::Unknown`] where they do not decide.

/// A part of speech, as far as it changes a pronunciation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Unknown,
    Noun,
    Verb,
    /// A verb in the past tense.
    Past,
    /// A past participle.
    Participle,
    Adjective,
    /// An adjective or noun between an article and a noun: "the use case".
    Attribute,
    /// "that" as in "that house".
    Determiner,
}

impl Tag {
    /// The dictionary's names for this tag, the most exact first.
    pub(super) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Unknown => &[],
            Self::Noun => &["NOUN"],
            Self::Verb => &["VERB"],
            Self::Past => &["VBD", "VERB"],
            Self::Participle => &["VBN", "ADJ", "VERB"],
            Self::Adjective => &["ADJ"],
            Self::Attribute => &["ADJ", "NOUN"],
            Self::Determiner => &["DT"],
        }
    }
}

const MODALS: &[&str] = &[
    "to",
    "will",
    "would",
    "can",
    "could",
    "shall",
    "should",
    "may",
    "might",
    "must",
    "do",
    "does",
    "did",
    "don't",
    "doesn't",
    "didn't",
    "won't",
    "wouldn't",
    "can't",
    "cannot",
    "couldn't",
    "shouldn't",
    "let's",
    "let",
    "i'll",
    "you'll",
    "we'll",
    "they'll",
    "he'll",
    "she'll",
    "it'll",
    "i'd",
    "you'd",
    "we'd",
    "they'd",
    "he'd",
    "she'd",
    "please",
    "help",
    "not",
];
const PLURAL_SUBJECTS: &[&str] = &["i", "you", "we", "they", "who", "people"];
const SINGULAR_SUBJECTS: &[&str] = &["he", "she", "it"];
const HAVE: &[&str] =
    &["have", "has", "had", "having", "i've", "you've", "we've", "they've", "haven't", "hasn't", "hadn't"];
const BE: &[&str] = &[
    "am", "is", "are", "was", "were", "be", "been", "being", "i'm", "you're", "we're", "they're", "he's",
    "she's", "it's", "that's", "isn't", "aren't", "wasn't", "weren't", "get", "gets", "got",
];
const DETERMINERS: &[&str] = &[
    "a", "an", "the", "this", "these", "those", "my", "your", "his", "her", "its", "our", "their", "no",
    "any", "some", "each", "every", "another", "what", "which", "whose", "all", "both", "one", "two",
    "three",
];
const PREPOSITIONS: &[&str] = &[
    "of", "in", "on", "at", "with", "for", "from", "by", "into", "about", "under", "over", "after", "before",
    "without", "through", "between", "against", "during", "per", "as",
];
const DEGREES: &[&str] =
    &["very", "so", "too", "more", "most", "really", "quite", "less", "pretty", "completely", "how"];
const PAST_CUES: &[&str] =
    &["yesterday", "ago", "last", "once", "was", "were", "had", "did", "said", "then", "earlier", "already"];

/// The part of speech of word `at` in `words`, which are lower case.
pub(super) fn tag(words: &[&str], at: usize) -> Tag {
    let word = words[at];
    let before = |back: usize| at.checked_sub(back).map_or("", |index| words[index]);
    let next = words.get(at + 1).copied().unwrap_or("");
    let (previous, earlier) = (before(1), before(2));
    let in_list = |list: &[&str], word: &str| list.contains(&word);
    match word {
        "read" | "reread" => return read_tense(words, at, previous, earlier),
        "used" if next == "to" => {
            // "is used to the noise", but "is used to make noise".
            let object = words.get(at + 2).is_some_and(|word| {
                in_list(DETERMINERS, word) || word.ends_with("ing") || in_list(&["it", "them", "that"], word)
            });
            return if object || !in_list(BE, previous) { Tag::Past } else { Tag::Participle };
        }
        "that" => return that_tag(previous, next),
        "live" if in_list(DETERMINERS, previous) || in_list(BE, previous) || previous == "go" => {
            return Tag::Adjective;
        }
        "lives" if !noun_follows(previous) => return Tag::Verb,
        "close" if in_list(DETERMINERS, previous) && is_content(next) => return Tag::Unknown,
        "wound" if in_list(HAVE, previous) || in_list(&["up", "around", "down"], next) => return Tag::Past,
        _ => {}
    }
    if in_list(HAVE, previous) {
        return Tag::Participle;
    }
    if in_list(MODALS, previous) || in_list(PLURAL_SUBJECTS, previous) {
        return Tag::Verb;
    }
    if in_list(MODALS, earlier) && previous.ends_with("ly") {
        return Tag::Verb;
    }
    if in_list(SINGULAR_SUBJECTS, previous) {
        return if word.ends_with("ed") { Tag::Past } else { Tag::Verb };
    }
    if in_list(BE, previous) || in_list(DEGREES, previous) {
        return Tag::Adjective;
    }
    if in_list(DETERMINERS, previous) {
        return if is_content(next) && noun_like(next) { Tag::Attribute } else { Tag::Noun };
    }
    if in_list(PREPOSITIONS, previous) || previous.ends_with("'s") {
        return Tag::Noun;
    }
    let opens_object = in_list(DETERMINERS, next) || in_list(&["it", "them", "him", "me", "us"], next);
    if opens_object && (previous.is_empty() || previous == "and" || plural_like(previous)) {
        return Tag::Verb;
    }
    let opens_object = plural_like(previous) && is_content(next) && !next.ends_with('s') && noun_like(next);
    if opens_object {
        return Tag::Verb;
    }
    let closes_phrase = !is_content(next) && !in_list(DETERMINERS, next);
    if in_list(DETERMINERS, earlier) && is_content(previous) && closes_phrase {
        return Tag::Noun;
    }
    Tag::Unknown
}

/// "read" sounds like "red" in the past; its spelling does not say when that is.
fn read_tense(words: &[&str], at: usize, previous: &str, earlier: &str) -> Tag {
    let has = |list: &[&str], word: &str| list.contains(&word);
    if has(HAVE, previous) || (has(HAVE, earlier) && !previous.is_empty() && previous != "to") {
        return Tag::Participle;
    }
    if has(BE, previous) {
        return Tag::Participle;
    }
    if has(MODALS, previous) || (has(MODALS, earlier) && !has(&["to"], earlier)) {
        return Tag::Verb;
    }
    // "He read" without an s, or a past anywhere in the sentence.
    let third_person = has(SINGULAR_SUBJECTS, previous);
    let past = words.iter().enumerate().any(|(index, word)| {
        index != at && (has(PAST_CUES, word) || (word.len() > 4 && word.ends_with("ed")))
    });
    if third_person || (past && !previous.is_empty()) { Tag::Past } else { Tag::Verb }
}

/// "that" is strong before its noun and alone, weak where it opens a clause.
fn that_tag(previous: &str, next: &str) -> Tag {
    let after_preposition = PREPOSITIONS.contains(&previous);
    let alone = next.is_empty() || BE.contains(&next) || MODALS.contains(&next);
    let opens_clause = PLURAL_SUBJECTS.contains(&next)
        || SINGULAR_SUBJECTS.contains(&next)
        || DETERMINERS.contains(&next)
        || next == "there";
    if (previous.is_empty() || after_preposition || alone) && !opens_clause {
        Tag::Determiner
    } else {
        Tag::Unknown
    }
}

/// Whether `word` asks for a noun after it.
fn noun_follows(word: &str) -> bool {
    DETERMINERS.contains(&word)
        || PREPOSITIONS.contains(&word)
        || ["saved", "lost", "human", "many", "daily", "private", "new", "better", "save"].contains(&word)
        || word.ends_with("'s")
}

fn is_content(word: &str) -> bool {
    !word.is_empty()
        && ![DETERMINERS, PREPOSITIONS, MODALS, BE, HAVE, PLURAL_SUBJECTS, SINGULAR_SUBJECTS]
            .iter()
            .any(|list| list.contains(&word))
        && !["and", "or", "but", "that", "if", "when", "than", "because", "not"].contains(&word)
}

fn noun_like(word: &str) -> bool {
    !(word.ends_with("ed") || word.ends_with("ing") || word.ends_with("ly"))
}

fn plural_like(word: &str) -> bool {
    word.len() > 3 && word.ends_with('s') && !word.ends_with("ss") && is_content(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The word in brackets is the one that is tagged.
    #[test]
    fn neighbours_decide_the_part_of_speech() {
        let sentences = [
            "they [object] to it",
            "the [object] fell",
            "a strange [object] in the sky",
            "we will [record] it",
            "a [record] player",
            "the [record] is new",
            "farmers [produce] the food",
            "plants [convert] sunlight",
            "he [read] the book",
            "i will [read] it",
            "i have [read] it",
            "yesterday i [read] it",
            "[read] the text aloud",
            "he [used] to swim",
            "he is [used] to it",
            "it is [used] to make bread",
            "she [used] a pen",
            "i know [that] he left",
            "[that] house is old",
            "a [live] show",
            "people [live] here",
            "he [lives] in town",
            "their [lives] changed",
            "the store is [close] to us",
            "a [close] friend",
            "please [close] the door",
            "it was a very [separate] thing",
            "they had [wound] it",
            "the [wound] healed",
            "the [use] case",
            "my brother's [house]",
            "[close]",
        ];
        let table: Vec<String> = sentences
            .iter()
            .map(|sentence| {
                let bare = sentence.replace(['[', ']'], "");
                let words: Vec<&str> = bare.split(' ').collect();
                let at = sentence.split(' ').position(|word| word.starts_with('[')).unwrap();
                format!("{:?} in {sentence}", tag(&words, at))
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
