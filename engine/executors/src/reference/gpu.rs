//! The reference entries that run on a GPU: the same bits as on the host, and what they take and make stays there.

use std::sync::Arc;

use corn_core::executor::{CallInput, Executor, Io, Model, Step, Taken};
use corn_core::interleaved::Interleaved;
use corn_core::{Datum, DeviceTensor, Fault, OnDevice};
use corn_device::{Gpu, Held};
use corn_plan::{Component, Dtype};

use super::bytes::count_of;
use super::first;

/// Those that do.
pub(crate) const ENTRIES: [&str; 5] =
    ["bytes.count", "bytes.fill", "bytes.invert", "bytes.pass", "stream.sum"];

/// Loads `component`, whose entry is one of [`ENTRIES`], to work on `gpu`.
pub(super) fn load(component: &Component, gpu: Arc<Gpu>) -> Result<Box<dyn Executor>, Fault> {
    let make: Make = match component.entry.as_str() {
        // Whoever is told the number may take it that they are there.
        "bytes.count" => |gpu, bytes| {
            let (_, held) = gpu.brought(bytes)?;
            gpu.wait_for(&held)?;
            Ok(Datum::Int(held.bytes() as i64))
        },
        "bytes.fill" => |gpu, count| {
            let count = count_of(count)?;
            Ok(tensor(Dtype::U8, vec![count as u64], gpu.filled(count as u64, count as u8)?))
        },
        "bytes.invert" => |gpu, bytes| {
            let (given, held) = gpu.brought(bytes)?;
            Ok(tensor(given.dtype, given.shape, gpu.inverted(&held)?))
        },
        "bytes.pass" => |gpu, bytes| Ok(Datum::OnDevice(gpu.brought(bytes)?.0.into())),
        "stream.sum" => |gpu, window| {
            let (given, held) = gpu.brought(window)?;
            if given.dtype != Dtype::F32 {
                return Err(Fault::component("its windows are no f32 tensors"));
            }
            Ok(tensor(Dtype::F32, vec![1], gpu.summed(&held)?))
        },
        other => return Err(Fault::setup(format!("reference {other:?} does not run on a GPU"))),
    };
    let is_stream = component.entry == "stream.sum";
    Ok(Box::new(Interleaved::new(OnGpu { make, is_stream, gpu }, component.batch.max)))
}

type Make = fn(&Arc<Gpu>, &Datum) -> Result<Datum, Fault>;

fn tensor(dtype: Dtype, shape: Vec<u64>, contents: Arc<Held>) -> Datum {
    let contents: Arc<dyn OnDevice> = contents;
    Datum::OnDevice(DeviceTensor { dtype, shape, contents }.into())
}

/// Makes one thing of the first input, or of each item of it if it is a stream.
struct OnGpu {
    make: Make,
    is_stream: bool,
    gpu: Arc<Gpu>,
}

impl OnGpu {
    fn make(&self, datum: &Datum) -> Result<Datum, Fault> {
        (self.make)(&self.gpu, datum)
    }
}

impl Model for OnGpu {
    /// A whole input; none, if it is a stream.
    type Session = Option<Datum>;

    fn open(&mut self, inputs: &[CallInput]) -> Result<Option<Datum>, Fault> {
        if self.is_stream { Ok(None) } else { first(inputs).map(Some) }
    }

    fn step(&mut self, whole: &mut Option<Datum>, io: &mut dyn Io) -> Result<Step, Fault> {
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        if let Some(whole) = whole {
            io.emit(0, self.make(whole)?);
            return Ok(Step::Done);
        }
        Ok(match io.take(0) {
            Taken::Item(item) => {
                io.emit(0, self.make(&item)?);
                Step::More
            }
            Taken::Nothing => Step::Wait,
            Taken::Ended => Step::Done,
        })
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}
