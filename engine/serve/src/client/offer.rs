//! What a server says that can be asked of it.

use std::sync::Arc;

use corn_core::Fault;
use corn_plan::{Dim, Dtype, Form, FrameRate, Kind, Type};

use crate::grpc::proto::corn as pb;
use crate::grpc::proto::corn::value::Kind as Given;

/// Every route that a server offers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What the program is called.
    pub name: String,
    /// In the order of the program.
    pub routes: Vec<Arc<OfferedRoute>>,
}

/// A route.
#[derive(Clone, Debug)]
pub struct OfferedRoute {
    /// Of which graph it is.
    pub graph: String,
    /// Its name.
    pub name: String,
    /// What may be brought.
    pub inputs: Vec<OfferedInput>,
    /// What may be asked for.
    pub outputs: Vec<OfferedOutput>,
}

/// Something that a request may bring.
#[derive(Clone, Debug)]
pub struct OfferedInput {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Whether it must be brought.
    pub is_required: bool,
    /// What it is if it is not brought, as people write it.
    pub default: Option<String>,
    /// The values that the route is for, as people write them; empty if any will do.
    pub choices: Vec<String>,
}

/// Something that a request may ask for.
#[derive(Clone, Debug)]
pub struct OfferedOutput {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// It may turn out absent, or is made only if it is asked for.
    pub is_optional: bool,
}

impl Offer {
    pub(super) fn read(described: pb::DescribeResponse) -> Result<Self, Fault> {
        let graphs = described.graphs.into_iter();
        let routes = graphs.flat_map(|graph| {
            let name = graph.name;
            graph.routes.into_iter().map(move |route| OfferedRoute::read(&name, route).map(Arc::new))
        });
        Ok(Self { name: described.name, routes: routes.collect::<Result<_, _>>()? })
    }
}

impl OfferedRoute {
    fn read(graph: &str, route: pb::Route) -> Result<Self, Fault> {
        let input = |input: pb::Input| {
            Ok(OfferedInput {
                ty: type_of(&input.name, input.r#type)?,
                name: input.name,
                is_required: input.required,
                default: input.default.and_then(|value| value.kind).and_then(as_people_write),
                choices: input.choices.iter().map(|choice| unquoted(choice)).collect(),
            })
        };
        let output = |output: pb::OutputType| {
            Ok(OfferedOutput {
                ty: type_of(&output.name, output.r#type)?,
                name: output.name,
                is_optional: output.optional,
            })
        };
        Ok(Self {
            graph: graph.to_owned(),
            name: route.name,
            inputs: route.inputs.into_iter().map(input).collect::<Result<_, Fault>>()?,
            outputs: route.outputs.into_iter().map(output).collect::<Result<_, Fault>>()?,
        })
    }
}

/// A plan writes texts in quotes.
fn unquoted(choice: &str) -> String {
    serde_json::from_str(choice).unwrap_or_else(|_| choice.to_owned())
}

fn as_people_write(value: Given) -> Option<String> {
    match value {
        Given::Text(text) => Some(text),
        Given::Int(value) => Some(value.to_string()),
        Given::Float(value) => Some(format!("{value:?}")),
        Given::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn type_of(name: &str, described: Option<pb::Type>) -> Result<Type, Fault> {
    let described = described.unwrap_or_default();
    let kind = kind(&described).ok_or_else(|| {
        let text = &described.text;
        Fault::setup(format!(
            "the server says that '{name}' is '{text}', which this corn does not know; use one of the server's version"
        ))
    })?;
    let form = match described.form() {
        pb::Form::Value => Form::Value,
        pb::Form::List => Form::List { max: described.max_items },
        pb::Form::Stream => Form::Stream { window: described.max_items },
    };
    Ok(Type { kind, form })
}

fn kind(described: &pb::Type) -> Option<Kind> {
    let max_bytes = described.max_bytes;
    let thousandths = (described.frames_per_second * 1000.0).round() as u32;
    let rate = Some(FrameRate(thousandths)).filter(|_| thousandths > 0);
    Some(match described.kind.as_str() {
        "text" => Kind::Text { max_bytes },
        "image" => Kind::Image { max_bytes },
        "audio" => Kind::Audio {
            rate_hz: Some(described.rate_hz).filter(|rate| *rate > 0),
            max_ms: described.max_ms,
        },
        "video" => Kind::Video { rate, max_bytes },
        "media" => Kind::Media { rate, max_bytes },
        "messages" => Kind::Messages { max_parts: described.max_parts },
        "tensor" => Kind::Tensor {
            dtype: Dtype::from_name(&described.dtype)?,
            dims: described.dims.iter().map(dim).collect(),
        },
        "int" => Kind::Int,
        "float" => Kind::Float,
        "bool" => Kind::Bool,
        "enum" => Kind::Enum(described.words.clone()),
        _ => return None,
    })
}

fn dim(dim: &pb::Dim) -> Dim {
    if dim.name.is_empty() { Dim::Fixed(dim.max) } else { Dim::Upto { name: dim.name.clone(), max: dim.max } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_as_people_write_them() {
        let choices = ["\"fast\"", "\"say \\\"it\\\"\"", "3", "true", "0.5"].map(unquoted);
        assert_eq!(choices, ["fast", "say \"it\"", "3", "true", "0.5"]);
        assert_eq!(as_people_write(Given::Float(2.0)).as_deref(), Some("2.0"));
    }

    #[test]
    fn a_type_of_a_later_version_is_named() {
        let later =
            pb::Type { kind: "smell".to_owned(), text: "smell max 3".to_owned(), ..pb::Type::default() };
        let fault = type_of("nose", Some(later)).unwrap_err();
        assert!(fault.message.contains("'nose' is 'smell max 3', which this corn does not know"), "{fault}");
    }
}
