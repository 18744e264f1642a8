//! The endpoints of the OpenAI-compatible face: what each brings, and what it wants back.
//!
//! A route can answer an endpoint if what a request brings there fills the route's inputs, and what the
//! route makes is what the endpoint sends. The compiler holds `serve` lines against this table, the
//! verifier every plan. Source of the parameters: the OpenAI API reference.

use crate::plan::Recording;
use crate::types::{Form, Type};

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Face {
    /// As written after `openai`: `audio.speech`.
    pub path: &'static str,
    /// What a request brings.
    pub takes: &'static [Slot],
    /// What an answer is made of.
    pub makes: &'static [Slot],
}

/// One thing that an endpoint brings or sends.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Its modality: the word of [`crate::types::Kind::word`].
    pub word: &'static str,
    /// Another modality that does as well.
    pub or: Option<&'static str>,
    /// Whether there may be several, as a list.
    pub list: bool,
    /// Whether it may come as a stream.
    pub stream: bool,
    /// Whether the endpoint makes no sense without.
    pub needed: bool,
    /// The word in brackets that asks for it; it is needed then, and is not there else.
    pub with: Option<&'static str>,
}

const fn slot(word: &'static str) -> Slot {
    Slot { word, or: None, list: false, stream: false, needed: true, with: None }
}

const fn stream(word: &'static str) -> Slot {
    Slot { stream: true, ..slot(word) }
}

const fn list(word: &'static str) -> Slot {
    Slot { list: true, ..slot(word) }
}

const fn several(word: &'static str) -> Slot {
    Slot { stream: true, ..list(word) }
}

const fn maybe(slot: Slot) -> Slot {
    Slot { needed: false, ..slot }
}

/// Every endpoint.
pub const FACES: &[Face] = &[
    Face {
        path: "chat",
        takes: &[
            Slot { or: Some("messages"), ..slot("text") },
            maybe(list("image")),
            maybe(list("audio")),
            maybe(list("video")),
            maybe(list("media")),
        ],
        makes: &[stream("text"), Slot { with: Some("audio"), ..stream("audio") }],
    },
    Face { path: "completions", takes: &[slot("text")], makes: &[stream("text")] },
    Face { path: "embeddings", takes: &[list("text")], makes: &[list("tensor")] },
    Face { path: "audio.speech", takes: &[slot("text")], makes: &[stream("audio")] },
    Face {
        path: "audio.transcriptions",
        takes: &[slot("audio"), maybe(slot("text"))],
        makes: &[stream("text")],
    },
    Face {
        path: "realtime",
        takes: &[
            maybe(Slot { or: Some("messages"), ..slot("text") }),
            maybe(slot("audio")),
            maybe(list("image")),
            maybe(list("media")),
        ],
        makes: &[maybe(stream("text")), Slot { with: Some("audio"), ..stream("audio") }],
    },
    Face { path: "images.generations", takes: &[slot("text")], makes: &[several("image")] },
    Face { path: "images.edits", takes: &[slot("text"), list("image")], makes: &[several("image")] },
];

/// An input or output of a route.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub ty: &'a Type,
    /// Whether the request need not say it, since it has a default.
    pub has_default: bool,
}

/// Why a route cannot answer an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The endpoint never brings this input.
    NeverBrought {
        /// The input.
        input: String,
    },
    /// The endpoint brings something that the route has no input for.
    NotTaken {
        /// What, for a person: `a text`.
        what: String,
    },
    /// The endpoint cannot send this output.
    NotSent {
        /// The output.
        output: String,
    },
    /// The endpoint needs something that the route does not make.
    NotMade {
        /// What, for a person: `a sound`.
        what: String,
    },
}

impl Face {
    /// The endpoint that is written `path`.
    pub fn find(path: &str) -> Option<&'static Self> {
        FACES.iter().find(|face| face.path == path)
    }

    /// What can be asked for in brackets.
    pub fn extras(&self) -> impl Iterator<Item = &'static str> {
        self.makes.iter().filter_map(|slot| slot.with)
    }

    /// What an endpoint with `with` in its brackets brings, for a person.
    pub fn takes_words(&self) -> String {
        words(self.takes.iter())
    }

    /// What it wants back, for a person.
    pub fn makes_words(&self, with: &[String]) -> String {
        words(self.makes.iter().filter(|slot| slot.is_there(with)))
    }

    /// Everything that keeps a route from answering this endpoint with `with` in its brackets.
    pub fn misfits(&self, with: &[String], inputs: &[Part<'_>], outputs: &[Part<'_>]) -> Vec<Misfit> {
        let brought: Vec<&Part<'_>> = inputs.iter().filter(|input| !input.has_default).collect();
        let makes: Vec<&Slot> = self.makes.iter().filter(|slot| slot.is_there(with)).collect();
        let (extra, missing) = filled(&self.takes.iter().collect::<Vec<_>>(), &brought);
        let (unsent, unmade) = filled(&makes, &outputs.iter().collect::<Vec<_>>());
        let mut misfits: Vec<Misfit> =
            extra.into_iter().map(|input| Misfit::NeverBrought { input }).collect();
        misfits.extend(missing.into_iter().map(|what| Misfit::NotTaken { what }));
        misfits.extend(unsent.into_iter().map(|output| Misfit::NotSent { output }));
        misfits.extend(unmade.into_iter().map(|what| Misfit::NotMade { what }));
        misfits
    }

    /// The same for a recording of the route.
    pub fn misfits_of(&self, with: &[String], recording: &Recording) -> Vec<Misfit> {
        let ty = |value| recording.values.get(value).map(|value| &value.ty);
        let inputs: Vec<Part<'_>> = recording
            .inputs
            .iter()
            .filter_map(|input| {
                let has_default = input.default.is_some();
                Some(Part { name: &input.name, ty: ty(input.value)?, has_default })
            })
            .collect();
        let outputs: Vec<Part<'_>> = recording
            .outputs
            .iter()
            .filter_map(|output| Some(Part { name: &output.name, ty: ty(output.value)?, has_default: false }))
            .collect();
        self.misfits(with, &inputs, &outputs)
    }
}

/// Parts that fill no slot, and needed slots that no part fills.
fn filled(slots: &[&Slot], parts: &[&Part<'_>]) -> (Vec<String>, Vec<String>) {
    let mut free: Vec<&Slot> = slots.to_vec();
    let mut extra = Vec::new();
    for part in parts {
        match free.iter().position(|slot| slot.takes(part.ty)) {
            Some(position) => {
                free.remove(position);
            }
            None => extra.push(part.name.to_owned()),
        }
    }
    let missing = free.into_iter().filter(|slot| slot.needed).map(Slot::words).collect();
    (extra, missing)
}

impl Slot {
    fn is_there(&self, with: &[String]) -> bool {
        self.with.is_none_or(|word| with.iter().any(|asked| asked == word))
    }

    fn takes(&self, ty: &Type) -> bool {
        let form = match ty.form {
            Form::Value => true,
            Form::List { .. } => self.list,
            Form::Stream { .. } => self.stream,
        };
        form && (ty.kind.word() == self.word || Some(ty.kind.word()) == self.or)
    }

    fn words(&self) -> String {
        match self.word {
            _ if self.or == Some("messages") => "a text or a conversation".to_owned(),
            "image" => "a picture".to_owned(),
            "media" => "several of these".to_owned(),
            "audio" => "a sound".to_owned(),
            word => format!("a {word}"),
        }
    }
}

fn words<'s>(slots: impl Iterator<Item = &'s Slot>) -> String {
    let said = slots.map(|slot| {
        let words = slot.words();
        if slot.needed { words } else { format!("perhaps {words}") }
    });
    let said: Vec<String> = said.collect();
    match said.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
