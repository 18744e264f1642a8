//! `corn fmt`: puts programs into the house's form, in place.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use corn_compiler::source::SourceMap;
use corn_compiler::syntax;

use crate::commands::{print, say};
use crate::failure::Failure;
use crate::program;
use crate::request::outputs::file::Pending;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  corn fmt                       every program in this folder and in those below it
  corn fmt hello.corn examples
  corn fmt --check               exits with 1 if a program is not formatted
  corn fmt - < hello.corn        prints it formatted")]
pub(crate) struct Fmt {
    /// The `.corn` files, folders with such files, or `-` for standard input.
    #[arg(default_value = ".", value_name = "FILE|FOLDER|-")]
    paths: Vec<PathBuf>,
    /// Change nothing; list what is not formatted.
    #[arg(long)]
    check: bool,
}

pub(crate) fn fmt(args: &Fmt) -> Result<(), Failure> {
    if args.paths.iter().any(|path| path == Path::new("-")) {
        return match args.paths.as_slice() {
            [_] => standard_input(args.check),
            _ => Err(Failure::Usage("`-` is standard input, and stands alone".to_owned())),
        };
    }
    let (mut is_wrong, mut is_unread, mut unformatted) = (false, false, 0);
    let files = files(&args.paths)?;
    for file in &files {
        match one(file, args.check) {
            Ok(Outcome::Unchanged) => {}
            Ok(Outcome::Formatted) => unformatted += 1,
            Ok(Outcome::Wrong) => is_wrong = true,
            Err(failure @ Failure::Usage(_)) if files.len() > 1 => {
                is_unread = true;
                say(&format!("error: {failure}"));
            }
            Err(failure) => return Err(failure),
        }
    }
    if args.check && unformatted > 0 {
        say(&format!("{unformatted} of {} not formatted; `corn fmt` does it", counted(files.len())));
        is_wrong = true;
    }
    match (is_unread, is_wrong) {
        (true, _) => Err(Failure::Files),
        (false, true) => Err(Failure::Program),
        (false, false) => Ok(()),
    }
}

/// What became of a file.
enum Outcome {
    Unchanged,
    /// It was not formatted; now it is, if it was to be.
    Formatted,
    Wrong,
}

fn one(file: &Path, check: bool) -> Result<Outcome, Failure> {
    let text = program::text(file)?;
    let Some(formatted) = formatted(&file.display().to_string(), &text)? else {
        return Ok(Outcome::Wrong);
    };
    if formatted == text {
        return Ok(Outcome::Unchanged);
    }
    if check {
        print(&format!("{}\n", file.display()))?;
    } else {
        replace(file, &formatted).map_err(|problem| {
            Failure::setup(format!("'{}' cannot be written: {problem}", file.display()))
        })?;
        print(&format!("formatted {}\n", file.display()))?;
    }
    Ok(Outcome::Formatted)
}

/// From standard input to standard output.
fn standard_input(check: bool) -> Result<(), Failure> {
    let text = program::utf8(std::io::stdin().lock())
        .map_err(|problem| Failure::Usage(format!("standard input cannot be read: {problem}")))?;
    let formatted = formatted("standard input", &text)?.ok_or(Failure::Program)?;
    match (check, formatted == text) {
        (false, _) => print(&formatted),
        (true, true) => Ok(()),
        (true, false) => {
            say("standard input is not formatted");
            Err(Failure::Program)
        }
    }
}

/// The text formatted; `None` if it has mistakes, which are printed.
fn formatted(name: &str, text: &str) -> Result<Option<String>, Failure> {
    if program::is_plan(text) {
        return Err(Failure::Usage(format!("'{name}' is a plan; `corn fmt` takes programs")));
    }
    let mut sources = SourceMap::default();
    let file = sources.add(name, text);
    match syntax::format(file, &sources.file(file).text) {
        Ok(formatted) => Ok(Some(formatted)),
        Err(problems) => {
            program::report_all(&problems, &sources);
            Ok(None)
        }
    }
}

/// Every program that `paths` name: files as they are, and what folders hold.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        in_folder(path, &mut files).map_err(|(folder, error)| {
            Failure::Usage(format!("'{}' cannot be listed: {error}", folder.display()))
        })?;
        if files.len() == before {
            return Err(Failure::Usage(format!("'{}' has no .corn files", path.display())));
        }
    }
    Ok(files)
}

/// Adds the programs in `folder` and in the folders below it, in order. Hidden folders and links to folders
/// are left out.
fn in_folder(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, std::io::Error)> {
    let failed = |error| (folder.to_path_buf(), error);
    let entries: Result<Vec<fs::DirEntry>, _> = fs::read_dir(folder).map_err(failed)?.collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, kind) = (entry.file_name(), entry.file_type().map_err(failed)?);
        let path = if folder == Path::new(".") { PathBuf::from(&name) } else { entry.path() };
        if kind.is_dir() {
            if !name.as_encoded_bytes().starts_with(b".") {
                in_folder(&path, files)?;
            }
        } else if path.extension() == Some(OsStr::new("corn")) && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Gives a file another text, all of it or nothing.
fn replace(file: &Path, text: &str) -> Result<(), String> {
    let mut pending = Pending::create(file)?;
    pending.file.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
    pending.keep()?;
    Ok(())
}

fn counted(files: usize) -> String {
    if files == 1 { "1 file is".to_owned() } else { format!("{files} files are") }
}
