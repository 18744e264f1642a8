//! Tensors of a file that `torch.save` wrote, to safetensors. Nothing of it is executed.
//!
//! Two layouts (pytorch, `torch/serialization.py`). Up to torch 1.5: four pickles one after the other
//! (magic number, protocol, system, object), a pickle with the list of storages, then for each
//! its i64 count of elements and their bytes. Since: an uncompressed zip archive with the object as
//! `NAME/data.pkl` and each storage as `NAME/data/KEY`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Machine, Node, TensorNode};
use super::tensors::{self, Tensor};
use super::{ConvertError, first_bytes};
use crate::work::Work;

/// A pickle of `0x1950a86a20f9469cfc6c`, with which every file of the old layout begins.
const LEGACY_START: [u8; 15] =
    [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const ZIP_START: &[u8] = b"PK\x03\x04";
/// Where checkpoints keep the tensors when they keep more besides.
const NESTED: [&str; 5] = ["state_dict", "model_state_dict", "model", "params_ema", "params"];

/// A file of one of the two layouts.
pub(crate) fn recognise(path: &Path) -> io::Result<bool> {
    let start = first_bytes(path, LEGACY_START.len() as u64)?;
    if start.starts_with(ZIP_START) {
        return Ok(ZipArchive::new(BufReader::new(File::open(path)?)).is_ok_and(|zip| prefix(&zip).is_some()));
    }
    Ok(start == LEGACY_START)
}

/// Writes `model.safetensors`.
pub(crate) fn convert(path: &Path, target: &Path, work: &Work<'_>) -> Result<(), ConvertError> {
    let reading = |error| ConvertError::reading(path, error);
    let is_zip = first_bytes(path, 4).map_err(reading)?.starts_with(ZIP_START);
    let (machine, root, offsets) = if is_zip { read_zip(path)? } else { read_legacy(path)? };
    let tensors = state(&machine, root)?
        .into_iter()
        .map(|(name, node)| {
            let tensor = place(&name, node, &machine, &offsets)?;
            Ok((name, tensor))
        })
        .collect::<Result<BTreeMap<_, _>, ConvertError>>()?;
    tensors::write(path, &tensors, &target.join("model.safetensors"), work)
}

/// Byte of the file where each storage's elements start, by key.
type Offsets = BTreeMap<String, u64>;

fn read_legacy(path: &Path) -> Result<(Machine, Node, Offsets), ConvertError> {
    let reading = |error| ConvertError::reading(path, error);
    let file = File::open(path).map_err(reading)?;
    let length = file.metadata().map_err(reading)?.len();
    let mut reader = BufReader::new(file);
    for _ in ["magic number", "protocol", "system"] {
        Machine::default().run(&mut reader).map_err(reading)?;
    }
    let mut machine = Machine::default();
    let root = machine.run(&mut reader).map_err(reading)?;
    let mut keys = Machine::default();
    let list = keys.run(&mut reader).map_err(reading)?;
    let mut offsets = Offsets::new();
    for key in keys.items(list).ok_or_else(|| ConvertError::content("its list of storages is none"))? {
        let key = keys.text(*key).ok_or_else(|| ConvertError::content("a storage's key is no text"))?;
        let mut count = [0; 8];
        reader.read_exact(&mut count).map_err(reading)?;
        let storage = machine.storages.get(key);
        let storage =
            storage.ok_or_else(|| ConvertError::content(format!("storage {key} belongs to no tensor")))?;
        if u64::from_le_bytes(count) != storage.elements {
            let reason = format!(
                "storage {key} has {} elements but says {}",
                storage.elements,
                u64::from_le_bytes(count)
            );
            return Err(ConvertError::content(reason));
        }
        let start = reader.stream_position().map_err(reading)?;
        let end =
            storage.elements.checked_mul(storage.element.bytes).and_then(|bytes| start.checked_add(bytes));
        let Some(end) = end.filter(|end| *end <= length) else {
            return Err(ConvertError::content(format!("it is cut off in storage {key}")));
        };
        offsets.insert(key.to_owned(), start);
        reader.seek(SeekFrom::Start(end)).map_err(reading)?;
    }
    Ok((machine, root, offsets))
}

fn read_zip(path: &Path) -> Result<(Machine, Node, Offsets), ConvertError> {
    let reading = |error| ConvertError::reading(path, error);
    let broken =
        |error: zip::result::ZipError| ConvertError::content(format!("its archive cannot be read ({error})"));
    let file = BufReader::new(File::open(path).map_err(reading)?);
    let mut zip = ZipArchive::new(file).map_err(broken)?;
    let prefix = prefix(&zip).ok_or_else(|| ConvertError::content("it has no data.pkl in it"))?;
    if let Ok(mut order) = zip.by_name(&format!("{prefix}byteorder")) {
        let mut text = String::new();
        order.by_ref().take(16).read_to_string(&mut text).map_err(reading)?;
        if text.trim() != "little" {
            return Err(ConvertError::content(format!("its bytes are in '{}' order", text.trim())));
        }
    }
    let mut machine = Machine::default();
    let pickle = zip.by_name(&format!("{prefix}data.pkl")).map_err(broken)?;
    let root = machine.run(&mut BufReader::new(pickle)).map_err(reading)?;
    let mut offsets = Offsets::new();
    for (key, storage) in &machine.storages {
        let item = zip.by_name(&format!("{prefix}data/{key}")).map_err(broken)?;
        let is_plain = item.compression() == CompressionMethod::Stored;
        let bytes = storage.elements.checked_mul(storage.element.bytes);
        let start = item.data_start().filter(|_| is_plain && bytes.is_some_and(|bytes| bytes <= item.size()));
        let start = start
            .ok_or_else(|| ConvertError::content(format!("storage {key} is compressed or too short")))?;
        offsets.insert(key.clone(), start);
    }
    Ok((machine, root, offsets))
}

/// What stands before `data.pkl` in the archive.
fn prefix<R: Read + Seek>(zip: &ZipArchive<R>) -> Option<String> {
    let mut names = zip.file_names().filter_map(Result::ok);
    names.find_map(|name| {
        name.strip_suffix("data.pkl")
            .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'))
            .map(str::to_owned)
    })
}

/// The tensors by name: of the object itself, or of the part of it that checkpoints keep them in.
fn state(machine: &Machine, root: Node) -> Result<Vec<(String, &TensorNode)>, ConvertError> {
    let direct = named(machine, root);
    if !direct.is_empty() {
        return Ok(direct);
    }
    let nested = machine.entries(root).into_iter().flatten();
    let mut nested: Vec<(usize, Node)> = nested
        .filter_map(|(key, value)| {
            Some((NESTED.iter().position(|name| machine.text(*key) == Some(name))?, *value))
        })
        .collect();
    nested.sort_by_key(|(rank, _)| *rank);
    let found = nested.into_iter().map(|(_, node)| named(machine, node)).find(|tensors| !tensors.is_empty());
    found.ok_or_else(|| ConvertError::content("it holds no table of names and tensors (a state_dict)"))
}

fn named(machine: &Machine, node: Node) -> Vec<(String, &TensorNode)> {
    let entries = machine.entries(node).into_iter().flatten();
    entries
        .filter_map(|(key, value)| Some((machine.text(*key)?.to_owned(), machine.tensor(*value)?)))
        .collect()
}

/// Where in the file a tensor lies. It must be inside its storage, and no larger than it.
fn place(
    name: &str,
    node: &TensorNode,
    machine: &Machine,
    offsets: &Offsets,
) -> Result<Tensor, ConvertError> {
    let outside = || ConvertError::content(format!("tensor '{name}' is not inside its storage"));
    let key = machine.storage_key(node.storage);
    let (storage, start) = machine.storages.get(key).zip(offsets.get(key)).ok_or_else(outside)?;
    let strides = Some(node.strides.clone()).filter(|strides| !is_row_major(&node.shape, strides));
    let offset = node
        .offset
        .checked_mul(storage.element.bytes)
        .and_then(|skip| start.checked_add(skip))
        .ok_or_else(outside)?;
    let tensor = Tensor { element: storage.element, shape: node.shape.clone(), strides, offset };
    let end = tensor.span().and_then(|span| span.checked_add(node.offset)).ok_or_else(outside)?;
    if end > storage.elements || tensor.elements().is_none_or(|elements| elements > storage.elements) {
        return Err(outside());
    }
    Ok(tensor)
}

fn is_row_major(shape: &[u64], strides: &[u64]) -> bool {
    let mut expected = 1u64;
    shape.iter().zip(strides).rev().all(|(extent, stride)| {
        let fits = *extent == 1 || *stride == expected;
        expected = expected.saturating_mul(*extent);
        fits
    })
}
