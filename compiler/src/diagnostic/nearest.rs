//! The nearest known name to one that is unknown.
//!
//! Distance is the number of letters to insert, remove, change or swap with their neighbour
//! (restricted Damerau–Levenshtein), without regard to case.

/// The candidate that `name` was probably meant to be: at most a third of its letters differ.
/// Of equally near ones the one nearer in case is taken, then the first, so the answer depends only
/// on the order given.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = letters(name);
    let mut best: Option<((usize, usize), &str)> = None;
    let exactly = |text: &str| text.chars().take(LONGEST).collect::<Vec<char>>();
    for candidate in candidates {
        let given = letters(candidate);
        let allowed = (wanted.len().max(given.len()) / 3).max(1);
        // A name of one or two letters is near to every other such name: only its case may differ.
        let allowed = if wanted.len().min(given.len()) < 3 { 0 } else { allowed };
        if wanted.len().abs_diff(given.len()) > allowed {
            continue;
        }
        let apart = distance(&wanted, &given);
        let apart = (apart, if apart <= allowed { distance(&exactly(name), &exactly(candidate)) } else { 0 });
        if apart.0 <= allowed && best.is_none_or(|(least, _)| apart < least) {
            best = Some((apart, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Longest name that is compared; no sensible name is longer, and the work is quadratic.
const LONGEST: usize = 64;

fn letters(name: &str) -> Vec<char> {
    name.chars().take(LONGEST).flat_map(char::to_lowercase).collect()
}

fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, &y) in b.iter().enumerate() {
            let changed = last[j] + usize::from(x != y);
            row[j + 1] = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                row[j + 1] = row[j + 1].min(before_last[j - 1] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_recognised() {
        let words = ["use", "let", "component", "graph", "route"];
        assert_eq!(nearest("compnent", words), Some("component"));
        assert_eq!(nearest("grpah", words), Some("graph"));
        assert_eq!(nearest("Route", words), Some("route"));
        assert_eq!(nearest("lte", words), Some("let"));
        assert_eq!(nearest("cluster", words), None);
        assert_eq!(nearest("", words), None);
    }

    #[test]
    fn short_names_are_not_taken_for_each_other() {
        assert_eq!(nearest("x", ["y", "z"]), None);
        assert_eq!(nearest("X", ["y", "x"]), Some("x"));
    }

    #[test]
    fn the_nearest_wins_and_the_first_of_equals() {
        assert_eq!(nearest("speach", ["speaker", "speech", "peach"]), Some("speech"));
        assert_eq!(nearest("vois", ["voix", "voit"]), Some("voix"));
        assert_eq!(nearest("vison", ["Vision", "vision"]), Some("vision"));
    }
}
