//! Reads the index of a CTranslate2 `model.bin`.
//!
//! Layout, little-endian (OpenNMT/CTranslate2, `model_spec.py`, binary version 6): u32 version; the
//! specification's name as u16 length and bytes ending in NUL; u32 revision; u32 count of variables,
//! each with name, u8 rank, u32 extents, u8 type, u32 bytes and the bytes; u32 count of aliases,
//! each with alias and name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use super::ConvertError;
use super::tensors::{Element, Tensor};

/// The version that is read; it has been this one since 2021.
const VERSION: u32 = 6;
/// A bound far over what any model has.
const MAX_VARIABLES: u32 = 100_000;
const MAX_RANK: u8 = 8;
/// Scalars such as the number of heads are kept as values.
const MAX_SCALAR_BYTES: u32 = 8;

/// The index of a model.
#[derive(Debug)]
pub(crate) struct Model {
    /// Tensors by name.
    pub(crate) tensors: BTreeMap<String, Tensor>,
    /// Integers by name.
    pub(crate) scalars: BTreeMap<String, i64>,
}

/// The specification's name, if `bytes` begin a model of the version that is read.
pub(crate) fn specification(bytes: &[u8]) -> Option<String> {
    let mut start = bytes;
    (read_u32(&mut start).ok()? == VERSION).then(|| read_name(&mut start).ok())?
}

/// Reads the index of the model at `path`, without its tensors' bytes.
pub(crate) fn read(path: &Path) -> Result<Model, ConvertError> {
    let reading = |error| ConvertError::reading(path, error);
    let file = File::open(path).map_err(reading)?;
    let length = file.metadata().map_err(reading)?.len();
    let mut reader = BufReader::new(file);
    let version = read_u32(&mut reader).map_err(reading)?;
    if version != VERSION {
        let reason = format!("it is of CTranslate2's binary version {version}; version {VERSION} is read");
        return Err(ConvertError::content(reason));
    }
    let _specification = read_name(&mut reader).map_err(reading)?;
    let _revision = read_u32(&mut reader).map_err(reading)?;
    let count = read_u32(&mut reader).map_err(reading)?;
    if count > MAX_VARIABLES {
        return Err(ConvertError::content(format!("it announces {count} variables")));
    }
    let mut model = Model { tensors: BTreeMap::new(), scalars: BTreeMap::new() };
    for _ in 0..count {
        read_variable(&mut reader, length, &mut model).map_err(reading)?;
    }
    Ok(model)
}

fn read_variable(reader: &mut BufReader<File>, length: u64, model: &mut Model) -> io::Result<()> {
    let name = read_name(reader)?;
    let rank = read_u8(reader)?;
    if rank > MAX_RANK {
        return Err(invalid(format!("variable '{name}' has {rank} dimensions")));
    }
    let shape = (0..rank).map(|_| read_u32(reader).map(u64::from)).collect::<io::Result<Vec<_>>>()?;
    let kind = read_u8(reader)?;
    let bytes = read_u32(reader)?;
    let offset = reader.stream_position()?;
    if offset + u64::from(bytes) > length {
        return Err(invalid(format!("it is cut off: variable '{name}' at byte {offset} has {bytes} bytes")));
    }
    let element =
        element(kind).ok_or_else(|| invalid(format!("variable '{name}' is of unknown type {kind}")))?;
    let tensor = Tensor { element, shape, strides: None, offset };
    if tensor.elements().and_then(|count| count.checked_mul(element.bytes)) != Some(u64::from(bytes)) {
        let shape = &tensor.shape;
        return Err(invalid(format!(
            "variable '{name}' of shape {shape:?} ({}) has {bytes} bytes",
            element.name
        )));
    }
    let scalar_start = if tensor.shape.is_empty() && bytes <= MAX_SCALAR_BYTES { bytes as usize } else { 0 };
    let mut scalar = vec![0; scalar_start];
    reader.read_exact(&mut scalar)?;
    reader.seek_relative(i64::from(bytes) - scalar_start as i64)?;
    match integer(element, &scalar) {
        Some(value) => drop(model.scalars.insert(name, value)),
        None => drop(model.tensors.insert(name, tensor)),
    }
    Ok(())
}

/// CTranslate2's `DataType`, in its order.
fn element(kind: u8) -> Option<Element> {
    [Element::F32, Element::I8, Element::I16, Element::I32, Element::F16, Element::BF16]
        .get(usize::from(kind))
        .copied()
}

fn integer(element: Element, bytes: &[u8]) -> Option<i64> {
    match (element.name, bytes) {
        ("I8", [value]) => Some(i64::from(*value as i8)),
        ("I16", [a, b]) => Some(i64::from(i16::from_le_bytes([*a, *b]))),
        ("I32", [a, b, c, d]) => Some(i64::from(i32::from_le_bytes([*a, *b, *c, *d]))),
        _ => None,
    }
}

fn read_name(reader: &mut impl Read) -> io::Result<String> {
    let mut length = [0; 2];
    reader.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_le_bytes(length))];
    reader.read_exact(&mut bytes)?;
    bytes.pop_if(|last| *last == 0);
    String::from_utf8(bytes).map_err(|_| invalid("a name is not UTF-8"))
}

fn read_u8(reader: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    reader.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn read_u32(reader: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    reader.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}
