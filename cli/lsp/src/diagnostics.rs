//! What is wrong, as the editor shows it: each problem at its place, in whichever file that is.

use std::collections::{BTreeMap, BTreeSet};

use corn_compiler::diagnostic::{Diagnostic, Label, Severity};
use corn_compiler::source::{FileId, Span};
use lsp_types::{
    DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, NumberOrString,
    PublishDiagnosticsParams, Range,
};

use crate::world::{Examined, Key, World};

/// What was found in each file, by the open file that was compiled.
#[derive(Default)]
pub(crate) struct Published {
    found: BTreeMap<Key, BTreeMap<Key, Vec<lsp_types::Diagnostic>>>,
}

impl Published {
    /// Compiles the open file `key`: what is to be published now.
    pub(crate) fn update(&mut self, world: &mut World, key: &str) -> Vec<PublishDiagnosticsParams> {
        let Some(examined) = world.examined(key, true) else { return Vec::new() };
        let mut found: BTreeMap<Key, Vec<lsp_types::Diagnostic>> = BTreeMap::new();
        for problem in &examined.compilation.diagnostics {
            let start = Span { file: FileId(0), start: 0, end: 0 };
            let place = problem.place().unwrap_or(start);
            let shown = shown(problem, place, &examined, world);
            found.entry(examined.key(place.file).to_owned()).or_default().push(shown);
        }
        found.entry(key.to_owned()).or_default();
        let before = self.found.insert(key.to_owned(), found).unwrap_or_default();
        let now = self.found.get(key).into_iter().flat_map(BTreeMap::keys);
        let files: BTreeSet<Key> = before.into_keys().chain(now.cloned()).collect();
        files.iter().filter_map(|file| self.of_file(world, file)).collect()
    }

    /// Forgets what was found for `key`, which is closed.
    pub(crate) fn forget(&mut self, world: &World, key: &str) -> Vec<PublishDiagnosticsParams> {
        let before = self.found.remove(key).unwrap_or_default();
        before.keys().filter_map(|file| self.of_file(world, file)).collect()
    }

    /// What all that use `file` have found in it, each once.
    fn of_file(&self, world: &World, file: &str) -> Option<PublishDiagnosticsParams> {
        let mut diagnostics: Vec<lsp_types::Diagnostic> = Vec::new();
        for problem in self.found.values().filter_map(|found| found.get(file)).flatten() {
            if !diagnostics.contains(problem) {
                diagnostics.push(problem.clone());
            }
        }
        let version = world.open.get(file).map(|document| document.version);
        Some(PublishDiagnosticsParams { uri: world.uri(file)?, diagnostics, version })
    }
}

fn shown(problem: &Diagnostic, place: Span, examined: &Examined, world: &World) -> lsp_types::Diagnostic {
    let range =
        |span: Span| -> Range { examined.text(span.file).range(span.start, span.end, world.encoding) };
    let primary = problem.labels.iter().find(|label| label.span == place);
    let related = problem.labels.iter().filter(|label| Some(*label) != primary);
    let related = related.filter_map(|Label { span, text, .. }| {
        let location = world.location(examined, *span)?;
        Some(DiagnosticRelatedInformation { location, message: text.clone() })
    });
    let related: Vec<_> = related.collect();
    let mut message = problem.message.clone();
    let notes = problem.notes.iter().map(|note| ("note: ", note));
    let label = primary.map(|label| ("", &label.text)).filter(|(_, text)| !text.is_empty());
    for (word, text) in label.into_iter().chain(notes).chain(problem.hint.iter().map(|hint| ("help: ", hint)))
    {
        message.push('\n');
        message.push_str(word);
        message.push_str(text);
    }
    let is_about_unused = problem.code.as_str().starts_with("W01");
    lsp_types::Diagnostic {
        range: range(place),
        severity: Some(match problem.severity {
            Severity::Error => DiagnosticSeverity::ERROR,
            Severity::Warning => DiagnosticSeverity::WARNING,
        }),
        code: Some(NumberOrString::String(problem.code.as_str().to_owned())),
        source: Some("corn".to_owned()),
        message,
        related_information: (!related.is_empty()).then_some(related),
        tags: is_about_unused.then(|| vec![DiagnosticTag::UNNECESSARY]),
        ..lsp_types::Diagnostic::default()
    }
}
