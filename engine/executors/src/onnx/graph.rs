//! One ONNX file as something that can be run: ports checked when it is loaded, tensors in and
//! out, every error a [`Fault`] that names the file.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use corn_core::Fault;
use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType};

/// An input or output that a model must have.
pub(super) struct Port {
    pub(super) name: &'static str,
    pub(super) element: TensorElementType,
    /// One entry for each axis; `None` where any extent will do.
    pub(super) shape: &'static [Option<i64>],
}

/// A loaded ONNX model.
pub(super) struct Graph {
    session: Session,
    path: PathBuf,
    bytes: u64,
}

impl Graph {
    /// Loads the model at `path` with `threads` threads of its own, and checks that its inputs
    /// are exactly `inputs` and that it has the output `output`.
    pub(super) fn load(
        runtime: &Environment,
        path: &Path,
        threads: u32,
        inputs: &[Port],
        output: &Port,
    ) -> Result<Self, Fault> {
        let bytes = std::fs::metadata(path)
            .map_err(|error| {
                Fault::setup(format!("cannot read the model {}: {error}; fetch it again", path.display()))
            })?
            .len();
        let session = session(runtime, path, threads).map_err(|error| {
            Fault::setup(format!(
                "cannot load the model {}: {}; the file is damaged or no ONNX model: fetch it again",
                path.display(),
                error.message()
            ))
        })?;
        let graph = Self { session, path: path.to_path_buf(), bytes };
        graph.check(inputs, output)?;
        Ok(graph)
    }

    /// Size of the file.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The extent of axis `axis` of input `name`, where the model fixes it.
    pub(super) fn fixed_extent(&self, name: &str, axis: usize) -> Option<usize> {
        let input = self.session.inputs().iter().find(|input| input.name() == name)?;
        usize::try_from(*input.dtype().tensor_shape()?.get(axis)?).ok()
    }

    /// Runs the model and returns shape and elements of its float output `output`.
    pub(super) fn run(
        &mut self,
        inputs: Vec<(&'static str, DynValue)>,
        output: &'static str,
    ) -> Result<(Vec<usize>, Vec<f32>), Fault> {
        let inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> =
            inputs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let failed = |why: &str| Fault::component(format!("{} failed: {why}", self.path.display()));
        let outputs = self.session.run(inputs).map_err(|error| failed(error.message()))?;
        let value = outputs.get(output).ok_or_else(|| failed("it made no output"))?;
        let (shape, elements) = value.try_extract_tensor::<f32>().map_err(|error| failed(error.message()))?;
        let shape = shape.iter().map(|extent| usize::try_from(*extent).unwrap_or(0)).collect();
        Ok((shape, elements.to_vec()))
    }

    fn check(&self, inputs: &[Port], output: &Port) -> Result<(), Fault> {
        let is = |port: &Port, outlet: &Outlet| outlet.name() == port.name && port.fits(outlet);
        let has_inputs = self.session.inputs().len() == inputs.len()
            && inputs.iter().all(|port| self.session.inputs().iter().any(|outlet| is(port, outlet)));
        if has_inputs && self.session.outputs().iter().any(|outlet| is(output, outlet)) {
            return Ok(());
        }
        let have = |outlets: &[Outlet]| {
            let each = outlets.iter().map(|outlet| format!("{} {}", outlet.name(), outlet.dtype()));
            each.collect::<Vec<_>>().join(", ")
        };
        let want = inputs.iter().map(Port::to_string).collect::<Vec<_>>().join(", ");
        Err(Fault::setup(format!(
            "{} is another kind of model: it takes {} and gives {}, where {want} and {output} are \
             needed; check which file the weights name",
            self.path.display(),
            have(self.session.inputs()),
            have(self.session.outputs()),
        )))
    }
}

impl Port {
    fn fits(&self, outlet: &Outlet) -> bool {
        outlet.dtype().tensor_type() == Some(self.element)
            && outlet.dtype().tensor_shape().is_some_and(|shape| {
                shape.len() == self.shape.len()
                    && shape.iter().zip(self.shape).all(|(is, must)| must.is_none_or(|must| *is == must))
            })
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let axes = self.shape.iter().map(|axis| axis.map_or("any".to_owned(), |extent| extent.to_string()));
        write!(f, "{} Tensor<{}>({})", self.name, self.element, axes.collect::<Vec<_>>().join(", "))
    }
}

/// Threads belong to this session alone and sleep when idle: how many there are is the
/// component's to declare, and a spinning pool would take the cores of its neighbours. Memory
/// patterns are off because ONNX Runtime keeps one for each shape it has seen, and no two
/// sentences or photos have the same.
fn session(runtime: &Environment, path: &Path, threads: u32) -> ort::Result<Session> {
    Session::builder(runtime)?
        .with_intra_threads(threads.max(1) as usize)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_memory_pattern(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .commit_from_file(path)
}

/// A float tensor.
pub(super) fn f32s(shape: Vec<usize>, elements: Vec<f32>) -> Result<DynValue, Fault> {
    Tensor::from_array((shape, elements)).map(Tensor::into_dyn).map_err(|error| tensor_fault(&error))
}

/// An integer tensor.
pub(super) fn i64s(shape: Vec<usize>, elements: Vec<i64>) -> Result<DynValue, Fault> {
    Tensor::from_array((shape, elements)).map(Tensor::into_dyn).map_err(|error| tensor_fault(&error))
}

fn tensor_fault(error: &ort::Error) -> Fault {
    Fault::component(format!("cannot make a tensor: {}", error.message()))
}
