//! The three shapes of reference models: whole to whole, whole to stream, stream to stream.

use corn_core::batched::{BatchModel, Ran};
use corn_core::executor::{CallInput, Io, Model, Step, Taken};
use corn_core::{Datum, Fault};

use super::first;

/// Makes one whole output of the first input.
pub(super) struct Whole {
    make: fn(&Datum) -> Datum,
    is_light: bool,
}

impl Whole {
    pub(super) fn new(make: fn(&Datum) -> Datum, is_light: bool) -> Self {
        Self { make, is_light }
    }
}

impl BatchModel for Whole {
    type Item = Datum;

    fn prepare(&mut self, inputs: &[CallInput]) -> Result<Datum, Fault> {
        first(inputs)
    }

    fn run(&mut self, batch: Vec<Datum>) -> Vec<Result<Ran<Datum>, Fault>> {
        batch.iter().map(|input| Ok(Ran::done(0, (self.make)(input)))).collect()
    }

    fn memory_bytes(&self) -> u64 {
        0
    }

    fn is_light(&self) -> bool {
        self.is_light
    }
}

/// The items that a request's input gives.
pub(super) type Items = Box<dyn Iterator<Item = Datum> + Send>;

/// Makes a stream of the first input.
pub(super) struct Source {
    make: fn(&Datum) -> Result<Items, Fault>,
}

impl Source {
    pub(super) fn new(make: fn(&Datum) -> Result<Items, Fault>) -> Self {
        Self { make }
    }
}

impl Model for Source {
    type Session = Items;

    fn open(&mut self, inputs: &[CallInput]) -> Result<Items, Fault> {
        (self.make)(&first(inputs)?)
    }

    fn step(&mut self, items: &mut Items, io: &mut dyn Io) -> Result<Step, Fault> {
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        Ok(match items.next() {
            Some(item) => {
                io.emit(0, item);
                Step::More
            }
            None => Step::Done,
        })
    }

    fn memory_bytes(&self) -> u64 {
        0
    }

    fn is_light(&self) -> bool {
        true
    }
}

/// Makes one item of each item of the first input.
pub(super) struct ItemWise {
    make: fn(&Datum) -> Result<Datum, Fault>,
    is_light: bool,
}

impl ItemWise {
    pub(super) fn new(make: fn(&Datum) -> Result<Datum, Fault>, is_light: bool) -> Self {
        Self { make, is_light }
    }
}

impl Model for ItemWise {
    type Session = ();

    fn open(&mut self, _inputs: &[CallInput]) -> Result<(), Fault> {
        Ok(())
    }

    fn step(&mut self, (): &mut (), io: &mut dyn Io) -> Result<Step, Fault> {
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        Ok(match io.take(0) {
            Taken::Item(item) => {
                io.emit(0, (self.make)(&item)?);
                Step::More
            }
            Taken::Nothing => Step::Wait,
            Taken::Ended => Step::Done,
        })
    }

    fn memory_bytes(&self) -> u64 {
        0
    }

    fn is_light(&self) -> bool {
        self.is_light
    }
}
