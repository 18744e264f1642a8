//! What may come next at a position.
//!
//! The tokens before the position say what is wanted (`context`). What there is to offer is asked of
//! the compiler, of a text with a name put in at the position, so that `thought.` or `f(a, ` are whole
//! again.

mod context;
mod words;

use corn_compiler::index::{Definition, DefinitionId, Index, Shown, Sort, VOCABULARY};
use corn_compiler::source::FileId;
use corn_compiler::syntax::{LexemeKind, is_reserved, lexemes};
use corn_plan::{Dtype, Form, Kind, Type};
use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionParams, CompletionResponse, CompletionTextEdit,
    Documentation, InsertTextFormat, MarkupContent, MarkupKind, Range, TextEdit,
};

use self::context::{Context, Cursor};
use crate::hover;
use crate::server::{Refusal, not_open};
use crate::world::{Examined, Key, World};

/// Stands where the name that is being typed will.
const PLACEHOLDER: &str = "corn_here";

/// What may come next.
pub(crate) fn complete(
    world: &mut World,
    params: &CompletionParams,
) -> Result<Option<CompletionResponse>, Refusal> {
    let at = &params.text_document_position;
    let key = World::key(&at.text_document.uri);
    let Some(document) = world.open.get(&key) else { return Err(not_open(&key)) };
    let text = &document.text;
    let offset = text.offset(at.position, world.encoding);
    let Some(cursor) = Cursor::new(text.as_str(), offset) else { return Ok(None) };
    let context = cursor.context();
    if context == Context::Nothing {
        return Ok(None);
    }
    let mut whole = text.as_str().to_owned();
    whole.replace_range(cursor.start..offset, PLACEHOLDER);
    let examined = world.examine(&key, whole, false);
    let range = text.range(cursor.start as u32, offset as u32, world.encoding);
    let mut offer = Offer { world, key, examined, cursor, range, items: Vec::new() };
    offer.fill(context);
    let items = offer.items;
    Ok(Some(CompletionResponse::Array(items)))
}

/// What is offered at a position.
struct Offer<'o> {
    world: &'o World,
    key: Key,
    /// The text with the placeholder.
    examined: Examined,
    cursor: Cursor<'o>,
    range: Range,
    items: Vec<CompletionItem>,
}

impl Offer<'_> {
    fn fill(&mut self, context: Context) {
        // In quotes only what is said in quotes.
        if self.cursor.is_quoted && !matches!(context, Context::Entry { .. } | Context::Named { .. }) {
            return;
        }
        match context {
            Context::Nothing => {}
            Context::Item => self.snippets(words::ITEMS),
            Context::Path { path } => self.path(&path),
            Context::Taken { path, given } => self.taken(&path, &given),
            Context::Field { base } => self.fields(base),
            Context::Type => self.types(VOCABULARY.types),
            Context::ParameterType => self.types(VOCABULARY.parameter_types),
            Context::ItemType => {
                let items = VOCABULARY.types.iter().filter(|word| !matches!(**word, "stream" | "list"));
                self.plain(items.copied(), CompletionItemKind::CLASS, "");
            }
            Context::Dtype => {
                self.plain(Dtype::ALL.map(Dtype::name), CompletionItemKind::CLASS, "elements of a tensor");
            }
            Context::Clause => self.snippets(words::CLAUSES),
            Context::Executor => self.executors(),
            Context::Entry { executor } => self.entries(&executor),
            Context::Resource => {
                self.plain(VOCABULARY.resources.iter().copied(), CompletionItemKind::PROPERTY, "");
            }
            Context::Cluster => self.visible(|it| it.sort == Sort::Cluster),
            Context::Instance => self.visible(|it| it.made_of.is_some()),
            Context::RouteGraph => self.visible(|it| it.sort == Sort::Graph),
            Context::RouteInput { graph, given } => self.parts(graph, &[Sort::Input], &given, 0, ""),
            Context::RouteOutput { graph, given } => self.parts(graph, &[Sort::Output], &given, 0, ""),
            Context::Argument { callee, given, before } => {
                self.arguments(callee, &given, before);
                self.values();
            }
            Context::Named { callee, name } => {
                self.words_of(callee, &name);
                if !self.cursor.is_quoted {
                    self.values();
                }
            }
            Context::Amount => {
                self.locals(|it| it.sort == Sort::Parameter);
                self.visible(|it| it.sort == Sort::Let && it.made_of.is_none());
            }
            Context::Value => self.values(),
            Context::Statement => {
                self.values();
                self.snippets(words::STATEMENTS);
            }
            Context::Present => self.locals(is_optional),
            Context::RecordField => {
                self.outputs();
                self.locals(|_| true);
            }
        }
    }

    fn index(&self) -> &Index {
        self.examined.index()
    }

    /// Adds what replaces the word at the position by `new`; a snippet has places to fill in.
    fn push(&mut self, label: &str, new: &str, kind: CompletionItemKind, detail: String, docs: String) {
        if label == PLACEHOLDER || self.items.iter().any(|it| it.label == label) {
            return;
        }
        let is_snippet = new.contains('$');
        let is_taken = is_snippet && self.world.takes_snippets;
        let new = if is_snippet && !is_taken { label } else { new };
        let docs = MarkupContent { kind: MarkupKind::Markdown, value: docs };
        let format = if is_taken { InsertTextFormat::SNIPPET } else { InsertTextFormat::PLAIN_TEXT };
        self.items.push(CompletionItem {
            label: label.to_owned(),
            kind: Some(kind),
            detail: Some(detail).filter(|detail| !detail.is_empty()),
            documentation: (!docs.value.is_empty()).then_some(Documentation::MarkupContent(docs)),
            // In the order of the offer, which says what is most likely.
            sort_text: Some(format!("{:04}", self.items.len())),
            filter_text: Some(label.trim_end_matches(':').to_owned()),
            insert_text_format: Some(format),
            text_edit: Some(CompletionTextEdit::Edit(TextEdit {
                range: self.range,
                new_text: new.to_owned(),
            })),
            ..CompletionItem::default()
        });
    }

    fn plain<'w>(
        &mut self,
        words: impl IntoIterator<Item = &'w str>,
        kind: CompletionItemKind,
        detail: &str,
    ) {
        for word in words {
            self.push(word, word, kind, detail.to_owned(), String::new());
        }
    }

    fn snippets<'w>(&mut self, all: impl IntoIterator<Item = &'w (&'w str, &'w str, &'w str)>) {
        for (label, new, about) in all {
            self.push(label, new, CompletionItemKind::KEYWORD, (*about).to_owned(), String::new());
        }
    }

    fn definition(&mut self, id: DefinitionId, after: &str) {
        let definition = &self.index().definitions[id];
        let name = definition.name.clone();
        let detail = match &definition.shown {
            Some(shown @ (Shown::Value { .. } | Shown::Record(_))) => hover::ty(shown).unwrap_or_default(),
            _ => match definition.sort {
                Sort::Parameter | Sort::Graph | Sort::Input | Sort::Output => {
                    hover::signature(&self.examined, id)
                }
                _ => definition
                    .made_of
                    .map_or_else(String::new, |of| self.index().definitions[of].name.clone()),
            },
        };
        let (docs, kind) = (hover::about(&self.examined, id), kind(definition));
        let label = format!("{name}{}", after.trim_end());
        self.push(&label, &format!("{name}{after}"), kind, detail, docs);
    }

    /// Parts of what stands at byte `callee`, without the first `skipped` and those `given`.
    fn parts(&mut self, callee: u32, sorts: &[Sort], given: &[String], skipped: usize, after: &str) {
        let Some(of) = self.called(callee) else { return };
        let parts: Vec<_> = self.index().parts(of, sorts).skip(skipped).collect();
        let left = parts.into_iter().filter(|(_, part)| !given.contains(&part.name)).map(|(id, _)| id);
        for id in left.collect::<Vec<_>>() {
            self.definition(id, after);
        }
    }

    /// What is named at byte `callee` and has the parts: a graph, or the declaration of a component.
    fn called(&self, callee: u32) -> Option<DefinitionId> {
        let named = self.index().at(FileId(0), callee).map(|it| it.definition);
        let id = named.or_else(|| self.seen(self.cursor.word_at(callee)))?;
        Some(self.index().definitions[id].made_of.unwrap_or(id))
    }

    /// What `name` stands for at the position, for want of a tree.
    fn seen(&self, name: &str) -> Option<DefinitionId> {
        let here = self.cursor.start as u32;
        let mut definitions = self.index().definitions.enumerate();
        let local = definitions.rfind(|(_, it)| it.name == name && self.is_seen(it, here));
        let visible = || self.index().visible.first()?.get(name).copied();
        local.map(|(id, _)| id).or_else(visible)
    }

    /// Whether it is bound around byte `here`.
    fn is_seen(&self, definition: &Definition, here: u32) -> bool {
        let scope = definition.scope.or_else(|| {
            // Parameters of a component are seen in its clauses.
            let of = definition.of.filter(|_| definition.sort == Sort::Parameter)?;
            Some(self.index().definitions[of].whole)
        });
        scope.is_some_and(|scope| scope.file == FileId(0) && scope.start <= here && here <= scope.end)
    }

    fn arguments(&mut self, callee: u32, given: &[String], before: usize) {
        let written = self.cursor.word_at(callee);
        if let Some((_, params)) = words::CALLS.iter().find(|(name, _)| *name == written) {
            for (param, about) in
                params.iter().skip(before).filter(|(it, _)| !given.iter().any(|name| name == it))
            {
                let new = format!("{param}: ");
                self.push(
                    &format!("{param}:"),
                    &new,
                    CompletionItemKind::FIELD,
                    (*about).to_owned(),
                    String::new(),
                );
            }
            return;
        }
        self.parts(callee, self.parameters(callee), given, before, ": ");
    }

    /// The sorts of what a call of this takes.
    fn parameters(&self, callee: u32) -> &'static [Sort] {
        let named = self.index().at(FileId(0), callee).map(|it| it.definition);
        let id = named.or_else(|| self.seen(self.cursor.word_at(callee)));
        let is_made = id.is_some_and(|id| self.index().definitions[id].made_of.is_some());
        if is_made { &[Sort::InPort] } else { &[Sort::Parameter, Sort::Input] }
    }

    /// The words that argument `name` takes.
    fn words_of(&mut self, callee: u32, name: &str) {
        let Some(of) = self.called(callee) else { return };
        let mut parts = self.index().parts(of, self.parameters(callee));
        let Some((_, part)) = parts.find(|(_, part)| part.name == name) else { return };
        let written = self.examined.written(part.whole).to_owned();
        drop(parts);
        let is_text = |kind| kind == LexemeKind::Text;
        let texts = lexemes(&written).into_iter().filter(|it| is_text(it.kind) && written.contains("enum"));
        for text in texts {
            let text = &written[text.start as usize..text.end as usize];
            let new = if self.cursor.is_quoted { text.trim_matches('"') } else { text };
            self.push(new, new, CompletionItemKind::ENUM_MEMBER, String::new(), String::new());
        }
        if written.contains("bool") {
            self.plain(["true", "false"], CompletionItemKind::KEYWORD, "");
        }
    }

    fn path(&mut self, path: &[String]) {
        let modules = self.world.modules(&self.key);
        let begin: String = path.iter().flat_map(|part| [part.as_str(), "::"]).collect();
        let rest = modules.iter().filter_map(|module| module.strip_prefix(&begin));
        for part in rest.map(|rest| rest.split("::").next().unwrap_or(rest).to_owned()) {
            self.push(&part, &part, CompletionItemKind::MODULE, String::new(), String::new());
        }
        if !path.is_empty() {
            self.taken(path, &[]);
        }
    }

    /// What the module at `path` declares.
    fn taken(&mut self, path: &[String], given: &[String]) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let Some(module) = self.world.module(&self.key, &path) else { return };
        let Some(visible) = module.index().visible.first() else { return };
        for (name, id) in visible.iter().filter(|(name, _)| !given.contains(name)) {
            let definition = &module.index().definitions[*id];
            // What it takes from others cannot be taken from it.
            if definition.span.file == FileId(0) {
                self.push(name, name, kind(definition), String::new(), hover::about(&module, *id));
            }
        }
    }

    fn types(&mut self, types: &[&str]) {
        for word in types {
            let (new, about) = words::TYPES
                .iter()
                .find(|(known, ..)| known == word)
                .map_or((*word, ""), |(_, new, about)| (*new, *about));
            self.push(word, new, CompletionItemKind::CLASS, about.to_owned(), String::new());
        }
    }

    fn executors(&mut self) {
        let mut names: Vec<&str> = self.world.settings.catalog.entries.iter().map(|it| it.executor).collect();
        names.sort_unstable();
        names.dedup();
        self.plain(names, CompletionItemKind::MODULE, "");
    }

    fn entries(&mut self, executor: &str) {
        for entry in self.world.settings.catalog.entries.iter().filter(|it| it.executor == executor) {
            let about = entry.about.to_owned();
            self.push(entry.name, entry.name, CompletionItemKind::FUNCTION, about, String::new());
        }
    }

    fn visible(&mut self, fits: impl Fn(&Definition) -> bool) {
        let Some(visible) = self.index().visible.first() else { return };
        let here = self.cursor.start as u32;
        // Nothing is made of itself.
        let is_around =
            |it: &Definition| it.whole.file == FileId(0) && it.whole.start <= here && here <= it.whole.end;
        let fits = |id: &DefinitionId| {
            let definition = &self.index().definitions[*id];
            fits(definition) && !is_around(definition)
        };
        let ids: Vec<_> = visible.values().copied().filter(fits).collect();
        for id in ids {
            self.definition(id, "");
        }
    }

    /// Names bound around the position.
    fn locals(&mut self, fits: impl Fn(&Definition) -> bool) {
        let here = self.cursor.start as u32;
        let definitions = self.index().definitions.enumerate();
        let bound = definitions.filter(|(_, it)| self.is_seen(it, here) && fits(it));
        let mut ids: Vec<_> = bound.map(|(id, _)| id).collect();
        // The last that was bound is the most likely.
        ids.reverse();
        for id in ids {
            self.definition(id, "");
        }
    }

    fn values(&mut self) {
        self.locals(|_| true);
        for name in self.cursor.bound() {
            self.push(name, name, CompletionItemKind::VARIABLE, String::new(), String::new());
        }
        self.visible(|it| it.sort != Sort::Cluster);
        // Only what this compiler knows.
        let known = |word: &str| VOCABULARY.functions.contains(&word) || is_reserved(word);
        let functions = words::FUNCTIONS.iter().filter(|(word, ..)| known(word));
        self.snippets(functions);
    }

    /// The outputs that the graph around the position promises, as fields.
    fn outputs(&mut self) {
        let here = self.cursor.start as u32;
        let around = self.index().definitions.enumerate().find(|(_, it)| {
            let whole = it.whole;
            it.sort == Sort::Graph && whole.file == FileId(0) && whole.start <= here && here <= whole.end
        });
        let Some((graph, _)) = around else { return };
        let outputs: Vec<_> = self.index().parts(graph, &[Sort::Output]).map(|(id, _)| id).collect();
        for id in outputs {
            self.definition(id, ": ");
        }
    }

    /// What the names with dots that end at byte `end` stand for, for want of a tree.
    fn dotted(&self, end: u32) -> Option<DefinitionId> {
        let names = self.cursor.dotted(end);
        let (first, rest) = names.split_first()?;
        rest.iter().try_fold(self.seen(first)?, |id, name| {
            let mut fields = self.index().definitions[id].fields.iter().copied();
            fields.find(|field| self.index().definitions[*field].name == *name)
        })
    }

    /// What stands after the dot behind a value that ends at byte `base`.
    fn fields(&mut self, base: u32) {
        let named = base.checked_sub(1).and_then(|at| self.index().at(FileId(0), at));
        let named = named.map(|it| it.definition).or_else(|| self.dotted(base));
        let definition = named.map(|id| &self.index().definitions[id]);
        let fields = definition.map(|it| it.fields.clone()).unwrap_or_default();
        let worth = self.index().worth_before(FileId(0), base);
        let worth = worth.or_else(|| definition.and_then(|it| it.shown.as_ref())).cloned();
        if let Some(Shown::Record(parts)) = &worth {
            for (name, shown) in parts {
                let detail = hover::ty(shown).unwrap_or_default();
                self.push(name, name, CompletionItemKind::FIELD, detail, String::new());
            }
        }
        for id in fields {
            self.definition(id, "");
        }
        if let Some(Shown::Value { ty, .. }) = &worth {
            let fits = words::ADAPTORS.iter().filter(|(name, ..)| takes(name, ty));
            for (name, new, about) in fits {
                self.push(name, new, CompletionItemKind::METHOD, (*about).to_owned(), String::new());
            }
        }
    }
}

/// Whether an adaptor can be called on a value of this type.
fn takes(adaptor: &str, ty: &Type) -> bool {
    let is_stream = matches!(ty.form, Form::Stream { .. });
    match adaptor {
        "sentences" => matches!(ty.kind, Kind::Text { .. }) && !matches!(ty.form, Form::List { .. }),
        _ => is_stream,
    }
}

fn is_optional(definition: &Definition) -> bool {
    matches!(&definition.shown, Some(Shown::Value { when, .. }) if !when.is_empty())
}

fn kind(definition: &Definition) -> CompletionItemKind {
    match definition.sort {
        Sort::Module | Sort::Cluster | Sort::Node => CompletionItemKind::MODULE,
        Sort::Component => CompletionItemKind::CLASS,
        Sort::Graph | Sort::Route => CompletionItemKind::FUNCTION,
        Sort::Let | Sort::Local if definition.made_of.is_some() => CompletionItemKind::FUNCTION,
        Sort::Let => CompletionItemKind::CONSTANT,
        Sort::Local | Sort::Input => CompletionItemKind::VARIABLE,
        Sort::Parameter | Sort::InPort | Sort::OutPort | Sort::Output | Sort::Field => {
            CompletionItemKind::FIELD
        }
    }
}
