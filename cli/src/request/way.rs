//! The ways in which something can be asked: the recordings of a plan, or the routes of a server.

use std::collections::BTreeSet;
use std::sync::Arc;

use corn_compiler::diagnostic::nearest;
use corn_plan::types::DEFAULT_MEDIA_MAX_BYTES;
use corn_plan::{Kind, Literal, Modality, Plan, Recording, Type};
use corn_serve::client::{Offer, OfferedRoute};

use crate::failure::Failure;
use crate::request::Binding;

/// Of which nothing is said.
const ANY_MEDIUM: Kind = Kind::Media { rate: None, max_bytes: DEFAULT_MEDIA_MAX_BYTES };

/// One way.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) route: String,
    pub(crate) inputs: Vec<Brings>,
    pub(crate) outputs: Vec<Makes>,
}

/// Something that is brought.
#[derive(Clone, Debug)]
pub(crate) struct Brings {
    pub(crate) name: String,
    pub(crate) ty: Type,
    is_required: bool,
    /// As people write it.
    default: Option<String>,
    /// The way is for these values, as people write them; for any, if there are none.
    choices: Vec<String>,
    /// The way is for requests in which these kinds of media occur, and no others; for any, if nothing is said.
    kinds: Option<Vec<Modality>>,
    /// What one of the media in it may be.
    pub(crate) medium: Kind,
}

/// Something that is made.
#[derive(Clone, Debug)]
pub(crate) struct Makes {
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// Whether it is made if nobody asks for it.
    pub(crate) is_certain: bool,
}

/// A literal as a person writes it on the command line.
fn written(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Brings {
    /// Whether the media that `given` has for it are of the kinds that the way is for. What is wrong with a file is said
    /// by who reads it.
    fn is_of(&self, given: &[Binding]) -> bool {
        let Some(kinds) = &self.kinds else { return true };
        let given = || given.iter().filter(|binding| binding.name == self.name);
        let is_conversation = matches!(self.ty.kind, Kind::Messages { .. });
        let is_unclear =
            |it: &Binding| it.modality().is_none() && (!is_conversation || it.content().is_err());
        let brought: BTreeSet<Modality> = given().filter_map(Binding::modality).collect();
        given().any(is_unclear) || kinds.iter().copied().eq(brought)
    }

    /// What is brought, for a person.
    fn word(&self) -> String {
        match &self.kinds {
            _ if !self.choices.is_empty() => self.choices.join("|"),
            Some(kinds) if !kinds.is_empty() => {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                match self.ty.kind {
                    Kind::Messages { .. } => format!("text+{}", kinds.join("+")),
                    _ => kinds.join("+"),
                }
            }
            _ => self.ty.kind.word().to_owned(),
        }
    }
}

impl Way {
    fn of_recording(recording: &Recording) -> Self {
        let ty = |value| recording.values[value].ty.clone();
        let brings = recording.inputs.iter().map(|input| Brings {
            name: input.name.clone(),
            ty: ty(input.value),
            is_required: input.default.is_none(),
            default: input.default.as_ref().map(written),
            choices: input.is.iter().map(written).collect(),
            kinds: input.media.as_ref().map(|media| media.kinds.clone()),
            medium: input
                .media
                .as_ref()
                .and_then(|media| media.value)
                .map_or(ANY_MEDIUM, |media| ty(media).kind),
        });
        let makes = recording.outputs.iter().map(|output| Makes {
            name: output.name.clone(),
            ty: ty(output.value),
            is_certain: true,
        });
        Self { route: recording.route.clone(), inputs: brings.collect(), outputs: makes.collect() }
    }

    fn of_offered(route: &Arc<OfferedRoute>) -> Self {
        let brings = route.inputs.iter().map(|input| Brings {
            name: input.name.clone(),
            ty: input.ty.clone(),
            is_required: input.is_required,
            default: input.default.clone(),
            choices: input.choices.clone(),
            kinds: None,
            medium: ANY_MEDIUM,
        });
        let makes = route.outputs.iter().map(|output| Makes {
            name: output.name.clone(),
            ty: output.ty.clone(),
            is_certain: !output.is_optional,
        });
        Self { route: route.name.clone(), inputs: brings.collect(), outputs: makes.collect() }
    }

    fn fits(&self, inputs: &[Binding], outputs: &[Binding]) -> bool {
        let takes_all = inputs.iter().all(|given| self.inputs.iter().any(|input| input.name == given.name));
        let has_all = self
            .inputs
            .iter()
            .all(|input| !input.is_required || inputs.iter().any(|given| given.name == input.name));
        let makes_all =
            outputs.iter().all(|asked| self.outputs.iter().any(|output| output.name == asked.name));
        // A parameter that decides has a value of this way, or that is its default.
        let is_decided = self.inputs.iter().filter(|input| !input.choices.is_empty()).all(|input| {
            let given = inputs.iter().find(|given| given.name == input.name).map(|given| &given.value);
            given.or(input.default.as_ref()).is_some_and(|value| input.choices.contains(value))
        });
        takes_all && has_all && makes_all && is_decided && self.inputs.iter().all(|it| it.is_of(inputs))
    }

    /// As a person asks for it: `talk: --in speech=… --out voice=…`.
    fn describe(&self) -> String {
        let inputs: Vec<String> = self
            .inputs
            .iter()
            .map(|input| {
                let (name, word) = (&input.name, input.word());
                if input.is_required {
                    format!("--in {name}={word}")
                } else {
                    format!("[--in {name}={word}]")
                }
            })
            .collect();
        let outputs: Vec<String> = self
            .outputs
            .iter()
            .map(|output| format!("{} ({})", output.name, output.ty.kind.word()))
            .collect();
        format!("{}: {} makes {}", self.route, inputs.join(" "), outputs.join(" + "))
    }
}

/// All ways of one plan, or of one server.
pub(crate) struct Ways {
    /// What the program is called.
    name: String,
    ways: Vec<Way>,
}

impl Ways {
    /// A way for each recording, in their order.
    pub(crate) fn of_plan(plan: &Plan) -> Self {
        let ways = plan.recordings.iter().map(Way::of_recording).collect();
        Self { name: plan.name.clone(), ways }
    }

    /// A way for each route, in their order.
    pub(crate) fn of_server(offer: &Offer) -> Self {
        Self { name: offer.name.clone(), ways: offer.routes.iter().map(Way::of_offered).collect() }
    }

    /// The way, and its place, that takes exactly what is brought and makes what is asked.
    pub(crate) fn choose(
        &self,
        route: Option<&str>,
        inputs: &[Binding],
        outputs: &[Binding],
    ) -> Result<(usize, &Way), Failure> {
        let name = &self.name;
        if self.ways.is_empty() {
            let message = format!("the program '{name}' declares no graph, so there is nothing to run");
            return Err(Failure::Usage(message));
        }
        let of_route: Vec<(usize, &Way)> = self
            .ways
            .iter()
            .enumerate()
            .filter(|(_, way)| route.is_none_or(|route| way.route == route))
            .collect();
        if of_route.is_empty() {
            let mut routes: Vec<&str> = self.ways.iter().map(|way| way.route.as_str()).collect();
            routes.dedup();
            return Err(Failure::Usage(no_such_route(route.unwrap_or_default(), &routes)));
        }
        // What is asked must be made; what is made beyond it is the least.
        let fitting = of_route.iter().copied().filter(|(_, way)| way.fits(inputs, outputs));
        let extra = |(_, way): &(usize, &Way)| way.outputs.iter().filter(|output| output.is_certain).count();
        fitting.min_by_key(extra).ok_or_else(|| no_way(&of_route, inputs, outputs))
    }
}

/// Says that there is no such route, which there are, and which is nearest.
pub(crate) fn no_such_route(route: &str, routes: &[&str]) -> String {
    let there_is = routes.join(", ");
    match nearest(route, routes.iter().copied()) {
        Some(name) => format!("there is no route '{route}'; did you mean '{name}'? There is {there_is}"),
        None => format!("there is no route '{route}'; there is {there_is}"),
    }
}

fn no_way(of_route: &[(usize, &Way)], inputs: &[Binding], outputs: &[Binding]) -> Failure {
    let names = |bindings: &[Binding]| {
        let mut names: Vec<&str> = bindings.iter().map(|binding| binding.name.as_str()).collect();
        names.dedup();
        if names.is_empty() { "nothing".to_owned() } else { names.join(" + ") }
    };
    let known = |names: &mut dyn Iterator<Item = &'_ str>, binding: &Binding| -> Option<String> {
        let names: Vec<&str> = names.collect();
        if names.contains(&binding.name.as_str()) {
            return None;
        }
        nearest(&binding.name, names).map(|name| format!("; did you mean '{name}' by '{}'?", binding.name))
    };
    let ways = || of_route.iter().map(|(_, way)| way);
    let hint = inputs
        .iter()
        .find_map(|given| known(&mut ways().flat_map(|it| &it.inputs).map(|it| it.name.as_str()), given))
        .or_else(|| {
            let mut asked = outputs.iter();
            asked.find_map(|it| known(&mut ways().flat_map(|it| &it.outputs).map(|it| it.name.as_str()), it))
        })
        .unwrap_or_default();
    let asked = if outputs.is_empty() { String::new() } else { format!(" and makes {}", names(outputs)) };
    let is_of_kinds = |given: &Binding| {
        ways().flat_map(|way| &way.inputs).any(|input| input.name == given.name && input.kinds.is_some())
    };
    let kinds: BTreeSet<Modality> =
        inputs.iter().filter(|given| is_of_kinds(given)).filter_map(Binding::modality).collect();
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" with {}", kinds.join(" + ")) };
    let mut routes: Vec<String> = ways().map(|way| way.describe()).collect();
    routes.dedup();
    Failure::Usage(format!(
        "no route takes {}{kinds}{asked}{hint}\nThere is\n  {}",
        names(inputs),
        routes.join("\n  ")
    ))
}
