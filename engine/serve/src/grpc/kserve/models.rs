//! Routes as models: their names, and what tensors they take and make.

use corn_plan::{Dim, Dtype, Form, Kind, Type};
use tonic::Status;

use crate::grpc::ask::listed;
use crate::grpc::proto::inference as pb;
use crate::grpc::proto::inference::DataType;
use crate::grpc::routes::{Route, Routes};
use crate::grpc::{nearest, status};

/// The only version of every model.
pub(super) const VERSION: &str = "1";

/// A route's name as a model.
pub(super) fn name(route: &Route) -> String {
    format!("{}.{}", route.graph, route.name)
}

/// The route that is meant: by graph and name; by name, if no other graph has one called so; or by graph, if that has
/// no other.
pub(super) fn find<'r>(routes: &'r Routes, asked: &str, version: &str) -> Result<&'r Route, Status> {
    if !version.is_empty() && version != VERSION {
        let message = format!("model '{asked}' has no version '{version}'; it has {VERSION}");
        return Err(status::not_found(message));
    }
    if let Some(route) = routes.iter().find(|route| name(route) == asked) {
        return Ok(route);
    }
    let is_meant = |route: &&Route| {
        route.name == asked
            || (route.graph == asked && routes.iter().filter(|other| other.graph == asked).count() == 1)
    };
    let meant: Vec<&Route> = routes.iter().filter(is_meant).collect();
    if let [one] = meant.as_slice() {
        return Ok(one);
    }
    let names: Vec<String> = routes.iter().map(name).collect();
    let of_graph = || routes.iter().filter(|route| route.graph == asked);
    let several: Vec<String> =
        if meant.is_empty() { of_graph().map(name).collect() } else { meant.into_iter().map(name).collect() };
    if !several.is_empty() {
        return Err(status::not_found(format!("'{asked}' is several models: {}", several.join(", "))));
    }
    let parts = routes.iter().flat_map(|route| [route.name.as_str(), route.graph.as_str()]);
    let hint = nearest::hint(asked, names.iter().map(String::as_str).chain(parts));
    let names = listed(names.iter().map(String::as_str));
    Err(status::not_found(format!("there is no model '{asked}'{hint}; there is {names}")))
}

/// The protocol's name of a dtype.
pub(super) const fn datatype(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bf16 => "BF16",
        Dtype::F16 => "FP16",
        Dtype::F32 => "FP32",
        Dtype::F64 => "FP64",
        Dtype::I8 => "INT8",
        Dtype::I16 => "INT16",
        Dtype::I32 => "INT32",
        Dtype::I64 => "INT64",
        Dtype::U8 => "UINT8",
        Dtype::Bool => "BOOL",
    }
}

/// Datatype and shape of the tensors in which an input may be brought: of media, that of files.
fn of_input(ty: &Type) -> (&'static str, Vec<i64>) {
    match &ty.kind {
        Kind::Image { .. } | Kind::Audio { .. } | Kind::Video { .. } => items("BYTES", ty),
        kind => of_kind(kind, ty),
    }
}

/// Datatype and shape of the tensors in which an output, or a piece of it, comes.
fn of_output(ty: &Type) -> (&'static str, Vec<i64>) {
    let is_list = matches!(ty.form, Form::List { .. });
    match &ty.kind {
        Kind::Image { .. } if !is_list => ("UINT8", vec![-1, -1, 3]),
        Kind::Audio { .. } if !is_list => ("FP32", vec![-1]),
        Kind::Video { .. } if !is_list => ("UINT8", vec![-1, -1, -1, 3]),
        kind => of_kind(kind, ty),
    }
}

fn of_kind(kind: &Kind, ty: &Type) -> (&'static str, Vec<i64>) {
    match kind {
        Kind::Int => items("INT64", ty),
        Kind::Float => items("FP64", ty),
        Kind::Bool => items("BOOL", ty),
        Kind::Tensor { dtype, dims } => {
            let extent = |dim: &Dim| match dim {
                Dim::Fixed(extent) => i64::try_from(*extent).unwrap_or(i64::MAX),
                Dim::Upto { .. } => -1,
            };
            let list = matches!(ty.form, Form::List { .. }).then_some(-1);
            (datatype(*dtype), list.into_iter().chain(dims.iter().map(extent)).collect())
        }
        _ => items("BYTES", ty),
    }
}

fn items(datatype: &'static str, ty: &Type) -> (&'static str, Vec<i64>) {
    (datatype, vec![if matches!(ty.form, Form::List { .. }) { -1 } else { 1 }])
}

/// What tensors a route takes and makes.
pub(super) fn metadata(route: &Route, asked: &str) -> pb::ModelMetadataResponse {
    let tensor =
        |name: &str, (datatype, shape): (&str, Vec<i64>)| pb::model_metadata_response::TensorMetadata {
            name: name.to_owned(),
            datatype: datatype.to_owned(),
            shape,
        };
    pb::ModelMetadataResponse {
        name: asked.to_owned(),
        versions: vec![VERSION.to_owned()],
        platform: "corn".to_owned(),
        inputs: route.inputs.iter().map(|input| tensor(&input.name, of_input(&input.ty))).collect(),
        outputs: route.outputs.iter().map(|output| tensor(&output.name, of_output(&output.ty))).collect(),
    }
}

/// The same as Triton configures it.
pub(super) fn config(route: &Route, asked: &str) -> pb::ModelConfig {
    let input = route.inputs.iter().map(|input| {
        let (datatype, dims) = of_input(&input.ty);
        let name = input.name.clone();
        pb::ModelInput { name, data_type: data_type(datatype).into(), dims, optional: !input.is_required }
    });
    let output = route.outputs.iter().map(|output| {
        let (datatype, dims) = of_output(&output.ty);
        pb::ModelOutput { name: output.name.clone(), data_type: data_type(datatype).into(), dims }
    });
    pb::ModelConfig {
        name: asked.to_owned(),
        platform: "corn".to_owned(),
        max_batch_size: 0,
        input: input.collect(),
        output: output.collect(),
        backend: "corn".to_owned(),
        model_transaction_policy: Some(pb::ModelTransactionPolicy { decoupled: route.is_streamed() }),
    }
}

fn data_type(datatype: &str) -> DataType {
    match datatype {
        "BYTES" => DataType::TypeString,
        datatype => DataType::from_str_name(&format!("TYPE_{datatype}")).unwrap_or(DataType::TypeInvalid),
    }
}
