//! Parameters of a request: those that the protocol reserves, and values of inputs.

use std::collections::HashMap;
use std::time::Duration;

use corn_core::message::Priority;
use corn_plan::{Form, Kind};
use tonic::Status;

use crate::grpc::proto::corn::Value;
use crate::grpc::proto::corn::value::Kind as Given;
use crate::grpc::proto::inference::InferParameter;
use crate::grpc::proto::inference::infer_parameter::ParameterChoice as Choice;
use crate::grpc::routes::{Input, Route};
use crate::grpc::{nearest, status};

/// What the parameters of a request say.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) priority: Priority,
    pub(super) timeout: Option<Duration>,
    /// A last response without outputs says that it is the last.
    pub(super) wants_final: bool,
    /// Values of inputs.
    pub(super) inputs: Vec<(String, Value)>,
    /// Rate of the sounds that come as samples.
    pub(super) sample_rate_hz: Option<u32>,
    /// Of the videos.
    pub(super) frames_per_second: Option<f64>,
}

/// Reads the parameters of a request to `route`. None is ignored.
pub(super) fn read(parameters: HashMap<String, InferParameter>, route: &Route) -> Result<Parameters, Status> {
    let mut read = Parameters::default();
    let mut parameters: Vec<(String, InferParameter)> = parameters.into_iter().collect();
    parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (name, parameter) in parameters {
        let wrong = |problem: String| status::refused(format!("parameter '{name}': {problem}"));
        let choice = parameter.parameter_choice.ok_or_else(|| wrong("it has no value".to_owned()))?;
        match name.as_str() {
            "priority" => {
                // Triton's: 1 is the most urgent, 0 whatever is usual.
                read.priority = match whole(&choice).map_err(wrong)? {
                    0 | 2 => Priority::Normal,
                    1 => Priority::High,
                    3.. => Priority::Low,
                    negative => return Err(wrong(format!("{negative} is no priority"))),
                };
            }
            "timeout" => {
                let micros = whole(&choice).map_err(wrong)?;
                let micros = u64::try_from(micros).map_err(|_| wrong(format!("{micros} is no time")))?;
                // Triton's: 0 is none.
                read.timeout = (micros > 0).then(|| Duration::from_micros(micros));
            }
            "triton_enable_empty_final_response" => read.wants_final = truth(&choice).map_err(wrong)?,
            "sample_rate" => {
                let rate_hz = whole(&choice).map_err(wrong)?;
                let rate_hz = u32::try_from(rate_hz).map_err(|_| wrong(format!("{rate_hz} is no rate")))?;
                read.sample_rate_hz = Some(rate_hz);
            }
            "frames_per_second" => read.frames_per_second = Some(float(&choice).map_err(wrong)?),
            "sequence_id" | "sequence_start" | "sequence_end" => {
                return Err(status::refused(format!(
                    "parameter '{name}': there are no sequences here; each request stands alone"
                )));
            }
            _ => match route.inputs.iter().find(|input| input.name == name) {
                Some(input) => {
                    let value = value(&choice, input).map_err(wrong)?;
                    read.inputs.push((name.clone(), value));
                }
                None => return Err(unknown(&name, route)),
            },
        }
    }
    Ok(read)
}

fn unknown(name: &str, route: &Route) -> Status {
    let reserved = ["priority", "timeout", "sample_rate", "frames_per_second"];
    let inputs = route.inputs.iter().map(|input| input.name.as_str());
    let hint = nearest::hint(name, inputs.chain(reserved));
    status::refused(format!("parameter '{name}' means nothing to route '{}'{hint}", route.name))
}

/// A parameter as the value of `input`. Clients that know only texts write numbers as such.
fn value(choice: &Choice, input: &Input) -> Result<Value, String> {
    if input.ty.form != Form::Value {
        return Err(format!("a {} is brought as a tensor", input.ty));
    }
    let given = match &input.ty.kind {
        Kind::Int => Given::Int(whole(choice)?),
        Kind::Float => Given::Float(float(choice)?),
        Kind::Bool => Given::Bool(truth(choice)?),
        Kind::Text { .. } | Kind::Enum(_) => match choice {
            Choice::StringParam(text) => Given::Text(text.clone()),
            _ => return Err(format!("it is no text, where {} is declared", input.ty)),
        },
        _ => return Err(format!("a {} is brought as a tensor", input.ty)),
    };
    Ok(Value { kind: Some(given) })
}

pub(super) fn whole(choice: &Choice) -> Result<i64, String> {
    match choice {
        Choice::Int64Param(value) => Ok(*value),
        Choice::Uint64Param(value) => {
            i64::try_from(*value).map_err(|_| format!("{value} is over the largest integer"))
        }
        Choice::DoubleParam(value) if value.fract() == 0.0 && value.abs() < 9e15 => Ok(*value as i64),
        Choice::StringParam(text) => text.parse().map_err(|_| format!("{text:?} is no integer")),
        _ => Err("it is no integer".to_owned()),
    }
}

pub(super) fn float(choice: &Choice) -> Result<f64, String> {
    match choice {
        Choice::DoubleParam(value) => Ok(*value),
        Choice::Int64Param(value) => Ok(*value as f64),
        Choice::Uint64Param(value) => Ok(*value as f64),
        Choice::StringParam(text) => text.parse().map_err(|_| format!("{text:?} is no number")),
        Choice::BoolParam(_) => Err("it is no number".to_owned()),
    }
}

fn truth(choice: &Choice) -> Result<bool, String> {
    match choice {
        Choice::BoolParam(value) => Ok(*value),
        Choice::StringParam(text) => text.parse().map_err(|_| format!("{text:?} is no truth value")),
        _ => Err("it is no truth value".to_owned()),
    }
}
