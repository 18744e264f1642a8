//! Every file in `cases/syntax`: its tree as canonical text and what is said about it.

use std::fs;
use std::path::{Path, PathBuf};

use corn_compiler::diagnostic::render;
use corn_compiler::source::{FileId, SourceMap};
use corn_compiler::syntax::{parse, print};

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/syntax");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "corn"));
    paths.sort();
    assert!(paths.len() > 10, "the cases are not where they should be");
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap();
        insta::with_settings!({ snapshot_path => &folder, prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, described(&path));
        });
    }
}

/// The programs that come with Corn say nothing that the parser objects to, and are printed and read back.
#[test]
fn programs_that_come_with_it() {
    for folder in ["../stdlib", "../stdlib/models", "../dsl-examples"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "corn") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let (tree, problems) = parse(FileId(0), &text);
            assert_eq!(problems, [], "{}", path.display());
            let (again, problems) = parse(FileId(0), &print(&tree));
            assert_eq!((print(&again), problems), (print(&tree), vec![]), "{}", path.display());
        }
    }
}

fn described(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).expect("a case has a plain name");
    let bytes = fs::read(path).expect("a case can be read");
    let mut sources = SourceMap::default();
    let file = sources.add(name, String::from_utf8_lossy(&bytes));
    let (tree, problems) = parse(file, &sources.file(file).text);
    format!("{}\n{}", print(&tree), render(&problems, &sources, false))
}
