//! The thread of a coordinator's connections.

use std::sync::mpsc::channel;

use corn_core::Fault;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// The thread of all connections of a process: to its workers, whichever plan they replay, and from whoever asks it.
/// What comes in over one and goes out over another wakes no thread on its way. It ends with the last handle.
#[derive(Clone)]
pub struct Switchboard {
    tasks: UnboundedSender<Begin>,
}

/// Begins a task there.
type Begin = Box<dyn FnOnce() + Send>;

impl Switchboard {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has none.
    pub fn start() -> Result<Self, Fault> {
        let cannot = |error| Fault::setup(format!("no thread for connections: {error}"));
        let (tasks, mut begun) = unbounded_channel::<Begin>();
        let (started, is_started) = channel();
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            let _ = started.send(Ok(()));
            LocalSet::new().block_on(&runtime, async move {
                while let Some(begin) = begun.recv().await {
                    begin();
                }
            });
        };
        std::thread::Builder::new().name("corn-links".to_owned()).spawn(work).map_err(cannot)?;
        match is_started.recv() {
            Ok(Ok(())) => Ok(Self { tasks }),
            Ok(Err(error)) => Err(cannot(error)),
            Err(_) => Err(Fault::setup("the thread for connections ended at once")),
        }
    }

    /// Runs there what `make` makes, and ends with its result: `None` if it panicked. Dropped before, it is given up.
    pub async fn run<T, F>(&self, make: impl FnOnce() -> F + Send + 'static) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (mut done, result) = oneshot::channel();
        let begin = move || {
            let work = make();
            drop(tokio::task::spawn_local(async move {
                let result = tokio::select! {
                    result = work => result,
                    () = done.closed() => return,
                };
                let _ = done.send(result);
            }));
        };
        let _ = self.tasks.send(Box::new(begin));
        result.await.ok()
    }

    /// The same for what ends by itself.
    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(&self, make: impl FnOnce() -> F + Send + 'static) {
        let begin = move || drop(tokio::task::spawn_local(make()));
        let _ = self.tasks.send(Box::new(begin));
    }
}
