//! Reads a GGUF file: its sizes, its weights, and the faults of a file that is not what it should be.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. candle parses it and bounds
//! every length by the size of the file; what it does not check (that extents multiply without
//! overflow, that sizes make sense together) is checked here.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use corn_core::Fault;
use corn_core::executor::Progress;

use crate::candle::attention::Heads;
use crate::candle::files::{brief, unusable};

/// An open GGUF file.
pub(super) struct Gguf<'a> {
    path: PathBuf,
    reader: BufReader<File>,
    content: Content,
    progress: &'a dyn Progress,
    read_bytes: u64,
    total_bytes: u64,
}

/// The sizes of a Llama network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sizes {
    pub(super) layers: usize,
    /// Elements of a token's row.
    pub(super) hidden: usize,
    /// Elements between the two halves of a feed-forward layer.
    pub(super) inner: usize,
    pub(super) heads: Heads,
    pub(super) vocabulary: usize,
    /// Most tokens the network was made for.
    pub(super) context: usize,
    /// Added under the root of a norm.
    pub(super) epsilon: f32,
    /// Base of the rotation's wave lengths.
    pub(super) rotation_base: f32,
    /// Elements of a head that are rotated.
    pub(super) rotated: usize,
}

impl<'a> Gguf<'a> {
    /// Opens `path` and reads everything but the weights.
    pub(super) fn open(path: &Path, progress: &'a dyn Progress) -> Result<Self, Fault> {
        let file = File::open(path)
            .map_err(|error| unusable(path, format_args!("it cannot be opened ({error})")))?;
        let total_bytes = file.metadata().map_or(0, |metadata| metadata.len());
        let mut reader = BufReader::new(file);
        // candle divides by the alignment that the file declares, be it 0.
        let content = catch_unwind(AssertUnwindSafe(|| Content::read(&mut reader)))
            .map_err(|_| unusable(path, "its header makes no sense"))?
            .map_err(|error| {
                unusable(path, format_args!("it is not a whole GGUF file ({})", brief(&error)))
            })?;
        Ok(Self { path: path.to_owned(), reader, content, progress, read_bytes: 0, total_bytes })
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// The fault of this file that `why` describes.
    pub(super) fn wrong(&self, why: impl std::fmt::Display) -> Fault {
        unusable(&self.path, why)
    }

    /// The text at `key`, if there is one.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.content.metadata.get(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The whole number at `key`, if there is one.
    pub(super) fn int(&self, key: &str) -> Option<usize> {
        match *self.content.metadata.get(key)? {
            Value::U8(value) => Some(value.into()),
            Value::U16(value) => Some(value.into()),
            Value::U32(value) => usize::try_from(value).ok(),
            Value::U64(value) => usize::try_from(value).ok(),
            Value::I32(value) => usize::try_from(value).ok(),
            Value::I64(value) => usize::try_from(value).ok(),
            _ => None,
        }
    }

    fn float(&self, key: &str) -> Option<f32> {
        match *self.content.metadata.get(key)? {
            Value::F32(value) => Some(value),
            Value::F64(value) => Some(value as f32),
            _ => None,
        }
    }

    /// Whether a tensor is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// How tensor `name` is kept, if it is there.
    pub(super) fn dtype(&self, name: &str) -> Option<GgmlDType> {
        self.content.tensor_infos.get(name).map(|tensor| tensor.ggml_dtype)
    }

    /// Reads tensor `name`, which must have this shape (outputs first).
    pub(super) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<QTensor, Fault> {
        let Some(tensor) = self.content.tensor_infos.get(name) else {
            return Err(self.wrong(format_args!("it has no tensor {name}")));
        };
        if tensor.shape.dims() != shape {
            let dims = tensor.shape.dims();
            return Err(self.wrong(format_args!("tensor {name} has shape {dims:?} instead of {shape:?}")));
        }
        let tensor = self
            .content
            .tensor(&mut self.reader, name, &Device::Cpu)
            .map_err(|error| self.wrong(format_args!("tensor {name} cannot be read ({})", brief(&error))))?;
        self.read_bytes += tensor.storage_size_in_bytes() as u64;
        let what = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.progress.advance(&what, self.read_bytes, self.total_bytes);
        Ok(tensor)
    }

    /// Reads a tensor of floats as a plain list.
    pub(super) fn floats(&mut self, name: &str, count: usize) -> Result<Vec<f32>, Fault> {
        self.tensor(name, &[count])?
            .dequantize(&Device::Cpu)
            .and_then(|tensor| tensor.to_vec1())
            .map_err(|error| self.wrong(format_args!("tensor {name} cannot be read ({})", brief(&error))))
    }

    /// The sizes of the network, checked.
    pub(super) fn sizes(&mut self) -> Result<Sizes, Fault> {
        let architecture = self.text("general.architecture").unwrap_or("no architecture").to_owned();
        if architecture != "llama" {
            return Err(self.wrong(format_args!(
                "its architecture is {architecture:?} and llama.chat runs \"llama\" \
                 (such as SmolLM2 and Llama 3)"
            )));
        }
        if self.int("llama.expert_count").is_some_and(|count| count > 0) {
            return Err(self.wrong("it is a mixture of experts, which llama.chat does not run"));
        }
        let needed = |key: &str| {
            self.int(key)
                .filter(|value| (1..1 << 24).contains(value))
                .ok_or_else(|| self.wrong(format_args!("it does not say a usable {key}")))
        };
        let hidden = needed("llama.embedding_length")?;
        let queries = needed("llama.attention.head_count")?;
        let key_values = self.int("llama.attention.head_count_kv").unwrap_or(queries);
        let width = self.int("llama.attention.key_length").unwrap_or(hidden / queries);
        let rotated = self.int("llama.rope.dimension_count").unwrap_or(width);
        let sizes = Sizes {
            layers: needed("llama.block_count")?,
            hidden,
            inner: needed("llama.feed_forward_length")?,
            heads: Heads { queries, key_values, width },
            vocabulary: self.vocabulary()?,
            context: needed("llama.context_length")?,
            epsilon: self.float("llama.attention.layer_norm_rms_epsilon").unwrap_or(1e-5),
            rotation_base: self.float("llama.rope.freq_base").unwrap_or(10_000.0),
            rotated,
        };
        let heads_fit = key_values > 0 && queries.is_multiple_of(key_values);
        if !heads_fit || width == 0 || width > 4096 || rotated > width || !rotated.is_multiple_of(2) {
            return Err(self.wrong(format_args!("its sizes do not fit together ({sizes:?})")));
        }
        // A count of tensors is a cheap proof against a file that claims a million layers.
        if sizes.layers > self.content.tensor_infos.len() {
            return Err(self.wrong(format_args!("it says {} layers but has no such tensors", sizes.layers)));
        }
        self.check_end()?;
        Ok(sizes)
    }

    fn vocabulary(&self) -> Result<usize, Fault> {
        match self.content.tensor_infos.get("token_embd.weight").map(|tensor| tensor.shape.dims()) {
            Some(&[vocabulary, _]) if (1..1 << 24).contains(&vocabulary) => Ok(vocabulary),
            _ => Err(self.wrong("it has no usable tensor token_embd.weight")),
        }
    }

    /// Checks that the file is long enough for every tensor before any is read, so that a download
    /// that was cut is found at once.
    fn check_end(&mut self) -> Result<(), Fault> {
        let length = self
            .reader
            .seek(SeekFrom::End(0))
            .map_err(|error| self.wrong(format_args!("it cannot be read ({error})")))?;
        for (name, tensor) in &self.content.tensor_infos {
            let elements =
                tensor.shape.dims().iter().try_fold(1usize, |product, extent| product.checked_mul(*extent));
            let end = elements
                .and_then(|elements| {
                    (elements / tensor.ggml_dtype.block_size()).checked_mul(tensor.ggml_dtype.type_size())
                })
                .and_then(|bytes| {
                    (bytes as u64).checked_add(tensor.offset)?.checked_add(self.content.tensor_data_offset)
                });
            if end.is_none_or(|end| end > length) {
                return Err(self.wrong(format_args!("it ends before tensor {name} does: it was cut")));
            }
        }
        Ok(())
    }
}
