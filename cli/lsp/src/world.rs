//! What the server knows of the files: those that are open, those on disk, the standard library;
//! and what the compiler says about each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use corn_compiler::index::{DefinitionId, Index};
use corn_compiler::source::{FileId, SourceFile, Sources, Span};
use corn_compiler::{Compilation, Emit, examine, syntax};
use lsp_types::{Location, Position, Uri};

use crate::text::{Encoding, Text};
use crate::{Settings, place};

/// Deepest folder below the workspace that is looked into, and most files that are.
const DEEPEST: usize = 8;
const MOST_FILES: usize = 2000;

/// A file that an editor has open.
#[derive(Debug)]
pub(crate) struct Document {
    /// As the editor writes it.
    pub(crate) uri: Uri,
    pub(crate) text: Text,
    pub(crate) version: i32,
    /// The files that its last compilation read.
    read: BTreeSet<String>,
    /// Whether what is wrong with it may have changed.
    pub(crate) is_stale: bool,
}

/// A file by its path, or an unsaved one by its address.
pub(crate) type Key = String;

/// Everything that answers are made from.
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) encoding: Encoding,
    /// Whether the editor knows places to fill in.
    pub(crate) takes_snippets: bool,
    /// The folders that the editor shows.
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) open: BTreeMap<Key, Document>,
    /// Since the last change of any text.
    examined: BTreeMap<Key, Rc<Examined>>,
    /// Texts that stand before all others while something is tried.
    supposed: BTreeMap<Key, String>,
}

/// A file, compiled.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) compilation: Compilation,
    /// Whether the passes after the analysis ran, too.
    is_whole: bool,
    /// The texts of `compilation.sources` with their lines.
    texts: Vec<Text>,
}

/// The texts of `use`: the standard library, and files beside the one that asks, where those that
/// are open stand before those on disk.
struct Files<'w> {
    world: &'w World,
    folder: Option<PathBuf>,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            encoding: Encoding::Utf16,
            takes_snippets: false,
            folders: Vec::new(),
            open: BTreeMap::new(),
            examined: BTreeMap::new(),
            supposed: BTreeMap::new(),
        }
    }

    pub(crate) fn key(uri: &Uri) -> Key {
        place::path(uri).map_or_else(|| uri.as_str().to_owned(), |path| path.display().to_string())
    }

    /// The address of a file: as the editor wrote it, if it is open.
    pub(crate) fn uri(&self, key: &str) -> Option<Uri> {
        match self.open.get(key) {
            Some(document) => Some(document.uri.clone()),
            None => place::uri(Path::new(key)),
        }
    }

    pub(crate) fn open(&mut self, uri: Uri, text: &str, version: i32) {
        let key = Self::key(&uri);
        let document =
            Document { uri, text: Text::new(text), version, read: BTreeSet::new(), is_stale: true };
        self.open.insert(key.clone(), document);
        self.touch(&key);
    }

    pub(crate) fn close(&mut self, key: &str) {
        self.open.remove(key);
        self.touch(key);
    }

    /// Something about `key` has changed: what read it is stale.
    pub(crate) fn touch(&mut self, key: &str) {
        self.examined.clear();
        for (other, document) in &mut self.open {
            document.is_stale |= other == key || document.read.contains(key);
        }
    }

    /// Files on disk have come, gone or changed.
    pub(crate) fn touch_all(&mut self) {
        self.examined.clear();
        self.open.values_mut().for_each(|document| document.is_stale = true);
    }

    /// The text of a file: from the editor, or else from disk.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.text_or_why(key).ok()
    }

    fn text_or_why(&self, key: &str) -> Result<String, String> {
        if let Some(text) = self.supposed.get(key) {
            return Ok(text.clone());
        }
        match self.open.get(key) {
            Some(document) => Ok(document.text.as_str().to_owned()),
            None => read(Path::new(key)),
        }
    }

    /// What the compiler says about a file; with its passes if `is_whole`.
    pub(crate) fn examined(&mut self, key: &str, is_whole: bool) -> Option<Rc<Examined>> {
        if let Some(known) = self.examined.get(key).filter(|known| known.is_whole || !is_whole) {
            return Some(Rc::clone(known));
        }
        let text = self.text(key)?;
        let made = Rc::new(self.examine(key, text, is_whole));
        if let Some(document) = self.open.get_mut(key) {
            document.read = made.keys().map(ToOwned::to_owned).collect();
            document.read.extend(made.missing());
        }
        self.examined.insert(key.to_owned(), Rc::clone(&made));
        Some(made)
    }

    /// What the compiler would say if the file had this text.
    pub(crate) fn examine(&self, key: &str, text: String, is_whole: bool) -> Examined {
        let files = Files { world: self, folder: folder(key) };
        let root = SourceFile { name: key.to_owned(), text };
        let last = if is_whole { Emit::Plan } else { Emit::Graph };
        let compilation = examine(last, root, &files, &self.settings.target, &self.settings.catalog);
        let files = (0..).map(FileId).take(compilation.sources.count());
        let texts = files.map(|id| Text::new(&compilation.sources.file(id).text)).collect();
        Examined { compilation, is_whole, texts }
    }

    /// Module paths that the file can `use`.
    pub(crate) fn modules(&self, key: &str) -> Vec<String> {
        let own = Path::new(key).file_stem().and_then(|stem| stem.to_str()).map(ToOwned::to_owned);
        let mut known = Files { world: self, folder: folder(key) }.known();
        known.retain(|module| Some(module) != own.as_ref());
        known
    }

    /// What module `path` declares, if there is such a module for the file.
    pub(crate) fn module(&self, key: &str, path: &[&str]) -> Option<Examined> {
        let file = Files { world: self, folder: folder(key) }.module(path).ok()?;
        Some(self.examine(&file.name, file.text, false))
    }

    /// Every `.corn` file of the workspace and every one that is open.
    pub(crate) fn everything(&self) -> BTreeSet<Key> {
        let mut found: BTreeSet<Key> = self.open.keys().cloned().collect();
        let mut folders: Vec<(PathBuf, usize)> =
            self.folders.iter().map(|folder| (folder.clone(), 0)).collect();
        // An editor that shows no folder still shows files that have files beside them.
        if folders.is_empty() {
            folders.extend(self.open.keys().filter_map(|key| Some((folder(key)?, DEEPEST))));
        }
        while let Some((folder, depth)) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                let is_hidden = name.to_str().is_none_or(|name| name.starts_with('.') || name == "target");
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder && !is_hidden && depth < DEEPEST {
                    folders.push((path, depth + 1));
                } else if path.extension().is_some_and(|it| it == "corn") && found.len() < MOST_FILES {
                    found.insert(place::plain(&path).display().to_string());
                }
            }
        }
        found
    }

    /// Where a module of the standard library is written: `models::whisper` to `models/whisper.corn`.
    fn library_file(&self, module: &str) -> PathBuf {
        let parts: PathBuf = module.split("::").collect();
        self.settings.library_folder.join(parts).with_extension("corn")
    }

    /// Whether the file is part of the standard library.
    pub(crate) fn is_library(&self, key: &str) -> bool {
        Path::new(key).starts_with(&self.settings.library_folder)
    }

    /// The place of `span`, for the editor. Texts of the standard library are written to a folder
    /// first, for it to open.
    pub(crate) fn location(&self, examined: &Examined, span: Span) -> Option<Location> {
        let key = examined.key(span.file);
        if self.is_library(key) {
            self.write_library(Path::new(key));
        }
        let range = examined.text(span.file).range(span.start, span.end, self.encoding);
        Some(Location { uri: self.uri(key)?, range })
    }

    /// Best effort: an editor that finds no file says so itself.
    fn write_library(&self, path: &Path) {
        let mut library = self.settings.library.iter();
        let Some((_, text)) = library.find(|(name, _)| self.library_file(name) == path) else { return };
        if fs::read_to_string(path).is_ok_and(|there| there == *text) {
            return;
        }
        let folder = path.parent().unwrap_or(&self.settings.library_folder);
        let written = fs::create_dir_all(folder)
            .and_then(|()| if path.exists() { fs::remove_file(path) } else { Ok(()) })
            .and_then(|()| fs::write(path, text));
        if written.is_ok()
            && let Ok(metadata) = fs::metadata(path)
        {
            let mut permissions = metadata.permissions();
            permissions.set_readonly(true);
            // It may stay writable: nothing is read from it.
            let _ = fs::set_permissions(path, permissions);
        }
    }
}

impl Examined {
    pub(crate) fn index(&self) -> &Index {
        self.compilation.index.as_ref().expect("`examine` makes an index")
    }

    pub(crate) fn text(&self, file: FileId) -> &Text {
        &self.texts[file.0 as usize]
    }

    pub(crate) fn key(&self, file: FileId) -> &str {
        &self.compilation.sources.file(file).name
    }

    /// The files that were read.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        (0..).map(FileId).take(self.texts.len()).map(|file| self.key(file))
    }

    /// The files that were asked for and not there: what is wrong changes when they come.
    fn missing(&self) -> Vec<Key> {
        let Some(folder) = folder(self.key(FileId(0))) else { return Vec::new() };
        let uses = self.compilation.ast.items.iter().filter_map(|item| match item {
            syntax::ast::Item::Use(used) => Some(used),
            _ => None,
        });
        let path = |used: &syntax::ast::Use| {
            let parts: PathBuf = used.module.iter().map(|name| name.text.as_str()).collect();
            folder.join(parts).with_extension("corn").display().to_string()
        };
        uses.map(path).collect()
    }

    /// What stands at `span`, as written.
    pub(crate) fn written(&self, span: Span) -> &str {
        self.text(span.file).as_str().get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// What is named at a position of the root file.
    pub(crate) fn named_at(&self, position: Position, encoding: Encoding) -> Option<(Span, DefinitionId)> {
        let offset = self.text(FileId(0)).offset(position, encoding) as u32;
        let found = self.index().at(FileId(0), offset)?;
        Some((found.span, found.definition))
    }
}

impl Sources for Files<'_> {
    fn module(&self, path: &[&str]) -> Result<SourceFile, String> {
        if let ["std", name @ ..] = path {
            let name = name.join("::");
            let found = self.world.settings.library.iter().find(|(module, _)| *module == name);
            let (name, text) = found.ok_or_else(|| format!("the standard library has no module '{name}'"))?;
            let file = self.world.library_file(name);
            return Ok(SourceFile { name: file.display().to_string(), text: (*text).to_owned() });
        }
        let Some(folder) = &self.folder else {
            return Err("this text is in no folder; save it to use files beside it".to_owned());
        };
        let file = folder.join(path.iter().collect::<PathBuf>()).with_extension("corn");
        let name = file.display().to_string();
        let why = |problem| format!("'{name}' cannot be read: {problem}");
        let text = self.world.text_or_why(&name).map_err(why)?;
        Ok(SourceFile { name, text })
    }

    fn known(&self) -> Vec<String> {
        let library = self.world.settings.library.iter();
        let mut known: Vec<String> = library.map(|(module, _)| format!("std::{module}")).collect();
        if let Some(folder) = &self.folder {
            let on_disk = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            let open = self.world.open.keys().map(PathBuf::from);
            let beside = on_disk.chain(open.filter(|path| path.parent() == Some(folder)));
            let modules = beside.filter(|path| path.extension().is_some_and(|it| it == "corn"));
            known.extend(modules.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())));
        }
        known.sort();
        known.dedup();
        known
    }
}

/// The folder of a file; `None` for a text that was never saved.
fn folder(key: &str) -> Option<PathBuf> {
    let path = Path::new(key);
    path.is_absolute().then(|| path.parent().map(Path::to_path_buf)).flatten()
}

fn read(file: &Path) -> Result<String, String> {
    let opened = fs::File::open(file).map_err(|error| error.to_string())?;
    if !opened.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    // One byte more than the compiler takes, for it to say so.
    let most = syntax::MAX_SOURCE_BYTES as u64 + 1;
    opened.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned())
}

impl Document {
    pub(crate) fn change(
        &mut self,
        changes: Vec<lsp_types::TextDocumentContentChangeEvent>,
        version: i32,
        encoding: Encoding,
    ) {
        let text = std::mem::replace(&mut self.text, Text::new(""));
        self.text = text.changed(changes, encoding);
        self.version = version;
    }
}

impl World {
    /// After a mistake in the middle of something: nothing that was tried stays.
    pub(crate) fn recover(&mut self) {
        self.supposed.clear();
        self.examined.clear();
    }

    /// Does something as if these files had these texts.
    pub(crate) fn with_texts<A>(
        &mut self,
        texts: &BTreeMap<Key, String>,
        done: impl FnOnce(&mut Self) -> A,
    ) -> A {
        let before = std::mem::take(&mut self.supposed);
        let examined = std::mem::take(&mut self.examined);
        self.supposed.clone_from(texts);
        let made = done(self);
        self.supposed = before;
        self.examined = examined;
        made
    }
}
