//! What coordinator and worker do when workers come, are silent, leave and lose each other: said to them directly,
//! one event after the other. Whole clusters under random faults are in `engine/sim`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: what is wrong here fails the test")]

use std::sync::Arc;

use corn_core::message::{
    Body, CoordinatorAction, CoordinatorEvent, HandOver, Header, Priority, RequestId, Seat, Submission,
    WorkerAction, WorkerEvent,
};
use corn_core::{Blame, Coordinator, Datum, Fault, Patience, Worker};
use corn_plan::{Endpoint, Limits, Plan, RecordingId, Serve, StageId, ValueId, Verified, WorkerId, verify};

const TALK: RecordingId = RecordingId(0);
const CHAT: RecordingId = RecordingId(1);
const THINK: StageId = StageId(0);
const SAY: StageId = StageId(1);

/// The assistant with two workers for each of its stages: `think` on w0 and w1, `say` on w2 and w3.
fn plan() -> Arc<Verified> {
    let text = include_str!("plans/assistant.plan");
    let mut plan = Plan::parse(text).unwrap();
    let worker = plan.workers[WorkerId(0)].clone();
    plan.workers.push(worker.clone());
    plan.workers.push(worker);
    plan.stages[THINK].replicas = vec![WorkerId(0), WorkerId(1)];
    plan.stages[SAY].replicas = vec![WorkerId(2), WorkerId(3)];
    plan.lay_out();
    Arc::new(verify(plan).unwrap())
}

fn seat(worker: u32, epoch: u32) -> Seat {
    Seat { worker: WorkerId(worker), epoch }
}

/// A coordinator and the time.
struct Desk {
    coordinator: Coordinator,
    now_us: u64,
}

impl Desk {
    /// With every worker ready.
    fn new() -> Self {
        let mut desk = Self::empty(None);
        for worker in 0..4 {
            desk.tell(CoordinatorEvent::Joined(seat(worker, 0)));
        }
        desk
    }

    fn empty(patience: Option<Patience>) -> Self {
        Self { coordinator: Coordinator::new(plan(), patience), now_us: 0 }
    }

    fn tell(&mut self, event: CoordinatorEvent) -> Vec<String> {
        let mut actions = Vec::new();
        self.coordinator.handle(self.now_us, event, &mut actions);
        actions.iter().map(line).collect()
    }

    fn submit(&mut self, number: u64, recording: RecordingId, priority: Priority) -> Vec<String> {
        let inputs = vec![("prompt".to_owned(), Datum::text("Hello."))];
        let request = RequestId::first(number);
        let submission =
            Submission { request, recording, inputs, deadline_us: None, priority, is_traced: false };
        self.tell(CoordinatorEvent::Submit(submission))
    }

    fn talk(&mut self, number: u64) -> Vec<String> {
        self.submit(number, TALK, Priority::Normal)
    }

    fn close(&mut self, request: RequestId, stage: StageId, outcome: Result<(), Fault>) -> Vec<String> {
        self.tell(CoordinatorEvent::Closed { request, stage, outcome })
    }
}

fn line(action: &CoordinatorAction) -> String {
    match action {
        CoordinatorAction::Open { worker, header, stage, .. } => {
            let seats: Vec<String> = header.replicas.iter().map(Seat::to_string).collect();
            format!("open {} {stage} on {worker} of {}", header.request, seats.join(" "))
        }
        CoordinatorAction::Cancel { worker, request, stage, .. } => {
            format!("cancel {request} {stage} on {worker}")
        }
        CoordinatorAction::Failed(request, fault) => format!("{request} fails: {:?}: {fault}", fault.blame),
        CoordinatorAction::Again(request) => format!("again {request}"),
        CoordinatorAction::Finished(request) => format!("{request} is over"),
        CoordinatorAction::Eject(seat) => format!("eject {seat}"),
        CoordinatorAction::PeerLost { worker, peer } => format!("tell {worker} that {peer} is lost"),
        CoordinatorAction::Drained(worker) => format!("{worker} is idle"),
    }
}

/// Without what is said to other workers.
fn about_requests(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().filter(|line| !line.starts_with("tell")).collect()
}

const Q0: RequestId = RequestId::first(0);

/// F2: what had sent nothing is replayed on others, once everything of the first attempt is closed.
#[test]
fn a_request_that_had_sent_nothing_is_replayed() {
    let mut desk = Desk::new();
    assert_eq!(desk.talk(0), ["open q0 s0 on w0 of w0 w2"]);
    let lines = desk.tell(CoordinatorEvent::Lost(seat(2, 0)));
    assert_eq!(
        lines,
        [
            "tell w0 that w2 is lost",
            "tell w1 that w2 is lost",
            "tell w3 that w2 is lost",
            "cancel q0 s0 on w0"
        ]
    );
    let lost = Fault::new(Blame::Lost, "as told");
    let lines = desk.close(Q0, THINK, Err(lost));
    assert_eq!(lines, ["again q0.1", "open q0.1 s0 on w1 of w1 w3"]);
    // What still comes of the first attempt is nobody's.
    assert!(desk.close(Q0, SAY, Ok(())).is_empty());
    assert!(desk.close(Q0.next(), SAY, Ok(())).is_empty());
    assert_eq!(desk.close(Q0.next(), THINK, Ok(())), ["q0.1 is over"]);
    assert_eq!(desk.coordinator.in_flight(), 0);
}

/// T4, F2: what has sent something ends with a fault that names the component, also if the two cross.
#[test]
fn a_request_that_was_answered_in_part_fails() {
    let mut desk = Desk::new();
    desk.talk(0);
    desk.tell(CoordinatorEvent::Answered(Q0));
    let fails = "q0 fails: Lost: component 'say': worker w2 was lost while it worked on this request; asking again \
                 can succeed";
    let lines = about_requests(desk.tell(CoordinatorEvent::Lost(seat(2, 0))));
    assert_eq!(lines, [fails, "cancel q0 s0 on w0"]);
    assert_eq!(desk.close(Q0, THINK, Err(Fault::new(Blame::Lost, "as told"))), ["q0 is over"]);

    // Heard while the first attempt is being closed.
    let mut desk = Desk::new();
    desk.talk(0);
    desk.tell(CoordinatorEvent::Lost(seat(2, 0)));
    assert_eq!(desk.tell(CoordinatorEvent::Answered(Q0)), [fails]);
    assert_eq!(desk.close(Q0, THINK, Ok(())), ["q0 is over"]);

    // Heard when the second is under way.
    let mut desk = Desk::new();
    desk.talk(0);
    desk.tell(CoordinatorEvent::Lost(seat(2, 0)));
    desk.close(Q0, THINK, Ok(()));
    let fails = fails.replace("q0", "q0.1");
    let lines = desk.tell(CoordinatorEvent::Answered(Q0));
    assert_eq!(lines, [fails.as_str(), "cancel q0.1 s0 on w1", "cancel q0.1 s1 on w3"]);
}

/// F1: three attempts are enough.
#[test]
fn the_third_loss_ends_a_request() {
    let mut desk = Desk::new();
    desk.talk(0);
    let mut request = Q0;
    for epoch in 0..2 {
        let lines = about_requests(desk.tell(CoordinatorEvent::Joined(seat(2, epoch + 1))));
        if epoch == 0 {
            assert_eq!(lines, ["cancel q0 s0 on w0"], "its new life says that the old one is over");
            desk.tell(CoordinatorEvent::Lost(seat(3, 0)));
        }
        desk.close(request, THINK, Ok(()));
        request = request.next();
    }
    let lines = about_requests(desk.tell(CoordinatorEvent::Lost(seat(2, 2))));
    assert!(lines[0].starts_with("q0.2 fails: Lost: component 'say': worker w2 (epoch 2)"), "{lines:?}");
}

/// B6: with no worker left for a component, a request is refused at once and names it; so is what waits.
#[test]
fn with_no_replica_left_requests_are_refused_at_once() {
    let mut desk = Desk::new();
    for number in 0..6 {
        desk.talk(number);
    }
    desk.submit(6, CHAT, Priority::Normal);
    desk.tell(CoordinatorEvent::Lost(seat(2, 0)));
    let lines = about_requests(desk.tell(CoordinatorEvent::Lost(seat(3, 0))));
    let refused = "q4 fails: Unavailable: component 'say': no worker that has it is ready: try again later";
    assert!(lines.iter().any(|line| line == refused), "{lines:?}");
    assert_eq!(desk.coordinator.waiting(), 1, "the one that needs no voice still waits");
    let lines = desk.talk(7);
    assert_eq!(lines, [refused.replace("q4", "q7").as_str(), "q7 is over"]);
    let lines = desk.close(Q0, THINK, Ok(()));
    assert_eq!(lines[..2], [refused.replace("q4", "q0").as_str(), "q0 is over"]);
    // F3: it comes back and serves, in a new life.
    assert!(desk.tell(CoordinatorEvent::Joined(seat(2, 0))).is_empty());
    assert_eq!(desk.talk(8).len(), 2, "that life was over");
    desk.tell(CoordinatorEvent::Joined(seat(2, 1)));
    assert!(desk.talk(9).is_empty());
    assert_eq!(desk.coordinator.waiting(), 1);
}

/// B6, F3: where workers are waited for, what needs one that is lost waits for it, what was under way as well, and goes on
/// when it is back; for as long as the stage has had nobody, and no longer.
#[test]
fn requests_wait_for_a_worker_to_come_back() {
    let patience = Patience { suspect_us: 1_000_000, eject_us: 2_000_000, wait_us: 500 };
    let mut desk = Desk::empty(Some(patience));
    for worker in 0..4 {
        desk.tell(CoordinatorEvent::Joined(seat(worker, 0)));
    }
    desk.talk(0);
    desk.talk(1);
    desk.tell(CoordinatorEvent::Lost(seat(2, 0)));
    desk.now_us = 100;
    desk.tell(CoordinatorEvent::Lost(seat(3, 0)));
    for request in [Q0, RequestId::first(1)] {
        assert!(desk.close(request, THINK, Ok(())).is_empty(), "neither is over");
    }
    assert!(desk.talk(2).is_empty());
    assert_eq!((desk.coordinator.in_flight(), desk.coordinator.waiting()), (0, 3));
    assert!(desk.submit(3, CHAT, Priority::Normal)[0].starts_with("open q3"), "it needs no voice");
    assert_eq!(desk.tell(CoordinatorEvent::Cancel(RequestId::first(1)))[1], "q1 is over");
    assert_eq!(desk.coordinator.next_deadline_us(), Some(600));
    desk.now_us = 500;
    let lines = about_requests(desk.tell(CoordinatorEvent::Joined(seat(3, 1))));
    let ends = |line: &String| line.ends_with("w3 (epoch 1)");
    assert!(
        lines[0] == "again q0.1" && lines[1].starts_with("open q0.1 s0 on ") && ends(&lines[1]),
        "{lines:?}"
    );
    assert!(lines[2].starts_with("open q2 s0 on ") && ends(&lines[2]), "{lines:?}");
    // From the next loss on, it is waited for anew.
    desk.now_us = 1_000;
    desk.tell(CoordinatorEvent::Lost(seat(3, 1)));
    desk.talk(4);
    assert_eq!(desk.coordinator.next_deadline_us(), Some(1_500));
    desk.now_us = 1_500;
    let lines = about_requests(desk.tell(CoordinatorEvent::Tick));
    let refused = "q4 fails: Unavailable: component 'say': no worker that has it is ready: try again later";
    assert_eq!(lines, [refused, "q4 is over"]);
    assert_eq!(desk.talk(5)[0], refused.replace("q4", "q5"), "nobody waits for what has been away so long");
}

/// B6: who waits for a worker to come back loses no time by it: those that came later are still behind it.
#[test]
fn waiting_for_a_worker_counts_as_waiting() {
    let mut desk = Desk::empty(Some(Patience { suspect_us: 1_000, eject_us: 2_000, wait_us: 500 }));
    for worker in 0..4 {
        desk.tell(CoordinatorEvent::Joined(seat(worker, 0)));
    }
    for number in 0..4 {
        desk.submit(number, CHAT, Priority::Normal);
    }
    assert!(desk.talk(4).is_empty(), "there is no room");
    desk.now_us = 50;
    assert!(desk.submit(5, CHAT, Priority::Normal).is_empty());
    desk.now_us = 100;
    desk.tell(CoordinatorEvent::Lost(seat(2, 0)));
    desk.tell(CoordinatorEvent::Lost(seat(3, 0)));
    desk.now_us = 200;
    desk.tell(CoordinatorEvent::Joined(seat(3, 1)));
    let lines = desk.close(Q0, THINK, Ok(()));
    assert!(lines[1].starts_with("open q4 "), "{lines:?}");
}

/// F2: silence makes a worker suspect, then lost; whoever is heard of again serves again.
#[test]
fn silence_is_suspect_and_then_ejected() {
    let mut desk = Desk::empty(Some(Patience { suspect_us: 100, eject_us: 1_000, wait_us: 0 }));
    for worker in 0..4 {
        desk.tell(CoordinatorEvent::Joined(seat(worker, 0)));
    }
    desk.talk(0);
    let heard = |desk: &mut Desk, workers: &[u32]| {
        for worker in workers {
            desk.tell(CoordinatorEvent::Heard(seat(*worker, 0)));
        }
    };
    assert_eq!(desk.coordinator.next_deadline_us(), Some(100));
    desk.now_us = 90;
    heard(&mut desk, &[1, 2, 3]);
    desk.now_us = 100;
    assert!(desk.tell(CoordinatorEvent::Tick).is_empty());
    assert_eq!(desk.coordinator.next_deadline_us(), Some(190), "w0 is suspect; the others were heard at 90");
    for number in 1..3 {
        assert!(desk.talk(number)[0].contains("s0 on w1"), "nothing new goes to w0");
    }
    heard(&mut desk, &[0]);
    assert!(desk.talk(3)[0].contains("s0 on w0"));
    for now_us in (150..1_100).step_by(50) {
        desk.now_us = now_us;
        heard(&mut desk, &[1, 2, 3]);
        assert!(desk.tell(CoordinatorEvent::Tick).is_empty());
    }
    desk.now_us = 1_100;
    heard(&mut desk, &[1, 2, 3]);
    let lines = about_requests(desk.tell(CoordinatorEvent::Tick));
    assert_eq!(lines[0], "eject w0");
    assert!(lines.contains(&"cancel q0 s1 on w2".to_owned()), "{lines:?}");
}

/// For rolling replacement: a worker that drains takes nothing new, and says when it is idle.
#[test]
fn a_worker_that_drains_finishes_what_it_has() {
    let mut desk = Desk::new();
    desk.talk(0);
    assert!(desk.tell(CoordinatorEvent::Drain(WorkerId(0))).is_empty());
    for number in 1..4 {
        assert!(desk.talk(number)[0].contains("s0 on w1"));
    }
    assert_eq!(desk.close(Q0, THINK, Ok(())), ["w0 is idle"]);
    assert_eq!(desk.tell(CoordinatorEvent::Drain(WorkerId(0))), ["w0 is idle"]);
    desk.tell(CoordinatorEvent::Joined(seat(0, 1)));
    desk.close(Q0, SAY, Ok(()));
    assert!(desk.talk(4)[0].contains("s0 on w0 (epoch 1)"));
}

/// A worker that is lost while it drains has not finished what it had.
#[test]
fn a_worker_that_is_lost_while_it_drains_is_not_idle() {
    let mut desk = Desk::new();
    desk.talk(0);
    desk.tell(CoordinatorEvent::Drain(WorkerId(0)));
    let lines = desk.tell(CoordinatorEvent::Lost(seat(0, 0)));
    assert!(!lines.iter().any(|line| line.contains("idle")), "{lines:?}");
}

/// Urgent ones first, oldest first inside a class, and whoever waits long enough goes before later urgent ones.
#[test]
fn priority_is_worth_some_waiting() {
    let mut desk = Desk::new();
    for number in 0..4 {
        desk.submit(number, CHAT, Priority::Normal);
    }
    let waiting = [
        (10, 0, Priority::Low),
        (11, 0, Priority::Normal),
        (12, 1_000_000, Priority::High),
        (13, 1_000_000, Priority::Normal),
        (14, 3_500_000, Priority::High),
        (15, 4_500_000, Priority::High),
    ];
    for (number, now_us, priority) in waiting {
        desk.now_us = now_us;
        assert!(desk.submit(number, CHAT, priority).is_empty());
    }
    desk.tell(CoordinatorEvent::Cancel(RequestId::first(13)));
    let mut order = Vec::new();
    for number in [0, 1, 2, 3, 12] {
        let lines = desk.close(RequestId::first(number), THINK, Ok(()));
        order.push(lines[1].split(' ').nth(1).unwrap().to_owned());
    }
    assert_eq!(order, ["q12", "q11", "q14", "q10", "q15"]);
}

/// W6: a graph has as many in flight as its limit says, and a crowd at it keeps nobody from another.
#[test]
fn what_waits_for_the_limit_of_its_graph_is_in_nobodys_way() {
    let mut plan = plan().plan().clone();
    plan.recordings[CHAT].graph = "other".to_owned();
    plan.serves.push(Serve {
        graph: "assistant".to_owned(),
        endpoints: vec![Endpoint::Grpc],
        limits: Limits { inflight: Some(1), ..Limits::default() },
        deadline_ms: None,
    });
    let plan = Arc::new(verify(plan).unwrap());
    let mut desk = Desk { coordinator: Coordinator::new(plan, None), now_us: 0 };
    for worker in 0..4 {
        desk.tell(CoordinatorEvent::Joined(seat(worker, 0)));
    }
    assert!(desk.talk(0)[0].starts_with("open q0"));
    for number in 1..5 {
        assert!(desk.talk(number).is_empty(), "it waits");
    }
    let lines = desk.talk(5);
    let refused = "q5 fails: Busy: 1 requests of graph 'assistant' are in flight and 4 wait";
    assert!(lines[0].starts_with(refused), "{lines:?}");
    let chat = |desk: &mut Desk, number| desk.submit(number, CHAT, Priority::Normal);
    for number in 10..13 {
        assert!(chat(&mut desk, number)[0].starts_with(&format!("open q{number}")));
    }
    assert!(chat(&mut desk, 13).is_empty(), "the plan admits four in all");
    desk.close(RequestId::first(10), THINK, Ok(()));
    assert_eq!(
        (desk.coordinator.in_flight(), desk.coordinator.waiting()),
        (4, 4),
        "the other graph's has begun"
    );
    desk.close(Q0, THINK, Ok(()));
    let lines = desk.close(Q0, SAY, Ok(()));
    assert!(lines.iter().any(|line| line.starts_with("open q1 ")), "{lines:?}");
    assert_eq!((desk.coordinator.in_flight(), desk.coordinator.waiting()), (4, 3));
}

/// Equal replicas take turns; a link that broke is kept away from; a broken link's unheard work is given up.
#[test]
fn a_broken_link_gives_up_what_may_not_have_arrived() {
    let mut desk = Desk::new();
    desk.talk(0);
    desk.talk(1);
    // Both replayed q0 and q1 in part; w0 has everything of q0 handed over, but w2 never heard of it.
    desk.close(Q0, THINK, Ok(()));
    let parted =
        |worker, peer, kept| CoordinatorEvent::Parted { worker: seat(worker, 0), peer: seat(peer, 0), kept };
    assert_eq!(desk.tell(parted(0, 2, vec![])), ["tell w2 that w0 is lost"]);
    let lines = desk.tell(parted(2, 0, vec![]));
    assert_eq!(lines, ["cancel q0 s1 on w2"]);
    let lines = desk.close(Q0, SAY, Err(Fault::new(Blame::Lost, "as told")));
    assert_eq!(lines, ["again q0.1", "open q0.1 s0 on w1 of w1 w3"]);

    desk.now_us = 1_000_000;
    for number in 2..4 {
        let line = desk.talk(number).remove(0);
        assert!(line.ends_with("w0 w3") || line.ends_with("w1 w2"), "kept apart for a while: {line}");
    }

    let mut desk = Desk::new();
    desk.talk(0);
    desk.close(Q0, THINK, Ok(()));
    desk.tell(parted(0, 2, vec![]));
    assert!(desk.tell(parted(2, 0, vec![(Q0, SAY)])).is_empty(), "w2 has it all, so it goes on");
}

fn header(plan: &Verified, request: RequestId, seats: &[Seat]) -> Header {
    Header {
        plan: plan.hash(),
        request,
        recording: TALK,
        replicas: seats.into(),
        deadline_us: None,
        is_traced: false,
    }
}

/// H3: what was for a former life is nobody's; what is for a later one, or for another worker, is a fault.
#[test]
fn a_worker_takes_what_is_for_its_present_life() {
    let plan = plan();
    let mut worker = Worker::new(seat(2, 1), Arc::clone(&plan));
    let mut hear = |epoch: u32, worker_id: u32| {
        let header = header(&plan, RequestId::first(u64::from(epoch)), &[seat(0, 0), seat(worker_id, epoch)]);
        let (value, body) = (ValueId(2), Body::Item(Datum::text("One.")));
        let hand_over = HandOver { header, from: THINK, to: SAY, value, turn: 0, body };
        let mut actions = Vec::new();
        worker.handle(0, WorkerEvent::HandOver(hand_over), &mut actions);
        actions
    };
    assert!(hear(0, 2).is_empty());
    for (epoch, worker) in [(2, 2), (1, 3)] {
        let actions = hear(epoch, worker);
        let WorkerAction::Closed { outcome: Err(fault), .. } = &actions[0] else { panic!("{actions:?}") };
        assert_eq!(fault.blame, Blame::Setup);
    }
    assert!(matches!(hear(3 - 2, 2)[..], []), "it was refused before, and what ended early stays ended");
    assert!(worker.ledger().is_empty());
}

/// H5: a lost peer ends what has yet to exchange something with it; a lost coordinator ends everything.
#[test]
fn a_worker_gives_back_what_is_lost() {
    let plan = plan();
    let seats = [seat(0, 0), seat(2, 0)];
    let mut worker = Worker::new(seat(2, 0), Arc::clone(&plan));
    let mut hear = |event| {
        let mut actions = Vec::new();
        worker.handle(0, event, &mut actions);
        let leases = worker.ledger().leases;
        (actions, leases)
    };
    let item = |number, body| {
        let header = header(&plan, RequestId::first(number), &seats);
        WorkerEvent::HandOver(HandOver { header, from: THINK, to: SAY, value: ValueId(2), turn: 0, body })
    };
    for number in 0..2 {
        hear(item(number, Body::Item(Datum::text("One."))));
    }
    let (_, leases) = hear(item(1, Body::End));
    assert!(leases > 0);
    assert!(hear(WorkerEvent::PeerLost(seat(0, 7))).0.len() == 1, "that was another life");
    let (actions, _) = hear(WorkerEvent::PeerLost(seat(0, 0)));
    let closed = actions.iter().find_map(|action| match action {
        WorkerAction::Closed { request, outcome: Err(fault), .. } => Some((request.number, fault.clone())),
        _ => None,
    });
    let (number, fault) = closed.unwrap();
    assert_eq!((number, fault.blame, fault.component.as_deref()), (0, Blame::Lost, Some("think")));
    let Some(WorkerAction::Parted { kept, .. }) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(kept, &[(RequestId::first(1), SAY)], "everything of it has come");
    let (actions, leases) = hear(WorkerEvent::Forsaken);
    assert!(actions.iter().all(|action| matches!(action, WorkerAction::Abort(..))));
    assert_eq!(leases, 0);
    assert_eq!(hear(item(2, Body::End)).1, 0, "nothing opens before the next life");
    hear(WorkerEvent::Seated(seat(2, 1)));
    assert_eq!(hear(item(3, Body::End)).1, 0, "and nothing of the last one after it");
}
