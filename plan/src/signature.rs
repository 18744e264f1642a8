//! What a recording is looked up by.

use std::fmt;

use crate::plan::Recording;

/// What a request's recording is looked up by: what is present and what is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    /// The graph.
    pub graph: String,
    /// Names of the inputs that the request brings, sorted; those with a default are left out. A kind of media
    /// that an input brings is `input.kind`.
    pub inputs: Vec<String>,
    /// Inputs on whose value the recording depends, sorted, with that value as text.
    pub choices: Vec<(String, String)>,
    /// Names of the outputs that the request asks for, sorted.
    pub outputs: Vec<String>,
}

impl Recording {
    /// What this recording is looked up by.
    pub fn signature(&self) -> Signature {
        let brought = self.inputs.iter().filter(|input| input.default.is_none());
        let mut inputs: Vec<String> = brought.map(|input| input.name.clone()).collect();
        let mut choices = Vec::new();
        for input in &self.inputs {
            let kinds = input.media.iter().flat_map(|media| &media.kinds);
            inputs.extend(kinds.map(|kind| format!("{}.{}", input.name, kind.name())));
            choices.extend(input.is.as_ref().map(|value| (input.name.clone(), value.to_string())));
        }
        let mut outputs: Vec<String> = self.outputs.iter().map(|output| output.name.clone()).collect();
        inputs.sort();
        choices.sort();
        outputs.sort();
        Signature { graph: self.graph.clone(), inputs, choices, outputs }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen = self.choices.iter().map(|(name, value)| format!("{name}: {value}"));
        let inputs: Vec<String> = self.inputs.iter().cloned().chain(chosen).collect();
        write!(f, "{}({}) -> {}", self.graph, inputs.join(", "), self.outputs.join(" + "))
    }
}
