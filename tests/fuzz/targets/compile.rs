//! Any text is parsed, printed and compiled: there is a plan or an error, never both or neither; a
//! printed tree is read back; what was compiled prints at every stage and is the same a second time.
#![no_main]

use corn_compiler::source::{FileId, SourceFile, Sources};
use corn_compiler::{Compilation, Drawing, Emit, Target, compile, syntax};
use corn_fuzz::{Modules, catalog};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (tree, problems) = syntax::parse(FileId(0), text);
    if problems.is_empty() {
        let printed = syntax::print(&tree);
        let (again, problems) = syntax::parse(FileId(0), &printed);
        assert!(problems.is_empty(), "a printed tree has no problems:\n{printed}");
        assert_eq!(syntax::print(&again), printed, "printing is stable");
    }
    let made = compiled(text);
    assert_eq!(made.plan.is_some(), !made.has_errors(), "a plan or an error:\n{}", made.render(false));
    made.render(true);
    let stages = [Emit::Ast, Emit::Graph, Emit::Specialized, Emit::Placed, Emit::Plan];
    let texts: Vec<Option<String>> = stages.iter().map(|stage| made.emit(*stage)).collect();
    for drawing in [Drawing::Text, Drawing::Mermaid, Drawing::Dot, Drawing::Svg] {
        made.drawings(drawing);
    }
    if made.plan.is_some() {
        let again = compiled(text);
        assert!(stages.iter().zip(&texts).all(|(stage, text)| again.emit(*stage) == *text), "the same again");
    }
});

fn compiled(text: &str) -> Compilation {
    let root = SourceFile { name: "fuzz.corn".to_owned(), text: text.to_owned() };
    let target = Target { workers: 2, cpus: 4, memory_bytes: 64 << 30, inflight: 2, ..Target::default() };
    compile(root, &Modules as &dyn Sources, &target, &catalog())
}
