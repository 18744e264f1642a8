//! Where the coordinator sends what begins like something before, told one event after the other. What that is worth
//! is in `engine/sim/tests/warm.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: what is wrong here fails the test")]

use std::sync::Arc;

use corn_core::message::{CoordinatorAction, CoordinatorEvent, Priority, RequestId, Seat, Submission};
use corn_core::{Conversation, Coordinator, Datum, Image, Message, Part, Role};
use corn_plan::{Modality, Plan, RecordingId, StageId, Verified, WorkerId, verify};

const CHAT: &str = include_str!("plans/chat.plan");

/// `edits` of a chat on three workers.
fn plan(edits: &[(&str, &str)]) -> Arc<Verified> {
    let mut text = CHAT.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from:?} is not in the plan");
        text = text.replacen(from, to, 1);
    }
    let mut plan = Plan::parse(&text).unwrap();
    plan.lay_out();
    Arc::new(verify(plan).unwrap())
}

/// A coordinator whose workers are all ready.
struct Desk {
    coordinator: Coordinator,
    next: u64,
}

impl Desk {
    fn new(edits: &[(&str, &str)]) -> Self {
        let mut desk = Self { coordinator: Coordinator::new(plan(edits), None), next: 0 };
        for worker in 0..3 {
            desk.tell(CoordinatorEvent::Joined(seat(worker, 0)));
        }
        desk
    }

    fn tell(&mut self, event: CoordinatorEvent) -> Vec<CoordinatorAction> {
        let mut actions = Vec::new();
        self.coordinator.handle(0, event, &mut actions);
        actions
    }

    /// Asks; the request, and the worker that it is given to.
    fn ask(&mut self, inputs: &[(&str, Datum)]) -> (RequestId, u32) {
        let request = RequestId::first(self.next);
        self.next += 1;
        let actions = self.tell(CoordinatorEvent::Submit(Submission {
            request,
            recording: RecordingId(0),
            inputs: inputs.iter().map(|(name, datum)| ((*name).to_owned(), datum.clone())).collect(),
            deadline_us: None,
            priority: Priority::Normal,
            is_traced: false,
        }));
        let [CoordinatorAction::Open { worker, .. }] = &actions[..] else { panic!("{actions:?}") };
        (request, worker.worker.0)
    }

    fn end(&mut self, request: RequestId) {
        self.tell(CoordinatorEvent::Answered(request));
        self.tell(CoordinatorEvent::Closed { request, stage: StageId(0), outcome: Ok(()) });
    }

    /// Asks and is answered.
    fn served(&mut self, inputs: &[(&str, Datum)]) -> u32 {
        let (request, worker) = self.ask(inputs);
        self.end(request);
        worker
    }
}

fn seat(worker: u32, epoch: u32) -> Seat {
    Seat { worker: WorkerId(worker), epoch }
}

fn said(role: Role, text: &str) -> Message {
    Message { role, parts: vec![Part::Text(text.into())] }
}

fn conversation(messages: &[Message]) -> Datum {
    Datum::Messages(Conversation { messages: messages.to_vec(), media: Vec::new() }.into())
}

fn chat(system: &str, messages: &[Message]) -> [(&'static str, Datum); 2] {
    [("messages", conversation(messages)), ("system", Datum::text(system))]
}

/// The question and answer of a turn.
fn turn(who: u32, turn: u32) -> [Message; 2] {
    let question = said(Role::User, &format!("Question {turn} of {who}."));
    [question, said(Role::Assistant, &format!("What {who} was told {turn} times. ").repeat(20))]
}

/// The first `turns` questions of `who`, and the answers to all but the last.
fn turns(who: u32, turns: u32) -> Vec<Message> {
    let mut messages: Vec<Message> = (1..=turns).flat_map(|number| turn(who, number)).collect();
    messages.pop();
    messages
}

#[test]
fn the_next_turns_of_a_conversation_go_where_it_began() {
    let mut desk = Desk::new(&[]);
    let first: Vec<u32> = (0..6).map(|who| desk.served(&chat("", &turns(who, 1)))).collect();
    assert_eq!(first, [0, 1, 2, 0, 1, 2], "who knows nothing takes turns");
    for number in 2..=8 {
        for who in [4, 0, 2, 3, 1, 5] {
            let worker = desk.served(&chat("", &turns(who, number)));
            assert_eq!(worker, first[who as usize], "turn {number} of {who}");
        }
    }
}

/// A text that goes on as it began is told from another, where a component reads one.
#[test]
fn texts_are_known_by_their_beginning() {
    let edits = [
        ("  in messages: messages max 64", "  in messages: text max 16KiB"),
        ("\"messages\" messages max 64 in 1MiB", "\"messages\" text max 16KiB in 16KiB"),
    ];
    let mut desk = Desk::new(&edits);
    let text = |who: &str, bytes| [("messages", Datum::text(who.repeat(bytes))), ("system", Datum::text(""))];
    let first = ["a", "b", "c"].map(|who| desk.served(&text(who, 2_000)));
    assert_eq!(first, [0, 1, 2]);
    assert_eq!(["c", "a", "b"].map(|who| desk.served(&text(who, 4_000))), [2, 0, 1]);
}

/// A plan of which no component remembers anything is replayed as it was before any did.
#[test]
fn who_remembers_nothing_is_asked_in_turn() {
    let mut desk = Desk::new(&[("  remembers system, messages\n", "")]);
    let workers = [1, 2, 3, 4].map(|number| desk.served(&chat("", &turns(0, number))));
    assert_eq!(workers, [0, 1, 2, 0]);
}

/// What has not been read yet is not known to be.
#[test]
fn only_what_has_been_answered_counts() {
    let mut desk = Desk::new(&[]);
    let (first, worker) = desk.ask(&chat("", &turns(0, 1)));
    assert_eq!(worker, 0);
    desk.tell(CoordinatorEvent::Closed { request: first, stage: StageId(0), outcome: Ok(()) });
    assert_eq!(desk.served(&chat("", &turns(0, 2))), 1);
    assert_eq!(desk.served(&chat("", &turns(0, 3))), 1);
}

#[test]
fn what_a_lost_worker_had_read_is_forgotten() {
    for is_lost in [false, true] {
        let mut desk = Desk::new(&[]);
        assert_eq!(desk.served(&chat("", &turns(0, 1))), 0);
        if is_lost {
            desk.tell(CoordinatorEvent::Lost(seat(0, 0)));
            desk.tell(CoordinatorEvent::Joined(seat(0, 1)));
        }
        let next = u32::from(is_lost);
        assert_eq!(desk.served(&chat("", &turns(0, 2))), next);
        assert_eq!(desk.served(&chat("", &turns(0, 3))), next, "and whoever has it now is known");
    }
}

/// To know so much is worth between one and two requests under way, so what everyone brings herds nobody.
#[test]
fn long_instructions_are_read_by_more_replicas_as_load_grows() {
    let mut desk = Desk::new(&[]);
    let system = "You are an assistant who has much to heed. ".repeat(150);
    let ask = |who| chat(&system, &[said(Role::User, &format!("Question of {who}."))]);
    assert_eq!(desk.served(&ask(0)), 0);
    assert_eq!(desk.served(&ask(1)), 0, "while it is idle");
    let mut given = [0; 3];
    for who in 2..14 {
        given[desk.ask(&ask(who)).1 as usize] += 1;
    }
    assert_eq!(given, [5, 4, 3]);
}

/// Who is clearly busier than another is passed over, and who takes it then is as warm.
#[test]
fn a_conversation_moves_away_from_a_busy_replica() {
    let mut desk = Desk::new(&[]);
    let long = "It is a long story. ".repeat(200);
    let ask = |number: u32| chat(&long, &turns(0, number));
    assert_eq!(desk.served(&ask(1)), 0);
    let other = [1, 2, 3].map(|who| desk.ask(&chat("", &turns(who, 1))));
    assert_eq!(other.map(|(_, worker)| worker), [1, 2, 0]);
    let more = [4, 5, 6].map(|who| desk.ask(&chat("", &turns(who, 1))));
    assert_eq!(more.map(|(_, worker)| worker), [1, 2, 0]);
    for (request, worker) in other.into_iter().chain(more) {
        if worker != 0 {
            desk.end(request);
        }
    }
    let (second, worker) = desk.ask(&ask(2));
    assert_ne!(worker, 0, "two are under way there");
    desk.end(second);
    assert_eq!(desk.served(&ask(3)), worker);
}

/// Pictures look alike to the coordinator, so nothing after one is known.
#[test]
fn nothing_is_known_after_the_first_of_the_media() {
    let mut desk = Desk::new(&[]);
    let ask = |turns: &[Message]| {
        let mark = Part::Media(Modality::Image);
        let look = Message { role: Role::User, parts: vec![mark, Part::Text("What is it?".into())] };
        let media = vec![Datum::Image(Image { width: 1, height: 1, rgb: vec![0; 3].into() }.into())];
        let messages = [&[look], turns].concat();
        [("messages", Datum::Messages(Conversation { messages, media }.into())), ("system", Datum::text(""))]
    };
    let workers = [1, 2, 3].map(|_| desk.served(&ask(&turn(0, 1))));
    assert_eq!(workers, [0, 1, 2]);
}

/// A constant is in every request, and what a component makes is not known when a replica is chosen.
#[test]
fn constants_are_passed_over_and_what_is_made_ends_the_beginning() {
    let constant = [
        ("chat(messages, system)", "chat(messages)"),
        ("  input system v1\n", ""),
        ("    input v1\n", "    const v1 \"Be kind.\"\n"),
    ];
    let mut desk = Desk::new(&constant);
    let ask = |who, number| [("messages", conversation(&turns(who, number)))];
    assert_eq!([0, 1].map(|who| desk.served(&ask(who, 1))), [0, 1]);
    assert_eq!([1, 0].map(|who| desk.served(&ask(who, 2))), [1, 0]);

    let made = [
        ("run llm(messages: v0, system: v1)", "join(v1) -> v3\n    run llm(messages: v0, system: v3)"),
        ("    free v1\n", "    free v1\n    free v3\n"),
        ("  on s0\n", "  value v3 \"made\" text max 16KiB in 16KiB at s0 0B\n  on s0\n"),
    ];
    let mut desk = Desk::new(&made);
    assert_eq!([1, 2, 3].map(|number| desk.served(&chat("", &turns(0, number)))), [0, 1, 2]);
}
