//! `.windows(size, left:, first:)`: consecutive windows over a stream.
//!
//! Each window holds up to `left` items of the past and then `size` new ones; the first window
//! has `first` new ones; the last may have fewer. Tensors are stacked on a new outermost
//! dimension, texts put together, sounds appended.

use std::collections::VecDeque;

use crate::adapt::append;
use crate::datum::{Datum, Tensor};
use crate::fault::Fault;

#[derive(Debug)]
pub(crate) struct Windows {
    size: usize,
    left: usize,
    /// New items that the next window takes.
    wanted: usize,
    /// Items of the past, at most `left`, then new ones.
    items: VecDeque<Datum>,
    fresh: usize,
}

impl Windows {
    pub(crate) const fn new(size: u32, left: u32, first: u32) -> Self {
        let (size, left, wanted) = (size as usize, left as usize, first as usize);
        Self { size, left, wanted, items: VecDeque::new(), fresh: 0 }
    }

    pub(crate) fn push(&mut self, item: Datum, made: &mut VecDeque<Datum>) -> Result<(), Fault> {
        self.items.push_back(item);
        self.fresh += 1;
        if self.fresh == self.wanted { self.cut(made) } else { Ok(()) }
    }

    pub(crate) fn end(&mut self, made: &mut VecDeque<Datum>) -> Result<(), Fault> {
        if self.fresh > 0 { self.cut(made) } else { Ok(()) }
    }

    fn cut(&mut self, made: &mut VecDeque<Datum>) -> Result<(), Fault> {
        made.push_back(stack(self.items.make_contiguous())?);
        let past = self.items.len().saturating_sub(self.left);
        self.items.drain(..past);
        self.fresh = 0;
        self.wanted = self.size;
        Ok(())
    }
}

/// Items of one modality as one.
fn stack(items: &[Datum]) -> Result<Datum, Fault> {
    match items.first() {
        Some(Datum::Tensor(first)) => stack_tensors(first, items),
        Some(Datum::Audio(first)) => append(items, first.rate_hz),
        Some(Datum::Text(_)) => {
            let texts = items.iter().map(|item| if let Datum::Text(text) = item { text } else { "" });
            Ok(Datum::text(texts.collect::<String>()))
        }
        other => Err(Fault::component(format!("windows() over {}", other.map_or("nothing", Datum::word)))),
    }
}

fn stack_tensors(first: &Tensor, items: &[Datum]) -> Result<Datum, Fault> {
    let mut shape = vec![items.len() as u64];
    shape.extend(&first.shape);
    let mut bytes = Vec::with_capacity(first.bytes.len() * items.len());
    for item in items {
        match item {
            Datum::Tensor(tensor) if tensor.dtype == first.dtype && tensor.shape == first.shape => {
                bytes.extend_from_slice(&tensor.bytes);
            }
            other => {
                return Err(Fault::component(format!("windows() cannot stack {other:?} on {first:?}")));
            }
        }
    }
    Ok(Datum::Tensor(Tensor { dtype: first.dtype, shape, bytes: bytes.into() }.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: usize) -> Datum {
        Datum::Tensor(Tensor::from_f32s(&[value as f32]).into())
    }

    fn windows(length: usize, size: u32, left: u32, first: u32) -> Vec<Vec<usize>> {
        let mut state = Windows::new(size, left, first);
        let mut made = VecDeque::new();
        for value in 0..length {
            state.push(number(value), &mut made).expect("equal tensors stack");
        }
        state.end(&mut made).expect("equal tensors stack");
        let numbers = |item: Datum| {
            let Datum::Tensor(tensor) = item else { panic!("a window of tensors is a tensor") };
            assert_eq!(tensor.shape[1..], [1]);
            tensor.to_f32s().expect("f32").iter().map(|value| *value as usize).collect()
        };
        made.into_iter().map(numbers).collect()
    }

    /// The definition, written on the whole sequence.
    fn reference(length: usize, size: usize, left: usize, first: usize) -> Vec<Vec<usize>> {
        let mut expected = Vec::new();
        let (mut start, mut wanted) = (0, first);
        while start < length {
            let end = (start + wanted).min(length);
            expected.push((start.saturating_sub(left)..end).collect());
            (start, wanted) = (end, size);
        }
        expected
    }

    /// T7.
    #[test]
    fn windows_equal_their_definition_at_every_length() {
        for (size, left, first) in [(1, 0, 1), (4, 0, 4), (25, 25, 5), (3, 7, 1), (5, 2, 5), (2, 1, 6)] {
            for length in [0, 1, size - 1, size, size + 1, 10 * size, 10 * size + 3] {
                let made = windows(length as usize, size, left, first);
                let expected = reference(length as usize, size as usize, left as usize, first as usize);
                assert_eq!(made, expected, "{length} items, size {size}, left {left}, first {first}");
            }
        }
    }
}
