//! `corn fmt` and `corn completions` as a person sees them.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::{Outcome, command, corn, outcome};

const UGLY: &str = "let a=f( x )// why\n";
const NEAT: &str = "let a = f(x) // why\n";

fn run(folder: &Path, args: &[&str]) -> Outcome {
    let mut command = command(args);
    command.current_dir(folder);
    outcome(command)
}

fn piped(args: &[&str], text: &str) -> Outcome {
    let mut command = command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder with two programs that are not formatted, one that is, one with a mistake, and others' files.
fn desk() -> tempfile::TempDir {
    let desk = tempfile::tempdir().unwrap();
    for folder in ["below", ".hidden"] {
        fs::create_dir(desk.path().join(folder)).unwrap();
    }
    for (name, text) in [
        ("ugly.corn", UGLY),
        ("below/ugly.corn", UGLY),
        ("neat.corn", NEAT),
        (".hidden/ugly.corn", UGLY),
        ("notes.txt", UGLY),
    ] {
        fs::write(desk.path().join(name), text).unwrap();
    }
    desk
}

#[test]
fn a_folder_is_formatted_in_place() {
    let desk = desk();
    let read = |name: &str| fs::read_to_string(desk.path().join(name)).unwrap();

    let checked = run(desk.path(), &["fmt", "--check"]);
    assert_eq!((checked.code, checked.stdout.as_str()), (1, "below/ugly.corn\nugly.corn\n"));
    assert_eq!(checked.stderr, "2 of 3 files are not formatted; `corn fmt` does it\n");
    assert_eq!(read("ugly.corn"), UGLY);

    let formatted = run(desk.path(), &["fmt"]).good();
    assert_eq!(formatted.stdout, "formatted below/ugly.corn\nformatted ugly.corn\n");
    assert_eq!([read("ugly.corn"), read("below/ugly.corn")], [NEAT, NEAT]);
    assert_eq!([read("notes.txt"), read(".hidden/ugly.corn")], [UGLY, UGLY]);

    let again = run(desk.path(), &["fmt", "below", "ugly.corn"]).good();
    assert_eq!((again.stdout.as_str(), again.stderr.as_str()), ("", ""));
    run(desk.path(), &["fmt", "--check"]).good();
}

#[test]
fn what_has_mistakes_is_left_alone_and_the_rest_is_formatted() {
    let desk = desk();
    fs::write(desk.path().join("broken.corn"), "let a = = b\n").unwrap();
    let outcome = run(desk.path(), &["fmt"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("--> broken.corn:1:7"), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "formatted below/ugly.corn\nformatted ugly.corn\n");
    assert_eq!(fs::read_to_string(desk.path().join("broken.corn")).unwrap(), "let a = = b\n");
}

#[cfg(unix)]
#[test]
fn permissions_and_links_are_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let desk = desk();
    let (file, link) = (desk.path().join("ugly.corn"), desk.path().join("link.corn"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("ugly.corn", &link).unwrap();
    run(desk.path(), &["fmt", "link.corn"]).good();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_to_string(&file).unwrap(), NEAT);
}

#[test]
fn standard_input_is_formatted_to_standard_output() {
    assert_eq!(piped(&["fmt", "-"], UGLY).good().stdout, NEAT);
    assert_eq!(piped(&["fmt", "-", "--check"], NEAT).good().stdout, "");
    let checked = piped(&["fmt", "-", "--check"], UGLY);
    assert_eq!((checked.code, checked.stderr.as_str()), (1, "standard input is not formatted\n"));
    let broken = piped(&["fmt", "-"], "let a = = b\n");
    assert_eq!((broken.code, broken.stdout.as_str()), (1, ""));
    assert!(broken.stderr.contains("--> standard input:1:7"), "{}", broken.stderr);
}

#[test]
fn what_cannot_be_formatted_is_named() {
    let desk = tempfile::tempdir().unwrap();
    fs::write(desk.path().join("plan"), "corn plan 1\n").unwrap();
    for (args, said) in [
        (vec!["fmt"], "'.' has no .corn files"),
        (vec!["fmt", "gone.corn"], "'gone.corn' cannot be read"),
        (vec!["fmt", "plan"], "'plan' is a plan; `corn fmt` takes programs"),
        (vec!["fmt", "-", "plan"], "`-` is standard input, and stands alone"),
    ] {
        let outcome = run(desk.path(), &args);
        assert_eq!(outcome.code, 2, "{args:?}");
        assert!(outcome.stderr.contains(said), "{args:?}: {}", outcome.stderr);
    }
}

#[test]
fn every_shell_gets_its_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = corn(&["completions", shell]).good().stdout;
        for word in ["check", "compile", "run", "models", "fmt", "completions", "deadline"] {
            assert!(script.contains(word), "{shell} has no {word}");
        }
    }
    assert_eq!(corn(&["completions", "cmd"]).code, 2);
}
