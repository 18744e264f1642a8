//! What can be asked, for clients that want to know.

use corn_plan::{Dim, Form, FrameRate, Kind, Type};

use crate::Served;
use crate::grpc::body_bytes;
use crate::grpc::proto::corn as pb;
use crate::grpc::routes::{Input, Output, Route, Routes};
use crate::grpc::value::write_literal;

/// The graphs of `routes`, or only `graph`.
pub(super) fn plan(served: &Served, routes: &Routes, graph: &str) -> pb::DescribeResponse {
    let plan = served.plan();
    let graphs = routes.graphs().into_iter().filter(|name| graph.is_empty() || *name == graph);
    let described = graphs.map(|name| {
        let serve = plan.serves.iter().find(|serve| serve.graph == name);
        let limits = serve.map(|serve| serve.limits).unwrap_or_default();
        pb::Graph {
            name: name.to_owned(),
            routes: routes.iter().filter(|route| route.graph == name).map(route).collect(),
            limits: Some(pb::Limits {
                body_bytes: limits.body_bytes.unwrap_or_else(|| body_bytes(plan)),
                images: limits.images,
                audio_ms: limits.audio_ms,
                inflight: limits.inflight,
            }),
            deadline_ms: serve.and_then(|serve| serve.deadline_ms),
        }
    });
    pb::DescribeResponse {
        name: plan.name.clone(),
        plan_hash: served.plan.hash().to_string(),
        inflight: plan.inflight,
        graphs: described.collect(),
    }
}

fn route(route: &Route) -> pb::Route {
    pb::Route {
        name: route.name.clone(),
        inputs: route.inputs.iter().map(input).collect(),
        outputs: route.outputs.iter().map(output).collect(),
    }
}

fn input(input: &Input) -> pb::Input {
    pb::Input {
        name: input.name.clone(),
        r#type: Some(of_type(&input.ty)),
        required: input.is_required,
        default: input.default.as_ref().map(write_literal),
        choices: input.choices.iter().map(ToString::to_string).collect(),
        max_media: input.media.as_ref().map_or(0, Type::max_items),
    }
}

fn output(output: &Output) -> pb::OutputType {
    pb::OutputType {
        name: output.name.clone(),
        r#type: Some(of_type(&output.ty)),
        optional: output.is_optional,
    }
}

fn of_type(ty: &Type) -> pb::Type {
    let mut described = pb::Type {
        text: ty.to_string(),
        kind: ty.kind.word().to_owned(),
        max_items: ty.max_items(),
        max_bytes: ty.kind.max_bytes().unwrap_or(u64::MAX),
        ..pb::Type::default()
    };
    described.set_form(match ty.form {
        Form::Value => pb::Form::Value,
        Form::List { .. } => pb::Form::List,
        Form::Stream { .. } => pb::Form::Stream,
    });
    match &ty.kind {
        Kind::Audio { rate_hz, max_ms } => {
            described.max_ms = *max_ms;
            described.rate_hz = rate_hz.unwrap_or(0);
        }
        Kind::Video { rate: Some(FrameRate(rate)), .. } | Kind::Media { rate: Some(FrameRate(rate)), .. } => {
            described.frames_per_second = f64::from(*rate) / 1000.0;
        }
        Kind::Tensor { dtype, dims } => {
            dtype.name().clone_into(&mut described.dtype);
            described.dims = dims.iter().map(dim).collect();
        }
        Kind::Enum(words) => described.words.clone_from(words),
        Kind::Messages { max_parts } => described.max_parts = *max_parts,
        _ => {}
    }
    described
}

fn dim(dim: &Dim) -> pb::Dim {
    let name = if let Dim::Upto { name, .. } = dim { name.clone() } else { String::new() };
    pb::Dim { name, max: dim.max() }
}
