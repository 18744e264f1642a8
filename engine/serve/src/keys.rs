//! The keys that clients must know, and what each of them may ask for at once and in a time.
//!
//! A key is a line of a file, alone or with what holds for it behind it: `KEY name=lab concurrency=4 rate=60/min`. The
//! file is looked at again and again; what a key has under way counts on when it is read anew.

mod allowance;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use corn_core::Fault;
use sha2::{Digest, Sha256};

use allowance::{Allowance, Rate};
pub(crate) use allowance::{Over, Slot, Standing};

/// Most bytes of a file of keys: some ten thousand keys.
const MAX_BYTES: u64 = 1 << 20;

/// Keys, of which each request must bring one. Only digests are kept. Clones share what was read.
#[derive(Clone)]
pub struct Keys {
    source: Option<Arc<Source>>,
    known: Arc<RwLock<Vec<Arc<Key>>>>,
}

/// The file, and what was in it when it was last looked at.
struct Source {
    path: PathBuf,
    digest: Mutex<Result<[u8; 32], Fault>>,
}

struct Key {
    digest: [u8; 32],
    allowance: Allowance,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "Keys({})", known.len())
    }
}

impl Keys {
    /// The keys in a text: one a line; empty lines and those that begin with `#` are none. Behind a key may stand
    /// `name=WORD`, `concurrency=N` (requests at once) and `rate=N/s`, `N/min` or `N/h`.
    ///
    /// # Errors
    /// Of the set-up, if a line is wrong or there is no key.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let known = parse(text, &[]).map_err(|why| Fault::setup(format!("the keys: {why}")))?;
        Ok(Self { source: None, known: Arc::new(RwLock::new(known)) })
    }

    /// The keys in a file.
    ///
    /// # Errors
    /// Of the set-up, if it cannot be read or a line is wrong.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let text = text(path)?;
        let known = parse(&text, &[]).map_err(|why| unfit(path, &why))?;
        let source = Source { path: path.to_owned(), digest: Mutex::new(Ok(digest(&text))) };
        Ok(Self { source: Some(Arc::new(source)), known: Arc::new(RwLock::new(known)) })
    }

    /// Reads the file again. None if it is what it was; otherwise what holds from now on, in words, or why it cannot
    /// be used, in which case the keys from before are.
    pub(crate) fn look_again(&self) -> Option<Result<String, Fault>> {
        let Source { path, digest: last } = &**self.source.as_ref()?;
        let text = text(path);
        let now = text.as_ref().map(|text| digest(text)).map_err(Clone::clone);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == now {
            return None;
        }
        *last = now;
        Some(text.and_then(|text| {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            *known = parse(&text, &known).map_err(|why| unfit(path, &why))?;
            Ok(format!("the keys in {} are new: {} from now on", path.display(), known.len()))
        }))
    }

    /// What the bearer of a key may do, if `authorization` (`Bearer KEY`) brings one that is known.
    pub(crate) fn pass(&self, authorization: Option<&str>) -> Option<Pass> {
        let (scheme, key) = authorization?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") { self.pass_of(key.trim()) } else { None }
    }

    /// What the bearer of `key` may do, if it is known.
    pub(crate) fn pass_of(&self, key: &str) -> Option<Pass> {
        self.find(key).map(|key| Pass(Some(key)))
    }

    /// Takes as long for a wrong key as for a right one: digests of the same length are compared to their ends, and all
    /// of them.
    fn find(&self, key: &str) -> Option<Arc<Key>> {
        let asked = digest(key);
        let differ = |known: &[u8; 32]| known.iter().zip(asked).fold(0, |bits, (a, b)| bits | (a ^ b));
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().enumerate().fold(usize::MAX, |found, (at, key)| {
            if std::hint::black_box(differ(&key.digest)) == 0 { at } else { found }
        });
        known.get(found).cloned()
    }
}

/// What a client has shown, by which its requests are counted. The default is that of everybody where no keys are
/// wanted, and bounds nothing.
#[derive(Clone, Default)]
pub(crate) struct Pass(Option<Arc<Key>>);

impl Pass {
    /// How the key is called, if it has a name.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.as_ref().and_then(|key| key.allowance.name())
    }

    /// A request begins. It is under way until the slot is dropped.
    pub(crate) fn begin(&self) -> Result<Slot, Over> {
        match &self.0 {
            None => Ok(Slot::default()),
            Some(key) => key.allowance.begin(),
        }
    }
}

fn text(path: &Path) -> Result<String, Fault> {
    let wrong = |why: String| Fault::setup(format!("the keys in {} cannot be read: {why}", path.display()));
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut text = String::new();
    // Some files have no end.
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(wrong(format!("there are more than {MAX_BYTES} bytes in it")));
    }
    Ok(text)
}

fn unfit(path: &Path, why: &str) -> Fault {
    Fault::setup(format!("the keys in {}: {why}", path.display()))
}

/// The keys of `text`. Those that are among `before` go on counting. What is wrong is said without the line itself,
/// which may be a secret.
fn parse(text: &str, before: &[Arc<Key>]) -> Result<Vec<Arc<Key>>, String> {
    let mut known: Vec<Arc<Key>> = Vec::new();
    // Some editors put a mark before the first line.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = key(line, before).map_err(|why| format!("line {}: {why}", at + 1))?;
        if known.iter().any(|other| other.digest == key.digest) {
            return Err(format!("line {}: this key stands in a line before", at + 1));
        }
        let name = key.allowance.name();
        if name.is_some() && known.iter().any(|other| other.allowance.name() == name) {
            return Err(format!("line {}: a key before has the same name", at + 1));
        }
        known.push(Arc::new(key));
    }
    if known.is_empty() {
        return Err("there is none, so nobody could ask anything".to_owned());
    }
    Ok(known)
}

fn key(line: &str, before: &[Arc<Key>]) -> Result<Key, String> {
    let mut words = line.split_whitespace();
    let digest = digest(words.next().unwrap_or_default());
    let (mut name, mut concurrency, mut rate) = (None, None, None);
    for word in words {
        let is_first = match word.split_once('=') {
            Some(("name", value)) if !value.is_empty() => name.replace(value.to_owned()).is_none(),
            Some(("concurrency", value)) => {
                let most = value.parse().ok().filter(|most| *most > 0);
                concurrency.replace(most.ok_or("concurrency is a number of requests, such as 4")?).is_none()
            }
            Some(("rate", value)) => rate.replace(Rate::parse(value)?).is_none(),
            _ => {
                return Err(
                    "behind a key stand name=…, concurrency=… and rate=…, and nothing else".to_owned()
                );
            }
        };
        if !is_first {
            return Err("the same is said twice of a key".to_owned());
        }
    }
    let usage = before.iter().find(|key| key.digest == digest).map(|key| key.allowance.usage());
    Ok(Key { digest, allowance: Allowance::new(name, concurrency, rate, usage.unwrap_or_default()) })
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(keys: &Keys, key: &str) -> bool {
        keys.pass(Some(&format!("Bearer {key}"))).is_some()
    }

    #[test]
    fn keys_are_known_or_not() {
        let keys = Keys::parse("# of the lab\nalpha\n\n  beta  name=b rate=1/s\n").unwrap();
        assert!(knows(&keys, "alpha") && knows(&keys, "beta") && knows(&keys, " alpha "));
        assert!(!knows(&keys, "alph") && !knows(&keys, "") && !knows(&keys, "# of the lab"));
        for none in [None, Some(""), Some("alpha"), Some("Basic alpha"), Some("Bearer")] {
            assert!(keys.pass(none).is_none(), "{none:?}");
        }
        assert_eq!(format!("{keys:?}"), "Keys(2)");
        let marked = Keys::parse("\u{feff}alpha\r\nbeta\r\n").unwrap();
        assert!(knows(&marked, "alpha") && knows(&marked, "beta"));
    }

    #[test]
    fn what_is_wrong_is_said_by_its_line_and_without_the_key() {
        for (text, why) in [
            ("# none\n", "there is none"),
            ("alpha\nsecret word", "line 2: behind a key stand name=…"),
            ("secret concurrency=0", "line 1: concurrency is a number"),
            ("secret concurrency=1 concurrency=2", "line 1: the same is said twice"),
            ("secret rate=5", "line 1: a rate is"),
            ("secret rate=0/s", "line 1: a rate is"),
            ("secret rate=5/fortnight", "line 1: a rate is"),
            ("secret\n\nsecret name=other", "line 3: this key stands in a line before"),
            ("alpha name=lab\nsecret name=lab", "line 2: a key before has the same name"),
        ] {
            let fault = Keys::parse(text).unwrap_err();
            assert!(fault.message.contains(why) && !fault.message.contains("secret"), "{fault} for {why}");
        }
    }

    #[test]
    fn a_file_is_read_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, format!("alpha\n#{}", "-".repeat(1 << 20))).unwrap();
        let fault = Keys::read(&path).unwrap_err();
        assert!(fault.message.ends_with("there are more than 1048576 bytes in it"), "{fault}");
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("alpha concurrency=1\nbeta");
        let keys = Keys::read(&path).unwrap();
        let slot = keys.pass(Some("Bearer alpha")).unwrap().begin().unwrap();
        assert!(keys.look_again().is_none());

        write("alpha concurrency=2\ngamma");
        assert!(keys.look_again().unwrap().unwrap().ends_with("2 from now on"));
        assert!(knows(&keys, "gamma") && !knows(&keys, "beta"));
        // What was under way still is.
        let alpha = keys.pass(Some("Bearer alpha")).unwrap();
        let other = alpha.begin().unwrap();
        assert!(alpha.begin().is_err());
        drop((slot, other));
        assert!(alpha.begin().is_ok());

        write("alpha what");
        assert!(keys.look_again().unwrap().unwrap_err().message.contains("line 1"));
        assert!(keys.look_again().is_none() && knows(&keys, "gamma"));
        std::fs::remove_file(&path).unwrap();
        assert!(keys.look_again().unwrap().unwrap_err().message.contains("cannot be read"));
        assert!(keys.look_again().is_none() && knows(&keys, "gamma"));
    }
}
