//! What a request must bring for a value to exist.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{Kind, Literal};

use super::{Graph, NodeId, NodeKind, Presence};

/// What a request must bring: inputs that are present, and parameters with one of certain values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needs {
    /// Optional inputs that must be present.
    pub present: Presence,
    /// Inputs that must have one of these values: bit `i` is the `i`-th word of an enum; of a truth value bit 0 is
    /// `false` and bit 1 `true`.
    pub chosen: BTreeMap<u32, u64>,
}

/// Most words of an enum that decides: they are bits of a number.
pub const MOST_WORDS: usize = 64;

impl Needs {
    /// Only that these inputs are present.
    pub fn present(present: Presence) -> Self {
        Self { present, chosen: BTreeMap::new() }
    }

    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty() && self.chosen.is_empty()
    }

    /// Whether it holds wherever `known` does.
    pub fn is_met_by(&self, known: &Self) -> bool {
        let is_chosen =
            |(input, values): (&u32, &u64)| known.chosen.get(input).is_some_and(|known| known & !values == 0);
        self.present.is_subset(&known.present) && self.chosen.iter().all(is_chosen)
    }

    /// Whether it may still hold where no more than `known` is decided.
    pub fn may_be_met_by(&self, known: &Self) -> bool {
        let is_possible =
            |(input, values): (&u32, &u64)| known.chosen.get(input).is_none_or(|known| known & values != 0);
        self.present.is_subset(&known.present) && self.chosen.iter().all(is_possible)
    }

    /// Adds what `other` needs.
    pub fn extend(&mut self, other: &Self) {
        self.present.extend(&other.present);
        for (input, values) in &other.chosen {
            self.choose(*input, *values);
        }
    }

    /// Adds that `input` must have one of `values`.
    pub fn choose(&mut self, input: u32, values: u64) {
        *self.chosen.entry(input).or_insert(u64::MAX) &= values;
    }

    /// The inputs that must be present, or have certain values, and are not known to.
    pub fn beyond(&self, known: &Self) -> BTreeSet<u32> {
        let chosen = self
            .chosen
            .iter()
            .filter(|(input, values)| known.chosen.get(input).is_none_or(|known| known & !**values != 0));
        self.present.difference(&known.present).chain(chosen.map(|(input, _)| input)).copied().collect()
    }

    /// What it asks of parameters beyond what is `known`.
    #[must_use]
    pub fn choices_beyond(&self, known: &Self) -> Self {
        let beyond = self.beyond(known);
        let chosen = self.chosen.iter().filter(|(input, _)| beyond.contains(input));
        Self { present: Presence::new(), chosen: chosen.map(|(input, values)| (*input, *values)).collect() }
    }

    /// In words: `photo`, `mode: "fast"`.
    pub fn words(&self, graph: &Graph) -> Vec<String> {
        let name = |input: &u32| graph.inputs[*input as usize].name.as_str();
        let chosen = self.chosen.iter().map(|(input, values)| {
            let kind = &graph.values[graph.inputs[*input as usize].value].ty.kind;
            let values = literals(kind).into_iter().enumerate().filter(|(bit, _)| values >> bit & 1 == 1);
            let values: Vec<String> = values.map(|(_, value)| value.to_string()).collect();
            format!("{}: {}", name(input), values.join(" or "))
        });
        self.present.iter().map(|input| name(input).to_owned()).chain(chosen).collect()
    }
}

impl Graph {
    /// Whether the value of this input decides what exists, here or in a graph that is called.
    pub fn decides(&self, input: u32) -> bool {
        self.passed.chosen.contains_key(&input)
            || self.values.iter().any(|value| value.needs.chosen.contains_key(&input))
    }

    /// Whether it matters to what exists that this input is present, here or in a graph that is called.
    pub fn asks_for(&self, input: u32) -> bool {
        let is_its_own = |node: NodeId| matches!(self.nodes[node].kind, NodeKind::Input(of) if of == input);
        self.passed.present.contains(&input)
            || self.values.iter().any(|value| value.needs.present.contains(&input) && !is_its_own(value.node))
    }
}

/// The values that a parameter of `kind` can have, in the order of their bits; empty if it cannot decide.
pub fn literals(kind: &Kind) -> Vec<Literal> {
    match kind {
        Kind::Bool => vec![Literal::Bool(false), Literal::Bool(true)],
        Kind::Enum(words) => words.iter().map(|word| Literal::Text(word.clone())).collect(),
        _ => Vec::new(),
    }
}

/// The bit of `literal` among the values of `kind`.
pub fn bit(kind: &Kind, literal: &Literal) -> Option<u64> {
    let position = literals(kind).iter().position(|value| value == literal)?;
    (position < MOST_WORDS).then(|| 1 << position)
}
