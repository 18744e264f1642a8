//! What can be seen of an engine at work.

use corn_core::message::CallTrace;
use corn_plan::ComponentId;

/// Is told what the engine does. Called on the engine's own threads: it must return at once.
pub trait Observer: Send + Sync {
    /// A call of a component has ended.
    fn call(&self, trace: &CallTrace) {
        let _ = trace;
    }

    /// A component's executor worked from `from_us` to `to_us` of the engine's clock.
    fn busy(&self, component: ComponentId, from_us: u64, to_us: u64) {
        let _ = (component, from_us, to_us);
    }

    /// A component's executor worked on `calls` calls at once. Only those are told whose calls can share a turn.
    fn batch(&self, component: ComponentId, calls: u32) {
        let _ = (component, calls);
    }
}

/// Nobody looks.
#[derive(Clone, Copy, Debug)]
pub struct NoObserver;

impl Observer for NoObserver {}
