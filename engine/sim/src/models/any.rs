//! Components that make something of the type of each port, as large as it may be, and the same for the same
//! inputs: so any plan can be replayed, and its answer does not depend on the order of events.

use std::hash::{DefaultHasher, Hash, Hasher};

use corn_core::executor::{CallInput, Io, Model, Step, Taken};
use corn_core::{Audio, Conversation, Datum, Fault, Frame, Image, Message, Part, Role, Tensor, Video};
use corn_plan::{Component, Dim, Form, Input, InputMedia, Kind, Modality, Recording, Type};

/// No item is made larger, though its type may allow it.
const LARGEST: u64 = 4 << 10;

pub(super) struct Any(pub(super) Component);

pub(super) struct Work {
    digest: u64,
    /// Input streams that have not ended.
    streams: Vec<u32>,
    /// Items that come of nothing, where there are no input streams.
    left: u64,
}

impl Any {
    fn outputs(&self, is_stream: bool) -> impl Iterator<Item = (u32, &Type)> {
        let outputs = (0..).zip(&self.0.outputs).map(|(port, output)| (port, &output.ty));
        outputs.filter(move |(_, ty)| ty.is_stream() == is_stream)
    }

    fn emit(&self, digest: u64, is_stream: bool, io: &mut dyn Io) {
        for (port, ty) in self.outputs(is_stream).filter(|(port, _)| io.is_wanted(*port)).collect::<Vec<_>>()
        {
            io.emit(port, make(ty, mixed(digest, u64::from(port))));
        }
    }
}

impl Model for Any {
    type Session = Work;

    fn open(&mut self, inputs: &[CallInput]) -> Result<Work, Fault> {
        let mut state = DefaultHasher::new();
        (&self.0.name, format!("{:?}", self.0.options)).hash(&mut state);
        let mut streams = Vec::new();
        for (port, input) in (0u32..).zip(inputs) {
            match input {
                CallInput::Absent => {}
                CallInput::Value(datum) => (port, digest(datum)).hash(&mut state),
                CallInput::Stream => streams.push(port),
            }
        }
        let digest = state.finish();
        Ok(Work { digest, left: if streams.is_empty() { digest % 20 } else { 0 }, streams })
    }

    fn step(&mut self, work: &mut Work, io: &mut dyn Io) -> Result<Step, Fault> {
        if self.outputs(true).any(|(port, _)| !io.has_room(port)) {
            return Ok(Step::Wait);
        }
        let mut is_waiting = false;
        for place in 0..work.streams.len() {
            match io.take(work.streams[place]) {
                Taken::Item(item) => {
                    self.emit(mixed(digest(&item), u64::from(work.streams[place])), true, io);
                    return Ok(Step::More);
                }
                Taken::Ended => {
                    work.streams.remove(place);
                    return Ok(Step::More);
                }
                Taken::Nothing => is_waiting = true,
            }
        }
        if is_waiting {
            return Ok(Step::Wait);
        }
        if work.left > 0 {
            work.left -= 1;
            self.emit(mixed(work.digest, work.left), true, io);
            return Ok(Step::More);
        }
        self.emit(work.digest, false, io);
        Ok(Step::Done)
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}

fn mixed(one: u64, other: u64) -> u64 {
    let mut state = DefaultHasher::new();
    (one, other).hash(&mut state);
    state.finish()
}

fn digest(datum: &Datum) -> u64 {
    let mut state = DefaultHasher::new();
    match datum {
        Datum::Tensor(tensor) => tensor.bytes.hash(&mut state),
        Datum::Image(image) => image.rgb.hash(&mut state),
        Datum::List(items) => items.iter().for_each(|item| digest(item).hash(&mut state)),
        other => format!("{other:?}").hash(&mut state),
    }
    state.finish()
}

/// Something of this type.
fn make(ty: &Type, digest: u64) -> Datum {
    match ty.form {
        Form::List { max } => {
            let items = (0..digest % (u64::from(max) + 1)).map(|item| of_kind(&ty.kind, mixed(digest, item)));
            Datum::List(items.collect())
        }
        Form::Value | Form::Stream { .. } => of_kind(&ty.kind, digest),
    }
}

fn of_kind(kind: &Kind, digest: u64) -> Datum {
    let bytes = |max: u64| max.min(LARGEST) as usize;
    match kind {
        Kind::Text { max_bytes } => {
            let word = format!("{digest:016x}");
            Datum::text(word.repeat(bytes(*max_bytes).div_ceil(16))[..bytes(*max_bytes)].to_owned())
        }
        Kind::Image { max_bytes } => Datum::Image(image(bytes(*max_bytes), digest).into()),
        Kind::Media { max_bytes, .. } => medium(Modality::Image, *max_bytes, digest),
        Kind::Video { max_bytes, .. } => {
            let frame = Frame { time_us: digest % 100, image: image(bytes(*max_bytes) / 2, digest).into() };
            Datum::Video(Video { frames: vec![frame.clone(), frame] }.into())
        }
        Kind::Audio { rate_hz, max_ms } => {
            let rate_hz = rate_hz.unwrap_or(16_000);
            let samples = (u64::from(rate_hz) * max_ms / 1000).min(LARGEST / 4);
            Datum::Audio(
                Audio { rate_hz, samples: vec![(digest % 7) as f32; samples as usize].into() }.into(),
            )
        }
        Kind::Messages { .. } => Datum::Messages(Conversation::default().into()),
        Kind::Tensor { dtype, dims } => {
            let full = kind.max_bytes().unwrap_or(u64::MAX) <= LARGEST;
            let extent = |dim: &Dim| match dim {
                Dim::Upto { max, .. } if !full => 1.min(*max),
                dim => dim.max(),
            };
            let shape: Vec<u64> = dims.iter().map(extent).collect();
            let bytes = shape.iter().product::<u64>() * dtype.size_bytes();
            Datum::Tensor(
                Tensor { dtype: *dtype, shape, bytes: vec![digest as u8; bytes as usize].into() }.into(),
            )
        }
        Kind::Int => Datum::Int((digest % 7) as i64),
        Kind::Float => Datum::Float(digest as f64),
        Kind::Bool => Datum::Bool(digest.is_multiple_of(3)),
        Kind::Enum(words) => Datum::text(words[(digest % words.len() as u64) as usize].as_str()),
    }
}

fn image(bytes: usize, digest: u64) -> Image {
    let width = (bytes / 3) as u32;
    Image { width, height: 1, rgb: vec![digest as u8; width as usize * 3].into() }
}

fn medium(kind: Modality, max_bytes: u64, digest: u64) -> Datum {
    of_kind(&Kind::of_media(kind, None, max_bytes.min(LARGEST)), digest)
}

/// What a request for `recording` may bring; another for another `number`.
pub fn inputs(recording: &Recording, number: u64) -> Vec<(String, Datum)> {
    let made = |(place, input): (u64, &Input)| {
        let ty = &recording.values[input.value].ty;
        let digest = mixed(number, place);
        let datum = match (&input.is, &input.media) {
            (Some(is), _) => Datum::from(is),
            (None, Some(media)) => with_media(recording, ty, media, digest),
            // Two of these joined are within the bounds of one.
            (None, None) if matches!(ty.kind, Kind::Text { .. }) => Datum::text(format!("{digest:x}")),
            (None, None) => make(ty, digest),
        };
        (input.name.clone(), datum)
    };
    (0u64..).zip(&recording.inputs).map(made).collect()
}

/// Each kind of media, and the first of them again if there is a place for it.
fn with_media(recording: &Recording, ty: &Type, media: &InputMedia, digest: u64) -> Datum {
    let read = media.value.map(|value| &recording.values[value].ty);
    let max_bytes = read.and_then(|ty| ty.kind.max_bytes()).unwrap_or(LARGEST);
    let kinds = media.kinds.iter().chain(media.kinds.first()).copied();
    let items: Vec<Datum> =
        (0u64..).zip(kinds).map(|(place, kind)| medium(kind, max_bytes, mixed(digest, place))).collect();
    if matches!(ty.form, Form::List { .. }) {
        return Datum::List(items.into());
    }
    let parts = items.iter().filter_map(Datum::modality).map(Part::Media);
    let parts = parts.chain([Part::Text(format!("{digest:x}").into())]).collect();
    let messages = vec![Message { role: Role::User, parts }];
    Datum::Messages(Conversation { messages, media: items }.into())
}
