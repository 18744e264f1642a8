//! The files that a model is loaded from, and what is said when one of them is wrong.
//!
//! Relies on the store having fetched and verified them. What can still go wrong (a file that was
//! cut or replaced, another model than the entry expects) is a fault of the set-up that names
//! the file and says what to do.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use corn_core::Fault;
use corn_core::executor::Progress;

use super::dense::Rows;

/// The file or folder that weights parameter `name` was fetched to.
pub(super) fn required<'a>(
    files: &'a BTreeMap<String, PathBuf>,
    entry: &str,
    name: &str,
) -> Result<&'a Path, Fault> {
    files
        .get(name)
        .map(PathBuf::as_path)
        .ok_or_else(|| Fault::setup(format!("{entry} needs weights '{name}', which were not given")))
}

/// File `name` of the weights at `path`: inside it if it is a folder, beside it if it is a file.
pub(super) fn member(path: &Path, name: &str) -> PathBuf {
    if path.is_dir() { path.join(name) } else { path.with_file_name(name) }
}

/// The fault of a file that is there but cannot be used.
pub(super) fn unusable(path: &Path, why: impl std::fmt::Display) -> Fault {
    Fault::setup(format!(
        "cannot use {}: {why}. If the file is damaged, remove it with `corn models remove` and fetch it again",
        path.display()
    ))
}

/// The whole contents of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).map_err(|error| unusable(path, format_args!("it cannot be read ({error})")))
}

/// A JSON file.
pub(super) fn read_json(path: &Path) -> Result<serde_json::Value, Fault> {
    serde_json::from_slice(&read(path)?)
        .map_err(|error| unusable(path, format_args!("it is not valid JSON ({error})")))
}

/// The tokenizer in a `tokenizer.json`, without the padding and truncation it may declare: both would
/// change what a model reads without a word.
pub(super) fn read_tokenizer(path: &Path) -> Result<tokenizers::Tokenizer, Fault> {
    let mut tokenizer = tokenizers::Tokenizer::from_bytes(read(path)?)
        .map_err(|error| unusable(path, format_args!("it is not a tokenizer ({error})")))?;
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|error| unusable(path, format_args!("its truncation cannot be turned off ({error})")))?;
    Ok(tokenizer)
}

/// Named tensors of a safetensors file, in 32-bit floats.
pub(super) struct Tensors {
    path: PathBuf,
    by_name: HashMap<String, Tensor>,
}

impl Tensors {
    /// Reads every tensor of the file.
    pub(super) fn read(path: &Path, progress: &dyn Progress) -> Result<Self, Fault> {
        let bytes = read(path)?;
        let what = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let total = bytes.len() as u64;
        progress.advance(&what, 0, total);
        let mut by_name = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|error| unusable(path, format_args!("it is not safetensors ({})", brief(&error))))?;
        for tensor in by_name.values_mut() {
            if tensor.dtype().is_float() {
                *tensor = tensor.to_dtype(DType::F32).map_err(|error| unusable(path, brief(&error)))?;
            }
        }
        progress.advance(&what, total, total);
        Ok(Self { path: path.to_owned(), by_name })
    }

    /// Takes tensor `name`, which must have this shape.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, Fault> {
        let tensor = self.take_any(name)?;
        if tensor.dims() != shape {
            let dims = tensor.dims();
            return Err(self.wrong(format_args!("tensor {name} has shape {dims:?} instead of {shape:?}")));
        }
        Ok(tensor)
    }

    /// Takes tensor `name`, whatever its shape.
    pub(super) fn take_any(&mut self, name: &str) -> Result<Tensor, Fault> {
        self.by_name.remove(name).ok_or_else(|| self.wrong(format_args!("it has no tensor {name}")))
    }

    /// Takes tensor `name`, a plain list of so many floats.
    pub(super) fn floats(&mut self, name: &str, count: usize) -> Result<Vec<f32>, Fault> {
        let tensor = self.take(name, &[count])?;
        tensor.to_vec1().map_err(|error| self.wrong(format_args!("tensor {name}: {}", brief(&error))))
    }

    /// Takes tensor `name`, rows of `width` floats.
    pub(super) fn rows(&mut self, name: &str, width: usize) -> Result<Rows, Fault> {
        let tensor = self.take_any(name)?;
        match tensor.dims() {
            &[count, found] if count > 0 && found == width => {}
            dims => {
                return Err(self.wrong(format_args!("tensor {name} has shape {dims:?}, not rows of {width}")));
            }
        }
        let data = tensor.flatten_all().and_then(|tensor| tensor.to_vec1());
        let data = data.map_err(|error| self.wrong(format_args!("tensor {name}: {}", brief(&error))))?;
        Ok(Rows::new(width, data))
    }

    /// Bytes of all tensors not yet taken.
    pub(super) fn bytes(&self) -> u64 {
        self.by_name.values().map(|tensor| tensor.elem_count() as u64 * 4).sum()
    }

    /// The extents of tensor `name`, if it is there.
    pub(super) fn dims(&self, name: &str) -> Option<&[usize]> {
        self.by_name.get(name).map(Tensor::dims)
    }

    /// The fault of a file with these tensors that the entry cannot run.
    pub(super) fn wrong(&self, why: impl std::fmt::Display) -> Fault {
        unusable(&self.path, format_args!("{why}: it is not the model that this entry runs"))
    }
}

/// The first line of a candle error: what follows is a backtrace.
pub(super) fn brief(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Turns errors of candle in the middle of a model into faults that say where.
pub(super) trait Working<T> {
    /// A fault of the component while it did `what`.
    fn while_doing(self, what: &str) -> Result<T, Fault>;
}

impl<T> Working<T> for candle_core::Result<T> {
    fn while_doing(self, what: &str) -> Result<T, Fault> {
        self.map_err(|error| Fault::component(format!("{what} failed: {}", brief(&error))))
    }
}
