//! Several connections beside one, over which large payloads cross in pieces: one stream of TCP is often held to less
//! than what lies between two hosts, by its window or by whoever runs the network.
//!
//! Whoever sends opens the lanes and says on the link itself, frame by frame, which payloads are cut and into how many
//! pieces. The first piece follows the frame, and each other one goes over a lane of its own. Both ends cut alike and
//! in the order of the frames, so lanes carry nothing but contents.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::time::Duration;

use tokio::sync::Notify;

use super::link::Inbox;

/// How many lanes a link has beside itself.
pub(crate) const LANES: u8 = 3;
/// Payloads that are smaller cross whole: waiting for one more connection would take longer.
pub(crate) const CUT_FROM_BYTES: usize = 4 << 20;
/// How long a lane that was announced may take to come.
const COMES_WITHIN: Duration = Duration::from_secs(5);
/// Where the count of lanes stands in the length of a payload.
const COUNT_SHIFT: u32 = 56;

/// The length of a payload as a frame says it, and into how many pieces beside the first it is cut.
pub(crate) const fn announced(bytes: u64, lanes: u8) -> u64 {
    bytes | (lanes as u64) << COUNT_SHIFT
}

/// What [`announced`] says.
pub(crate) const fn heard(announced: u64) -> (u64, u8) {
    (announced & ((1 << COUNT_SHIFT) - 1), (announced >> COUNT_SHIFT) as u8)
}

/// Where each of `lanes` + 1 pieces lies.
pub(crate) fn pieces(bytes: usize, lanes: u8) -> impl Iterator<Item = Range<usize>> {
    let count = usize::from(lanes) + 1;
    let border = move |piece: usize| bytes / count * piece + (bytes % count).min(piece);
    (0..count).map(move |piece| border(piece)..border(piece + 1))
}

/// The lanes of a link, where it ends. They come in any order, and maybe after what is to come over them.
#[derive(Default)]
pub(crate) struct Lanes {
    come: RefCell<Vec<Option<Inbox>>>,
    changed: Notify,
}

impl Lanes {
    /// A lane has come; whether it is one that the link may have.
    pub(crate) fn add(&self, lane: u8, inbox: Inbox) -> bool {
        if lane >= LANES {
            return false;
        }
        let mut come = self.come.borrow_mut();
        let place = usize::from(lane);
        if come.len() <= place {
            come.resize_with(place + 1, || None);
        }
        let is_new = come[place].is_none();
        come[place] = Some(inbox);
        drop(come);
        self.changed.notify_waiters();
        is_new
    }

    /// Fills `rest`, a piece from each of the first `lanes` lanes.
    pub(crate) async fn read(&self, rest: &mut [u8], first: usize, lanes: u8) -> io::Result<()> {
        let mut inboxes = tokio::time::timeout(COMES_WITHIN, self.take(lanes)).await.map_err(|_| {
            io::Error::new(ErrorKind::TimedOut, "a connection beside the link was announced and did not come")
        })??;
        let total = first + rest.len();
        let mut left = rest;
        let mut reads = Vec::with_capacity(inboxes.len());
        for (inbox, piece) in inboxes.iter_mut().zip(pieces(total, lanes).skip(1)) {
            let (into, after) = std::mem::take(&mut left).split_at_mut(piece.len());
            left = after;
            reads.push(inbox.read_exact(into));
        }
        futures_util::future::try_join_all(reads).await?;
        let mut come = self.come.borrow_mut();
        for (place, inbox) in come.iter_mut().zip(inboxes) {
            *place = Some(inbox);
        }
        Ok(())
    }

    /// Takes the first `lanes` lanes, as soon as all of them are there.
    async fn take(&self, lanes: u8) -> io::Result<Vec<Inbox>> {
        if lanes > LANES {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("a payload in {lanes} pieces")));
        }
        loop {
            let changed = self.changed.notified();
            {
                let mut come = self.come.borrow_mut();
                let wanted = come.get_mut(..usize::from(lanes));
                if let Some(wanted) = wanted
                    && wanted.iter().all(Option::is_some)
                {
                    return Ok(wanted.iter_mut().filter_map(Option::take).collect());
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]
mod tests {
    use std::rc::Rc;

    use bytes::Bytes;
    use tokio::net::TcpListener;
    use tokio::task::{LocalSet, spawn_local};

    use super::{CUT_FROM_BYTES, LANES, Lanes, announced, heard, pieces};
    use crate::wire::codec::Writer;
    use crate::wire::greet::Token;
    use crate::wire::link::{Inbox, Outbox, Socket};

    #[test]
    fn pieces_cover_everything_once() {
        for bytes in [0, 1, 3, 4, 5, 1023, 4 << 20] {
            for lanes in 0..4 {
                let pieces: Vec<_> = pieces(bytes, lanes).collect();
                assert_eq!(pieces.len(), usize::from(lanes) + 1);
                assert_eq!((pieces[0].start, pieces[pieces.len() - 1].end), (0, bytes));
                assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start));
            }
        }
    }

    #[test]
    fn what_is_announced_is_heard() {
        for (bytes, lanes) in [(0, 0), (4 << 20, 3), ((1 << 56) - 1, 255)] {
            assert_eq!(heard(announced(bytes, lanes)), (bytes, lanes));
        }
    }

    /// A connection over loopback: where it is written and where it is read.
    async fn connection(listener: &TcpListener) -> (Outbox, Inbox) {
        let address = listener.local_addr().unwrap().to_string();
        let token = Token::new("nobody asks");
        let (there, here) = tokio::join!(Socket::tcp(&address, &token), listener.accept());
        let (out, _) = there.unwrap().split().unwrap();
        let (_, mut inbox) = Socket::of_tcp(here.unwrap().0).and_then(Socket::split).unwrap();
        inbox.trust();
        (out, inbox)
    }

    fn frame(number: usize) -> Writer {
        let sizes = [5000, CUT_FROM_BYTES - 1, CUT_FROM_BYTES, CUT_FROM_BYTES + 1, 3 * CUT_FROM_BYTES + 2];
        let payload = |place: usize| -> Bytes {
            (0..sizes[(number + place) % sizes.len()])
                .map(|at| (at * 31 + number * 7 + place) as u8)
                .collect()
        };
        Writer { head: vec![number as u8; 10], payloads: (0..number % 3).map(payload).collect() }
    }

    /// H1: payloads that cross in pieces, and others between them, arrive bit by bit and in order; also those that were
    /// cut before the last lane had come.
    #[test]
    fn large_payloads_cross_in_pieces() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (out, mut inbox) = connection(&listener).await;
            let lanes = Rc::new(Lanes::default());
            inbox.widen(Rc::clone(&lanes));
            out.send(frame(0));
            assert!(out.would_cut(&frame(2)));
            let (mut outs, mut inboxes) = (Vec::new(), Vec::new());
            for _ in 0..LANES {
                let (out, inbox) = connection(&listener).await;
                outs.push(out);
                inboxes.push(inbox);
            }
            out.widen(outs);
            let sent = spawn_local(async move {
                for number in 1..24 {
                    out.send(frame(number));
                    out.room().await;
                }
            });
            let late = Rc::clone(&lanes);
            let come = spawn_local(async move {
                for (lane, inbox) in inboxes.into_iter().enumerate().rev() {
                    tokio::task::yield_now().await;
                    assert!(late.add(lane as u8, inbox));
                }
            });
            for number in 0..24 {
                let (came, sent) = (inbox.next().await.unwrap().unwrap(), frame(number));
                assert_eq!(came.head, sent.head);
                assert!(came.payloads == sent.payloads, "the payloads of frame {number} differ");
            }
            sent.await.unwrap();
            come.await.unwrap();
        });
    }

    /// A lane that breaks ends the link: what was to come over it never will.
    #[test]
    fn a_lane_that_breaks_ends_the_link() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (out, mut inbox) = connection(&listener).await;
            let lanes = Rc::new(Lanes::default());
            inbox.widen(Rc::clone(&lanes));
            let mut outs = Vec::new();
            for lane in 0..LANES {
                let (out, inbox) = connection(&listener).await;
                assert!(lanes.add(lane, inbox));
                outs.push(out);
            }
            let (broken, _) = connection(&listener).await;
            outs[1] = broken;
            out.widen(outs);
            out.send(frame(2));
            assert!(inbox.next().await.is_err());
        });
    }
}
