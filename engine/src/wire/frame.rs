//! The frames, and their binary form.
//!
//! Clocks of two processes agree on nothing, so a deadline travels as the time that is left.

use std::sync::Arc;

use corn_core::executor::Usage;
use corn_core::message::{Body, HandOver, Header, Priority, RequestId, Seat};
use corn_core::{Blame, Datum, Fault};
use corn_plan::{BlockId, PlanHash, RecordingId, StageId, ValueId, WorkerId};

use crate::client::Piece;

use super::codec::{Borrow, Full, Lend, Malformed, Reader, Writer};

/// What one process says to another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    /// The coordinator opens a replay on a worker.
    Open { header: Header, stage: StageId, inputs: Vec<(ValueId, Datum)> },
    /// The coordinator gives a replay up.
    Cancel { request: RequestId, stage: StageId, fault: Fault },
    /// The client has taken items of an output.
    Consumed { request: RequestId, stage: StageId, value: ValueId, count: u32 },
    /// Another worker's life is over.
    PeerLost(Seat),
    /// From worker to worker.
    HandOver {
        /// It.
        hand_over: HandOver,
        /// When it was sent, in µs since 1970, if its request is traced.
        sent_us: Option<u64>,
    },
    /// A reader needs what lies under a lease no more.
    Released(u64),
    /// A worker sends something of an answer.
    Output { request: RequestId, stage: StageId, value: ValueId, item: Option<Datum> },
    /// A worker says what a call has used.
    Used { request: RequestId, usage: Usage },
    /// A replay is over.
    Closed { request: RequestId, stage: StageId, outcome: Result<(), Fault> },
    /// A worker lost another; these replays with it go on.
    Parted { peer: Seat, kept: Vec<(RequestId, StageId)> },
    /// A worker lives.
    Alive(Vitals),
    /// Another process asks a deployment: by input name, with the time it has, in µs.
    Ask {
        plan: PlanHash,
        recording: RecordingId,
        inputs: Vec<(String, Datum)>,
        deadline_us: Option<u64>,
        priority: Priority,
        is_traced: bool,
    },
    /// A piece of the answer to that; `None` when it is over.
    Piece(Option<Piece>),
    /// Something that is said once in a while.
    Control(Vec<u8>),
}

/// What a worker says of itself while it lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vitals {
    /// Values held.
    pub(crate) leases: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// Bytes of its arena that are in use.
    pub(crate) arena_bytes: u64,
    /// Hand-overs to itself, by pointer.
    pub(crate) by_pointer: u64,
    /// Hand-overs through shared memory.
    pub(crate) by_shared_memory: u64,
    /// Hand-overs by TCP.
    pub(crate) by_tcp: u64,
    /// Hand-overs through memory of a GPU.
    pub(crate) by_cuda: u64,
    /// Bytes of its GPUs' arenas that are in use.
    pub(crate) device_bytes: u64,
    /// Bytes that were copied into the arena because they had been made elsewhere.
    pub(crate) copied_bytes: u64,
}

const OPEN: u8 = 1;
const CANCEL: u8 = 2;
const CONSUMED: u8 = 3;
const PEER_LOST: u8 = 4;
const HAND_OVER: u8 = 5;
const RELEASED: u8 = 6;
const OUTPUT: u8 = 7;
const CLOSED: u8 = 8;
const ALIVE: u8 = 9;
const CONTROL: u8 = 10;
const PARTED: u8 = 11;
const ASK: u8 = 12;
const PIECE: u8 = 13;
const USED: u8 = 14;

impl Frame {
    /// What is told apart when messages are counted: what they are for.
    pub(crate) const KINDS: [&'static str; 20] = [
        "open",
        "cancel",
        "consumed",
        "peer_lost",
        "item",
        "end",
        "present",
        "absent",
        "round_ended",
        "credit",
        "released",
        "output",
        "closed",
        "parted",
        "alive",
        "ask",
        "piece",
        "control",
        "output_end",
        "used",
    ];

    /// Which of [`Self::KINDS`] it is.
    pub(crate) const fn kind(&self) -> usize {
        match self {
            Self::Open { .. } => 0,
            Self::Cancel { .. } => 1,
            Self::Consumed { .. } => 2,
            Self::PeerLost(_) => 3,
            Self::HandOver { hand_over, .. } => match hand_over.body {
                Body::Item(_) => 4,
                Body::End => 5,
                Body::Present => 6,
                Body::Absent => 7,
                Body::RoundEnded(_) => 8,
                Body::Credit(_) => 9,
            },
            Self::Released(_) => 10,
            Self::Output { item: Some(_), .. } => 11,
            Self::Output { item: None, .. } => 18,
            Self::Used { .. } => 19,
            Self::Closed { .. } => 12,
            Self::Parted { .. } => 13,
            Self::Alive(_) => 14,
            Self::Ask { .. } => 15,
            Self::Piece(_) => 16,
            Self::Control(_) => 17,
        }
    }

    /// Its binary form at `now_us` of this process's clock; contents are lent to `lender`, if there is one.
    pub(crate) fn write(&self, now_us: u64, lender: Option<&mut dyn Lend>) -> Result<Writer, Full> {
        let mut to = Writer::default();
        let mut lender = lender;
        match self {
            Self::Open { header, stage, inputs } => {
                to.u8(OPEN);
                put_header(&mut to, header, now_us);
                to.u32(stage.0);
                to.u32(inputs.len() as u32);
                for (value, datum) in inputs {
                    to.u32(value.0);
                    to.datum(datum, &mut lender)?;
                }
            }
            Self::Cancel { request, stage, fault } => {
                to.u8(CANCEL);
                put_request(&mut to, *request);
                to.u32(stage.0);
                put_fault(&mut to, fault);
            }
            Self::Consumed { request, stage, value, count } => {
                to.u8(CONSUMED);
                put_request(&mut to, *request);
                to.u32(stage.0);
                to.u32(value.0);
                to.u32(*count);
            }
            Self::PeerLost(seat) => {
                to.u8(PEER_LOST);
                put_seat(&mut to, *seat);
            }
            Self::HandOver { hand_over, sent_us } => {
                to.u8(HAND_OVER);
                put_header(&mut to, &hand_over.header, now_us);
                to.u32(hand_over.from.0);
                to.u32(hand_over.to.0);
                to.u32(hand_over.value.0);
                to.u64(hand_over.turn);
                to.option(*sent_us, Writer::u64);
                put_body(&mut to, &hand_over.body, &mut lender)?;
            }
            Self::Released(lease) => {
                to.u8(RELEASED);
                to.u64(*lease);
            }
            Self::Output { request, stage, value, item } => {
                to.u8(OUTPUT);
                put_request(&mut to, *request);
                to.u32(stage.0);
                to.u32(value.0);
                to.u8(u8::from(item.is_some()));
                if let Some(item) = item {
                    to.datum(item, &mut lender)?;
                }
            }
            Self::Used { request, usage } => {
                to.u8(USED);
                put_request(&mut to, *request);
                put_usage(&mut to, usage);
            }
            Self::Closed { request, stage, outcome } => {
                to.u8(CLOSED);
                put_request(&mut to, *request);
                to.u32(stage.0);
                to.option(outcome.as_ref().err(), put_fault);
            }
            Self::Parted { peer, kept } => {
                to.u8(PARTED);
                put_seat(&mut to, *peer);
                put_kept(&mut to, kept);
            }
            Self::Alive(vitals) => {
                to.u8(ALIVE);
                vitals.each().into_iter().for_each(|value| to.u64(value));
            }
            Self::Ask { plan, recording, inputs, deadline_us, priority, is_traced } => {
                to.u8(ASK);
                to.u64(plan.0);
                to.u32(recording.0);
                to.u32(inputs.len() as u32);
                for (name, datum) in inputs {
                    to.text(name);
                    to.datum(datum, &mut lender)?;
                }
                to.option(*deadline_us, Writer::u64);
                to.u8(PRIORITIES.iter().position(|known| known == priority).expect("every class is listed")
                    as u8);
                to.u8(u8::from(*is_traced));
            }
            Self::Piece(piece) => {
                to.u8(PIECE);
                put_piece(&mut to, piece.as_ref(), &mut lender)?;
            }
            Self::Control(json) => {
                to.u8(CONTROL);
                to.head.extend_from_slice(json);
            }
        }
        Ok(to)
    }

    /// A frame from its binary form.
    pub(crate) fn read(
        head: &[u8],
        payloads: Vec<bytes::Bytes>,
        now_us: u64,
        lent: Option<&dyn Borrow>,
    ) -> Result<Self, Malformed> {
        if let Some((&CONTROL, json)) = head.split_first() {
            return Ok(Self::Control(json.to_vec()));
        }
        let mut from = Reader::new(head, payloads, lent);
        let frame = match from.u8()? {
            OPEN => {
                let header = get_header(&mut from, now_us)?;
                let stage = StageId(from.u32()?);
                let count = from.count(6)?;
                let inputs = (0..count).map(|_| Ok((ValueId(from.u32()?), from.datum()?)));
                let inputs = inputs.collect::<Result<_, Malformed>>()?;
                Self::Open { header, stage, inputs }
            }
            CANCEL => {
                let (request, stage) = (get_request(&mut from)?, StageId(from.u32()?));
                Self::Cancel { request, stage, fault: get_fault(&mut from)? }
            }
            CONSUMED => {
                let (request, stage) = (get_request(&mut from)?, StageId(from.u32()?));
                Self::Consumed { request, stage, value: ValueId(from.u32()?), count: from.u32()? }
            }
            PEER_LOST => Self::PeerLost(get_seat(&mut from)?),
            HAND_OVER => {
                let header = get_header(&mut from, now_us)?;
                let (sender, to) = (StageId(from.u32()?), StageId(from.u32()?));
                let (value, turn) = (ValueId(from.u32()?), from.u64()?);
                let sent_us = from.option(Reader::u64)?;
                let body = get_body(&mut from)?;
                let hand_over = HandOver { header, from: sender, to, value, turn, body };
                Self::HandOver { hand_over, sent_us }
            }
            RELEASED => Self::Released(from.u64()?),
            OUTPUT => {
                let (request, stage) = (get_request(&mut from)?, StageId(from.u32()?));
                let value = ValueId(from.u32()?);
                Self::Output { request, stage, value, item: from.option(Reader::datum)? }
            }
            USED => Self::Used { request: get_request(&mut from)?, usage: get_usage(&mut from)? },
            CLOSED => {
                let (request, stage) = (get_request(&mut from)?, StageId(from.u32()?));
                let outcome = from.option(get_fault)?.map_or(Ok(()), Err);
                Self::Closed { request, stage, outcome }
            }
            PARTED => {
                let peer = get_seat(&mut from)?;
                Self::Parted { peer, kept: get_kept(&mut from)? }
            }
            ASK => get_ask(&mut from)?,
            PIECE => Self::Piece(get_piece(&mut from)?),
            ALIVE => Self::Alive(Vitals::read(&mut from)?),
            other => return Err(Malformed(format!("a frame of kind {other}"))),
        };
        from.end()?;
        Ok(frame)
    }
}

impl Vitals {
    const fn each(&self) -> [u64; 9] {
        let Self { leases, bytes, arena_bytes, by_pointer, by_shared_memory, by_tcp, .. } = *self;
        let Self { by_cuda, device_bytes, copied_bytes, .. } = *self;
        [
            leases,
            bytes,
            arena_bytes,
            by_pointer,
            by_shared_memory,
            by_tcp,
            by_cuda,
            device_bytes,
            copied_bytes,
        ]
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            leases: from.u64()?,
            bytes: from.u64()?,
            arena_bytes: from.u64()?,
            by_pointer: from.u64()?,
            by_shared_memory: from.u64()?,
            by_tcp: from.u64()?,
            by_cuda: from.u64()?,
            device_bytes: from.u64()?,
            copied_bytes: from.u64()?,
        })
    }
}

fn put_request(to: &mut Writer, request: RequestId) {
    to.u64(request.number);
    to.u32(request.attempt);
}

fn get_request(from: &mut Reader<'_>) -> Result<RequestId, Malformed> {
    Ok(RequestId { number: from.u64()?, attempt: from.u32()? })
}

fn put_kept(to: &mut Writer, kept: &[(RequestId, StageId)]) {
    to.u32(kept.len() as u32);
    for (request, stage) in kept {
        put_request(to, *request);
        to.u32(stage.0);
    }
}

fn get_kept(from: &mut Reader<'_>) -> Result<Vec<(RequestId, StageId)>, Malformed> {
    let count = from.count(16)?;
    (0..count).map(|_| Ok((get_request(from)?, StageId(from.u32()?)))).collect()
}

fn put_seat(to: &mut Writer, seat: Seat) {
    to.u32(seat.worker.0);
    to.u32(seat.epoch);
}

fn get_seat(from: &mut Reader<'_>) -> Result<Seat, Malformed> {
    Ok(Seat { worker: WorkerId(from.u32()?), epoch: from.u32()? })
}

fn put_header(to: &mut Writer, header: &Header, now_us: u64) {
    to.u64(header.plan.0);
    put_request(to, header.request);
    to.u32(header.recording.0);
    to.u32(header.replicas.len() as u32);
    for seat in header.replicas.iter() {
        put_seat(to, *seat);
    }
    to.option(header.deadline_us, |to, deadline_us| to.u64(deadline_us.saturating_sub(now_us)));
    to.u8(u8::from(header.is_traced));
}

fn get_header(from: &mut Reader<'_>, now_us: u64) -> Result<Header, Malformed> {
    let plan = PlanHash(from.u64()?);
    let request = get_request(from)?;
    let recording = RecordingId(from.u32()?);
    let count = from.count(8)?;
    let replicas = (0..count).map(|_| get_seat(from)).collect::<Result<Arc<[Seat]>, Malformed>>()?;
    let left_us = from.option(Reader::u64)?;
    let deadline_us = left_us.map(|left_us| now_us.saturating_add(left_us));
    let is_traced = from.u8()? != 0;
    Ok(Header { plan, request, recording, replicas, deadline_us, is_traced })
}

fn put_body(to: &mut Writer, body: &Body, lender: &mut Option<&mut dyn Lend>) -> Result<(), Full> {
    match body {
        Body::Item(datum) => {
            to.u8(0);
            to.datum(datum, lender)?;
        }
        Body::End => to.u8(1),
        Body::Credit(count) => {
            to.u8(2);
            to.u32(*count);
        }
        Body::Present => to.u8(3),
        Body::Absent => to.u8(4),
        Body::RoundEnded(block) => {
            to.u8(5);
            to.u32(block.0);
        }
    }
    Ok(())
}

fn get_body(from: &mut Reader<'_>) -> Result<Body, Malformed> {
    Ok(match from.u8()? {
        0 => Body::Item(from.datum()?),
        1 => Body::End,
        2 => Body::Credit(from.u32()?),
        3 => Body::Present,
        4 => Body::Absent,
        5 => Body::RoundEnded(BlockId(from.u32()?)),
        other => return Err(Malformed(format!("a body of kind {other}"))),
    })
}

const PRIORITIES: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];

fn get_ask(from: &mut Reader<'_>) -> Result<Frame, Malformed> {
    let plan = PlanHash(from.u64()?);
    let recording = RecordingId(from.u32()?);
    let count = from.count(6)?;
    let inputs = (0..count).map(|_| Ok((from.text()?.to_owned(), from.datum()?)));
    let inputs = inputs.collect::<Result<_, Malformed>>()?;
    let deadline_us = from.option(Reader::u64)?;
    let priority = PRIORITIES.get(usize::from(from.u8()?)).copied();
    let priority = priority.ok_or_else(|| Malformed("a priority that does not exist".to_owned()))?;
    let is_traced = from.u8()? != 0;
    Ok(Frame::Ask { plan, recording, inputs, deadline_us, priority, is_traced })
}

fn put_piece(to: &mut Writer, piece: Option<&Piece>, lender: &mut Option<&mut dyn Lend>) -> Result<(), Full> {
    match piece {
        None => to.u8(0),
        Some(Piece::Item { output, datum }) => {
            to.u8(1);
            to.u32(*output as u32);
            to.datum(datum, lender)?;
        }
        Some(Piece::End { output }) => {
            to.u8(2);
            to.u32(*output as u32);
        }
        Some(Piece::Failed(fault)) => {
            to.u8(3);
            put_fault(to, fault);
        }
        Some(Piece::Used(usage)) => {
            to.u8(4);
            put_usage(to, usage);
        }
    }
    Ok(())
}

fn get_piece(from: &mut Reader<'_>) -> Result<Option<Piece>, Malformed> {
    Ok(match from.u8()? {
        0 => None,
        1 => Some(Piece::Item { output: from.u32()? as usize, datum: from.datum()? }),
        2 => Some(Piece::End { output: from.u32()? as usize }),
        3 => Some(Piece::Failed(get_fault(from)?)),
        4 => Some(Piece::Used(get_usage(from)?)),
        other => return Err(Malformed(format!("a piece of kind {other}"))),
    })
}

fn put_usage(to: &mut Writer, usage: &Usage) {
    let Usage { prompt_tokens, cached_tokens, completion_tokens, is_cut } = *usage;
    to.u64(prompt_tokens);
    to.u64(cached_tokens);
    to.u64(completion_tokens);
    to.u8(u8::from(is_cut));
}

fn get_usage(from: &mut Reader<'_>) -> Result<Usage, Malformed> {
    let (prompt_tokens, cached_tokens) = (from.u64()?, from.u64()?);
    Ok(Usage { prompt_tokens, cached_tokens, completion_tokens: from.u64()?, is_cut: from.u8()? != 0 })
}

const BLAMES: [Blame; 8] = [
    Blame::Request,
    Blame::Setup,
    Blame::Component,
    Blame::Busy,
    Blame::Unavailable,
    Blame::Lost,
    Blame::Deadline,
    Blame::Cancelled,
];

fn put_fault(to: &mut Writer, fault: &Fault) {
    let blame = BLAMES.iter().position(|blame| *blame == fault.blame);
    to.u8(blame.expect("every blame is listed") as u8);
    to.text(&fault.message);
    to.option(fault.component.as_deref(), Writer::text);
}

fn get_fault(from: &mut Reader<'_>) -> Result<Fault, Malformed> {
    let blame = from.u8()?;
    let blame = BLAMES.get(usize::from(blame)).copied();
    let blame = blame.ok_or_else(|| Malformed("a fault that nobody is to blame for".to_owned()))?;
    let message = from.text()?.to_owned();
    let component = from.option(Reader::text)?.map(str::to_owned);
    Ok(Fault { blame, message, component })
}
