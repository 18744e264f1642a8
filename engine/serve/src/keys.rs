//! The keys that clients must know.

use std::fmt;
use std::path::Path;

use corn_core::Fault;
use sha2::{Digest, Sha256};

/// Keys, of which each request must bring one. Only digests are kept.
#[derive(Clone)]
pub struct Keys {
    digests: Vec<[u8; 32]>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.digests.len())
    }
}

impl Keys {
    /// The keys in a text: one a line; empty lines and those that begin with `#` are none.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let digests: Vec<[u8; 32]> = lines.map(digest).collect();
        if digests.is_empty() {
            return Err(Fault::setup("there is no key among the keys, so nobody could ask anything"));
        }
        Ok(Self { digests })
    }

    /// The keys in a file.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Fault::setup(format!("the keys in {} cannot be read: {error}", path.display()))
        })?;
        Self::parse(&text)
    }

    /// Whether `key` is one of them. Takes as long for a wrong key as for a right one: digests of the same length are
    /// compared to their ends, and all of them.
    pub fn knows(&self, key: &str) -> bool {
        let asked = digest(key);
        let differ = |known: &[u8; 32]| known.iter().zip(asked).fold(0, |bits, (a, b)| bits | (a ^ b));
        self.digests.iter().fold(false, |found, known| found | (std::hint::black_box(differ(known)) == 0))
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_or_not() {
        let keys = Keys::parse("# of the lab\nalpha\n\n  beta \n").unwrap();
        assert!(keys.knows("alpha") && keys.knows("beta"));
        assert!(!keys.knows("alph") && !keys.knows("") && !keys.knows("# of the lab"));
        assert_eq!(format!("{keys:?}"), "Keys(2)");
        assert!(Keys::parse("# none\n").is_err());
    }
}
