//! The nearest known name to one that is unknown.

/// ` did you mean 'NAME'?`, after a `;`, if one of `names` is near enough to be meant.
pub(super) fn hint<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    let allowed = name.chars().count().div_ceil(3).clamp(1, 3);
    let near = names.into_iter().map(|known| (distance(name, known), known));
    match near.filter(|(distance, _)| *distance <= allowed).min() {
        Some((_, known)) => format!("; did you mean '{known}'?"),
        None => String::new(),
    }
}

/// Single characters that must be added, left out or exchanged, or neighbours swapped (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, char) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, known) in other.iter().enumerate() {
            let exchanged = last[column] + usize::from(char != known);
            let mut best = exchanged.min(last[column + 1] + 1).min(next[column] + 1);
            if row > 0 && column > 0 && *char == other[column - 1] && one[row - 1] == *known {
                best = best.min(before[column - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut last, next);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn what_is_near_is_meant() {
        assert_eq!(hint("promt", ["photo", "prompt"]), "; did you mean 'prompt'?");
        assert_eq!(hint("porto", ["photo", "prompt"]), "; did you mean 'photo'?");
        assert_eq!(hint("voice", ["photo", "prompt"]), "");
    }
}
