//! Media of conversations and lists, each kind where it is worked on, and streams that become one.

mod cluster;

use std::sync::Arc;

use cluster::{Cluster, answer, assert_within_figure, plan};
use corn_core::message::RequestId;
use corn_core::{Audio, Blame, Conversation, Datum, Fault, Frame, Image, Message, Part, Role, Video};
use corn_plan::{Modality, ValueId};

fn image(width: u32) -> Datum {
    Datum::Image(Image { width, height: 1, rgb: vec![0; width as usize * 3].into() }.into())
}

fn sound(samples: usize) -> Datum {
    Datum::Audio(Audio { rate_hz: 16_000, samples: vec![0.5; samples].into() }.into())
}

fn video(frames: u64) -> Datum {
    let picture = Arc::new(Image { width: 1, height: 1, rgb: vec![0; 3].into() });
    let frame = |number| Frame { time_us: number * 40_000, image: Arc::clone(&picture) };
    Datum::Video(Video { frames: (0..frames).map(frame).collect() }.into())
}

fn conversation(parts: Vec<Part>, media: Vec<Datum>) -> Datum {
    let said = Message { role: Role::System, parts: vec![Part::Text("Look.".into())] };
    let asked = Message { role: Role::User, parts };
    Datum::Messages(Conversation { messages: vec![said, asked], media }.into())
}

/// A conversation of these media and a question after each.
fn talk(media: &[Datum]) -> Datum {
    let part = |item: &Datum| [Part::Media(item.modality().expect("a medium")), Part::Text("and?".into())];
    conversation(media.iter().flat_map(part).collect(), media.to_vec())
}

/// The answer of graph `graph` for every order of events, or why there is none.
fn ask(graph: &str, inputs: &[(&str, Datum)]) -> Result<String, Fault> {
    let plan = plan("media");
    let brought: Vec<(String, Datum)> =
        inputs.iter().map(|(name, datum)| ((*name).to_owned(), datum.clone())).collect();
    let outputs = ["text".to_owned()];
    let mut answers = Vec::new();
    for seed in 0..100 {
        let mut cluster = Cluster::new(&plan, seed);
        let signature = cluster.coordinator.signature(graph, &brought, &outputs);
        let recording = cluster.coordinator.look_up(&signature)?;
        cluster.submit(0, recording.0, inputs, None);
        cluster.run();
        cluster.assert_at_rest();
        assert_within_figure(&cluster, 1);
        if let Some(fault) = cluster.clients[&RequestId::first(0)].failed.clone() {
            assert_eq!(cluster.messages.get("open"), None, "refused before anything is dispatched");
            return Err(fault);
        }
        answers.push(answer(&cluster, 0, recording.0)[0].1.clone());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    Ok(answers.swap_remove(0))
}

/// R1, R2, R3: each kind is worked on by its own, and what is made stands where the media stood.
#[test]
fn media_are_taken_apart_and_put_back_in_order() {
    let cases = [
        (vec![image(7), sound(5), image(9)], "Look. <image i7> and? <audio a5> and? <image i9> and?"),
        (vec![sound(1), sound(2)], "Look. <audio a1> and? <audio a2> and?"),
        (vec![image(3)], "Look. <image i3> and?"),
        (vec![], "Look."),
    ];
    for (media, expected) in cases {
        assert_eq!(ask("look", &[("talk", talk(&media))]).unwrap(), expected);
    }
    let parts = Datum::List([video(4), image(2), video(1)].into());
    assert_eq!(ask("listed", &[("parts", parts)]).unwrap(), "v4,i2,v1");
}

/// What chooses a recording decides with the media; where they are not looked at, any are taken.
#[test]
fn a_choice_and_media_decide_together() {
    let inputs = |blind| [("talk", talk(&[image(7), sound(5)])), ("blind", Datum::Bool(blind))];
    assert_eq!(ask("look", &inputs(false)).unwrap(), "Look. <image i7> and? <audio a5> and?");
    assert_eq!(ask("look", &inputs(true)).unwrap(), "Look. <image ?> and? <audio ?> and?");
}

/// R4: what no route takes is refused before anything is dispatched, and the error says who would take it.
#[test]
fn other_media_are_refused() {
    insta::assert_snapshot!(ask("look", &[("talk", talk(&[image(7), video(2)]))]).unwrap_err(), @r"
    no route takes look(talk, talk.image, talk.video) -> text; the nearest are
      look(talk, talk.image, blind: false) -> text
      look(talk, blind: false) -> text
      look(talk, blind: true) -> text
    video in 'talk' is taken by no route
    ");
    let parts = Datum::List([sound(4)].into());
    insta::assert_snapshot!(ask("listed", &[("parts", parts)]).unwrap_err(), @r"
    no route takes listed(parts, parts.audio) -> text; the nearest are
      listed(parts, parts.image, parts.video) -> text
    audio in 'parts' is taken by no route
    ");
}

/// W6: media and conversations beyond their bounds, or that do not fit together.
#[test]
fn media_out_of_bounds_are_refused() {
    let marks = conversation(vec![Part::Media(Modality::Image)], Vec::new());
    let other = conversation(vec![Part::Media(Modality::Audio)], vec![image(1)]);
    let long = conversation(vec![Part::Text("x".repeat(20_000).into())], Vec::new());
    let many = conversation(vec![Part::Text("x".into()); 8], Vec::new());
    let cases = [
        (talk(&[image(30_000)]), "one of the media of 90000 bytes is over the bound of 65536 bytes"),
        (marks, "a conversation with 1 marks of media and 0 media"),
        (other, "the media of the conversation are not those that its parts say"),
        (long, "a part of 20000 bytes is over the bound of 16384 bytes"),
        (many, "a conversation of 9 parts is over the bound of 8 parts"),
    ];
    for (talk, expected) in cases {
        let fault = ask("look", &[("talk", talk)]).unwrap_err();
        assert_eq!((fault.blame, fault.message), (Blame::Request, format!("input 'talk': {expected}")));
    }
}

/// A recording that was looked up for other media than come is not replayed.
#[test]
fn a_recording_is_for_its_media() {
    let mut cluster = Cluster::new(&plan("media"), 0);
    cluster.submit(0, 1, &[("talk", talk(&[sound(3)]))], None);
    cluster.run();
    cluster.assert_at_rest();
    let fault = cluster.clients[&RequestId::first(0)].failed.clone().unwrap();
    insta::assert_snapshot!(fault, @"input 'talk': it brings audio, and route 'look' is replayed for image here");
}

const TAGGED: u32 = 0;
const TWICE: u32 = 1;
const ITEM: ValueId = ValueId(4);
const TAG: ValueId = ValueId(5);

/// R11, T1: items of two streams as they come, each with where it came from, in the order of its own stream.
#[test]
fn merged_streams_say_where_each_item_came_from() {
    let plan = plan("merge");
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let mut cluster = Cluster::new(&plan, seed);
        let inputs = [("one", Datum::text("a b c d e f")), ("two", Datum::text("1 2 3 4 5 6 7 8 9"))];
        cluster.submit(0, TAGGED, &inputs, None);
        cluster.run();
        cluster.assert_at_rest();
        assert_within_figure(&cluster, 1);
        let merged = answer(&cluster, 0, TAGGED)[0].1.clone();
        let seen = &cluster.clients[&RequestId::first(0)].items;
        let from = |tag: &str| {
            let items = seen[&ITEM].iter().zip(&seen[&TAG]).filter(|(_, of)| **of == Datum::text(tag));
            items.map(|(item, _)| cluster::text(item)).collect::<String>()
        };
        assert_eq!((from("fast"), from("smart")), ("a b c d e f ".into(), "1 2 3 4 5 6 7 8 9 ".into()));
        orders.insert(merged);
    }
    assert!(orders.len() > 50, "they come as they come: {} orders", orders.len());
}

/// A stream merged with itself comes twice.
#[test]
fn a_stream_may_be_merged_with_itself() {
    let mut cluster = Cluster::new(&plan("merge"), 1);
    cluster.submit(0, TWICE, &[("one", Datum::text("a b c d e f"))], None);
    cluster.run();
    cluster.assert_at_rest();
    assert_eq!(answer(&cluster, 0, TWICE)[0].1, "a a b b c c d d e e f f ");
}

/// T5, T6: an empty stream holds nothing up, and a slow client both producers.
#[test]
fn a_merge_waits_for_its_readers() {
    let plan = plan("merge");
    for seed in 0..50 {
        let mut cluster = Cluster::new(&plan, seed);
        cluster.paused.push(RequestId::first(0));
        let long = "word ".repeat(100);
        cluster.submit(0, TAGGED, &[("one", Datum::text(&*long)), ("two", Datum::text(&*long))], None);
        cluster.submit(1, TAGGED, &[("one", Datum::text("")), ("two", Datum::text("a b"))], None);
        cluster.run();
        assert!(!cluster.clients[&RequestId::first(0)].finished);
        assert_eq!(answer(&cluster, 1, TAGGED)[0].1, "a b ");
        cluster.paused.clear();
        cluster.run();
        cluster.assert_at_rest();
        assert_eq!(answer(&cluster, 0, TAGGED)[0].1.len(), 1000);
        assert_within_figure(&cluster, 2);
    }
}

/// F1, P10: cancelled at any moment, media and merges give everything back.
#[test]
fn cancel_at_every_moment_gives_everything_back() {
    let media: Vec<(&str, Datum)> = vec![("talk", talk(&[image(7), sound(5), image(9)]))];
    let merge = vec![("one", Datum::text("a b c d e f")), ("two", Datum::text("1 2 3"))];
    for (name, recording, inputs) in [("media", 3, media), ("merge", TAGGED, merge)] {
        let plan = plan(name);
        for moment in 0.. {
            let mut cluster = Cluster::new(&plan, moment);
            cluster.submit(0, recording, &inputs, None);
            let over = (0..moment).any(|_| !cluster.step());
            cluster.cancel(0);
            cluster.run();
            cluster.assert_at_rest();
            if over {
                break;
            }
        }
    }
}
