//! Kernels that are recorded once and enqueued together as often as wanted, which takes the host as long as one does.

use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys;

use super::{Context, Did, Given, Kernel, Mapping, Stream, check};

/// Records what is launched. It has a stream of its own, since others go on with theirs meanwhile.
pub(crate) struct Recorder {
    stream: Stream,
    /// Where the kernels read and write.
    mappings: Mutex<Vec<Arc<Mapping>>>,
}

impl Recorder {
    pub(crate) fn new(context: &Arc<Context>) -> Did<Self> {
        let stream = Stream::new(context)?;
        // Of other threads nothing is refused meanwhile, and this one only launches.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is there, and nothing is captured in it.
        let began = unsafe { sys::cuStreamBeginCapture_v2(stream.raw, mode) };
        check("cuStreamBeginCapture", began)?;
        Ok(Self { stream, mappings: Mutex::default() })
    }

    /// As [`Stream::launch`], but it runs when the graph does.
    pub(crate) fn launch(&self, kernel: &Kernel, blocks: [u32; 3], threads: u32, given: &[Given<'_>]) -> Did {
        let mut mappings = self.mappings.lock().unwrap_or_else(PoisonError::into_inner);
        for given in given {
            if let Given::At(span) = given
                && !mappings.iter().any(|mapping| Arc::ptr_eq(mapping, span.mapping()))
            {
                mappings.push(Arc::clone(span.mapping()));
            }
        }
        self.stream.launch(kernel, blocks, threads, given)
    }

    /// What was recorded.
    pub(crate) fn end(self) -> Did<Graph> {
        self.stream.context.bind()?;
        let mut graph = std::ptr::null_mut();
        // SAFETY: captured since `new`; writes the graph where it is told to.
        check("cuStreamEndCapture", unsafe { sys::cuStreamEndCapture(self.stream.raw, &raw mut graph) })?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the graph is there; writes where it is told to.
        let made = unsafe { sys::cuGraphInstantiateWithFlags(&raw mut raw, graph, 0) };
        // SAFETY: made above, and needed no more.
        let _ = unsafe { sys::cuGraphDestroy(graph) };
        check("cuGraphInstantiate", made)?;
        let mappings = self.mappings.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Graph { raw: Mutex::new(raw), context: Arc::clone(&self.stream.context), _mappings: mappings })
    }
}

/// Kernels with what they are given. They run one after the other.
pub(crate) struct Graph {
    /// The driver wants that one thread at a time has it.
    raw: Mutex<sys::CUgraphExec>,
    context: Arc<Context>,
    /// There for as long as the kernels may run.
    _mappings: Vec<Arc<Mapping>>,
}

// SAFETY: the driver takes it from any thread.
unsafe impl Send for Graph {}
// SAFETY: the lock keeps it from two at once.
unsafe impl Sync for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: made once; the driver keeps it until it has run.
        let _ =
            unsafe { sys::cuGraphExecDestroy(*self.raw.get_mut().unwrap_or_else(PoisonError::into_inner)) };
    }
}

impl Stream {
    /// Runs the kernels of `graph`.
    pub(crate) fn run(&self, graph: &Graph) -> Did {
        self.context.bind()?;
        let raw = graph.raw.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: both are there; where the kernels read and write is, for as long as the graph.
        check("cuGraphLaunch", unsafe { sys::cuGraphLaunch(*raw, self.raw) })
    }
}
