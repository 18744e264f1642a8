//! Writes a safetensors file from pieces of another file, streaming.
//!
//! Format (huggingface/safetensors, README): u64 length of the header, the header as JSON (name →
//! dtype, shape, data_offsets from the end of the header), then the bytes. The header is padded
//! with spaces so that the bytes start at a multiple of eight.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::json;

use super::ConvertError;
use crate::digest::CHUNK_BYTES;
use crate::work::Work;

/// Type of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    /// Its name in safetensors.
    pub(crate) name: &'static str,
    pub(crate) bytes: u64,
}

impl Element {
    pub(crate) const F32: Self = Self { name: "F32", bytes: 4 };
    pub(crate) const F16: Self = Self { name: "F16", bytes: 2 };
    pub(crate) const BF16: Self = Self { name: "BF16", bytes: 2 };
    pub(crate) const F64: Self = Self { name: "F64", bytes: 8 };
    pub(crate) const I64: Self = Self { name: "I64", bytes: 8 };
    pub(crate) const I32: Self = Self { name: "I32", bytes: 4 };
    pub(crate) const I16: Self = Self { name: "I16", bytes: 2 };
    pub(crate) const I8: Self = Self { name: "I8", bytes: 1 };
    pub(crate) const U8: Self = Self { name: "U8", bytes: 1 };
    pub(crate) const BOOL: Self = Self { name: "BOOL", bytes: 1 };
}

/// A tensor to write, little-endian as it lies in the source file.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) element: Element,
    pub(crate) shape: Vec<u64>,
    /// Elements from one index to the next, for each dimension; `None` if they lie row by row.
    pub(crate) strides: Option<Vec<u64>>,
    /// Byte of the source file where the first element is.
    pub(crate) offset: u64,
}

impl Tensor {
    /// Its number of elements, unless that overflows.
    pub(crate) fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1u64, |product, extent| product.checked_mul(*extent))
    }

    /// Bytes when written.
    fn bytes(&self) -> Option<u64> {
        self.elements()?.checked_mul(self.element.bytes)
    }

    /// Elements from its first to one past its last in the source.
    pub(crate) fn span(&self) -> Option<u64> {
        let Some(strides) = &self.strides else { return self.elements() };
        if self.elements()? == 0 {
            return Some(0);
        }
        let last =
            self.shape.iter().zip(strides).try_fold(0u64, |last, (extent, stride)| {
                last.checked_add((extent - 1).checked_mul(*stride)?)
            })?;
        last.checked_add(1)
    }
}

/// Writes `tensors`, whose bytes are in the file at `source`, to `target`.
pub(crate) fn write(
    source: &Path,
    tensors: &BTreeMap<String, Tensor>,
    target: &Path,
    work: &Work<'_>,
) -> Result<(), ConvertError> {
    let mut input = File::open(source).map_err(|error| ConvertError::reading(source, error))?;
    let length = input.metadata().map_err(|error| ConvertError::reading(source, error))?.len();
    let (header, total) = header(tensors, length)?;
    let written = |error: std::io::Error| ConvertError::Disk(target.to_owned(), error);
    let mut output = BufWriter::with_capacity(CHUNK_BYTES, File::create_new(target).map_err(written)?);
    output.write_all(&header).map_err(written)?;
    let mut done = 0;
    for tensor in tensors.values() {
        let mut out = |bytes: &[u8]| {
            output.write_all(bytes).map_err(written)?;
            done += bytes.len() as u64;
            work.advance("converting", done, total).map_err(ConvertError::from)
        };
        match &tensor.strides {
            None => copy_rows(&mut input, tensor, source, &mut out)?,
            Some(strides) => gather(&mut input, tensor, strides, source, &mut out)?,
        }
    }
    let file = output.into_inner().map_err(|error| written(error.into_error()))?;
    file.sync_all().map_err(written)
}

/// The header's bytes, and how many bytes of tensors follow. Every tensor must lie in the source.
fn header(tensors: &BTreeMap<String, Tensor>, length: u64) -> Result<(Vec<u8>, u64), ConvertError> {
    let mut entries = serde_json::Map::new();
    entries.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut end = 0u64;
    for (name, tensor) in tensors {
        let outside = || {
            ConvertError::content(format!(
                "tensor '{name}' of shape {:?} is not inside the file",
                tensor.shape
            ))
        };
        let span =
            tensor.span().and_then(|span| span.checked_mul(tensor.element.bytes)).ok_or_else(outside)?;
        tensor.offset.checked_add(span).filter(|end| *end <= length).ok_or_else(outside)?;
        let start = end;
        end = tensor.bytes().and_then(|bytes| end.checked_add(bytes)).ok_or_else(outside)?;
        let entry =
            json!({ "dtype": tensor.element.name, "shape": tensor.shape, "data_offsets": [start, end] });
        entries.insert(name.clone(), entry);
    }
    let mut entries = serde_json::Value::Object(entries);
    entries.sort_all_objects();
    let mut text = entries.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.append(&mut text);
    Ok((header, end))
}

fn copy_rows(
    input: &mut File,
    tensor: &Tensor,
    source: &Path,
    out: &mut dyn FnMut(&[u8]) -> Result<(), ConvertError>,
) -> Result<(), ConvertError> {
    let reading = |error| ConvertError::reading(source, error);
    input.seek(SeekFrom::Start(tensor.offset)).map_err(reading)?;
    let mut left = tensor.bytes().unwrap_or(0);
    let mut buffer = vec![0; CHUNK_BYTES.min(left as usize)];
    while left > 0 {
        let take = (buffer.len() as u64).min(left) as usize;
        input.read_exact(&mut buffer[..take]).map_err(reading)?;
        out(&buffer[..take])?;
        left -= take as u64;
    }
    Ok(())
}

/// Brings a tensor with strides into rows. Holds what it spans, which is inside the source file.
fn gather(
    input: &mut File,
    tensor: &Tensor,
    strides: &[u64],
    source: &Path,
    out: &mut dyn FnMut(&[u8]) -> Result<(), ConvertError>,
) -> Result<(), ConvertError> {
    let reading = |error| ConvertError::reading(source, error);
    let size = tensor.element.bytes as usize;
    let mut spanned = vec![0; tensor.span().unwrap_or(0) as usize * size];
    input.seek(SeekFrom::Start(tensor.offset)).map_err(reading)?;
    input.read_exact(&mut spanned).map_err(reading)?;
    let mut index = vec![0u64; tensor.shape.len()];
    let mut buffer = Vec::with_capacity(CHUNK_BYTES);
    for _ in 0..tensor.elements().unwrap_or(0) {
        let at = index.iter().zip(strides).map(|(index, stride)| index * stride).sum::<u64>() as usize * size;
        buffer.extend_from_slice(&spanned[at..at + size]);
        if buffer.len() + size > CHUNK_BYTES {
            out(&buffer)?;
            buffer.clear();
        }
        for (place, extent) in index.iter_mut().zip(&tensor.shape).rev() {
            *place += 1;
            if *place < *extent {
                break;
            }
            *place = 0;
        }
    }
    out(&buffer)
}
