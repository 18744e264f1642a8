//! Films on the command line: as inputs of their own, as one of the media, and in what is said to a model.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: what is wrong here fails the test")]

mod common;

use std::fs;

use common::{Outcome, command, outcome};

const PROGRAM: &str = r"
use std::reference::{Times, Mean}
let times = Times()
let mean  = Mean()
graph watch(clip: video max 1MiB) -> { times: text } { { times: times(clip) } }
graph watch_all(clips: list<video max 1MiB> max 2) -> { times: list<text> max 2 } {
    { times: [times(clip) for clip in clips] }
}
graph look(parts: list<media max 1MiB> max 2) -> { seen: list<text> max 2 } {
    { seen: [match part { video => times(part) } for part in parts] }
}
graph colour(parts: list<media max 1MiB> max 2) -> { colours: list<tensor<f32>[3]> max 2 } {
    { colours: [match part { image => mean(part) } for part in parts] }
}
graph discuss(talk: messages max 4) -> { seen: list<text> max 4 } {
    { seen: [match part { video => times(part) } for part in talk.media] }
}
";
/// When the pictures of the film are shown.
const SHOWN: &str = "0 40 80 120 160 200 240 280 320 360 400 440";

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("program.corn"), PROGRAM).unwrap();
        let media = common::root().join("engine/media/tests/data");
        let files = ["film/high.mp4", "film/hevc.mp4", "film/tone.m4a", "moving.gif", "chart.png"];
        for file in files.map(|file| media.join(file)) {
            fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
        let whole = fs::read(media.join("film/high.mp4")).unwrap();
        fs::write(folder.path().join("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
        // It begins as some QuickTime files do.
        fs::write(folder.path().join("said.txt"), "The wide road.").unwrap();
        Self(folder)
    }

    fn run(&self, args: &[&str]) -> Outcome {
        let mut command = command(&["run", "program.corn"]);
        command.args(args).current_dir(self.0.path()).env("CORN_CACHE", self.0.path().join("cache"));
        outcome(command)
    }
}

#[test]
fn a_film_is_brought_as_a_picture_is() {
    let desk = Desk::new();
    let (film, gif) = (format!("[\"{SHOWN}\"]"), "0 250 500 750");
    let both = format!("[\"{SHOWN}\",\"{gif}\"]");
    for (args, said) in [
        (&["--in", "clip=@high.mp4"][..], SHOWN),
        (&["--in", "clip=@moving.gif"], gif),
        (&["--in", "clips=@high.mp4", "--in", "clips=@moving.gif"], &both),
        (&["--in", "parts=@high.mp4"], &film),
        (&["--in", "talk=What is this?", "--in", "talk=@high.mp4"], &film),
        (&["--in", "talk=@said.txt"], "[]"),
    ] {
        assert_eq!(desk.run(args).good().stdout.trim_end(), said, "{args:?}");
    }
    // The kind of the file decides which graph is meant.
    let seen = desk.run(&["--in", "parts=@chart.png", "--json"]).good().stdout;
    assert!(seen.starts_with("{\"route\":\"colour\",\"outputs\":{\"colours\":["), "{seen}");
}

#[test]
fn a_film_that_is_not_taken_is_said_to_be_and_where() {
    let desk = Desk::new();
    let cases: [&[&str]; 9] = [
        &["--in", "clip=@hevc.mp4"],
        &["--in", "clip=@cut.mp4"],
        &["--in", "clip=@tone.m4a"],
        &["--in", "clip=@nowhere.mp4"],
        &["--in", "clip=high.mp4"],
        &["--in", "clips=@high.mp4", "--in", "clips=@cut.mp4"],
        &["--in", "parts=@tone.m4a"],
        &["--in", "parts=@said.txt"],
        &["--in", "talk=@tone.m4a"],
    ];
    let mut all = String::new();
    for args in cases {
        let Outcome { code, stdout, stderr } = desk.run(args);
        assert_eq!(stdout, "");
        all += &["$ ", &args.join(" "), "\nexit ", &code.to_string(), "\n", &stderr, "\n"].concat();
    }
    insta::assert_snapshot!(all);
}
