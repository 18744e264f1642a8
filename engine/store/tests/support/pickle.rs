//! Writes the files of `torch.save`, honest ones and others.

/// A pickle under construction, protocol 2.
#[derive(Clone)]
pub(crate) struct Pickle(pub(crate) Vec<u8>);

impl Pickle {
    pub(crate) fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub(crate) fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn int(self, value: i32) -> Self {
        self.op(b"J").op(&value.to_le_bytes())
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    pub(crate) fn global(self, module: &str, name: &str) -> Self {
        self.op(b"c").op(module.as_bytes()).op(b"\n").op(name.as_bytes()).op(b"\n")
    }

    pub(crate) fn ints(self, values: &[i32]) -> Self {
        values.iter().fold(self.op(b"("), |pickle, value| pickle.int(*value)).op(b"t")
    }

    /// A tensor of `elements` floats at `offset` in storage `key`.
    pub(crate) fn tensor(
        self,
        key: &str,
        elements: i32,
        offset: i32,
        shape: &[i32],
        strides: &[i32],
    ) -> Self {
        let storage = self.global("torch._utils", "_rebuild_tensor_v2").op(b"((").text("storage");
        let storage = storage.global("torch", "FloatStorage").text(key).text("cpu").int(elements).op(b"NtQ");
        let view = storage.int(offset).ints(shape).ints(strides).op(b"\x89");
        view.global("collections", "OrderedDict").op(b")RtR")
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.op(b".").0
    }
}

/// The start of a state_dict; entries follow, then `u` and the end.
pub(crate) fn state_dict() -> Pickle {
    Pickle::new().global("collections", "OrderedDict").op(b")R(")
}

/// A file of the old layout: `object`, and the storages with their floats.
pub(crate) fn legacy(object: &[u8], storages: &[(&str, &[f32])]) -> Vec<u8> {
    let mut file =
        Pickle::new().op(&[0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]).end();
    file.extend(Pickle::new().op(b"M\xe9\x03").end());
    file.extend(Pickle::new().op(b"}").end());
    file.extend(object);
    let keys = storages.iter().fold(Pickle::new().op(b"]("), |pickle, (key, _)| pickle.text(key));
    file.extend(keys.op(b"e").end());
    for (_, values) in storages {
        file.extend((values.len() as u64).to_le_bytes());
        file.extend(floats(values));
    }
    file
}

pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
