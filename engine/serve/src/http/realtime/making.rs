//! An answer while it is made: a task of its own, so that a session hears its client meanwhile. It waits when what it
//! has made is not taken; dropping it gives the request up on every worker.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;
use corn_core::Datum;
use corn_media::{SoundFormat, SoundWriter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::context;
use super::settings::Settings;
use crate::http::answer::Outputs;
use crate::http::events::written;
use crate::http::metrics::Meter;
use crate::http::refusal::Refusal;
use crate::http::talk::Turn;
use crate::http::usage::Used;
use crate::http::{Face, models};
use crate::keys::Pass;
use crate::seen::{Call, within};

/// What waits to be taken, besides what the engine holds.
const WAITING: usize = 2;
/// Most bytes of sound in an event: half a second.
const DELTA_BYTES: usize = 24_000;

/// What was made.
#[derive(Debug)]
pub(super) enum Made {
    Text(Arc<str>),
    /// 16-bit samples at the rate of sessions.
    Sound(Bytes),
    /// All of it, and what was used.
    All {
        brought: Used,
        made: Used,
    },
    Failed(Refusal),
}

/// The task that makes it.
pub(super) struct Making {
    task: JoinHandle<()>,
    made: mpsc::Receiver<Made>,
    meter: Meter,
    /// As which it is told of.
    call: Option<Arc<Call>>,
}

impl Drop for Making {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Making {
    /// Begins to make the answer of `model` to `turns`, as a request of whoever has `pass`.
    pub(super) fn begin(
        face: &Arc<Face>,
        pass: &Pass,
        call: Option<Arc<Call>>,
        model: String,
        settings: Settings,
        turns: Vec<Turn>,
    ) -> Self {
        let slot = pass.begin();
        let (out, made) = mpsc::channel(WAITING);
        let meter = face.metrics.begin(super::ENDPOINT);
        let (face, measured) = (Arc::clone(face), meter.clone());
        let made_by = async move {
            let all = match slot {
                Ok(_slot) => make(&face, model, settings, turns, measured, &out).await,
                Err(over) => Err(Refusal::over(&over)),
            };
            let last = all.unwrap_or_else(Made::Failed);
            // Nobody takes it if nobody wants it any more.
            let _ = out.send(last).await;
        };
        let task = match call.clone() {
            Some(call) => tokio::spawn(within(call, made_by)),
            None => tokio::spawn(made_by),
        };
        Self { task, made, meter, call }
    }

    /// What was made next. Given up in the middle, it has lost nothing.
    pub(super) async fn next(&mut self) -> Made {
        let made = self.made.recv().await;
        let made = made.unwrap_or_else(|| {
            Made::Failed(Refusal::ours("making the answer panicked; this is a bug of corn"))
        });
        let ended = match &made {
            Made::All { .. } => StatusCode::OK,
            Made::Failed(refusal) => refusal.status,
            Made::Text(text) => {
                self.call.iter().for_each(|call| call.sent(text.len()));
                return made;
            }
            Made::Sound(samples) => {
                self.call.iter().for_each(|call| call.sent(samples.len()));
                return made;
            }
        };
        self.meter.end(ended.as_u16());
        if let Some(call) = &self.call {
            if let Made::Failed(refusal) = &made {
                call.refused(&refusal.why());
            }
            call.answered(ended);
            call.whole();
        }
        made
    }
}

async fn make(
    face: &Arc<Face>,
    model: String,
    settings: Settings,
    turns: Vec<Turn>,
    meter: Meter,
    out: &mpsc::Sender<Made>,
) -> Result<Made, Refusal> {
    let prepared = face.prepared(move |face| {
        let model = models::find(face.served.plan(), &model, super::ENDPOINT)?;
        context::request(model, &settings, turns)
    });
    let (request, brought, text) = prepared.await?;
    let mut outputs = Outputs::new(face.served.submit(request)?, meter);
    let (mut writer, mut made) = (Some(SoundWriter::new(SoundFormat::Pcm)), Used::default());
    let gone = || Refusal::ours("nobody takes the answer");
    while let Some((place, datum)) = outputs.next().await? {
        made.add(&datum);
        match datum {
            Datum::Text(piece) if Some(place) == text => {
                out.send(Made::Text(piece.as_ref().into())).await.map_err(|_| gone())?;
            }
            sound @ Datum::Audio(_) => {
                let bytes = written(&mut writer, sound, |writer, sound| {
                    let Datum::Audio(audio) = sound else { return Ok(Vec::new()) };
                    writer.push(audio).map_err(|error| Refusal::ours(error.to_string()))
                });
                say(bytes.await?, out).await.map_err(|()| gone())?;
            }
            other => return Err(Refusal::ours(format!("a session was answered with {}", other.word()))),
        }
    }
    made.tell(outputs.usage());
    if let Some(writer) = &mut writer {
        let rest = writer.finish().map_err(|error| Refusal::ours(error.to_string()))?;
        say(rest, out).await.map_err(|()| gone())?;
    }
    Ok(Made::All { brought, made })
}

async fn say(samples: Vec<u8>, out: &mpsc::Sender<Made>) -> Result<(), ()> {
    let mut samples = Bytes::from(samples);
    while !samples.is_empty() {
        let delta = samples.split_to(samples.len().min(DELTA_BYTES));
        out.send(Made::Sound(delta)).await.map_err(|_| ())?;
    }
    Ok(())
}
