//! Another name for something, everywhere it is named.
//!
//! Whether the new name is free is found by trying: the texts with the new name are compiled, and
//! every name must stand for what it stood for before.

use std::collections::BTreeMap;

use corn_compiler::index::{DefinitionId, Sort, VOCABULARY};
use corn_compiler::syntax::is_reserved;
use lsp_server::ErrorCode;
use lsp_types::{PrepareRenameResponse, RenameParams, TextDocumentPositionParams, TextEdit, WorkspaceEdit};

use crate::navigate::{Place, named, places};
use crate::server::{Refusal, refusal};
use crate::text::Text;
use crate::world::{Examined, Key, World};

/// The name that would be changed.
pub(crate) fn prepare(
    world: &mut World,
    params: &TextDocumentPositionParams,
) -> Result<Option<PrepareRenameResponse>, Refusal> {
    let Some((examined, span, id)) = named(world, params)? else { return Ok(None) };
    may_be_renamed(world, &examined, id)?;
    let range = examined.text(span.file).range(span.start, span.end, world.encoding);
    let placeholder = examined.written(span).to_owned();
    Ok(Some(PrepareRenameResponse::RangeWithPlaceholder { range, placeholder }))
}

/// The changes to all files.
#[allow(clippy::mutable_key_type, reason = "the protocol's own type; its addresses do not change")]
pub(crate) fn rename(world: &mut World, params: &RenameParams) -> Result<Option<WorkspaceEdit>, Refusal> {
    let Some((examined, _, id)) = named(world, &params.text_document_position)? else {
        return Err(refused("there is no name here"));
    };
    may_be_renamed(world, &examined, id)?;
    let new = params.new_name.trim();
    is_a_name(new)?;
    let definition = &examined.index().definitions[id];
    if definition.name == new {
        return Ok(None);
    }
    let is_field = matches!(definition.sort, Sort::Output | Sort::Field);
    let mut edits: BTreeMap<Key, Vec<(Place, String)>> = BTreeMap::new();
    for place in places(world, &examined, id) {
        // `{ name }` stays short for two things, of which one keeps its name.
        let written = match (place.is_short, is_field) {
            (false, _) => new.to_owned(),
            (true, true) => format!("{new}: {}", definition.name),
            (true, false) => format!("{}: {new}", definition.name),
        };
        edits.entry(place.key.clone()).or_default().push((place, written));
    }
    if let Some(key) = edits.keys().find(|key| world.is_library(key)) {
        return Err(refused(&format!("'{key}' belongs to the standard library")));
    }
    let texts = edited(world, &edits);
    still_means_the_same(world, &texts, new)?;
    let mut changes = std::collections::HashMap::new();
    for (key, edits) in edits {
        let (Some(uri), Some(text)) = (world.uri(&key), world.text(&key)) else { continue };
        let text = Text::new(&text);
        let edits = edits.into_iter().map(|(place, new_text)| TextEdit {
            range: text.range(place.start, place.end, world.encoding),
            new_text,
        });
        changes.insert(uri, edits.collect());
    }
    Ok(Some(WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() }))
}

fn refused(message: &str) -> Refusal {
    refusal(ErrorCode::RequestFailed, message)
}

fn may_be_renamed(world: &World, examined: &Examined, id: DefinitionId) -> Result<(), Refusal> {
    let definition = &examined.index().definitions[id];
    let key = examined.key(definition.span.file);
    if world.is_library(key) {
        return Err(refused(&format!("`{}` belongs to the standard library", definition.name)));
    }
    if definition.sort == Sort::Module {
        return Err(refused("a module is named by its file; rename the file"));
    }
    if definition.span.start == definition.span.end {
        return Err(refused(&format!("`{}` is the name of an output that was given none", definition.name)));
    }
    Ok(())
}

fn is_a_name(new: &str) -> Result<(), Refusal> {
    let begins_well = new.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins_well || !new.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(refused(&format!(
            "`{new}` is no name: a name is ASCII letters, digits and `_`, no digit first"
        )));
    }
    if is_reserved(new) || VOCABULARY.functions.contains(&new) {
        return Err(refused(&format!("`{new}` is a word of the language")));
    }
    Ok(())
}

/// The texts with the new name in them.
fn edited(world: &World, edits: &BTreeMap<Key, Vec<(Place, String)>>) -> BTreeMap<Key, String> {
    let texts = edits.iter().filter_map(|(key, edits)| {
        let mut text = Text::new(&world.text(key)?).as_str().to_owned();
        for (place, new) in edits.iter().rev() {
            text.replace_range(place.start as usize..place.end as usize, new);
        }
        Some((key.clone(), text))
    });
    texts.collect()
}

/// Compiles every file that changes, with all changes made, and compares what names stand for.
fn still_means_the_same(world: &mut World, texts: &BTreeMap<Key, String>, new: &str) -> Result<(), Refusal> {
    let before: Vec<_> =
        texts.keys().filter_map(|key| Some((key.clone(), world.examined(key, false)?))).collect();
    let after = world.with_texts(texts, |world| {
        let made = before.iter().filter_map(|(key, _)| world.examined(key, false));
        made.collect::<Vec<_>>()
    });
    for ((_, before), after) in before.iter().zip(&after) {
        let errors = |it: &Examined| it.compilation.diagnostics.iter().filter(|it| it.is_error()).count();
        if errors(after) > errors(before) {
            let codes: Vec<_> = before.compilation.diagnostics.iter().map(|it| it.code).collect();
            let problems = &after.compilation.diagnostics;
            let problem = problems.iter().find(|it| !codes.contains(&it.code)).or(problems.first());
            let why = problem.map_or("it would break the program", |it| it.message.as_str());
            return Err(refused(&format!("`{new}` cannot be the name: {why}")));
        }
        if counts(before) != counts(after) {
            return Err(refused(&format!("`{new}` cannot be the name: something else here has it")));
        }
    }
    Ok(())
}

/// How often each definition is named.
fn counts(examined: &Examined) -> Vec<usize> {
    let index = examined.index();
    let mut counts = vec![0; index.definitions.len()];
    for reference in &index.references {
        counts[reference.definition.0 as usize] += 1;
    }
    counts
}
