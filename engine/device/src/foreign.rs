//! Arenas of other processes' GPUs, mapped by a GPU of this one.

use std::os::fd::AsFd;
use std::sync::Arc;

use corn_core::OnDevice;

use crate::driver::{Mapping, Span};
use crate::gpu::Gpu;
use crate::held::{Held, Released, Unreadable};

/// Another process's arena, or why this one cannot read it.
pub struct Foreign {
    gpu: Arc<Gpu>,
    bytes: u64,
    map: Result<Arc<Mapping>, String>,
}

impl Foreign {
    /// Maps the arena of `bytes` behind `fd`, so that `gpu` reads it. One that cannot be mapped still says what lies in
    /// it, so that whoever needs that is told why he cannot have it.
    pub fn map(gpu: &Arc<Gpu>, fd: &impl AsFd, bytes: u64) -> Self {
        let map = Mapping::import(gpu.work(), fd.as_fd(), bytes).map(Arc::new);
        let map = map
            .map_err(|refused| format!("{} cannot read the memory of a peer's GPU: {refused}", gpu.called()));
        Self { gpu: Arc::clone(gpu), bytes, map }
    }

    /// Contents of `bytes` from `offset`; `None` if they do not lie in the arena. `released` is called when they are
    /// needed no more, and the GPU has read them.
    pub fn view(&self, offset: u64, bytes: u64, released: Released) -> Option<Arc<dyn OnDevice>> {
        if offset.checked_add(bytes).is_none_or(|end| end > self.bytes) {
            return None;
        }
        match &self.map {
            Ok(map) => Some(Held::lent(&self.gpu, Span::new(map, offset, bytes)?, released)),
            Err(reason) => Some(Unreadable::new(bytes, reason, released)),
        }
    }
}
