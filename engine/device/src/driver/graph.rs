//! Kernels that are recorded once and enqueued together as often as wanted, which takes the host as long as one does.

use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys;

use super::{Context, Did, Given, Kernel, Mapping, Refused, Stream, check, lacks};

/// What is called here. Drivers of CUDA 11.4 and later have it.
const CALLED: [&str; 6] = [
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
];

/// Records what is launched. It has a stream of its own, since others go on with theirs meanwhile.
pub(crate) struct Recorder {
    stream: Stream,
    /// Where the kernels read and write.
    mappings: Mutex<Vec<Arc<Mapping>>>,
}

impl Recorder {
    pub(crate) fn new(context: &Arc<Context>) -> Did<Self> {
        if let Some(name) = lacks(&CALLED) {
            let error = format!("it is too old: it has no {name}");
            return Err(Refused { call: "the driver", error, is_final: false });
        }
        let stream = Stream::new(context)?;
        // Of other threads nothing is refused meanwhile.
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
        let graph = self.stop()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the graph is there; writes where it is told to.
        let made = unsafe { sys::cuGraphInstantiateWithFlags(&raw mut raw, graph, 0) };
        // SAFETY: made by `stop`, and needed no more.
        let _ = unsafe { sys::cuGraphDestroy(graph) };
        check("cuGraphInstantiate", made)?;
        let mappings = std::mem::take(&mut *self.mappings.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Graph { raw: Mutex::new(raw), context: Arc::clone(&self.stream.context), _mappings: mappings })
    }

    /// Ends the capture, if it has not ended.
    fn stop(&self) -> Did<sys::CUgraph> {
        self.stream.context.bind()?;
        let mut graph = std::ptr::null_mut();
        // SAFETY: the stream is there; writes the graph where it is told to.
        check("cuStreamEndCapture", unsafe { sys::cuStreamEndCapture(self.stream.raw, &raw mut graph) })?;
        Ok(graph)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Of one that was ended this is refused.
        if let Ok(graph) = self.stop()
            && !graph.is_null()
        {
            // SAFETY: made just now, and needed by nobody.
            let _ = unsafe { sys::cuGraphDestroy(graph) };
        }
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
