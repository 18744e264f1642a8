//! A request on its way: which recording it gets, and its answer, of which only what was asked for is passed on.

use std::sync::Arc;
use std::time::Duration;

use corn_core::executor::Usage;
use corn_core::message::Priority;
use corn_core::{Audio, Datum, Fault};
use corn_engine::Piece;
use corn_plan::types::MAX_AUDIO_RATE_HZ;
use corn_plan::{Kind, Plan, Recording, RecordingId, Type};
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::grpc::nearest;
use crate::grpc::routes::{Route, Routes};
use crate::grpc::status;
use crate::intake::Intake;
use crate::keys::Slot;
use crate::{Request, Served, Watched};

/// Most bytes of an answer that is collected whole. What is larger can be had piece by piece.
const WHOLE_MAX_BYTES: u64 = 1 << 30;
/// Says how long a call may take.
pub(super) const TIMEOUT: &str = "grpc-timeout";

/// What a client asks for, whichever way it said so.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) graph: String,
    pub(super) route: Option<String>,
    pub(super) inputs: Vec<(String, Datum)>,
    /// None: those of the route, or the fewest.
    pub(super) outputs: Vec<String>,
    pub(super) deadline: Option<Duration>,
    pub(super) priority: Priority,
    /// Its place among what the client's key allows.
    pub(super) slot: Slot,
}

/// Something of an answer.
#[derive(Debug)]
pub(super) enum Event {
    Item { output: usize, datum: Datum },
    End { output: usize },
}

/// The answer to a request. Dropping it cancels the request on every worker.
pub(crate) struct Asking {
    answer: Watched,
    /// Where what it makes is written.
    pub(crate) intake: Intake,
    _slot: Slot,
    pub(crate) route: String,
    pub(super) outputs: Vec<Wanted>,
    /// What components say that they have used for it so far.
    pub(crate) usage: Option<Usage>,
}

/// An output of the recording.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(super) ty: Type,
    /// The recording makes it; the client asked for it.
    pub(super) is_asked: bool,
}

/// Submits what is asked for.
pub(super) fn submit(
    served: &Served,
    routes: &Routes,
    intake: &Intake,
    asked: Asked,
) -> Result<Asking, Status> {
    let recording = choose(served, routes, &asked)?;
    let recording = &served.plan().recordings[recording];
    let route = recording.route.clone();
    let wanted = |output: &corn_plan::Output| Wanted {
        is_asked: asked.outputs.is_empty() || asked.outputs.contains(&output.name),
        name: output.name.clone(),
        ty: recording.values[output.value].ty.clone(),
    };
    let outputs: Vec<Wanted> = recording.outputs.iter().map(wanted).collect();
    let request = Request {
        graph: asked.graph,
        inputs: asked.inputs,
        outputs: outputs.iter().map(|output| output.name.clone()).collect(),
        deadline: asked.deadline,
        priority: asked.priority,
    };
    let answer = served.submit(request).map_err(|fault| status::of(&fault))?;
    Ok(Asking { answer, intake: intake.clone(), _slot: asked.slot, route, outputs, usage: None })
}

/// The recording that takes what is brought and makes what is asked for; what it makes beyond that is the least.
fn choose(served: &Served, routes: &Routes, asked: &Asked) -> Result<RecordingId, Status> {
    let plan = served.plan();
    let of_route = |route: &&Route| {
        route.graph == asked.graph && asked.route.as_ref().is_none_or(|name| route.name == *name)
    };
    let of_route: Vec<&Route> = routes.iter().filter(of_route).collect();
    let recordings = || of_route.iter().flat_map(|route| &route.recordings).copied();
    let mut made: Vec<Vec<String>> = Vec::new();
    for id in recordings().filter(|id| fits(&plan.recordings[*id], asked)) {
        let names: Vec<String> =
            plan.recordings[id].outputs.iter().map(|output| output.name.clone()).collect();
        if !made.contains(&names) {
            made.push(names);
        }
    }
    made.sort_by_key(Vec::len);
    let mut first: Option<Fault> = None;
    for outputs in made {
        let request = Request {
            graph: asked.graph.clone(),
            inputs: asked.inputs.clone(),
            outputs,
            deadline: None,
            priority: asked.priority,
        };
        match served.look_up(&request) {
            Ok(id) if recordings().any(|of_route| of_route == id) => return Ok(id),
            Ok(id) => {
                let (asked, other) = (asked.route.as_deref().unwrap_or_default(), &plan.recordings[id].route);
                let message = format!("route '{asked}' does not take this request; route '{other}' does");
                first.get_or_insert(Fault::request(message));
            }
            Err(fault) => {
                first.get_or_insert(fault);
            }
        }
    }
    Err(first.map_or_else(|| unfit(plan, &of_route, asked), |fault| status::of(&fault)))
}

/// Whether the names that are brought and asked for are those of `recording`.
fn fits(recording: &Recording, asked: &Asked) -> bool {
    let brings = |name: &str| asked.inputs.iter().any(|(brought, _)| brought == name);
    asked.inputs.iter().all(|(name, _)| recording.inputs.iter().any(|input| input.name == *name))
        && recording.inputs.iter().all(|input| input.default.is_some() || brings(&input.name))
        && asked.outputs.iter().all(|name| recording.outputs.iter().any(|output| output.name == *name))
}

/// Says what of a request no recording has: a name that is unknown, an input that is missing, or that they do not go
/// together.
fn unfit(plan: &Plan, routes: &[&Route], asked: &Asked) -> Status {
    let of = match &asked.route {
        Some(route) => format!("route '{route}'"),
        None => format!("graph '{}'", asked.graph),
    };
    let inputs = || routes.iter().flat_map(|route| &route.inputs);
    if let Some((name, _)) = asked.inputs.iter().find(|(name, _)| inputs().all(|it| it.name != *name)) {
        return unknown_input(&of, routes, name);
    }
    let outputs = || routes.iter().flat_map(|route| &route.outputs).map(|output| output.name.as_str());
    if let Some(name) = asked.outputs.iter().find(|name| !outputs().any(|known| known == *name)) {
        let (hint, names) = (nearest::hint(name, outputs()), listed(outputs()));
        return status::refused(format!("output '{name}' is not an output of {of}{hint}; it makes {names}"));
    }
    let brings = |name: &str| asked.inputs.iter().any(|(brought, _)| brought == name);
    let always = |name: &str| {
        routes.iter().all(|route| route.inputs.iter().any(|input| input.name == *name && input.is_required))
    };
    if let Some(missing) = inputs().find(|input| always(&input.name) && !brings(&input.name)) {
        return status::refused(format!("{of} needs input '{}', a {}", missing.name, missing.ty));
    }
    let recordings = routes.iter().flat_map(|route| &route.recordings);
    let known: Vec<String> =
        recordings.take(8).map(|id| format!("  {}", plan.recordings[*id].signature())).collect();
    status::refused(format!("{of} does not take this together; it takes\n{}", known.join("\n")))
}

/// The status that says that `name` is no input.
pub(super) fn unknown_input(of: &str, routes: &[&Route], name: &str) -> Status {
    let inputs = || routes.iter().flat_map(|route| &route.inputs).map(|input| input.name.as_str());
    let (hint, names) = (nearest::hint(name, inputs()), listed(inputs()));
    status::refused(format!("input '{name}' is not an input of {of}{hint}; it takes {names}"))
}

/// Names, each once.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut once: Vec<&str> = Vec::new();
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    if once.is_empty() { "nothing".to_owned() } else { once.join(", ") }
}

impl Asking {
    /// The request's id.
    pub(crate) const fn request(&self) -> corn_core::message::RequestId {
        self.answer.request()
    }

    /// Gives the request up; the answer ends with the fault that says so.
    pub(super) fn cancel(&self) {
        self.answer.cancel();
    }

    /// The next of what was asked for; `None` when everything was made. Takes from the workers only when called, so a
    /// client that reads slowly holds its own request.
    pub(super) async fn next(&mut self) -> Option<Result<Event, Status>> {
        while let Some(piece) = self.answer.next().await {
            match piece {
                Piece::Failed(fault) => {
                    let mut status = status::of(&fault);
                    status::name_request(status.metadata_mut(), self.request());
                    return Some(Err(status));
                }
                Piece::Item { output, datum } if self.outputs[output].is_asked => {
                    return Some(Ok(Event::Item { output, datum }));
                }
                Piece::End { output } if self.outputs[output].is_asked => {
                    return Some(Ok(Event::End { output }));
                }
                Piece::Used(usage) => self.usage = Some(usage),
                Piece::Item { .. } | Piece::End { .. } => {}
            }
        }
        None
    }

    /// Each output that was asked for, whole.
    pub(crate) async fn whole(&mut self) -> Result<Vec<(Wanted, Option<Datum>)>, Status> {
        let mut made: Vec<Vec<Datum>> = vec![Vec::new(); self.outputs.len()];
        let mut bytes = 0;
        while let Some(event) = self.next().await {
            let Event::Item { output, datum } = event? else { continue };
            bytes += datum.bytes();
            if bytes > WHOLE_MAX_BYTES {
                let message = format!(
                    "the answer is over {WHOLE_MAX_BYTES} bytes; ask for it piece by piece, as a stream"
                );
                return Err(status::refused(message));
            }
            made[output].push(datum);
        }
        let asked = self.outputs.iter().cloned().zip(made).filter(|(wanted, _)| wanted.is_asked);
        asked
            .map(|(wanted, items)| {
                let whole = if wanted.ty.is_stream() {
                    Some(joined(&wanted.ty, items))
                } else {
                    items.into_iter().next()
                };
                Ok((wanted, whole))
            })
            .collect()
    }
}

/// A stream as one value: texts put together, sounds of one rate appended, other things as a list.
fn joined(ty: &Type, items: Vec<Datum>) -> Datum {
    let rate = |item: &Datum| if let Datum::Audio(audio) = item { Some(audio.rate_hz) } else { None };
    match &ty.kind {
        Kind::Text { .. } | Kind::Enum(_) => {
            let text: String = items
                .iter()
                .filter_map(|item| if let Datum::Text(text) = item { Some(&**text) } else { None })
                .collect();
            Datum::text(text)
        }
        Kind::Audio { rate_hz, .. } if items.windows(2).all(|two| rate(&two[0]) == rate(&two[1])) => {
            let rate_hz = items.first().and_then(rate).or(*rate_hz).unwrap_or(MAX_AUDIO_RATE_HZ);
            let samples = items
                .iter()
                .filter_map(|item| if let Datum::Audio(audio) = item { Some(&*audio.samples) } else { None });
            let samples: Vec<f32> = samples.flatten().copied().collect();
            Datum::Audio(Arc::new(Audio { rate_hz, samples: samples.into() }))
        }
        _ => Datum::List(items.into()),
    }
}

/// What is left until the call's deadline when the request is given up: so much earlier than the client gives up that
/// it learns why from us.
pub(super) fn deadline(metadata: &MetadataMap) -> Result<Option<Duration>, Status> {
    let Some(timeout) = metadata.get(TIMEOUT) else { return Ok(None) };
    let timeout = timeout_of(timeout.as_bytes())?;
    Ok(Some(timeout.saturating_sub((timeout / 10).min(Duration::from_millis(5)))))
}

/// The time that a header of the name [`TIMEOUT`] says.
pub(super) fn timeout_of(said: &[u8]) -> Result<Duration, Status> {
    let refused =
        || status::refused("the header 'grpc-timeout' is at most 8 digits and one of H, M, S, m, u, n");
    let text = std::str::from_utf8(said).map_err(|_| refused())?;
    let unit = text.char_indices().last().ok_or_else(refused)?;
    let digits = &text[..unit.0];
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused());
    }
    let count: u64 = digits.parse().map_err(|_| refused())?;
    match unit.1 {
        'H' => Ok(Duration::from_secs(count * 3600)),
        'M' => Ok(Duration::from_secs(count * 60)),
        'S' => Ok(Duration::from_secs(count)),
        'm' => Ok(Duration::from_millis(count)),
        'u' => Ok(Duration::from_micros(count)),
        'n' => Ok(Duration::from_nanos(count)),
        _ => Err(refused()),
    }
}
