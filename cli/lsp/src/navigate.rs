//! From a name to its declaration, and from a declaration to every place that names it.

use std::collections::BTreeSet;

use corn_compiler::index::{DefinitionId, Sort};
use corn_compiler::source::{FileId, Span};
use lsp_types::{
    DocumentHighlight, DocumentHighlightKind, DocumentHighlightParams, GotoDefinitionParams,
    GotoDefinitionResponse, Location, ReferenceParams, TextDocumentPositionParams,
};

use crate::server::{Refusal, not_open};
use crate::world::{Examined, Key, World};

/// The declaration of what is named.
pub(crate) fn definition(
    world: &mut World,
    params: &GotoDefinitionParams,
) -> Result<Option<GotoDefinitionResponse>, Refusal> {
    let Some((examined, _, id)) = named(world, &params.text_document_position_params)? else {
        return Ok(None);
    };
    let span = examined.index().definitions[id].span;
    Ok(world.location(&examined, span).map(GotoDefinitionResponse::Scalar))
}

/// Every place that names the same.
pub(crate) fn references(
    world: &mut World,
    params: &ReferenceParams,
) -> Result<Option<Vec<Location>>, Refusal> {
    let Some((examined, _, id)) = named(world, &params.text_document_position)? else { return Ok(None) };
    let places = places(world, &examined, id);
    let with_declaration = params.context.include_declaration;
    let wanted = places.into_iter().filter(|place| with_declaration || !place.declares);
    let locations = wanted.filter_map(|place| {
        let text = crate::text::Text::new(&world.text(&place.key)?);
        let range = text.range(place.start, place.end, world.encoding);
        Some(Location { uri: world.uri(&place.key)?, range })
    });
    Ok(Some(locations.collect()))
}

/// The places of this file that name the same.
pub(crate) fn highlight(
    world: &mut World,
    params: &DocumentHighlightParams,
) -> Result<Option<Vec<DocumentHighlight>>, Refusal> {
    let Some((examined, _, id)) = named(world, &params.text_document_position_params)? else {
        return Ok(None);
    };
    let here = examined.index().named(id).filter(|it| it.span.file == FileId(0));
    let shown = here.map(|it| DocumentHighlight {
        range: examined.text(FileId(0)).range(it.span.start, it.span.end, world.encoding),
        kind: Some(DocumentHighlightKind::TEXT),
    });
    Ok(Some(shown.collect()))
}

/// What is named at a position, with the place of the name.
pub(crate) fn named(
    world: &mut World,
    at: &TextDocumentPositionParams,
) -> Result<Option<(std::rc::Rc<Examined>, Span, DefinitionId)>, Refusal> {
    let key = World::key(&at.text_document.uri);
    if !world.open.contains_key(&key) {
        return Err(not_open(&key));
    }
    let Some(examined) = world.examined(&key, false) else { return Ok(None) };
    let found = examined.named_at(at.position, world.encoding);
    Ok(found.map(|(span, id)| (examined, span, id)))
}

/// A place where something is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) key: Key,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Whether it is a field `{ name }` that is short for `{ name: name }`.
    pub(crate) is_short: bool,
    /// Whether it is the declaration.
    pub(crate) declares: bool,
}

/// Every place of the workspace that names definition `id` of `examined`, in order.
pub(crate) fn places(world: &mut World, examined: &Examined, id: DefinitionId) -> BTreeSet<Place> {
    let definition = &examined.index().definitions[id];
    let mut places = BTreeSet::new();
    gather(examined, definition.span, definition.sort, &mut places);
    // What is bound in a graph is seen nowhere else.
    if matches!(definition.sort, Sort::Local | Sort::Field) {
        return places;
    }
    let home = examined.key(definition.span.file).to_owned();
    for key in world.everything() {
        // A file that names it says its name.
        let is_candidate =
            key == home || world.text(&key).is_some_and(|text| text.contains(&definition.name));
        if !is_candidate {
            continue;
        }
        let Some(other) = world.examined(&key, false) else { continue };
        let Some(file) = (0..).map(FileId).zip(other.keys()).find(|(_, key)| *key == home) else { continue };
        gather(&other, Span { file: file.0, ..definition.span }, definition.sort, &mut places);
    }
    places
}

/// Adds the places of `examined` that name what is declared at `span`.
fn gather(examined: &Examined, span: Span, sort: Sort, places: &mut BTreeSet<Place>) {
    let index = examined.index();
    let same = index.definitions.enumerate().find(|(_, it)| it.span == span && it.sort == sort);
    let Some((id, _)) = same else { return };
    places.extend(index.named(id).map(|it| Place {
        key: examined.key(it.span.file).to_owned(),
        start: it.span.start,
        end: it.span.end,
        is_short: it.is_short,
        declares: it.span == span,
    }));
}
