//! A way to say stop to a fetch from another thread.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Shared by whoever fetches and whoever may say stop, such as a handler of Ctrl-C.
///
/// After [`raise`](Self::raise), every fetch of the store ends within a fraction of a second:
/// children are killed, and partial downloads stay where a later fetch continues them.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl Interrupt {
    /// Says stop, for good.
    pub fn raise(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether someone said stop.
    pub fn is_raised(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `pause`, or less if someone says stop; then true.
    pub(crate) fn wait(&self, pause: Duration) -> bool {
        let raised = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(raised, pause, |raised| !*raised);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
