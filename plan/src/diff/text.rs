//! What changed, for a person: a line that sums up, then groups.

use std::fmt::{self, Display, Write};

use super::{Change, Detail, Diff, Entry, Section};

/// Most names of an entry that are written out.
const MOST_NAMES: usize = 3;

impl Diff {
    /// What changed in one line, such as `components: 1 added, 2 changed; recordings: 3 changed`.
    pub fn summary(&self) -> String {
        if self.is_empty() {
            return "no difference".to_owned();
        }
        self.sections.iter().map(summed).collect::<Vec<_>>().join("; ")
    }
}

fn summed(section: &Section) -> String {
    let count = |change| -> usize {
        section.entries.iter().filter(|entry| entry.change == change).map(|entry| entry.names.len()).sum()
    };
    let mut words = Vec::new();
    for change in [Change::Added, Change::Removed, Change::Changed] {
        match count(change) {
            0 => {}
            count => words.push(format!("{count} {}", change.word())),
        }
    }
    // There is one number of requests; that it changed is all there is to count.
    match section.entries.as_slice() {
        [Entry { details, .. }] if section.title == "requests in flight" => {
            let numbers: Vec<String> = details.iter().map(from_to).collect();
            format!("{}: {}", section.title, numbers.join(", "))
        }
        _ => format!("{}: {}", section.title, words.join(", ")),
    }
}

fn from_to(detail: &Detail) -> String {
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "none".to_owned());
    format!("{} -> {}", side(&detail.before), side(&detail.after))
}

impl Display for Diff {
    /// The groups; nothing if nothing changed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, section) in self.sections.iter().enumerate() {
            if place > 0 {
                f.write_char('\n')?;
            }
            writeln!(f, "{}", section.title)?;
            for entry in &section.entries {
                write_entry(f, entry)?;
            }
        }
        Ok(())
    }
}

fn write_entry(f: &mut fmt::Formatter<'_>, entry: &Entry) -> fmt::Result {
    let sign = match entry.change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Changed => '~',
    };
    for name in entry.names.iter().take(MOST_NAMES) {
        writeln!(f, "  {sign} {name}")?;
    }
    if entry.names.len() > MOST_NAMES {
        writeln!(f, "  {sign} and {} more, in the same way", entry.names.len() - MOST_NAMES)?;
    }
    for detail in &entry.details {
        // Of something new every fact is new.
        match (&detail.before, &detail.after) {
            (Some(before), Some(after)) => writeln!(f, "      {}: {before} -> {after}", detail.what)?,
            (None, Some(after)) if entry.change == Change::Added => {
                writeln!(f, "      {}", stated(&detail.what, after))?;
            }
            (None, Some(after)) => writeln!(f, "      + {}", stated(&detail.what, after))?,
            (Some(before), None) => writeln!(f, "      - {}", stated(&detail.what, before))?,
            (None, None) => {}
        }
    }
    Ok(())
}

/// A fact; one that says nothing more than that it is, by itself.
fn stated(what: &str, text: &str) -> String {
    if text.is_empty() { what.to_owned() } else { format!("{what}: {text}") }
}
