//! The routes of a plan as clients see them: what can be brought and asked for, over all recordings of a route.
//!
//! A route has a recording for each combination of what may be brought. Clients are told of the route, and asking
//! picks the recording.

use corn_plan::{Endpoint, Kind, Literal, Plan, Recording, RecordingId, Type};

/// Every route that is served, in the plan's order.
#[derive(Debug)]
pub(crate) struct Routes {
    routes: Vec<Route>,
}

/// A route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) graph: String,
    pub(crate) name: String,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) recordings: Vec<RecordingId>,
}

/// Something that a request may bring.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// No recording of the route does without.
    pub(crate) is_required: bool,
    pub(crate) default: Option<Literal>,
    /// The values that the route's recordings are for; empty if any will do.
    pub(crate) choices: Vec<Literal>,
    /// The list of the media in it, if it is a conversation that is read with its media.
    pub(crate) media: Option<Type>,
}

/// Something that a request may ask for.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// It may turn out absent, or is made only if it is asked for.
    pub(crate) is_optional: bool,
}

impl Routes {
    /// The routes of the graphs that `endpoint` serves. A plan that says nothing of how its graphs are served serves
    /// all of them everywhere.
    pub(crate) fn new(plan: &Plan, endpoint: &Endpoint) -> Self {
        Self::of(plan, |endpoints| endpoints.contains(endpoint))
    }

    /// The routes of the graphs that are served, whichever way.
    pub(crate) fn open(plan: &Plan) -> Self {
        Self::of(plan, |_| true)
    }

    fn of(plan: &Plan, is_meant: impl Fn(&[Endpoint]) -> bool) -> Self {
        let is_served = |graph: &str| {
            let mut serves = plan.serves.iter().filter(|serve| serve.graph == graph);
            plan.serves.is_empty() || serves.any(|serve| is_meant(&serve.endpoints))
        };
        let mut routes: Vec<Route> = Vec::new();
        for (id, recording) in plan.recordings.enumerate().filter(|(_, it)| is_served(&it.graph)) {
            let known = routes
                .iter_mut()
                .find(|route| route.graph == recording.graph && route.name == recording.route);
            match known {
                Some(route) => route.add(id, recording),
                None => routes.push(Route::new(id, recording)),
            }
        }
        Self { routes }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// The names of the graphs, each once.
    pub(crate) fn graphs(&self) -> Vec<&str> {
        let mut graphs: Vec<&str> = Vec::new();
        for route in &self.routes {
            if !graphs.contains(&route.graph.as_str()) {
                graphs.push(&route.graph);
            }
        }
        graphs
    }
}

impl Route {
    fn new(id: RecordingId, recording: &Recording) -> Self {
        let inputs = recording.inputs.iter().map(|input| Input::of(recording, input)).collect();
        let outputs = recording.outputs.iter().map(|output| Output::of(recording, output)).collect();
        let (graph, name) = (recording.graph.clone(), recording.route.clone());
        Self { graph, name, inputs, outputs, recordings: vec![id] }
    }

    fn add(&mut self, id: RecordingId, recording: &Recording) {
        for input in &mut self.inputs {
            input.is_required &= recording.inputs.iter().any(|other| other.name == input.name);
        }
        for other in &recording.inputs {
            let other = Input::of(recording, other);
            match self.inputs.iter_mut().find(|input| input.name == other.name) {
                Some(input) => input.join(other),
                None => self.inputs.push(Input { is_required: false, ..other }),
            }
        }
        for output in &mut self.outputs {
            output.is_optional |= recording.outputs.iter().all(|other| other.name != output.name);
        }
        for other in &recording.outputs {
            let other = Output::of(recording, other);
            match self.outputs.iter_mut().find(|output| output.name == other.name) {
                Some(output) => output.is_optional |= other.is_optional,
                None => self.outputs.push(Output { is_optional: true, ..other }),
            }
        }
        self.recordings.push(id);
    }

    /// Whether some output comes piece by piece.
    pub(crate) fn is_streamed(&self) -> bool {
        self.outputs.iter().any(|output| output.ty.is_stream())
    }
}

impl Input {
    fn of(recording: &Recording, input: &corn_plan::Input) -> Self {
        let ty = recording.values[input.value].ty.clone();
        let of_conversation = input.media.as_ref().filter(|_| matches!(ty.kind, Kind::Messages { .. }));
        let media = of_conversation.and_then(|media| media.value).map(|it| recording.values[it].ty.clone());
        Self {
            name: input.name.clone(),
            ty,
            is_required: input.default.is_none(),
            default: input.default.clone(),
            choices: input.is.iter().cloned().collect(),
            media,
        }
    }

    fn join(&mut self, other: Self) {
        // If one recording takes any value, the route does.
        if other.choices.is_empty() || self.choices.is_empty() {
            self.choices.clear();
        } else {
            let new: Vec<_> = other.choices.into_iter().filter(|it| !self.choices.contains(it)).collect();
            self.choices.extend(new);
        }
        join_rates(&mut self.ty.kind, &other.ty.kind);
        match (&mut self.media, other.media) {
            (Some(media), Some(other)) => join_rates(&mut media.kind, &other.kind),
            (media, other) => *media = media.take().or(other),
        }
    }
}

/// Which recording is meant is known only once everything is read, so frames are left out that none of them wants.
fn join_rates(kind: &mut Kind, other: &Kind) {
    if let (
        Kind::Video { rate, .. } | Kind::Media { rate, .. },
        Kind::Video { rate: other, .. } | Kind::Media { rate: other, .. },
    ) = (kind, other)
    {
        *rate = rate.zip(*other).map(|(one, other)| one.max(other));
    }
}

impl Output {
    fn of(recording: &Recording, output: &corn_plan::Output) -> Self {
        let value = &recording.values[output.value];
        Self { name: output.name.clone(), ty: value.ty.clone(), is_optional: value.optional }
    }
}
