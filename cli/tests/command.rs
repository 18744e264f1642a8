//! The command without any weights: what a person sees for right and wrong programs, inputs and
//! places, and how it ends.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::{Outcome, command, corn, outcome};

const PROGRAM: &str = r#"
component Words() {
    in  text: text
    out words: stream<text max 1KiB>
    run reference "text.words"
}
component Tone() {
    in  text: stream<text>
    out voice: stream<audio<16kHz> max 2min>
    run reference "tone.speak"
}
component Invert() {
    in  image: image
    out image: image
    run reference "image.invert"
}
component Mean() {
    in  image: image
    out colour: tensor<f32>[3]
    run reference "image.mean"
}
component Ticks() {
    in  count: int
    out ticks: stream<tensor<f32>[1]>
    run reference "stream.ticks"
}

let words  = Words()
let tone   = Tone()
let invert = Invert()
let mean   = Mean()
let ticks  = Ticks()

graph speak(prompt: text) -> { reply: stream<text>, voice: stream<audio>? } {
    let reply = words(prompt)
    { reply, voice: tone(reply.sentences()) }
}
graph negative(photo: image) -> { picture: image, colour: tensor<f32>[3] } {
    { picture: invert(photo), colour: mean(photo) }
}
graph count(upto: int = 3) -> { ticks: stream<tensor<f32>[1]> } {
    { ticks: ticks(upto) }
}
"#;

/// A folder with the program and media, and what was run in it.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("program.corn"), PROGRAM).unwrap();
        let image = corn_core::Image { width: 2, height: 2, rgb: vec![10; 12].into() };
        let png = corn_media::write_image(&image, corn_media::Format::Png).unwrap();
        fs::write(folder.path().join("photo.png"), png).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Outcome {
        let mut command = command(args);
        command.current_dir(self.folder.path()).env("CORN_CACHE", self.path("cache"));
        outcome(command)
    }

    /// Code, standard output and standard error, with the folder's name taken out.
    fn shown(&self, args: &[&str]) -> String {
        let Outcome { code, stdout, stderr } = self.run(args);
        let folder = self.folder.path().to_str().unwrap();
        format!("exit {code}\n--- stdout\n{stdout}\n--- stderr\n{stderr}").replace(folder, "DESK")
    }
}

#[test]
fn a_request_is_replayed() {
    let desk = Desk::new();
    let outcome = desk.run(&["run", "program.corn", "--in", "prompt=One. Two three."]).good();
    assert_eq!(outcome.stdout, "One. Two three. ");
    let outcome = desk
        .run(&[
            "run",
            "program.corn",
            "--in",
            "prompt=One. Two three.",
            "--out",
            "voice=answer.wav",
            "--timings",
        ])
        .good();
    assert_eq!(outcome.stdout, "One. Two three. ");
    assert!(outcome.stderr.contains("replaying took"), "{}", outcome.stderr);
    let audio = corn_media::read_audio(
        &fs::read(desk.path("answer.wav")).unwrap(),
        corn_media::AudioLimits::default(),
    );
    assert_eq!(audio.unwrap().samples.len(), 160 * "One.Two three.".len());
}

#[test]
fn files_and_standard_streams_are_inputs_and_outputs() {
    let desk = Desk::new();
    fs::write(desk.path("prompt.txt"), "From a file.\n").unwrap();
    let outcome =
        desk.run(&["run", "program.corn", "--in", "prompt=@prompt.txt", "--out", "reply=reply.txt"]).good();
    assert_eq!(outcome.stdout, "");
    assert_eq!(fs::read_to_string(desk.path("reply.txt")).unwrap(), "From a file. ");

    let mut piped = command(&["run", "program.corn", "--in", "prompt=-"]);
    piped.current_dir(desk.folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"From a pipe.").unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), "From a pipe. ");

    let args = [
        "run",
        "program.corn",
        "--in",
        "photo=@photo.png",
        "--out",
        "picture=out.png",
        "--out",
        "colour=mean.npy",
    ];
    desk.run(&args).good();
    let picture =
        corn_media::read_image(&fs::read(desk.path("out.png")).unwrap(), corn_media::ImageLimits::default());
    assert_eq!(picture.unwrap().rgb, [245; 12].as_slice());
    assert!(fs::read(desk.path("mean.npy")).unwrap().starts_with(b"\x93NUMPY"));
}

#[test]
fn json_is_for_scripts() {
    let desk = Desk::new();
    let args =
        ["run", "program.corn", "--json", "--timings", "--in", "prompt=Hi you.", "--out", "voice=v.wav"];
    let json: serde_json::Value = serde_json::from_str(&desk.run(&args).good().stdout).unwrap();
    assert_eq!(json["route"], "speak");
    assert_eq!(json["outputs"]["reply"], "Hi you. ");
    assert_eq!(json["outputs"]["voice"]["rate_hz"], 16_000);
    assert!(json["timings"]["replay_us"].is_u64(), "{json}");

    let json: serde_json::Value = serde_json::from_str(
        &desk
            .run(&["run", "program.corn", "--json", "--in", "photo=@nothing.png", "--out", "picture=x.png"])
            .stdout,
    )
    .unwrap();
    assert_eq!(json["error"]["exit_code"], 3);
    let outcome = desk.run(&["run", "program.corn", "--json", "--in", "upto=2"]).good();
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(json["outputs"]["ticks"], serde_json::json!([[0.0], [1.0]]));
}

/// What a person sees who brings the wrong thing, names the wrong thing, or points nowhere.
#[test]
fn wrong_requests_are_told_what_where_and_what_to_do() {
    let desk = Desk::new();
    fs::write(desk.path("broken.png"), b"\x89PNG\r\n\x1a\nnot really").unwrap();
    fs::write(desk.path("words.bin"), [0xff, 0xfe, 0x00]).unwrap();
    fs::write(desk.path("empty.corn"), "").unwrap();
    fs::create_dir(desk.path("folder")).unwrap();
    let cases: [&[&str]; 16] = [
        &["run", "nowhere.corn"],
        &["run", "folder"],
        &["run", "words.bin"],
        &["run", "empty.corn"],
        &["run", "program.corn", "--route", "spaek", "--in", "prompt=x"],
        &["run", "program.corn", "--in", "promt=x"],
        &["run", "program.corn", "--in", "prompt"],
        &["run", "program.corn", "--in", "prompt=x", "--out", "voise=v.wav"],
        &["run", "program.corn", "--in", "prompt=x", "--out", "voice=v.mp3"],
        &["run", "program.corn", "--in", "prompt=x", "--out", "voice=nowhere/v.wav"],
        &["run", "program.corn", "--in", "photo=@broken.png", "--out", "picture=x.png"],
        &["run", "program.corn", "--in", "photo=@nowhere.png", "--out", "picture=x.png"],
        &["run", "program.corn", "--in", "photo=photo.png", "--out", "picture=x.png"],
        &["run", "program.corn", "--in", "photo=@photo.png"],
        &["run", "program.corn", "--in", "upto=many"],
        &["run", "program.corn", "--in", "upto=-5"],
    ];
    let mut all = String::new();
    for args in cases {
        all += &["$ corn ", &args.join(" "), "\n", desk.shown(args).trim_end(), "\n\n"].concat();
    }
    insta::assert_snapshot!("wrong_requests", all);
    assert!(!Path::new(&desk.path("x.png")).exists(), "a request that fails leaves no file");
}

#[test]
fn a_program_is_checked_compiled_drawn_and_its_plan_replayed() {
    let desk = Desk::new();
    insta::assert_snapshot!("check", desk.shown(&["check", "program.corn"]));
    let compile = ["compile", "program.corn", "--workers", "2"];
    let plan = desk.run(&compile).good().stdout;
    desk.run(&[&compile[..], &["-o", "program.plan"]].concat()).good();
    assert_eq!(fs::read_to_string(desk.path("program.plan")).unwrap(), plan);
    assert_eq!(desk.run(&["run", "program.plan", "--in", "prompt=Again."]).good().stdout, "Again. ");
    desk.run(&["check", "program.plan"]).good();
    fs::write(desk.path("broken.plan"), plan.replacen("    free", "    explode", 1)).unwrap();
    insta::assert_snapshot!("broken_plan", desk.shown(&["check", "broken.plan"]));
    fs::write(desk.path("wrong.plan"), plan.replacen("batch 1", "batch 0", 1)).unwrap();
    insta::assert_snapshot!("wrong_plan", desk.shown(&["check", "wrong.plan"]));

    insta::assert_snapshot!("graph", desk.shown(&["graph", "program.corn", "--route", "speak"]));
    insta::assert_snapshot!(
        "mermaid",
        desk.shown(&["graph", "program.corn", "--route", "negative", "--format", "mermaid"])
    );
    insta::assert_snapshot!("no_route", desk.shown(&["graph", "program.corn", "--route", "speek"]));
}

/// R7, R9: rounds and cases are replayed like anything else.
#[test]
fn a_plan_with_blocks_is_checked_and_replayed() {
    let desk = Desk::new();
    let text = "use std::reference::{Upper}\nlet upper = Upper()\n\
                graph g(t: text, loud: bool) -> { said: text?, same: text } {\n\
                    let said = switch loud { true => loop x = t max 3 { x = upper(x) }, false => none }\n\
                    { said, same: upper(t) }\n\
                }\nroute both = g(t, loud) -> said + same\n";
    fs::write(desk.path("blocks.corn"), text).unwrap();
    desk.run(&["compile", "blocks.corn", "-o", "blocks.plan"]).good();
    let said = desk.run(&["check", "blocks.plan"]).good().stdout;
    assert!(said.contains("can be replayed"), "{said}");
    for (loud, said) in [("loud=true", serde_json::json!("LOW")), ("loud=false", serde_json::Value::Null)] {
        let args = ["run", "blocks.plan", "--json", "--in", "t=low", "--in", loud];
        let json: serde_json::Value = serde_json::from_str(&desk.run(&args).good().stdout).unwrap();
        assert_eq!(json["outputs"], serde_json::json!({ "said": said, "same": "LOW" }));
    }
}

/// One file holds one picture: which, or a file for each, has to be said.
#[test]
fn pictures_are_written_one_to_a_file() {
    let desk = Desk::new();
    let svg = desk.run(&["graph", "program.corn", "--route", "count", "--format", "svg"]).good().stdout;
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    let one = ["graph", "program.corn", "--recording", "r1", "--format", "svg", "-o", "one.svg"];
    assert_eq!(desk.run(&one).good().stdout, "");
    let each = ["graph", "program.corn", "--format", "svg", "-o", "{}.svg"];
    desk.run(&each).good();
    let read = |name: &str| fs::read_to_string(desk.path(name)).unwrap();
    assert_eq!(read("1.svg"), read("one.svg"));
    assert!(desk.path("0.svg").exists() && desk.path("3.svg").exists() && !desk.path("4.svg").exists());
    let dot = desk.run(&["graph", "program.corn", "--recording", "0", "--format", "dot"]).good().stdout;
    assert!(dot.starts_with("digraph "), "{dot}");

    let mut all = String::new();
    let refused: [&[&str]; 5] = [
        &[
            "graph",
            "program.corn",
            "--route",
            "speak",
            "--format",
            "svg",
            "-o",
            "speak.svg",
            "--recording",
            "9",
        ],
        &["graph", "program.corn", "--format", "svg", "-o", "all.svg"],
        &["graph", "program.corn", "--recording", "9"],
        &["graph", "program.corn", "--recording", "first"],
        &["graph", "program.corn", "--recording", "0", "-o", "program.corn"],
    ];
    for args in refused {
        all += &["$ corn ", &args.join(" "), "\n", desk.shown(args).trim_end(), "\n\n"].concat();
    }
    insta::assert_snapshot!("refused_drawings", all);
}

/// A stage can be shown, and the way there can end early.
#[test]
fn stages_are_shown_and_stopped_at() {
    let desk = Desk::new();
    for stage in ["ast", "graph", "inlined", "specialized", "simplified", "shared", "placed", "plan"] {
        let shown = desk.run(&["compile", "program.corn", "--emit", stage]).good().stdout;
        let stopped = desk.run(&["compile", "program.corn", "--stop-after", stage]).good().stdout;
        assert_eq!(shown, stopped, "{stage}");
        assert!(!shown.is_empty(), "{stage}");
    }
    let both = ["compile", "program.corn", "--stop-after", "placed", "--emit", "graph"];
    assert!(desk.run(&both).good().stdout.starts_with("program program"));
    let late = desk.run(&["compile", "program.corn", "--stop-after", "graph", "--emit", "plan"]);
    assert_eq!(late.code, 2, "{}", late.stderr);

    // What only a later stage finds is not found.
    let wrong =
        format!("{PROGRAM}\nroute twice = speak(prompt) -> reply\nroute again = speak(prompt) -> reply\n");
    fs::write(desk.path("wrong.corn"), wrong).unwrap();
    assert_eq!(desk.run(&["compile", "wrong.corn", "--stop-after", "ast"]).good().stderr, "");
    assert_eq!(desk.run(&["compile", "wrong.corn", "--stop-after", "plan"]).code, 1);
    fs::write(desk.path("broken.corn"), "let a = (").unwrap();
    assert_eq!(desk.run(&["compile", "broken.corn", "--stop-after", "ast"]).code, 1);
    let outcome = desk.run(&["compile", "wrong.corn", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&outcome.stderr).unwrap();
    assert_eq!((outcome.code, json[0]["code"].as_str()), (1, Some("E0709")), "{json}");
    let outcome = desk.run(&["compile", "program.corn", "--format", "json"]).good();
    assert_eq!(outcome.stderr.trim(), "[]");
}

/// Tools get problems of programs and of plans in one form.
#[test]
fn problems_are_printed_for_tools() {
    let desk = Desk::new();
    fs::write(desk.path("wrong.corn"), PROGRAM.replace("let mean   = Mean()", "let mean = Meen()")).unwrap();
    let plan = desk.run(&["compile", "program.corn", "--workers", "2"]).good().stdout;
    fs::write(desk.path("good.plan"), &plan).unwrap();
    fs::write(desk.path("broken.plan"), plan.replacen("    free", "    explode", 1)).unwrap();
    fs::write(desk.path("wrong.plan"), plan.replacen("batch 1", "batch 0", 1)).unwrap();
    let files = ["wrong.corn", "good.plan", "broken.plan", "wrong.plan"];
    insta::assert_snapshot!("problems", desk.shown(&[&["check", "--format", "json"], &files[..]].concat()));
    let (json, format) = (
        desk.run(&["check", "--json", "wrong.corn"]),
        desk.run(&["check", "--format", "json", "wrong.corn"]),
    );
    assert_eq!(json.stdout, format.stdout);
    assert_eq!(desk.run(&["check", "--format", "json", "program.corn"]).good().stdout, "[]\n");
    assert_eq!(desk.run(&["check", "--format", "json", "--json", "program.corn"]).code, 2);
}

/// Plans and programs are compared, and that one of them is none is no difference.
#[test]
fn plans_are_compared() {
    let desk = Desk::new();
    let plan = desk.run(&["compile", "program.corn", "--workers", "2"]).good().stdout;
    fs::write(desk.path("before.plan"), &plan).unwrap();
    let same = ["diff", "before.plan", "program.corn", "--workers", "2"];
    assert_eq!(desk.run(&same).good().stdout, "no difference\n");
    let changed = PROGRAM
        .replace("run reference \"text.words\"", "run reference \"text.words\"\n    batch 4")
        .replace("{ reply, voice: tone(reply.sentences()) }", "{ reply, voice: tone(reply) }")
        .replace("graph negative(photo: image)", "graph inverse(photo: image)");
    fs::write(desk.path("changed.corn"), changed).unwrap();
    let differ = ["diff", "before.plan", "changed.corn", "--workers", "2"];
    insta::assert_snapshot!("diff", desk.shown(&differ));
    let json = desk.run(&[&differ[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["equal"], false);
    assert_eq!(json["sections"][0]["changes"][0]["names"], serde_json::json!(["words"]));
    // Another build's executors are no reason not to look at its plan.
    fs::write(
        desk.path("other.plan"),
        plan.replace("run reference \"text.words\"", "run other \"text.words\""),
    )
    .unwrap();
    assert_eq!(desk.run(&["diff", "other.plan", "before.plan"]).code, 1);
    fs::write(desk.path("wrong.corn"), "let a = b").unwrap();
    for wrong in ["wrong.corn", "nowhere.plan"] {
        assert_eq!(desk.run(&["diff", "before.plan", wrong]).code, 2, "{wrong}");
    }
}

#[test]
fn a_wrong_program_is_explained() {
    let desk = Desk::new();
    fs::write(
        desk.path("wrong.corn"),
        PROGRAM
            .replace("tone(reply.sentences())", "tone(replay.sentences())")
            .replace("let mean   = Mean()", "let mean = Meen()"),
    )
    .unwrap();
    insta::assert_snapshot!("wrong_program", desk.shown(&["check", "wrong.corn"]));
    let outcome = desk.run(&["check", "--json", "wrong.corn"]);
    assert_eq!(outcome.code, 1);
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let code = json[0]["code"].as_str().unwrap().to_owned();
    let explained = desk.run(&["explain", &code]).good().stdout;
    assert!(explained.starts_with(&format!("{code}: ")) && explained.len() > 100, "{explained}");
    assert_eq!(desk.run(&["explain", "E9999"]).code, 2);
    assert!(desk.run(&["explain"]).good().stdout.contains(&code));
}

/// Every item of a stream is in the file, whatever the format; what a file cannot hold is refused.
#[test]
fn files_hold_everything_or_are_refused() {
    let desk = Desk::new();
    desk.run(&["run", "program.corn", "--in", "upto=3", "--out", "ticks=t.json"]).good();
    assert_eq!(fs::read_to_string(desk.path("t.json")).unwrap(), "[[0.0],[1.0],[2.0]]");
    desk.run(&["run", "program.corn", "--in", "upto=3", "--out", "ticks=t.npy"]).good();
    let npy = fs::read(desk.path("t.npy")).unwrap();
    assert!(String::from_utf8_lossy(&npy).contains("'shape': (3, 1)"), "{:?}", String::from_utf8_lossy(&npy));
    desk.run(&["run", "program.corn", "--in", "upto=0", "--out", "ticks=t.json"]).good();
    assert_eq!(fs::read_to_string(desk.path("t.json")).unwrap(), "[]");
    assert_eq!(desk.run(&["run", "program.corn", "--in", "upto=0", "--out", "ticks=t.npy"]).code, 4);
    let same = desk.run(&[
        "run",
        "program.corn",
        "--in",
        "photo=@photo.png",
        "--out",
        "picture=x.png",
        "--out",
        "colour=x.png",
    ]);
    assert_eq!(same.code, 2, "{}", same.stderr);
    assert_eq!(desk.run(&["compile", "program.corn", "-o", "program.corn"]).code, 2);
    assert_eq!(fs::read_to_string(desk.path("program.corn")).unwrap(), PROGRAM);
    assert_eq!(desk.run(&["run", "program.corn", "--in", "prompt="]).good().stdout, "");
}

/// Links are followed, permissions kept, and devices stay devices.
#[cfg(unix)]
#[test]
fn what_is_at_an_outputs_place_is_respected() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    let desk = Desk::new();
    fs::write(desk.path("real.txt"), "old").unwrap();
    fs::set_permissions(desk.path("real.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink(desk.path("real.txt"), desk.path("link.txt")).unwrap();
    desk.run(&["run", "program.corn", "--in", "prompt=new", "--out", "reply=link.txt"]).good();
    assert_eq!(fs::read_to_string(desk.path("real.txt")).unwrap(), "new ");
    assert_eq!(fs::metadata(desk.path("real.txt")).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(desk.path("link.txt")).unwrap().is_symlink());
    desk.run(&["run", "program.corn", "--in", "prompt=new", "--out", "reply=/dev/null"]).good();
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
}

/// A plan that names what this build cannot run is refused, not replayed halfway.
#[test]
fn a_plan_is_held_against_the_executors() {
    let desk = Desk::new();
    let plan = desk.run(&["compile", "program.corn"]).good().stdout;
    let edits = [
        ("\"text.words\"", "\"text.wrods\""),
        ("\"image.mean\"", "\"text.words\""),
        ("  in text: stream", "  option loud 3\n  in text: stream"),
        ("  run reference \"text.words\"", "  run reference \"text.upper\""),
    ];
    for (from, to) in edits {
        assert!(plan.contains(from), "{from}");
        fs::write(desk.path("edited.plan"), plan.replacen(from, to, 1)).unwrap();
        let outcome = desk.run(&["check", "edited.plan"]);
        assert_eq!(outcome.code, 1, "{from} to {to}");
        assert!(outcome.stderr.contains("cannot run"), "{}", outcome.stderr);
    }
}

/// A program with an executor of another build is sound; it is only not run here, and the message says why.
#[test]
fn what_another_build_runs_compiles_here() {
    let desk = Desk::new();
    let program = "component Say(model: text = \"tts\", voice: text = \"alloy\") {\n in text: text\n out audio: audio\n \
                   run openai \"http://localhost:8000/v1/audio/speech\"\n}\nlet say = Say()\n\
                   graph speak(text: text) -> audio { say(text) }\n";
    fs::write(desk.path("served.corn"), program).unwrap();
    desk.run(&["check", "served.corn"]).good();
    let plan = desk.run(&["compile", "served.corn"]).good().stdout;
    fs::write(desk.path("served.plan"), plan).unwrap();
    desk.run(&["check", "served.plan"]).good();
    for file in ["served.corn", "served.plan"] {
        let outcome = desk.run(&["run", file, "--in", "text=hi", "--out", "result=said.wav"]);
        assert_eq!(outcome.code, 1);
        assert!(
            outcome.stderr.contains("component 'say': this build of corn cannot run openai"),
            "{}",
            outcome.stderr
        );
    }
}

/// Standard output that is closed or full is an error or nothing, never a panic.
#[test]
fn a_full_or_closed_output_makes_nothing_panic() {
    let desk = Desk::new();
    let lines: [&[&str]; 4] = [
        &["run", "program.corn", "--in", "prompt=hi", "--json"],
        &["run", "program.corn", "--in", "prompt=hi"],
        &["check", "program.corn"],
        &["models", "list"],
    ];
    for args in lines {
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let Ok(full) = full else { return };
        let mut running = command(args);
        running.current_dir(desk.folder.path()).env("CORN_CACHE", desk.path("cache")).stderr(Stdio::piped());
        let output = running.stdout(full).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{args:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

/// F1: a deadline ends the command with its own code.
#[test]
fn a_deadline_ends_the_command() {
    let desk = Desk::new();
    let outcome = desk.run(&["run", "program.corn", "--in", "upto=1000000", "--deadline", "1ms"]);
    assert_eq!(outcome.code, 124, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("deadline"), "{}", outcome.stderr);
}

/// Ctrl-C at any moment: it stops at once, says so, and leaves no file.
#[cfg(unix)]
#[test]
fn ctrl_c_stops_at_once_and_leaves_nothing() {
    use std::io::Read;

    let desk = Desk::new();
    let args = ["run", "program.corn", "--in", "prompt=-", "--out", "voice=v.wav"];
    let mut running = command(&args);
    running
        .current_dir(desk.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = running.spawn().unwrap();
    child.stdin.take().unwrap().write_all("word ".repeat(3000).as_bytes()).unwrap();
    // Its first word has come, so it is in the middle of its work: nobody reads the rest.
    let mut first = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(130) || output.status.success(), "{:?} {stderr}", output.status);
    if !output.status.success() {
        assert!(stderr.contains("interrupted"), "{stderr}");
        let left: Vec<_> =
            fs::read_dir(desk.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(
            !left.iter().any(|name| name.to_string_lossy().contains("v.wav")
                || name.to_string_lossy().starts_with(".corn-")),
            "{left:?}"
        );
    }
}

/// A reader that goes away ends the command without a complaint about it.
#[test]
fn a_closed_pipe_ends_the_command() {
    let desk = Desk::new();
    let mut running = command(&["run", "program.corn", "--in", "upto=1000000"]);
    running.current_dir(desk.folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = running.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn help_teaches() {
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["models", "--help"],
        &["diff", "--help"],
    ] {
        assert!(corn(args).good().stdout.contains("Usage:"));
    }
    assert_eq!(corn(&["rnu"]).code, 2);
}
