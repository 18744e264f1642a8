//! Frames in their binary form: bit by bit what they were, and never a panic whatever comes.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::sync::Arc;

use bytes::Bytes;
use corn_core::executor::Usage;
use corn_core::message::{Body, HandOver, Header, Priority, RequestId, Seat};
use corn_core::{
    Audio, Blame, Conversation, Datum, DeviceTensor, Fault, Frame as VideoFrame, Image, Message, OnDevice,
    Part, Role, Tensor, Video,
};
use corn_plan::{BlockId, Dtype, Modality, PlanHash, RecordingId, StageId, ValueId, WorkerId};
use proptest::prelude::*;

use super::codec::Writer;
use super::link::Socket;
use super::{Borrow, DevicePlace, Frame, Full, Lend, Place, Vitals};
use crate::arena::{Arena, Foreign};
use crate::client::Piece;

/// A peer that lends from a real arena, and one that looks at what is lent.
struct Shared {
    arena: Arc<Arena>,
    foreign: Foreign,
    held: Vec<Bytes>,
    on_device: Vec<Arc<dyn OnDevice>>,
}

/// So many bytes of a device that nobody has.
struct Elsewhere(u64);

impl OnDevice for Elsewhere {
    fn bytes(&self) -> u64 {
        self.0
    }

    fn to_host(&self) -> Result<Bytes, Fault> {
        Err(Fault::setup("nobody looks at it"))
    }
}

impl Shared {
    fn new(bytes: u64) -> Self {
        let arena = Arena::new(bytes).unwrap();
        let foreign = Foreign::map(&arena.fd().try_clone_to_owned().unwrap(), arena.bytes()).unwrap();
        Self { arena, foreign, held: Vec::new(), on_device: Vec::new() }
    }
}

impl Lend for Shared {
    fn lend(&mut self, contents: &Bytes) -> Result<Place, Full> {
        let bytes = contents.len() as u64;
        let mut block = self.arena.allocate(contents.len()).ok_or(Full { bytes })?;
        block.as_mut().copy_from_slice(contents);
        let held = block.freeze();
        let offset = self.arena.offset_of(&held).unwrap();
        self.held.push(held);
        Ok(Place { offset, bytes, lease: 0 })
    }

    fn lend_on_device(&mut self, contents: &Arc<dyn OnDevice>) -> DevicePlace {
        self.on_device.push(Arc::clone(contents));
        let (arena, bytes) = (self.on_device.len() as u32 - 1, contents.bytes());
        DevicePlace { arena, place: Place { offset: 7, bytes, lease: 3 } }
    }
}

impl Borrow for Shared {
    fn borrow(&self, place: Place) -> Option<Bytes> {
        self.foreign.view(place.offset, place.bytes, || {})
    }

    fn borrow_on_device(&self, place: DevicePlace) -> Option<Arc<dyn OnDevice>> {
        assert_eq!((place.place.offset, place.place.lease), (7, 3));
        self.on_device.get(place.arena as usize).cloned()
    }
}

fn seat(worker: u32) -> Seat {
    Seat { worker: WorkerId(worker), epoch: worker + 1 }
}

fn hand_over(body: Body) -> Frame {
    let header = Header {
        plan: PlanHash(77),
        request: RequestId { number: 5, attempt: 2 },
        recording: RecordingId(3),
        replicas: [seat(0), seat(9)].into(),
        deadline_us: Some(1_000_000),
        is_traced: true,
    };
    let hand_over = HandOver { header, from: StageId(0), to: StageId(1), value: ValueId(4), turn: 6, body };
    Frame::HandOver { hand_over, sent_us: Some(9) }
}

fn tensor(dtype: Dtype, shape: &[u64]) -> Datum {
    let count = shape.iter().product::<u64>() * dtype.size_bytes();
    let bytes: Vec<u8> = (0..count).map(|byte| (byte * 7 + 3) as u8).collect();
    Datum::Tensor(Tensor { dtype, shape: shape.to_vec(), bytes: bytes.into() }.into())
}

fn image(width: u32, height: u32) -> Image {
    let rgb: Vec<u8> = (0..width * height * 3).map(|byte| byte as u8).collect();
    Image { width, height, rgb: rgb.into() }
}

fn conversation() -> Conversation {
    let parts = vec![Part::Text("what is this?".into()), Part::Media(Modality::Image)];
    let messages = vec![
        Message { role: Role::System, parts: vec![Part::Text("be brief".into())] },
        Message { role: Role::User, parts },
    ];
    Conversation { messages, media: vec![Datum::Image(image(40, 50).into())] }
}

/// One of each kind, small and large.
fn data() -> Vec<Datum> {
    let mut data = vec![
        Datum::text(""),
        Datum::text("Grüße, 世界"),
        Datum::text("long ".repeat(5000)),
        Datum::Int(-1),
        Datum::Int(i64::MAX),
        Datum::Float(-0.0),
        Datum::Float(f64::INFINITY),
        Datum::Bool(true),
        Datum::Image(image(0, 0).into()),
        Datum::Image(image(100, 33).into()),
        Datum::Audio(Audio { rate_hz: 24_000, samples: Vec::new().into() }.into()),
        Datum::Audio(Audio { rate_hz: 16_000, samples: (0..5000).map(|n| n as f32 * 0.1).collect() }.into()),
        Datum::Video(
            Video { frames: vec![VideoFrame { time_us: 40_000, image: image(60, 40).into() }; 2] }.into(),
        ),
        Datum::Messages(conversation().into()),
        Datum::List(Arc::from([])),
        Datum::List([Datum::Int(1), tensor(Dtype::F32, &[29, 4096]), Datum::text("x")].into()),
    ];
    for dtype in Dtype::ALL {
        for shape in [&[][..], &[0], &[1], &[3, 0, 2], &[2, 3, 5], &[17, 1021], &[1 << 16]] {
            data.push(tensor(dtype, shape));
        }
    }
    data
}

fn frames() -> Vec<Frame> {
    let fault = Fault::new(Blame::Lost, "it was lost").in_component("think");
    let (request, stage, value) = (RequestId::first(9), StageId(2), ValueId(3));
    let Frame::HandOver { hand_over: HandOver { header, .. }, .. } = hand_over(Body::End) else {
        unreachable!()
    };
    let vitals = Vitals {
        leases: 1,
        bytes: 2,
        arena_bytes: 3,
        by_pointer: 4,
        by_shared_memory: 5,
        by_tcp: 6,
        by_cuda: 7,
        device_bytes: 8,
        copied_bytes: 9,
    };
    let usage = Usage { prompt_tokens: 5, cached_tokens: 4, completion_tokens: 3, is_cut: true };
    let piece = Piece::Item { output: 1, datum: Datum::Int(3) };
    vec![
        Frame::Open { header, stage, inputs: vec![(value, Datum::Int(4)), (value, Datum::text("t"))] },
        Frame::Cancel { request, stage, fault: fault.clone() },
        Frame::Consumed { request, stage, value, count: 7 },
        Frame::PeerLost(seat(4)),
        hand_over(Body::End),
        hand_over(Body::Present),
        hand_over(Body::Absent),
        hand_over(Body::Credit(3)),
        hand_over(Body::RoundEnded(BlockId(2))),
        Frame::Released(1 << 40),
        Frame::Output { request, stage, value, item: None },
        Frame::Output { request, stage, value, item: Some(tensor(Dtype::Bf16, &[2, 3])) },
        Frame::Used { request, usage },
        Frame::Closed { request, stage, outcome: Ok(()) },
        Frame::Closed { request, stage, outcome: Err(fault.clone()) },
        Frame::Parted { peer: seat(1), kept: vec![(request, stage)] },
        Frame::Alive(vitals),
        Frame::Ask {
            plan: PlanHash(9),
            recording: RecordingId(1),
            inputs: vec![("prompt".to_owned(), Datum::text("hi"))],
            deadline_us: Some(5),
            priority: Priority::High,
            is_traced: true,
        },
        Frame::Piece(Some(piece)),
        Frame::Piece(Some(Piece::Failed(fault))),
        Frame::Piece(Some(Piece::Used(usage))),
        Frame::Piece(None),
        Frame::Control(b"{}".to_vec()),
    ]
}

fn read(writer: &Writer, lent: Option<&dyn Borrow>) -> Frame {
    Frame::read(&writer.head, writer.payloads.clone(), 0, lent).unwrap()
}

/// H1, H3: every dtype and shape, text, picture, sound and conversation, by payload and by shared memory.
#[test]
fn contents_arrive_bit_by_bit() {
    for datum in data() {
        let frame = hand_over(Body::Item(datum));
        let by_payload = frame.write(0, None).unwrap();
        assert_eq!(read(&by_payload, None), frame);
        let mut shared = Shared::new(16 << 20);
        let lent = frame.write(0, Some(&mut shared)).unwrap();
        assert!(lent.payloads.is_empty(), "nothing large follows the head");
        assert_eq!(read(&lent, Some(&shared)), frame);
    }
}

#[test]
fn every_frame_is_read_back() {
    for frame in frames() {
        assert_eq!(read(&frame.write(0, None).unwrap(), None), frame);
    }
}

/// Clocks of two processes have nothing to do with each other: what is left of a deadline is what counts.
#[test]
fn a_deadline_travels_as_what_is_left_of_it() {
    let frame = hand_over(Body::End);
    let written = frame.write(400_000, None).unwrap();
    let Frame::HandOver { hand_over: read, .. } =
        Frame::read(&written.head, Vec::new(), 7_000_000, None).unwrap()
    else {
        unreachable!()
    };
    assert_eq!(read.header.deadline_us, Some(7_600_000));
}

/// H6: what does not fit now is not sent in part.
#[test]
fn a_full_arena_is_said() {
    let mut shared = Shared::new(64 << 10);
    let frame = hand_over(Body::Item(tensor(Dtype::U8, &[1 << 20])));
    assert_eq!(frame.write(0, Some(&mut shared)).unwrap_err(), Full { bytes: 1 << 20 });
}

/// H1, H3: what lies on a device is handed over by its place, with dtype and shape; a shape that does not fit the bytes is
/// refused, and so is a place that the reader does not know.
#[test]
fn contents_of_a_device_travel_by_place() {
    let on_device = |dtype, shape: &[u64], bytes| {
        let contents: Arc<dyn OnDevice> = Arc::new(Elsewhere(bytes));
        hand_over(Body::Item(Datum::OnDevice(DeviceTensor { dtype, shape: shape.to_vec(), contents }.into())))
    };
    let mut shared = Shared::new(4096);
    for dtype in Dtype::ALL {
        for shape in [&[][..], &[0], &[29, 4096], &[1 << 40]] {
            let frame = on_device(dtype, shape, shape.iter().product::<u64>() * dtype.size_bytes());
            let written = frame.write(0, Some(&mut shared)).unwrap();
            assert!(written.payloads.is_empty());
            assert_eq!(Frame::read(&written.head, Vec::new(), 0, Some(&shared)).unwrap(), frame);
            assert!(Frame::read(&written.head, Vec::new(), 0, None).is_err(), "nobody lends");
        }
    }
    let short = on_device(Dtype::F32, &[3, 5], 59).write(0, Some(&mut shared)).unwrap();
    let problem = Frame::read(&short.head, Vec::new(), 0, Some(&shared)).unwrap_err();
    assert_eq!(problem.0, "a tensor<f32>[3, 5] in 59 bytes");
}

/// H3, F6: bytes that cannot be a frame are refused, wherever they end and whatever stands in them.
#[test]
fn what_cannot_be_is_refused() {
    let all = frames().into_iter().chain(data().into_iter().map(|datum| hand_over(Body::Item(datum))));
    for frame in all.filter(|frame| !matches!(frame, Frame::Control(_))) {
        let written = frame.write(0, None).unwrap();
        let step = (written.head.len() / 200).max(1);
        for end in (0..written.head.len()).step_by(step) {
            let read = Frame::read(&written.head[..end], written.payloads.clone(), 0, None);
            assert!(read.is_err(), "{frame:?} cut at {end}");
        }
        let mut longer = written.head.clone();
        longer.push(0);
        assert!(Frame::read(&longer, written.payloads.clone(), 0, None).is_err());
        if let Some(first) = written.payloads.first() {
            let short = vec![first.slice(..first.len() - 1); written.payloads.len()];
            assert!(Frame::read(&written.head, short, 0, None).is_err(), "a payload of another length");
        }
    }
}

proptest! {
    /// F6: no bytes make a reader panic or ask for more memory than they have.
    #[test]
    fn any_bytes_are_read_or_refused(head in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Frame::read(&head, Vec::new(), 0, None);
    }

    #[test]
    fn a_changed_byte_is_read_or_refused(which in 0usize..40, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let frames = frames();
        let mut written = frames[which % frames.len()].write(0, None).unwrap();
        let at = at.index(written.head.len());
        written.head[at] = byte;
        let _ = Frame::read(&written.head, written.payloads, 0, None);
    }
}

/// T3: frames larger than what a socket takes at once, to a reader that takes its time, in order.
#[test]
fn frames_cross_a_socket_in_order() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (one, other) = tokio::net::UnixStream::pair().unwrap();
        let (out, _inbox) = Socket::Unix(one).split().unwrap();
        let (_out, mut inbox) = Socket::Unix(other).split().unwrap();
        inbox.trust();
        let sent: Vec<Frame> = (0..20)
            .map(|number| hand_over(Body::Item(tensor(Dtype::U8, &[number * 100_003]))))
            .chain(frames())
            .collect();
        for frame in &sent {
            out.send(frame.write(0, None).unwrap());
        }
        for frame in &sent {
            tokio::task::yield_now().await;
            let came = inbox.next().await.unwrap().unwrap();
            assert_eq!(Frame::read(&came.head, came.payloads, 0, None).unwrap(), *frame);
        }
        drop(out);
    });
}

/// A stranger can send little before he has shown who he is.
#[test]
fn a_stranger_cannot_ask_for_memory() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        for frame in
            [hand_over(Body::Item(tensor(Dtype::U8, &[100_000]))), Frame::Control(vec![b' '; 70_000])]
        {
            let (one, other) = tokio::net::UnixStream::pair().unwrap();
            let (out, _inbox) = Socket::Unix(one).split().unwrap();
            let (_out, mut inbox) = Socket::Unix(other).split().unwrap();
            out.send(frame.write(0, None).unwrap());
            assert!(inbox.next().await.is_err());
        }
    });
}
