//! What changed in the recordings: values, steps and hand-overs.

use std::collections::BTreeSet;

use super::facts::{Fact, changed, compared, fact};
use super::placement::Paired;
use super::steps::Names;
use super::{Change, Entry};
use crate::ids::ValueId;
use crate::plan::{Input, Plan, Program, Recording, Value};
use crate::signature::Signature;
use crate::types::Bytes;

/// Recordings that came, went or changed; those that changed alike are one entry.
pub(super) fn recordings(paired: &Paired<'_>) -> Vec<Entry> {
    let (before, after): (Vec<&Recording>, Vec<&Recording>) =
        (paired.before.recordings.iter().collect(), paired.after.recordings.iter().collect());
    let was = pairs(&before, &after);
    let mut entries: Vec<Entry> = Vec::new();
    for (recording, was) in after.iter().zip(&was) {
        let entry = match was {
            Some(was) => {
                let facts = recording_facts(paired, paired.after, recording);
                let details = compared(recording_facts(paired, paired.before, before[*was]), facts);
                changed(&title(recording), details)
            }
            None => Some(Entry { change: Change::Added, names: vec![title(recording)], details: Vec::new() }),
        };
        entries.extend(entry);
    }
    let kept: BTreeSet<usize> = was.into_iter().flatten().collect();
    let gone = before.iter().enumerate().filter(|(place, _)| !kept.contains(place));
    entries.extend(gone.map(|(_, recording)| Entry {
        change: Change::Removed,
        names: vec![title(recording)],
        details: Vec::new(),
    }));
    alike(entries)
}

/// The earlier recording of each later one: of the same route and signature, or of the same
/// signature alone.
fn pairs(before: &[&Recording], after: &[&Recording]) -> Vec<Option<usize>> {
    let [signatures, now] =
        [before, after].map(|all| all.iter().map(|one| one.signature()).collect::<Vec<Signature>>());
    let mut taken = vec![false; before.len()];
    let mut was = vec![None; after.len()];
    for needs_route in [true, false] {
        for later in 0..after.len() {
            let found = before.iter().enumerate().position(|(place, old)| {
                let same_route = !needs_route || old.route == after[later].route;
                !taken[place] && same_route && signatures[place] == now[later]
            });
            if let (None, Some(place)) = (was[later], found) {
                was[later] = Some(place);
                taken[place] = true;
            }
        }
    }
    was
}

/// `entries` with those that say the same of changed things put together, where the first is.
fn alike(entries: Vec<Entry>) -> Vec<Entry> {
    let mut together: Vec<Entry> = Vec::new();
    for entry in entries {
        let same = together.iter_mut().find(|other| {
            entry.change == Change::Changed && other.change == entry.change && other.details == entry.details
        });
        match same {
            Some(other) => other.names.extend(entry.names),
            None => together.push(entry),
        }
    }
    together
}

/// `talk = assistant(speech) -> reply + voice`.
fn title(recording: &Recording) -> String {
    format!("{} = {}", recording.route, recording.signature())
}

fn recording_facts(paired: &Paired<'_>, plan: &Plan, recording: &Recording) -> Vec<Fact> {
    let Recording { route, graph: _, inputs, outputs, values, programs } = recording;
    let name = |value: &ValueId| {
        recording.values.get(*value).map_or_else(|| value.to_string(), |value| value.name.replace('\n', " "))
    };
    let mut facts = vec![fact("route", route)];
    facts.extend(inputs.iter().map(|input| input_fact(input, &name)));
    facts.extend(outputs.iter().map(|output| fact(format!("output {}", output.name), name(&output.value))));
    // Where a value is in its arena follows from the steps and the bytes.
    for Value { name, ty, optional, bytes, offsets: _ } in values {
        let what = format!("value {}", name.replace('\n', " "));
        facts.push(fact(what, format!("{ty}{} in {}", if *optional { "?" } else { "" }, Bytes(*bytes))));
    }
    for Program { stage, steps } in programs {
        Names::new(paired, plan, *stage, &name).facts(steps, "", &mut facts);
    }
    facts
}

fn input_fact(input: &Input, value_name: &dyn Fn(&ValueId) -> String) -> Fact {
    let Input { name, value, default, is, media } = input;
    let mut says = value_name(value);
    for (word, literal) in [("or", default), ("is", is)] {
        if let Some(literal) = literal {
            says = format!("{says} {word} {literal}");
        }
    }
    if let Some(media) = media {
        let kinds: Vec<&str> = media.kinds.iter().map(|kind| kind.name()).collect();
        let values: Vec<String> = media.values().map(|value| value_name(&value)).collect();
        says = format!("{says}, media {} of {}", values.join(" and "), kinds.join(", "));
    }
    fact(format!("input {name}"), says)
}
