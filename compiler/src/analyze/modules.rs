//! Loads every file that a program uses, each once, and refuses files that use each other in a
//! circle.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::semantic::{self, Candidate};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::order::{around, groups, is_cycle};
use crate::source::{FileId, SourceFile, SourceMap, Sources, Span};
use crate::syntax::{self, ast};

/// A parsed file.
#[derive(Debug)]
pub(crate) struct Module {
    /// `std::speech`; empty for the root.
    pub(crate) path: String,
    /// What it says.
    pub(crate) file: ast::File,
    /// The modules that its `use` items name, by item; those that do not exist are left out.
    pub(crate) uses: Vec<(usize, usize)>,
}

/// The root file and everything that it uses, directly or not; the root is first.
pub(crate) fn load(
    root: SourceFile,
    sources: &dyn Sources,
    map: &mut SourceMap,
    found: &mut Diagnostics,
) -> Vec<Module> {
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut modules = vec![parsed(String::new(), root, map, found)];
    let mut next = 0;
    while next < modules.len() {
        for item in 0..modules[next].file.items.len() {
            let ast::Item::Use(used) = &modules[next].file.items[item] else { continue };
            let path: Vec<&str> = used.module.iter().map(|name| name.text.as_str()).collect();
            let name = path.join("::");
            let number = if let Some(number) = numbers.get(&name) {
                *number
            } else {
                match sources.module(&path) {
                    Ok(file) => {
                        modules.push(parsed(name.clone(), file, map, found));
                        numbers.insert(name, modules.len() - 1);
                        modules.len() - 1
                    }
                    Err(why) => {
                        found.push(unknown(used, &name, &why, sources));
                        continue;
                    }
                }
            };
            modules[next].uses.push((item, number));
        }
        next += 1;
    }
    refuse_circles(&modules, found);
    modules
}

fn parsed(path: String, source: SourceFile, map: &mut SourceMap, found: &mut Diagnostics) -> Module {
    let id: FileId = map.add(source.name, source.text);
    let (file, problems) = syntax::parse(id, &map.file(id).text);
    found.extend(problems);
    Module { path, file, uses: Vec::new() }
}

fn unknown(used: &ast::Use, name: &str, why: &str, sources: &dyn Sources) -> Diagnostic {
    let known: Vec<Candidate> = sources.known().iter().map(|path| Candidate::named(path)).collect();
    semantic::names::unknown_module(module_span(used), name, why, &known)
}

fn module_span(used: &ast::Use) -> Span {
    let spans = used.module.iter().map(|name| name.span);
    spans.reduce(Span::to).unwrap_or(used.span)
}

fn refuse_circles(modules: &[Module], found: &mut Diagnostics) {
    let needs: Vec<BTreeSet<usize>> =
        modules.iter().map(|module| module.uses.iter().map(|(_, number)| *number).collect()).collect();
    for group in groups(&needs).into_iter().filter(|group| is_cycle(group, &needs)) {
        let path = around(&group, &needs);
        let steps = path.iter().enumerate().filter_map(|(place, module)| {
            let next = path[(place + 1) % path.len()];
            let (item, _) = modules[*module].uses.iter().find(|(_, number)| *number == next)?;
            match &modules[*module].file.items[*item] {
                ast::Item::Use(used) => Some((module_span(used), modules[next].path.clone())),
                _ => None,
            }
        });
        found.push(semantic::names::circle_of_modules(&steps.collect::<Vec<_>>()));
    }
}
