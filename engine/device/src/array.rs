//! Numbers in a GPU's memory that one component alone works on: weights, and what is made with them. They lie outside
//! of the arena, and no other process reads them.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use corn_core::Fault;
use half::f16;

use crate::driver::{Mapping, Pinned, Span};
use crate::gpu::Gpu;

/// What every array begins at.
const LINE_BYTES: u64 = 256;

/// Numbers that arrays are of.
pub trait Number: Pod {}

impl Number for f16 {}
impl Number for f32 {}
impl Number for u8 {}
impl Number for u32 {}

/// Memory of a GPU that arrays are placed in, one after the other.
pub struct Space {
    gpu: Arc<Gpu>,
    all: Span,
    next: u64,
}

impl Space {
    /// Takes `bytes` of the GPU's memory.
    pub fn new(gpu: &Arc<Gpu>, bytes: u64) -> Result<Self, Fault> {
        let make = || {
            let map = Arc::new(Mapping::new(gpu.work(), gpu.context().rounded(bytes)?)?);
            let bytes = map.bytes();
            Ok(Span::new(&map, 0, bytes).expect("all of it is inside"))
        };
        let all = make().map_err(|refused: crate::driver::Refused| {
            let gpu = gpu.called();
            Fault::setup(format!(
                "{gpu} has no room for {bytes} bytes of weights and what is kept: {refused}"
            ))
        })?;
        Ok(Self { gpu: Arc::clone(gpu), all, next: 0 })
    }

    /// Bytes that an array of `count` takes here.
    pub const fn bytes_of<T: Number>(count: u64) -> u64 {
        (count * size_of::<T>() as u64).next_multiple_of(LINE_BYTES)
    }

    /// Bytes of it.
    pub const fn bytes(&self) -> u64 {
        self.all.bytes()
    }

    /// Room for `count` numbers, which must be left. What they are at first is not said.
    pub fn array<T: Number>(&mut self, count: u64) -> Array<T> {
        let span = self.all.part(self.next, count * size_of::<T>() as u64);
        let span = span.expect("a space is made for all that is placed in it");
        self.next += Self::bytes_of::<T>(count);
        Array { gpu: Arc::clone(&self.gpu), span, of: PhantomData }
    }

    /// A copy of `numbers`.
    pub fn array_of<T: Number>(&mut self, numbers: &[T]) -> Result<Array<T>, Fault> {
        let array = self.array(numbers.len() as u64);
        array.write(numbers)?;
        Ok(array)
    }
}

/// Numbers in a GPU's memory.
pub struct Array<T> {
    gpu: Arc<Gpu>,
    span: Span,
    of: PhantomData<T>,
}

impl<T: Number> Array<T> {
    /// How many they are.
    pub const fn len(&self) -> u64 {
        self.span.bytes() / size_of::<T>() as u64
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of them, which must be among them.
    #[must_use]
    pub fn part(&self, range: Range<u64>) -> Self {
        self.part_as(range.start * size_of::<T>() as u64, range.end - range.start)
    }

    /// `count` numbers of another kind that lie in the same place, from byte `at` on, which must be inside.
    pub fn part_as<U: Number>(&self, at: u64, count: u64) -> Array<U> {
        assert!(at.is_multiple_of(size_of::<U>() as u64), "numbers are aligned");
        let span = self.span.part(at, count * size_of::<U>() as u64).expect("a part is inside");
        Array { gpu: Arc::clone(&self.gpu), span, of: PhantomData }
    }

    /// Replaces the first of them. Waits until it is done, and so for what the GPU does before.
    pub fn write(&self, numbers: &[T]) -> Result<(), Fault> {
        if numbers.is_empty() {
            return Ok(());
        }
        let to = self.part(0..numbers.len() as u64);
        let bytes = bytemuck::cast_slice(numbers);
        self.gpu.work().copy_in(bytes, &to.span).map_err(|refused| self.gpu.failed(&refused))
    }

    /// Copies the first of them to `to`, as many as it has. Waits for what the GPU does before.
    pub fn read(&self, to: &mut [T]) -> Result<(), Fault> {
        if to.is_empty() {
            return Ok(());
        }
        let from = self.part(0..to.len() as u64);
        let read = self.gpu.work().copy_out(&from.span, bytemuck::cast_slice_mut(to));
        read.map_err(|refused| self.gpu.failed(&refused))
    }

    pub(crate) const fn span(&self) -> &Span {
        &self.span
    }
}

/// Numbers of the host that a GPU copies to directly.
pub struct Landing<T> {
    /// `None` where the driver does not want it: copies go through memory of the driver's own then. Before the numbers,
    /// since it is given back before them.
    _pinned: Option<Pinned>,
    numbers: Box<[T]>,
}

impl<T: Number> Landing<T> {
    /// Room for `count`, which are 0.
    pub fn new(gpu: &Gpu, count: usize) -> Self {
        let numbers = vec![T::zeroed(); count].into_boxed_slice();
        let bytes = size_of_val(&*numbers);
        let pinned = Pinned::new(gpu.context(), numbers.as_ptr().cast(), bytes, Arc::new(()));
        Self { _pinned: pinned.ok(), numbers }
    }

    /// The numbers.
    pub fn numbers(&mut self) -> &mut [T] {
        &mut self.numbers
    }
}
