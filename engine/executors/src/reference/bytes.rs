//! Tensors of any size without work on them, to see what handing them over costs.

use std::sync::Arc;

use corn_core::executor::{CallInput, Io, Memory, Model, Step};
use corn_core::{Datum, Fault, Tensor};
use corn_plan::Dtype;

use super::first;

/// Makes a tensor of so many bytes, each the low byte of their number.
#[derive(Default)]
pub(super) struct Fill {
    memory: Option<Arc<dyn Memory>>,
}

impl Fill {
    fn tensor(&self, count: usize) -> Tensor {
        let byte = count as u8;
        let room = self.memory.as_ref().and_then(|memory| memory.allocate(count));
        let bytes = match room {
            Some(mut room) => {
                room.bytes_mut().fill(byte);
                room.freeze()
            }
            None => vec![byte; count].into(),
        };
        Tensor { dtype: Dtype::U8, shape: vec![count as u64], bytes }
    }
}

/// How many bytes are asked for.
pub(super) fn count_of(count: &Datum) -> Result<usize, Fault> {
    match count {
        Datum::Int(count) => usize::try_from(*count)
            .map_err(|_| Fault::request(format!("a tensor of {count} bytes cannot be made"))),
        other => Err(Fault::component(format!("{} where a count is declared", other.word()))),
    }
}

/// The tensor with each of its bytes inverted.
pub(super) fn invert(bytes: &Datum) -> Datum {
    match bytes {
        Datum::Tensor(tensor) => {
            let bytes = tensor.bytes.iter().map(|byte| !byte).collect();
            Datum::Tensor(Tensor { dtype: tensor.dtype, shape: tensor.shape.clone(), bytes }.into())
        }
        other => other.clone(),
    }
}

impl Model for Fill {
    type Session = usize;

    fn open(&mut self, inputs: &[CallInput]) -> Result<usize, Fault> {
        count_of(&first(inputs)?)
    }

    fn step(&mut self, count: &mut usize, io: &mut dyn Io) -> Result<Step, Fault> {
        io.emit(0, Datum::Tensor(self.tensor(*count).into()));
        Ok(Step::Done)
    }

    fn memory_bytes(&self) -> u64 {
        0
    }

    /// Touching each byte is the least that whoever makes a tensor does; 64 MiB of it takes some ms, and then a
    /// thread of its own is worth its wake-up. Here it is the hand-over that is looked at.
    fn is_light(&self) -> bool {
        true
    }

    fn make_in(&mut self, memory: Arc<dyn Memory>) {
        self.memory = Some(memory);
    }
}
