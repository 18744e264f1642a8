//! What a file declares, as an outline.

use corn_compiler::index::{Definition, Sort};
use corn_compiler::source::FileId;
use lsp_types::{DocumentSymbol, DocumentSymbolParams, DocumentSymbolResponse, SymbolKind};

use crate::hover;
use crate::server::{Refusal, not_open};
use crate::world::{Examined, World};

pub(crate) fn symbols(
    world: &mut World,
    params: &DocumentSymbolParams,
) -> Result<Option<DocumentSymbolResponse>, Refusal> {
    let key = World::key(&params.text_document.uri);
    if !world.open.contains_key(&key) {
        return Err(not_open(&key));
    }
    let Some(examined) = world.examined(&key, false) else { return Ok(None) };
    let here = examined.index().definitions.iter().filter(|it| it.span.file == FileId(0));
    let at_the_top = here.filter(|it| {
        matches!(it.sort, Sort::Component | Sort::Graph | Sort::Let | Sort::Route | Sort::Cluster)
    });
    let mut found: Vec<_> = at_the_top.map(|it| symbol(world, &examined, it)).collect();
    found.sort_by_key(|it| (it.range.start.line, it.range.start.character));
    Ok(Some(DocumentSymbolResponse::Nested(found)))
}

fn symbol(world: &World, examined: &Examined, definition: &Definition) -> DocumentSymbol {
    let range = |span: corn_compiler::source::Span| {
        examined.text(FileId(0)).range(span.start, span.end, world.encoding)
    };
    let index = examined.index();
    let parts = definition.parts.iter().map(|id| &index.definitions[*id]);
    let bound = index.definitions.iter().filter(|it| {
        let is_inside = definition.whole.start <= it.span.start && it.span.end <= definition.whole.end;
        it.sort == Sort::Local && it.span.file == FileId(0) && is_inside && definition.sort == Sort::Graph
    });
    // The only output of a graph has no name to go to.
    let named = parts.chain(bound).filter(|it| it.span.start < it.span.end);
    let children: Vec<_> = named.map(|it| symbol(world, examined, it)).collect();
    let detail = match definition.sort {
        Sort::Component | Sort::Graph | Sort::Route | Sort::Let => None,
        _ => definition.shown.as_ref().and_then(hover::ty),
    };
    #[allow(deprecated, reason = "the field must be filled")]
    DocumentSymbol {
        name: definition.name.clone(),
        detail,
        kind: kind(definition.sort),
        tags: None,
        deprecated: None,
        range: range(definition.whole),
        selection_range: range(definition.span),
        children: (!children.is_empty()).then_some(children),
    }
}

fn kind(sort: Sort) -> SymbolKind {
    match sort {
        Sort::Module => SymbolKind::MODULE,
        Sort::Component => SymbolKind::CLASS,
        Sort::Graph => SymbolKind::FUNCTION,
        Sort::Let => SymbolKind::OBJECT,
        Sort::Route => SymbolKind::EVENT,
        Sort::Cluster => SymbolKind::NAMESPACE,
        Sort::Node => SymbolKind::STRUCT,
        Sort::Parameter | Sort::Input | Sort::Local => SymbolKind::VARIABLE,
        Sort::InPort | Sort::OutPort | Sort::Output => SymbolKind::PROPERTY,
        Sort::Field => SymbolKind::FIELD,
    }
}
