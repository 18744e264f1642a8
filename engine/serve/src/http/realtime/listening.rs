//! What a session does with the sound that its client sends: it waits for the client to say that it is whole, or
//! finds the turns in it.

use axum::body::Bytes;
use axum::http::StatusCode;
use corn_core::datum::Role;
use serde_json::json;

use super::buffer::ms;
use super::context;
use super::item::{Item, Part, duration_ms};
use super::session::Session;
use super::turns::Turns;
use super::voice::{Heard, Listener, RATE_HZ, TOLD_AFTER};
use crate::http::refusal::Refusal;

/// Bytes of sound that are listened to before others get their turn: 100 ms.
const AT_ONCE: usize = RATE_HZ as usize / 10 * 2;

/// Finds turns.
pub(super) struct Listening {
    listener: Listener,
    /// Where in the session it began to listen.
    began: u64,
    /// The id of the item that the turn under way will be.
    turn: Option<String>,
}

impl Session {
    /// Listens as the settings say.
    pub(super) fn set_listening(&mut self) -> Result<(), Refusal> {
        self.longest_ms = context::longest_ms(self.model()?, self.settings.with());
        match (self.settings.turns, &mut self.listening) {
            (None, listening) => *listening = None,
            (Some(turns), Some(listening)) => listening.listener.set(turns.sensitivity),
            // Made when the first sound comes: many sessions never send any.
            (Some(_), None) => {}
        }
        Ok(())
    }

    /// Takes more sound.
    pub(super) async fn hear(&mut self, samples: &[u8]) -> Result<(), Refusal> {
        let longest_ms = self.longest_ms;
        if longest_ms == 0 {
            let message = format!("the model '{}' takes no sound", self.model);
            return Err(Refusal::param("audio", message).code("no_audio_input"));
        }
        let Some(turns) = self.settings.turns else {
            if self.buffer.ms() + ms(samples.len()) > longest_ms {
                let message = format!(
                    "the buffer holds {} ms, and with these {} ms it would hold more than the {longest_ms} ms that the model takes; \
                     commit or clear it first",
                    self.buffer.ms(),
                    ms(samples.len())
                );
                return Err(Refusal::param("audio", message).code("input_audio_buffer_full"));
            }
            self.buffer.push(samples);
            return Ok(());
        };
        for samples in samples.chunks(AT_ONCE) {
            self.find_turns(samples, turns, longest_ms);
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn find_turns(&mut self, samples: &[u8], turns: Turns, longest_ms: u64) {
        let began = self.buffer.end();
        self.buffer.push(samples);
        let listening = self.listening.get_or_insert_with(|| Listening {
            listener: Listener::new(turns.sensitivity),
            began,
            turn: None,
        });
        let one = |bytes: &[u8]| i16::from_le_bytes([bytes[0], bytes[1]]);
        let samples: Vec<i16> = samples.chunks_exact(2).map(one).collect();
        let (heard, began) = (listening.listener.hear(&samples), listening.began);
        for heard in heard {
            match heard {
                Heard::Speech(at) => self.begin_turn(began + at, turns),
                Heard::Silence(at) => self.end_turn(began + at, turns),
            }
        }
        let is_turn = self.listening.as_ref().is_some_and(|it| it.turn.is_some());
        if !is_turn {
            let kept = turns.prefix_ms * u64::from(RATE_HZ) / 1000 + TOLD_AFTER;
            self.buffer.forget_before(self.buffer.end().saturating_sub(kept));
        } else if self.buffer.ms() + ms(AT_ONCE) > longest_ms {
            // Who goes on speaking begins another turn.
            self.end_turn(self.buffer.end(), turns);
        }
    }

    fn begin_turn(&mut self, at: u64, turns: Turns) {
        let id = self.id("item");
        let before = turns.prefix_ms * u64::from(RATE_HZ) / 1000;
        self.buffer.forget_before(at.saturating_sub(before));
        let said = json!({ "item_id": id, "audio_start_ms": duration_ms(self.buffer.begin()) });
        if let Some(listening) = &mut self.listening {
            listening.turn = Some(id);
        }
        self.say("input_audio_buffer.speech_started", said);
        if turns.interrupts {
            self.give_up("turn_detected");
        }
    }

    fn end_turn(&mut self, at: u64, turns: Turns) {
        let Some(listening) = &mut self.listening else { return };
        listening.listener.end_turn();
        let Some(id) = listening.turn.take() else { return };
        let said = json!({ "item_id": id, "audio_end_ms": duration_ms(at) });
        self.say("input_audio_buffer.speech_stopped", said);
        let kept = self.keep(id);
        let done =
            if turns.answers { kept.and_then(|()| self.respond(serde_json::Map::new())) } else { kept };
        // The sound that came with it was taken: no event of the client is wrong.
        if let Err(refusal) = done {
            self.refuse(&refusal, None);
        }
    }

    /// What was sent is an item now.
    pub(super) fn commit(&mut self) -> Result<(), Refusal> {
        if self.buffer.ms() == 0 {
            let message = "there is no sound in the buffer to commit";
            let refusal = Refusal::request(StatusCode::BAD_REQUEST, message);
            return Err(refusal.code("input_audio_buffer_commit_empty"));
        }
        let id = self.drop_turn().unwrap_or_else(|| self.id("item"));
        self.keep(id)
    }

    /// What was sent is forgotten.
    pub(super) fn clear(&mut self) {
        self.drop_turn();
        self.buffer.take();
        self.say("input_audio_buffer.cleared", json!({}));
    }

    /// Whatever turn is under way is over. Returns its id.
    fn drop_turn(&mut self) -> Option<String> {
        let listening = self.listening.as_mut()?;
        listening.listener.end_turn();
        listening.turn.take()
    }

    /// Makes the buffer the item `id`.
    fn keep(&mut self, id: String) -> Result<(), Refusal> {
        let samples = self.buffer.take();
        let said = json!({ "item_id": id, "previous_item_id": self.conversation.last_id() });
        self.say("input_audio_buffer.committed", said);
        let samples = Bytes::from(samples);
        let parts = vec![Part::Sound { samples: samples.clone(), transcript: None }];
        let item = Item { id, role: Role::User, parts, status: "completed" };
        self.put(&item, None)?;
        self.transcribe(item.id, samples);
        Ok(())
    }
}
