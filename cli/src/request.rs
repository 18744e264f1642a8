//! A request from the command line: which way to ask, what it brings, where its outputs go.

pub(crate) mod answer;
pub(crate) mod inputs;
pub(crate) mod npy;
pub(crate) mod outputs;
pub(crate) mod paste;
pub(crate) mod way;

use std::cell::OnceCell;
use std::io::Read;

use corn_plan::Modality;

use crate::failure::Failure;

/// Most bytes of one input file, so that a wrong path does not fill the memory.
const MAX_BYTES: u64 = 1 << 30;

/// `name=value` of `--in` and `--out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) value: String,
    /// What it brings, once it was read: which route is meant can depend on that.
    content: OnceCell<Result<Option<Vec<u8>>, String>>,
}

impl Binding {
    /// The content of the file that it names, or of standard input. None if its value is what it brings.
    pub(crate) fn content(&self) -> Result<Option<&[u8]>, String> {
        let read = || match self.value.strip_prefix('@') {
            Some(path) => {
                file(path).map(Some).map_err(|problem| format!("'{path}' cannot be read: {problem}"))
            }
            None if self.value == "-" => bounded(std::io::stdin().lock())
                .map(Some)
                .map_err(|problem| format!("standard input: {problem}")),
            None => Ok(None),
        };
        self.content.get_or_init(read).as_ref().map(Option::as_deref).map_err(Clone::clone)
    }

    /// Which of the media it brings, if it does not bring a text.
    pub(crate) fn modality(&self) -> Option<Modality> {
        let content = self.content().ok()??;
        // A text may begin as a file of media does.
        let is_text = std::str::from_utf8(content).is_ok_and(|text| !text.contains('\0'));
        if is_text { None } else { corn_media::modality(content).ok() }
    }
}

fn file(path: &str) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err("it is a folder".to_owned());
    }
    bounded(file)
}

fn bounded(source: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {} MiB", MAX_BYTES >> 20));
    }
    Ok(bytes)
}

/// Splits `name=value`.
pub(crate) fn bindings(option: &str, texts: &[String]) -> Result<Vec<Binding>, Failure> {
    let split = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && (option == "in" || !value.is_empty()) => {
            let (name, value) = (name.trim().to_owned(), value.to_owned());
            Ok(Binding { name, value, content: OnceCell::new() })
        }
        _ => Err(Failure::Usage(format!("--{option} {text}: expected --{option} name=value"))),
    };
    texts.iter().map(split).collect()
}
