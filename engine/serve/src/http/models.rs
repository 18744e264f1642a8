//! Which graphs answer which endpoints, and which of a route's recordings fits what a request brings.
//!
//! Clients name a model, which is a graph. What an endpoint brings is spread over the inputs of a route in the same way
//! as the verifier has seen that it can be ([`corn_plan::endpoint`]); so nothing here depends on how inputs are called.

use std::collections::BTreeSet;

use corn_core::Datum;
use corn_plan::endpoint::{Face, Misfit};
use corn_plan::plan::{Endpoint, Limits, Serve};
use corn_plan::types::DEFAULT_MEDIA_MAX_BYTES;
use corn_plan::{Form, Input, Kind, Modality, Plan, Recording, Type};

use super::refusal::Refusal;

/// Bytes of a body where no limit is written.
const DEFAULT_BODY_BYTES: u64 = 64 << 20;

/// A graph and the endpoint that it is asked at.
#[derive(Clone, Copy)]
pub(super) struct Model<'p> {
    plan: &'p Plan,
    pub(super) serve: &'p Serve,
    face: &'static Face,
}

/// The recording that a request gets, as far as its endpoint decides.
#[derive(Clone, Copy)]
pub(super) struct Choice<'p> {
    pub(super) model: Model<'p>,
    pub(super) recording: &'p Recording,
}

/// What a request brings.
pub(super) struct Brought<'b> {
    /// How many of each modality.
    pub(super) items: Vec<(&'b str, usize)>,
    /// The kinds among its media, if it brings them together.
    pub(super) kinds: BTreeSet<Modality>,
}

impl<'b> Brought<'b> {
    /// One of each of these.
    pub(super) fn one(words: &[&'b str]) -> Self {
        Self { items: words.iter().map(|word| (*word, 1)).collect(), kinds: BTreeSet::new() }
    }

    fn shown(&self) -> String {
        let mut shown: Vec<String> =
            self.items.iter().map(|(word, count)| format!("{count} {word}")).collect();
        shown.extend((!self.kinds.is_empty()).then(|| {
            let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
            format!("media of the kinds {}", kinds.join(" and "))
        }));
        if shown.is_empty() { "nothing".to_owned() } else { shown.join(" + ") }
    }

    fn has_kinds_of(&self, input: &Input) -> bool {
        input
            .media
            .as_ref()
            .is_none_or(|media| media.kinds.iter().copied().collect::<BTreeSet<_>>() == self.kinds)
    }
}

/// The graphs that answer at least one endpoint, in order of their names.
pub(super) fn served(plan: &Plan) -> Vec<&str> {
    let answers = |serve: &&Serve| serve.endpoints.iter().any(|it| matches!(it, Endpoint::Openai { .. }));
    let graphs: BTreeSet<&str> = plan.serves.iter().filter(answers).map(|it| it.graph.as_str()).collect();
    graphs.into_iter().collect()
}

/// The graphs that answer at `path`, in order of their names.
pub(super) fn answering<'p>(plan: &'p Plan, path: &str) -> Vec<&'p str> {
    let graphs = plan.serves.iter().filter(|serve| routes(serve, path).next().is_some());
    let graphs: BTreeSet<&str> = graphs.map(|serve| serve.graph.as_str()).collect();
    graphs.into_iter().collect()
}

/// Most bytes that any request at the endpoint `path` can have. Which graph is asked is only known when the body has
/// been read.
pub(super) fn max_body_bytes(plan: &Plan, path: &str) -> u64 {
    let answering = plan.serves.iter().filter(|serve| routes(serve, path).next().is_some());
    answering.map(|serve| body_bytes(&serve.limits)).max().unwrap_or(DEFAULT_BODY_BYTES)
}

fn body_bytes(limits: &Limits) -> u64 {
    limits.body_bytes.unwrap_or(DEFAULT_BODY_BYTES)
}

fn routes<'s>(serve: &'s Serve, at: &str) -> impl Iterator<Item = (&'s [String], &'s str)> {
    serve.endpoints.iter().filter_map(move |endpoint| match endpoint {
        Endpoint::Openai { path, with, route } if path == at => Some((with.as_slice(), route.as_str())),
        _ => None,
    })
}

/// There is no model `name`, but those of `known`.
pub(super) fn unknown(name: &str, known: &[&str]) -> Refusal {
    let there = match known {
        [] => "there is none: no `openai` stands in a `serve` of the program, and its graphs are asked at /corn/v1/infer".to_owned(),
        known => format!("there is {}", known.join(", ")),
    };
    Refusal::model(format!("there is no model '{name}'; {there}"))
}

/// The graph `name`, which answers at `path`.
pub(super) fn find<'p>(plan: &'p Plan, name: &str, path: &str) -> Result<Model<'p>, Refusal> {
    let known = served(plan);
    if !known.contains(&name) {
        return Err(unknown(name, &known));
    }
    let serve = plan.serves.iter().find(|serve| serve.graph == name && routes(serve, path).next().is_some());
    let (Some(serve), Some(face)) = (serve, Face::find(path)) else {
        let all = plan.serves.iter().filter(|serve| serve.graph == name).flat_map(|serve| &serve.endpoints);
        let paths: BTreeSet<&str> = all
            .filter_map(|it| if let Endpoint::Openai { path, .. } = it { Some(path.as_str()) } else { None })
            .collect();
        let paths: Vec<&str> = paths.into_iter().collect();
        let paths = paths.join(", ");
        return Err(Refusal::model(format!("the model '{name}' does not answer {path}; it answers {paths}")));
    };
    Ok(Model { plan, serve, face })
}

impl<'p> Model<'p> {
    pub(super) fn name(&self) -> &'p str {
        &self.serve.graph
    }

    pub(super) fn plan(&self) -> &'p Plan {
        self.plan
    }

    pub(super) fn limits(&self) -> Limits {
        self.serve.limits
    }

    /// Most bytes that a request may bring.
    pub(super) fn body_bytes(&self) -> u64 {
        body_bytes(&self.serve.limits)
    }

    /// Holds the body against the limit of this graph, which may be lower than that of others.
    pub(super) fn check_body(&self, bytes: usize) -> Result<(), Refusal> {
        let max = self.body_bytes();
        if bytes as u64 > max { Err(super::body::too_large(max)) } else { Ok(()) }
    }

    /// What can be asked for in addition at this endpoint.
    pub(super) fn answers_with(&self, with: &str) -> bool {
        routes(self.serve, self.face.path).any(|(extras, _)| extras == [with])
    }

    /// Whether it answers without anything in addition.
    pub(super) fn answers_plainly(&self) -> bool {
        routes(self.serve, self.face.path).any(|(extras, _)| extras.is_empty())
    }

    /// The recordings that can answer with `with` in addition, in order of the routes that do.
    fn fitting(self, with: Option<&str>) -> impl Iterator<Item = &'p Recording> {
        self.routed(with).flat_map(move |(extras, route)| self.fitting_of(extras, route))
    }

    /// The routes that answer with `with` in addition, as they are written.
    fn routed(self, with: Option<&str>) -> impl Iterator<Item = (&'p [String], &'p str)> {
        routes(self.serve, self.face.path).filter(move |(extras, _)| match with {
            Some(with) => *extras == [with],
            None => extras.is_empty(),
        })
    }

    fn fitting_of(self, extras: &'p [String], route: &'p str) -> impl Iterator<Item = &'p Recording> {
        // What is needed may be left out by a request, if a recording does without.
        let is_left_out = |misfit: &Misfit| matches!(misfit, Misfit::NotTaken { .. });
        self.plan.recordings.iter().filter(move |recording| {
            recording.graph == self.serve.graph
                && recording.route == route
                && self.face.misfits_of(extras, recording).iter().all(is_left_out)
        })
    }

    /// The recording for a request that brings this, if there is one: of the first route that has any.
    pub(super) fn choose(self, with: Option<&str>, brought: &Brought<'_>) -> Option<Choice<'p>> {
        let fits = |recording: &&Recording| {
            let takes = |input: &Input| {
                let ty = ty(recording, input)?;
                let (_, count) = brought.items.iter().find(|(word, _)| *word == ty.kind.word())?;
                let has_room = *count == 1 || matches!(ty.form, Form::List { .. });
                (has_room && brought.has_kinds_of(input)).then_some(())
            };
            let taken: Option<Vec<()>> = filled(recording).map(takes).collect();
            taken.is_some_and(|taken| taken.len() == brought.items.len())
        };
        // One that looks at media knows which there are. Of those that differ by a word that is chosen, it is the one
        // for what is said by saying nothing.
        let fitness = |recording: &&Recording| {
            let looks = recording.inputs.iter().filter(|it| it.media.is_some()).count();
            (looks, recording.inputs.iter().filter(|it| it.is.is_none() || it.is == it.default).count())
        };
        let best = |(extras, route)| self.fitting_of(extras, route).filter(fits).max_by_key(fitness);
        let recording = self.routed(with).find_map(best)?;
        Some(Choice { model: self, recording })
    }

    /// No recording is for a request that brings this.
    pub(super) fn takes_else(self, param: &str, with: Option<&str>, brought: &Brought<'_>) -> Refusal {
        let shown = |recording: &Recording| {
            let inputs = filled(recording).filter_map(|input| {
                let kinds = input.media.iter().flat_map(|media| &media.kinds);
                let kinds: Vec<&str> = kinds.map(|kind| kind.name()).collect();
                let with =
                    if kinds.is_empty() { String::new() } else { format!(" of {}", kinds.join(" and ")) };
                Some(format!("{}{with}", ty(recording, input)?))
            });
            inputs.collect::<Vec<String>>().join(" + ")
        };
        let takes: BTreeSet<String> = self.fitting(with).map(shown).collect();
        let takes: Vec<String> = takes.into_iter().collect();
        let (name, takes) = (self.name(), takes.join("; or "));
        let message = format!("this brings {}, and the model '{name}' takes {takes}", brought.shown());
        Refusal::param(param, message)
    }

    /// Every recording that can answer with `with` in addition, whatever a request brings.
    pub(super) fn choices(self, with: Option<&str>) -> impl Iterator<Item = Choice<'p>> {
        self.fitting(with).map(move |recording| Choice { model: self, recording })
    }

    /// Whether some recording takes something called `word`.
    pub(super) fn takes(self, with: Option<&str>, word: &str) -> bool {
        let is = |recording: &Recording, input: &Input| {
            ty(recording, input).is_some_and(|ty| ty.kind.word() == word)
        };
        self.fitting(with).any(|recording| filled(recording).any(|input| is(recording, input)))
    }
}

impl<'p> Choice<'p> {
    /// The input that takes what is called `word`.
    pub(super) fn input(&self, word: &str) -> Option<(&'p Input, &'p Type)> {
        let inputs = filled(self.recording).filter_map(|input| Some((input, ty(self.recording, input)?)));
        inputs.into_iter().find(|(_, ty)| ty.kind.word() == word)
    }

    /// What is called `word`, for the input that takes it; a list if that takes one. `param` is where it stood.
    pub(super) fn bring(
        &self,
        word: &str,
        mut data: Vec<Datum>,
        param: &str,
    ) -> Result<(String, Datum), Refusal> {
        let (input, ty) =
            self.input(word).ok_or_else(|| Refusal::ours(format!("no input takes a {word}")))?;
        let datum = match (ty.form, data.pop()) {
            (Form::Value | Form::Stream { .. }, Some(only)) if data.is_empty() => only,
            (_, last) => Datum::List(data.into_iter().chain(last).collect()),
        };
        // Sound is brought to the rate that is declared when the request is submitted.
        if word != "audio" {
            datum.check_type(ty).map_err(|problem| Refusal::param(param, format!("'{param}': {problem}")))?;
        }
        Ok((input.name.clone(), datum))
    }

    /// What the media in the conversation or list of media `input` can be together, and how many.
    pub(super) fn media_type(&self, word: &str) -> (Kind, u32) {
        let found = self.input(word).and_then(|(input, own)| match &input.media {
            Some(media) => media.value.and_then(|value| self.recording.values.get(value)).map(|it| &it.ty),
            None => Some(own),
        });
        match found {
            Some(ty) if ty.kind.word() != "messages" => (ty.kind.clone(), ty.max_items()),
            _ => (Kind::Media { rate: None, max_bytes: DEFAULT_MEDIA_MAX_BYTES }, u32::MAX),
        }
    }

    /// Whether media of this kind are taken, by themselves or among others.
    pub(super) fn has_room_for(&self, kind: Modality) -> bool {
        filled(self.recording).any(|input| {
            let is_kind = ty(self.recording, input).is_some_and(|ty| ty.kind.word() == kind.name());
            is_kind || input.media.as_ref().is_some_and(|media| media.kinds.contains(&kind))
        })
    }

    /// The type of the input that a field called `name` sets.
    pub(super) fn knob(&self, name: &str) -> Option<&'p Type> {
        let input = self.recording.inputs.iter().find(|it| it.name == name && it.default.is_some())?;
        ty(self.recording, input)
    }

    /// Nothing sets `name`.
    pub(super) fn no_knob(&self, name: &str) -> Refusal {
        let knobs = self.recording.inputs.iter().filter(|it| it.default.is_some());
        let knobs: Vec<&str> = knobs.map(|it| it.name.as_str()).collect();
        let has = if knobs.is_empty() {
            "it has none".to_owned()
        } else {
            format!("there is {}", knobs.join(", "))
        };
        let model = self.model.name();
        Refusal::param(
            name,
            format!("'{name}' cannot be set for the model '{model}', which has no input of that name; {has}"),
        )
    }

    /// The outputs that are asked for.
    pub(super) fn outputs(&self) -> Vec<String> {
        self.recording.outputs.iter().map(|output| output.name.clone()).collect()
    }

    /// The place of the output that is `word`.
    pub(super) fn output(&self, word: &str) -> Option<usize> {
        let recording = self.recording;
        recording.outputs.iter().position(|output| recording.values[output.value].ty.kind.word() == word)
    }

    /// Words that the recording is for and that the request does not choose: those that the route fixes.
    pub(super) fn fixed(&self, inputs: &[(String, Datum)]) -> Vec<(String, Datum)> {
        let unsaid = |input: &&Input| inputs.iter().all(|(name, _)| *name != input.name);
        let fixed = self.recording.inputs.iter().filter(unsaid);
        fixed.filter_map(|it| Some((it.name.clone(), Datum::from(it.is.as_ref()?)))).collect()
    }
}

/// The inputs that an endpoint must bring.
fn filled(recording: &Recording) -> impl Iterator<Item = &Input> {
    recording.inputs.iter().filter(|input| input.default.is_none())
}

fn ty<'p>(recording: &'p Recording, input: &Input) -> Option<&'p Type> {
    recording.values.get(input.value).map(|value| &value.ty)
}
