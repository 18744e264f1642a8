//! The names by which clients of generate endpoints call a model's text, whatever it calls it itself: `text_input` and
//! `text_output`, as Triton's generate extension and Dynamo have them.
//!
//! They stand for an input or output only where it is the route's only text and nothing else is called so. Metadata say
//! the model's own names, which clients that read them use.

use corn_plan::{Form, Kind, Type};

use crate::grpc::proto::inference::ModelInferRequest;
use crate::grpc::routes::Route;

const INPUT: &str = "text_input";
pub(super) const OUTPUT: &str = "text_output";

/// Puts the names of `route` in place of these. Gives the output that the client knows as [`OUTPUT`], if it used one of
/// the two.
pub(super) fn renamed(request: &mut ModelInferRequest, route: &Route) -> Option<String> {
    let mut is_used = false;
    let inputs = route.inputs.iter().map(|input| (input.name.as_str(), &input.ty));
    if let Some(own) = only_text(inputs, INPUT) {
        for tensor in request.inputs.iter_mut().filter(|tensor| tensor.name == INPUT) {
            own.clone_into(&mut tensor.name);
            is_used = true;
        }
        if !request.parameters.contains_key(own)
            && let Some(parameter) = request.parameters.remove(INPUT)
        {
            request.parameters.insert(own.to_owned(), parameter);
            is_used = true;
        }
    }
    let outputs = route.outputs.iter().map(|output| (output.name.as_str(), &output.ty));
    let own = only_text(outputs, OUTPUT)?;
    for output in request.outputs.iter_mut().filter(|output| output.name == OUTPUT) {
        own.clone_into(&mut output.name);
        is_used = true;
    }
    is_used.then(|| own.to_owned())
}

/// The only one that is a text, whole or streamed, unless one is called `name` already.
fn only_text<'r>(mut all: impl Iterator<Item = (&'r str, &'r Type)> + Clone, name: &str) -> Option<&'r str> {
    let is_text = |ty: &Type| matches!(ty.kind, Kind::Text { .. }) && !matches!(ty.form, Form::List { .. });
    let mut texts = all.clone().filter(|(_, ty)| is_text(ty));
    match (texts.next(), texts.next(), all.any(|(own, _)| own == name)) {
        (Some((only, _)), None, false) => Some(only),
        _ => None,
    }
}
