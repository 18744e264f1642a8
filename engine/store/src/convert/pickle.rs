//! A machine for pickles that hold tensors, and for nothing else.
//!
//! Opcodes from CPython's `pickletools.py`. A pickle is a program; this machine knows the part
//! of the language that builds texts, numbers, tuples, lists and tables, and three calls: of
//! `OrderedDict`, of `_rebuild_tensor_v2` and of `_rebuild_parameter`, none of which runs anything.
//! Every other name and opcode is refused, by name. Nodes lie in one vector and refer to each
//! other by number, so that no nesting, however deep, needs a stack of the host.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use super::tensors::Element;

/// Most bytes of one pickle. Tensors lie outside of it; a large model's takes half a megabyte.
/// What is built takes some forty times that at worst.
const MAX_BYTES: u64 = 4 << 20;
const MAX_RANK: usize = 8;
/// Arguments of a call, or parts of a storage's description; torch writes seven.
const MAX_ARGUMENTS: usize = 16;
const MAX_KEY_BYTES: usize = 128;

/// A value, or the number of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Node {
    None,
    Bool,
    Int(i64),
    Float,
    /// A whole number of more than 64 bits.
    Big,
    Text(u32),
    /// Tuple or list.
    Items(u32),
    Table(u32),
    Global(Global),
    Storage(u32),
    Tensor(u32),
    Mark,
}

/// A name that may be used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Element),
}

/// Where tensors' elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) element: Element,
    pub(crate) elements: u64,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TensorNode {
    /// The storage, to be shown to [`Machine::storage_key`].
    pub(crate) storage: u32,
    /// First element.
    pub(crate) offset: u64,
    pub(crate) shape: Vec<u64>,
    pub(crate) strides: Vec<u64>,
}

/// The machine after a run: everything that was built.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    texts: Vec<String>,
    items: Vec<Vec<Node>>,
    tables: Vec<Vec<(Node, Node)>>,
    storage_keys: Vec<String>,
    tensors: Vec<TensorNode>,
    /// Storages by key.
    pub(crate) storages: BTreeMap<String, Storage>,
    stack: Vec<Node>,
    memo: HashMap<u32, Node>,
}

impl Machine {
    /// Runs the pickle that `reader` begins with, up to its end and no further.
    pub(crate) fn run(&mut self, reader: &mut impl Read) -> io::Result<Node> {
        let mut code = reader.take(MAX_BYTES);
        loop {
            let at = MAX_BYTES - code.limit();
            let step = self.step(&mut code);
            let cut = code.limit() == 0;
            match step {
                Ok(None) => {}
                Ok(Some(node)) => return Ok(node),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && cut => {
                    return Err(refused(format!("its pickle is longer than {MAX_BYTES} bytes")));
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(refused(format!("{error} (byte {at} of a pickle)")));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The text that `node` is.
    pub(crate) fn text(&self, node: Node) -> Option<&str> {
        if let Node::Text(index) = node { Some(&self.texts[index as usize]) } else { None }
    }

    /// The items of a tuple or list.
    pub(crate) fn items(&self, node: Node) -> Option<&[Node]> {
        if let Node::Items(index) = node { Some(&self.items[index as usize]) } else { None }
    }

    /// The entries of a table, in order.
    pub(crate) fn entries(&self, node: Node) -> Option<&[(Node, Node)]> {
        if let Node::Table(index) = node { Some(&self.tables[index as usize]) } else { None }
    }

    /// The tensor that `node` is.
    pub(crate) fn tensor(&self, node: Node) -> Option<&TensorNode> {
        if let Node::Tensor(index) = node { Some(&self.tensors[index as usize]) } else { None }
    }

    /// The key of a storage.
    pub(crate) fn storage_key(&self, storage: u32) -> &str {
        &self.storage_keys[storage as usize]
    }

    /// One instruction; the result at the end.
    fn step(&mut self, code: &mut impl Read) -> io::Result<Option<Node>> {
        let opcode = byte(code)?;
        match opcode {
            b'.' => return self.pop().map(Some),
            // PROTO, FRAME: how the rest is written, which is the same to this machine.
            0x80 => drop(byte(code)?),
            0x95 => drop(bytes::<8>(code)?),
            b'(' => self.stack.push(Node::Mark),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'N' => self.stack.push(Node::None),
            0x88 | 0x89 => self.stack.push(Node::Bool),
            b'J' => self.stack.push(Node::Int(i64::from(i32::from_le_bytes(bytes(code)?)))),
            b'K' => self.stack.push(Node::Int(i64::from(byte(code)?))),
            b'M' => self.stack.push(Node::Int(i64::from(u16::from_le_bytes(bytes(code)?)))),
            0x8a => self.push_long(code)?,
            b'G' => {
                bytes::<8>(code)?;
                self.stack.push(Node::Float);
            }
            b'X' | b'B' | b'T' => {
                let length = u32::from_le_bytes(bytes(code)?);
                self.push_text(code, u64::from(length))?;
            }
            0x8c | b'U' | b'C' => {
                let length = byte(code)?;
                self.push_text(code, u64::from(length))?;
            }
            0x8d => {
                let length = u64::from_le_bytes(bytes(code)?);
                self.push_text(code, length)?;
            }
            b')' | b']' => self.push_items(Vec::new()),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_items(items);
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.push_items(items);
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b'}' => self.push_table(),
            b's' => {
                let entry = self.pop_many(2)?;
                self.insert(&entry)?;
            }
            b'u' => {
                let entries = self.pop_to_mark()?;
                self.insert(&entries)?;
            }
            b'q' => self.remember(|code| byte(code).map(u32::from), code)?,
            b'r' => self.remember(|code| bytes(code).map(u32::from_le_bytes), code)?,
            0x94 => {
                let next = self.memo.len() as u32;
                self.memo.insert(next, self.top()?);
            }
            b'h' => self.recall(|code| byte(code).map(u32::from), code)?,
            b'j' => self.recall(|code| bytes(code).map(u32::from_le_bytes), code)?,
            b'c' => {
                let (module, name) = (line(code)?, line(code)?);
                self.stack.push(Node::Global(global(&module, &name)?));
            }
            0x93 => self.stack_global()?,
            b'Q' => self.persistent()?,
            b'R' => self.call()?,
            b'b' => self.build()?,
            _ => return Err(refused(format!("opcode {opcode:#04x} ({}) is refused", opcode_name(opcode)))),
        }
        Ok(None)
    }

    fn top(&self) -> io::Result<Node> {
        self.stack
            .last()
            .copied()
            .filter(|node| *node != Node::Mark)
            .ok_or_else(|| refused("nothing is on its stack"))
    }

    fn pop(&mut self) -> io::Result<Node> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> io::Result<Vec<Node>> {
        let mut nodes = (0..count).map(|_| self.pop()).collect::<io::Result<Vec<_>>>()?;
        nodes.reverse();
        Ok(nodes)
    }

    fn pop_to_mark(&mut self) -> io::Result<Vec<Node>> {
        let mark = self.stack.iter().rposition(|node| *node == Node::Mark);
        let mark = mark.ok_or_else(|| refused("no mark is on its stack"))?;
        let nodes = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(nodes)
    }

    fn push_long(&mut self, code: &mut impl Read) -> io::Result<()> {
        let length = usize::from(byte(code)?);
        let mut digits = vec![0; length];
        code.read_exact(&mut digits)?;
        let negative = digits.last().is_some_and(|last| last & 0x80 != 0);
        let node = if length > 8 {
            Node::Big
        } else {
            digits.resize(8, if negative { 0xff } else { 0 });
            Node::Int(digits.iter().rev().fold(0i64, |value, digit| value << 8 | i64::from(*digit)))
        };
        self.stack.push(node);
        Ok(())
    }

    fn push_text(&mut self, code: &mut impl Read, length: u64) -> io::Result<()> {
        let mut bytes = Vec::new();
        code.take(length).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.stack.push(Node::Text(self.texts.len() as u32));
        self.texts.push(String::from_utf8_lossy(&bytes).into_owned());
        Ok(())
    }

    fn push_items(&mut self, items: Vec<Node>) {
        self.stack.push(Node::Items(self.items.len() as u32));
        self.items.push(items);
    }

    fn push_table(&mut self) {
        self.stack.push(Node::Table(self.tables.len() as u32));
        self.tables.push(Vec::new());
    }

    fn append(&mut self, items: Vec<Node>) -> io::Result<()> {
        let Node::Items(list) = self.top()? else { return Err(refused("it appends to what is no list")) };
        self.items[list as usize].extend(items);
        Ok(())
    }

    fn insert(&mut self, entries: &[Node]) -> io::Result<()> {
        let Node::Table(table) = self.top()? else {
            return Err(refused("it sets entries of what is no table"));
        };
        let (pairs, []) = entries.as_chunks::<2>() else {
            return Err(refused("it sets an entry without a value"));
        };
        self.tables[table as usize].extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    fn remember<R: Read>(&mut self, key: impl Fn(&mut R) -> io::Result<u32>, code: &mut R) -> io::Result<()> {
        let key = key(code)?;
        self.memo.insert(key, self.top()?);
        Ok(())
    }

    fn recall<R: Read>(&mut self, key: impl Fn(&mut R) -> io::Result<u32>, code: &mut R) -> io::Result<()> {
        let key = key(code)?;
        let node = self.memo.get(&key).copied();
        self.stack.push(node.ok_or_else(|| refused(format!("it recalls {key}, which was never stored")))?);
        Ok(())
    }

    fn stack_global(&mut self) -> io::Result<()> {
        let names = self.pop_many(2)?;
        let (Some(module), Some(name)) = (self.text(names[0]), self.text(names[1])) else {
            return Err(refused("it names something by what is no text"));
        };
        let global = global(module, name)?;
        self.stack.push(Node::Global(global));
        Ok(())
    }

    /// `('storage', type, key, place, elements[, view])` → a storage.
    fn persistent(&mut self) -> io::Result<()> {
        let id = self.pop()?;
        let bad = || refused("a storage is not described as torch describes one");
        let &[kind, Node::Global(Global::Storage(element)), key, _, Node::Int(elements), ref view @ ..] =
            self.items(id).filter(|parts| parts.len() <= MAX_ARGUMENTS).ok_or_else(bad)?
        else {
            return Err(bad());
        };
        if self.text(kind) != Some("storage") || view.iter().any(|view| *view != Node::None) {
            return Err(bad());
        }
        let key = self.text(key).filter(|key| key.len() <= MAX_KEY_BYTES).ok_or_else(bad)?.to_owned();
        let storage = Storage { element, elements: u64::try_from(elements).map_err(|_| bad())? };
        if self.storages.insert(key.clone(), storage).is_some_and(|before| before != storage) {
            return Err(refused(format!("storage {key} is described in two ways")));
        }
        self.stack.push(Node::Storage(self.storage_keys.len() as u32));
        self.storage_keys.push(key);
        Ok(())
    }

    fn call(&mut self) -> io::Result<()> {
        let arguments = self.pop()?;
        let callee = self.pop()?;
        let arguments = self.items(arguments).filter(|arguments| arguments.len() <= MAX_ARGUMENTS);
        let arguments = arguments.ok_or_else(|| refused("it calls with what is no short tuple"))?.to_vec();
        match callee {
            Node::Global(Global::OrderedDict) if arguments.is_empty() => self.push_table(),
            Node::Global(Global::RebuildTensor) => self.rebuild(&arguments)?,
            // (tensor, requires_grad, hooks): a parameter is its tensor.
            Node::Global(Global::RebuildParameter) => match arguments.first() {
                Some(tensor @ Node::Tensor(_)) => self.stack.push(*tensor),
                _ => return Err(refused("a parameter is no tensor")),
            },
            _ => return Err(refused("it calls what cannot be called")),
        }
        Ok(())
    }

    /// `(storage, offset, shape, strides, …)` → a tensor.
    fn rebuild(&mut self, arguments: &[Node]) -> io::Result<()> {
        let bad = || refused("a tensor is not described as torch describes one");
        let &[Node::Storage(storage), Node::Int(offset), shape, strides, ..] = arguments else {
            return Err(bad());
        };
        let numbers = |node: Node| -> Option<Vec<u64>> {
            let number =
                |node: &Node| if let Node::Int(value) = node { u64::try_from(*value).ok() } else { None };
            self.items(node).filter(|items| items.len() <= MAX_RANK)?.iter().map(number).collect()
        };
        let (shape, strides) = (numbers(shape).ok_or_else(bad)?, numbers(strides).ok_or_else(bad)?);
        if shape.len() != strides.len() {
            return Err(bad());
        }
        let tensor =
            TensorNode { storage, offset: u64::try_from(offset).map_err(|_| bad())?, shape, strides };
        self.stack.push(Node::Tensor(self.tensors.len() as u32));
        self.tensors.push(tensor);
        Ok(())
    }

    /// Attributes of a table, such as `_metadata` of a state_dict, are of no use here.
    fn build(&mut self) -> io::Result<()> {
        self.pop()?;
        match self.top()? {
            Node::Table(_) => Ok(()),
            _ => Err(refused("it sets attributes of what is no table")),
        }
    }
}

/// The names that may be used.
fn global(module: &str, name: &str) -> io::Result<Global> {
    let storage = |element| Ok(Global::Storage(element));
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => Ok(Global::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Ok(Global::RebuildParameter),
        ("torch", "FloatStorage") => storage(Element::F32),
        ("torch", "HalfStorage") => storage(Element::F16),
        ("torch", "BFloat16Storage") => storage(Element::BF16),
        ("torch", "DoubleStorage") => storage(Element::F64),
        ("torch", "LongStorage") => storage(Element::I64),
        ("torch", "IntStorage") => storage(Element::I32),
        ("torch", "ShortStorage") => storage(Element::I16),
        ("torch", "CharStorage") => storage(Element::I8),
        ("torch", "ByteStorage") => storage(Element::U8),
        ("torch", "BoolStorage") => storage(Element::BOOL),
        _ => {
            let shown: String =
                format!("{module}.{name}").chars().filter(|char| !char.is_control()).take(120).collect();
            Err(refused(format!("it wants to use '{shown}', which is more than tensors; refused")))
        }
    }
}

/// Names of opcodes that occur in the wild and are refused.
const fn opcode_name(opcode: u8) -> &'static str {
    match opcode {
        b'i' => "INST",
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x92 => "NEWOBJ_EX",
        0x82..=0x84 => "EXT",
        b'P' => "PERSID",
        b'I' => "INT",
        b'L' => "LONG",
        0x8b => "LONG4",
        b'F' => "FLOAT",
        b'S' => "STRING",
        b'V' => "UNICODE",
        b'p' => "PUT",
        b'g' => "GET",
        b'l' => "LIST",
        b'd' => "DICT",
        0x8e => "BINBYTES8",
        0x8f => "EMPTY_SET",
        0x90 => "ADDITEMS",
        0x91 => "FROZENSET",
        0x96 => "BYTEARRAY8",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        _ => "no opcode",
    }
}

fn byte(code: &mut impl Read) -> io::Result<u8> {
    bytes::<1>(code).map(|[byte]| byte)
}

fn bytes<const N: usize>(code: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    code.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A name up to the end of its line.
fn line(code: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match byte(code)? {
            b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            byte if line.len() < 512 => line.push(byte),
            _ => return Err(refused("a name is longer than 512 bytes")),
        }
    }
}

fn refused(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}
