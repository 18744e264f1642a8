//! Branches and loops on a simulated cluster: every stage decides by itself, and none goes astray.

mod cluster;

use cluster::{Cluster, answer, assert_within_figure, plan};
use corn_core::executor::{CallInput, Report};
use corn_core::message::{Body, HandOver, Header, RequestId, Seat, WorkerAction, WorkerEvent};
use corn_core::{Blame, Datum, Worker};
use corn_plan::{BlockId, RecordingId, StageId, ValueId, WorkerId};

/// What a request brings.
type Inputs = Vec<(&'static str, Datum)>;

/// A request: its recording and what it brings.
type Ask<'a> = (u32, &'a [(&'a str, Datum)]);

/// Each output by name, items put together.
type Answer<'a> = &'a [(&'a str, &'a str)];

/// For many orders of events: the answer is this, within the plan's figure, and everything is given back.
fn check(name: &str, (recording, inputs): Ask<'_>, expected: Answer<'_>) {
    let plan = plan(name);
    for seed in 0..300 {
        let mut cluster = Cluster::new(&plan, seed);
        cluster.submit(0, recording, inputs, None);
        cluster.run();
        cluster.assert_at_rest();
        let answer = answer(&cluster, 0, recording);
        let answer: Vec<(&str, &str)> = answer.iter().map(|(name, said)| (&**name, &**said)).collect();
        assert_eq!(answer, expected, "{name} {inputs:?}, seed {seed}");
        assert_within_figure(&cluster, 1);
    }
}

fn words(text: &str) -> [(&'static str, Datum); 1] {
    [("words", Datum::text(text))]
}

const MADE: u32 = 0;
const DECIDED: u32 = 1;

/// R9: a word that was made decides on two stages; a case of the other stage, of the same, and none.
#[test]
fn a_switch_takes_the_same_case_on_every_stage() {
    let cases = [
        ("draw it", "draw it!", "draw it[draw it!]"),
        ("loud it", "LOUD IT", "loud it[LOUD IT]"),
        ("chat it", "", "chat it[-]"),
    ];
    for (asked, made, noted) in cases {
        check("switch", (MADE, &words(asked)), &[("made", made), ("noted", noted), ("remarked", noted)]);
    }
}

/// R9: what one stage makes for a case may come before the other has even begun.
#[test]
fn a_truth_value_of_the_request_decides() {
    for (loud, made) in [(true, "HI"), (false, "hi!")] {
        let inputs = [("words", Datum::text("hi")), ("loud", Datum::Bool(loud))];
        check("switch", (DECIDED, &inputs), &[("made", made)]);
    }
}

/// R9, T1, T6: streams into and out of cases; one that only the other cases read holds nobody back.
#[test]
fn streams_pass_through_cases() {
    let long = |word: &str| format!("{word} {}", "more ".repeat(30));
    for kind in ["here", "there", "both"] {
        let said = long(kind);
        check("streams", (0, &words(&said)), &[("said", &said), ("heard", &said)]);
    }
    check("streams", (0, &words(&long("none"))), &[("said", ""), ("heard", "")]);
}

/// T1: what a case makes leaves while more of it is still being made.
#[test]
fn a_case_streams_out_before_it_has_ended() {
    let plan = plan("streams");
    for seed in 0..50 {
        let mut cluster = Cluster::new(&plan, seed);
        cluster.paused.push(RequestId::first(0));
        cluster.submit(0, 0, &words(&format!("there {}", "more ".repeat(100))), None);
        cluster.run();
        assert!(!cluster.clients[&RequestId::first(0)].finished, "a slow client holds it back");
        cluster.paused.clear();
        while !cluster.log.iter().any(|line| line == "q0 gets v5") {
            assert!(cluster.step());
        }
        assert!(cluster.clients[&RequestId::first(0)].ended.is_empty(), "seed {seed}");
        cluster.run();
        cluster.assert_at_rest();
    }
}

const COUNTED: u32 = 0;
const UNTIL: u32 = 1;
const APART: u32 = 2;
const AHEAD: u32 = 3;
const SWAPPED: u32 = 4;

fn rounds(text: &str, rounds: i64) -> [(&'static str, Datum); 2] {
    [("text", Datum::text(text)), ("rounds", Datum::Int(rounds))]
}

/// R7: as many rounds as asked for, at most as many as the bound; none leaves what it began with.
#[test]
fn a_loop_counts_its_rounds() {
    let counted = |n: usize| {
        let rounds: Vec<String> = (0..n).map(|round| format!("Int({round})")).collect();
        rounds.concat()
    };
    for (asked, made) in [(-3, 0), (0, 0), (1, 1), (7, 7), (40, 40), (1000, 40)] {
        check("loops", (COUNTED, &rounds("x", asked)), &[("text", &format!("x{}", counted(made)))]);
    }
}

/// R7: a value that is freed in its round ends the loop after it; without it the bound does.
#[test]
fn a_loop_ends_by_a_value() {
    check("loops", (UNTIL, &[("text", Datum::text(""))]), &[("text", &"a".repeat(13))]);
    check(
        "loops",
        (UNTIL, &[("text", Datum::text("long enough as it is"))]),
        &[("text", "long enough as it isa")],
    );
}

/// R9: two stages go round together, with hand-overs both ways in each round.
#[test]
fn a_loop_over_two_stages_never_mixes_rounds() {
    check("loops", (APART, &[("text", Datum::text("-"))]), &[("text", "-abababababab")]);
}

/// R9, H2: a stage that nothing holds back is one round ahead and no more, though cases differ by round.
#[test]
fn a_stage_ahead_waits_for_the_round_to_end() {
    let expected = "x[xInt(0)]bb[xInt(2)]bb[xInt(4)]bb";
    check("loops", (AHEAD, &rounds("x", 6)), &[("text", expected)]);
    check("loops", (AHEAD, &rounds("x", 0)), &[("text", "x")]);
}

/// P10: what comes a round early finds the memory that the round before gave back, though that takes another case.
#[test]
fn what_comes_early_fits_the_figure() {
    let inputs = [("rounds", Datum::Int(9))];
    check("tight", (0, &inputs), &[("text", "4096")]);
}

/// What one round hands to the next may be what it was handed itself, and all change at once.
#[test]
fn carried_values_change_at_once() {
    for (count, text, other) in [(0, "x", "y"), (1, "y", "x"), (5, "y", "x"), (6, "x", "y")] {
        let inputs = [("text", Datum::text("x")), ("other", Datum::text("y")), ("rounds", Datum::Int(count))];
        check("loops", (SWAPPED, &inputs), &[("text", text), ("other", other)]);
    }
}

const NESTED: u32 = 0;
const SPOKEN: u32 = 1;

fn nested(words: &str, rounds: i64) -> [(&'static str, Datum); 2] {
    [("words", Datum::text(words)), ("rounds", Datum::Int(rounds))]
}

/// R9: a loop in a loop in a case, over two stages.
#[test]
fn blocks_nest() {
    // In round t there are t rounds inside, at most three.
    let cases = [(0, ""), (1, "."), (3, ".ab.abab."), (5, ".ab.abab.ababab.ababab.")];
    for (count, made) in cases {
        check("nested", (NESTED, &nested("twice", count)), &[("text", &format!("twice{made}"))]);
    }
    check("nested", (NESTED, &nested("once and only", 3)), &[("text", "once and only ")]);
}

/// R9, T6: a stream in each round, with credits of its own.
#[test]
fn streams_in_rounds_do_not_mix() {
    let text = "one two three four five six seven";
    check("nested", (SPOKEN, &nested(text, 3)), &[("text", &format!("{text} . . ."))]);
}

/// Every request of these tests.
fn asks() -> Vec<(&'static str, u32, Inputs)> {
    let long = format!("there {}", "more ".repeat(8));
    vec![
        ("switch", MADE, words("draw it").to_vec()),
        ("streams", 0, words(&long).to_vec()),
        ("streams", 0, words("none of it").to_vec()),
        ("loops", COUNTED, rounds("x", 3).to_vec()),
        ("loops", APART, vec![("text", Datum::text("-"))]),
        ("loops", AHEAD, rounds("x", 6).to_vec()),
        ("nested", NESTED, nested("twice", 3).to_vec()),
        ("nested", SPOKEN, nested("one two three four five", 2).to_vec()),
    ]
}

/// F1, P10, H4: cancelled at any moment, in any case and round, a request gives everything back.
#[test]
fn cancel_at_every_moment_gives_everything_back() {
    for (name, recording, inputs) in asks() {
        let plan = plan(name);
        for seed in 0..3 {
            for moment in 0.. {
                let mut cluster = Cluster::new(&plan, seed);
                cluster.submit(0, recording, &inputs, None);
                cluster.submit(1, recording, &inputs, None);
                let over = (0..moment).any(|_| !cluster.step());
                cluster.cancel(0);
                cluster.run();
                cluster.assert_at_rest();
                let failed = &cluster.clients[&RequestId::first(0)].failed;
                assert!(
                    failed.as_ref().is_none_or(|fault| fault.blame == Blame::Cancelled),
                    "{name}: {failed:?}"
                );
                answer(&cluster, 1, recording);
                assert_within_figure(&cluster, 2);
                if over {
                    break;
                }
            }
        }
    }
}

/// F1: a deadline in any round ends a request.
#[test]
fn a_deadline_ends_a_request_in_any_round() {
    for (name, recording, inputs) in asks() {
        let plan = plan(name);
        for moment in (0..400).step_by(9) {
            let mut cluster = Cluster::new(&plan, moment);
            cluster.submit(0, recording, &inputs, Some(100_000));
            for _ in 0..moment {
                cluster.step();
            }
            cluster.tick(100_000);
            cluster.run();
            cluster.tick(200_000);
            cluster.run();
            cluster.assert_at_rest();
        }
    }
}

/// T4: a fault in a round or a case names its component and gives everything back on every stage.
#[test]
fn a_fault_in_a_block_names_the_component() {
    let cases: [(&str, u32, Inputs, &str); 3] = [
        ("switch", MADE, words("draw FAIL").to_vec(), "draw"),
        ("loops", APART, vec![("text", Datum::text("FAIL"))], "grow"),
        ("nested", NESTED, nested("twice", 3).to_vec(), ""),
    ];
    for (name, recording, inputs, component) in cases {
        let plan = plan(name);
        for seed in 0..100 {
            let mut cluster = Cluster::new(&plan, seed);
            cluster.submit(0, recording, &inputs, None);
            cluster.run();
            cluster.assert_at_rest();
            let failed = cluster.clients[&RequestId::first(0)].failed.clone();
            let named = failed.as_ref().and_then(|fault| fault.component.as_deref());
            assert_eq!(named.unwrap_or(""), component, "{name}: {failed:?}");
        }
    }
}

/// Rounds on one stage cost no message; over two each costs its hand-overs and one word back for each direction.
#[test]
fn rounds_cost_their_steps() {
    let messages = |recording: u32, inputs: &[(&str, Datum)]| {
        let mut cluster = Cluster::new(&plan("loops"), 5);
        cluster.submit(0, recording, inputs, None);
        cluster.run();
        cluster.assert_at_rest();
        (cluster.messages.values().sum::<u64>(), cluster.messages.get("hand over").copied().unwrap_or(0))
    };
    assert_eq!(messages(COUNTED, &rounds("x", 1)), messages(COUNTED, &rounds("x", 40)));
    assert_eq!(messages(COUNTED, &rounds("x", 40)), (2, 0), "opened and closed");
    // Six rounds of three hand-overs; after each but the last both stages say that it is over.
    assert_eq!(messages(APART, &[("text", Datum::text("-"))]).1, 6 * 3 + 5 * 2);
}

/// R14: requests in different rounds and cases of one recording never mix.
#[test]
fn requests_in_blocks_never_mix() {
    let plan = plan("nested");
    for seed in 0..100 {
        let mut cluster = Cluster::new(&plan, seed);
        for request in 0..6 {
            let kind = if request % 2 == 0 { "twice" } else { "once" };
            cluster.submit(request, NESTED, &nested(&format!("{kind} {request}"), 2), None);
        }
        cluster.run();
        cluster.assert_at_rest();
        for request in 0..6 {
            let expected = match request % 2 {
                0 => format!("twice {request}.ab."),
                _ => format!("once {request} "),
            };
            assert_eq!(answer(&cluster, request, NESTED), [("text".to_owned(), expected)], "seed {seed}");
        }
    }
}

/// H3, H5: what is of another round than is due is a fault and never taken for this one; whoever is in the middle of
/// a loop with a worker that is lost ends.
#[test]
fn rounds_are_counted_and_lost_with_their_peer() {
    let plan = plan("loops");
    let grown = ValueId(2);
    let seats = [0, 1].map(|worker| Seat { worker: WorkerId(worker), epoch: 0 });
    let hear = |events: Vec<(u64, Body)>, is_lost: bool| {
        let mut worker = Worker::new(seats[1], std::sync::Arc::clone(&plan));
        let mut actions = Vec::new();
        for (turn, body) in events {
            let header = Header {
                plan: plan.hash(),
                request: RequestId::first(0),
                recording: RecordingId(APART),
                replicas: seats.into(),
                deadline_us: None,
                is_traced: false,
            };
            let (from, to) = (StageId(0), StageId(1));
            let hand_over = HandOver { header, from, to, value: grown, turn, body };
            worker.handle(0, WorkerEvent::HandOver(hand_over), &mut actions);
        }
        let held = worker.ledger().leases;
        if is_lost {
            worker.handle(0, WorkerEvent::PeerLost(seats[0]), &mut actions);
            assert!(worker.ledger().is_empty());
        }
        let closed = actions.into_iter().find_map(|action| match action {
            WorkerAction::Closed { outcome, .. } => outcome.err().map(|fault| fault.message),
            _ => None,
        });
        (held, closed.unwrap_or_default())
    };
    let item = || Body::Item(Datum::text("x"));
    assert!(hear(vec![(0, item()), (1, item())], false).0 > 0, "the next one may come early");
    let cases = [
        (vec![(1, item())], "turn 1 of v2 was handed to s1, and turn 0 was due"),
        (vec![(0, item()), (0, item())], "turn 0 of v2 was handed to s1, and turn 1 was due"),
        (vec![(0, Body::End)], "v2 was handed to s1 as what it cannot be: End"),
        (vec![(0, Body::Absent)], "v2 was handed to s1 as what it cannot be: Absent"),
        (vec![(1, Body::RoundEnded(BlockId(0)))], "s0 told s1 that round 1 of b0 ended"),
        (vec![(0, Body::RoundEnded(BlockId(7)))], "s0 told s1 that round 0 of b7 ended"),
    ];
    for (events, expected) in cases {
        assert_eq!(hear(events, false), (0, expected.to_owned()));
    }
    let (held, closed) = hear(vec![(0, item())], true);
    assert!(held > 0 && closed.contains("lost w0 while both worked on this request"), "{closed}");
}

/// F1: the coordinator opens a stage that may be handed nothing; that word may come last, and opens nothing twice.
#[test]
fn a_stage_that_is_done_early_waits_for_its_opening() {
    let plan = plan("loops");
    let seats = [0, 1].map(|worker| Seat { worker: WorkerId(worker), epoch: 0 });
    let header = Header {
        plan: plan.hash(),
        request: RequestId::first(0),
        recording: RecordingId(APART),
        replicas: seats.into(),
        deadline_us: None,
        is_traced: false,
    };
    let mut worker = Worker::new(seats[1], std::sync::Arc::clone(&plan));
    let mut hear = |event| {
        let mut actions = Vec::new();
        worker.handle(0, event, &mut actions);
        actions
    };
    let hand_over = |value, body| {
        let (from, to, value) = (StageId(0), StageId(1), ValueId(value));
        WorkerEvent::HandOver(HandOver { header: header.clone(), from, to, value, turn: 0, body })
    };
    let actions = hear(hand_over(2, Body::Item(Datum::text("x"))));
    let [WorkerAction::Start(component, _, call)] = &actions[..] else { panic!("{actions:?}") };
    let (component, call) = (*component, call.id);
    hear(WorkerEvent::Report(component, Report::Emitted { call, port: 0, item: Datum::text("xb") }));
    hear(WorkerEvent::Report(component, Report::Done { call }));
    let actions = hear(hand_over(4, Body::Item(Datum::Bool(true))));
    assert!(actions.is_empty(), "{actions:?}");
    let actions = hear(WorkerEvent::Open { header: header.clone(), stage: StageId(1), inputs: Vec::new() });
    assert!(matches!(&actions[..], [WorkerAction::Closed { outcome: Ok(()), .. }]), "{actions:?}");
    assert!(worker.ledger().is_empty());
}

/// H9: what a stage is handed may come before the request's own inputs or after them: a call that takes both starts
/// with the second, once, and with the same inputs.
#[test]
fn what_is_handed_over_may_come_before_the_inputs_or_after_them() {
    let plan = plan("each");
    let seats = [0, 1].map(|worker| Seat { worker: WorkerId(worker), epoch: 0 });
    let header = Header {
        plan: plan.hash(),
        request: RequestId::first(0),
        recording: RecordingId(0),
        replicas: seats.into(),
        deadline_us: None,
        is_traced: false,
    };
    let (from, to, value, turn) = (StageId(0), StageId(1), ValueId(2), 0);
    let (parts, greeting) = (Datum::List(["A", "B"].map(Datum::text).into()), Datum::text("bye"));
    let inputs = vec![(ValueId(1), greeting.clone())];
    let opening = WorkerEvent::Open { header: header.clone(), stage: to, inputs };
    let body = Body::Item(parts.clone());
    let hand_over = WorkerEvent::HandOver(HandOver { header, from, to, value, turn, body });
    for [first, second] in [[opening.clone(), hand_over.clone()], [hand_over, opening]] {
        let mut worker = Worker::new(seats[1], std::sync::Arc::clone(&plan));
        let mut hear = |event| {
            let mut actions = Vec::new();
            worker.handle(0, event, &mut actions);
            actions
        };
        let actions = hear(first);
        assert!(actions.is_empty(), "{actions:?}");
        let actions = hear(second);
        let [WorkerAction::Start(component, _, call)] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(call.inputs, [parts.clone(), greeting.clone()].map(CallInput::Value));
        let (component, call) = (*component, call.id);
        let item = Datum::text("A, B: bye");
        hear(WorkerEvent::Report(component, Report::Emitted { call, port: 0, item }));
        let actions = hear(WorkerEvent::Report(component, Report::Done { call }));
        assert!(matches!(&actions[..], [WorkerAction::Closed { outcome: Ok(()), .. }]), "{actions:?}");
        assert!(worker.ledger().is_empty());
    }
}
