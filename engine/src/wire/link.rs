//! A connection between two processes, and frames on it.
//!
//! A frame is `head bytes: u32`, `payloads: u32`, the length of each payload as `u64`, the head, and the
//! payloads, of which large ones may cross in pieces ([`lanes`](super::lanes)). It is written at once and without copying where the socket takes it; what it does not take
//! waits in order. What waits is bounded by what the plan lets be under way.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, sockopt,
};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{TcpStream, UnixStream, tcp};
use tokio::sync::Notify;

use super::cipher::Side;
use super::codec::Writer;
use super::greet::Token;
use super::lanes::{CUT_FROM_BYTES, Lanes, announced, heard, pieces};
use super::quiet::{self, QuietRead, QuietWrite};

/// Most bytes of a head. Texts stand in heads, so this bounds those too.
const MAX_HEAD_BYTES: u32 = 64 << 20;
/// Most bytes of a frame of somebody who has not shown yet that he knows the token.
const MAX_STRANGERS_BYTES: u32 = 64 << 10;
/// Most payloads of a frame.
const MAX_PAYLOADS: u32 = 4096;
/// A host that acknowledges nothing for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(5);
/// Most descriptors that are sent together: of a worker's arena, and of those of its GPUs.
const MAX_FDS: usize = 17;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;
/// Buffers that are written at once.
const WRITE_SLICES: usize = 64;

/// A connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
    /// To another host, encrypted beyond this end; and what proofs are bound to over it.
    Concealed(UnixStream, String),
}

impl Socket {
    pub(crate) async fn unix(path: &Path) -> io::Result<Self> {
        UnixStream::connect(path).await.map(Self::Unix)
    }

    /// Connects to another host, as bearers of `token` do.
    pub(crate) async fn tcp(address: &str, token: &Token) -> io::Result<Self> {
        Self::of_tcp(TcpStream::connect(address).await?)?.secured(token, Side::Connects).await
    }

    /// The connection, encrypted if it goes to another host and bearers of `token` encrypt.
    pub(crate) async fn secured(self, token: &Token, side: Side) -> io::Result<Self> {
        match (self, token.cipher()) {
            (Self::Tcp(stream), Some(cipher)) => {
                let (near, binding) = cipher.conceal(stream, side).await?;
                Ok(Self::Concealed(near, binding))
            }
            (socket, _) => Ok(socket),
        }
    }

    /// A connection to another host. If the host or the way to it is gone, both ends find out within some seconds,
    /// whether or not they have something to say.
    pub(crate) fn of_tcp(stream: TcpStream) -> io::Result<Self> {
        // A hand-over is waited for: it must not wait for more to be sent.
        stream.set_nodelay(true)?;
        sockopt::set_tcp_user_timeout(&stream, GONE_AFTER.as_millis() as u32)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, GONE_AFTER / 5)?;
        sockopt::set_tcp_keepintvl(&stream, GONE_AFTER / 5)?;
        sockopt::set_tcp_keepcnt(&stream, 4)?;
        Ok(Self::Tcp(stream))
    }

    /// Sends descriptors, with one byte that nobody looks at. Before any frame.
    pub(crate) async fn send_fds(&self, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let Self::Unix(stream) = self else { return Err(no_descriptors()) };
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
                return Err(io::Error::other(format!("{} descriptors are too many", fds.len())));
            }
            let sent =
                rustix::net::sendmsg(stream, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL);
            sent.map(drop).map_err(io::Error::from)
        };
        stream.async_io(Interest::WRITABLE, send).await
    }

    /// Takes what [`Socket::send_fds`] sent, at least one.
    pub(crate) async fn take_fds(&self) -> io::Result<Vec<OwnedFd>> {
        let Self::Unix(stream) = self else { return Err(no_descriptors()) };
        let take = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let mut into = [io::IoSliceMut::new(&mut byte)];
            rustix::net::recvmsg(stream, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
            let mut fds = Vec::new();
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(came) = message {
                    fds.extend(came);
                }
            }
            if fds.is_empty() {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "no descriptor came"));
            }
            Ok(fds)
        };
        stream.async_io(Interest::READABLE, take).await
    }

    /// Its two directions.
    pub(crate) fn split(self) -> io::Result<(Outbox, Inbox)> {
        let of_unix = |stream: UnixStream| {
            let (read, write) = quiet::halves(stream.into_std()?)?;
            io::Result::Ok((ReadHalf::Unix(read), WriteHalf::Unix(write)))
        };
        let ((half, write), bound_to) = match self {
            Self::Unix(stream) => (of_unix(stream)?, String::new()),
            Self::Concealed(stream, binding) => (of_unix(stream)?, binding),
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                ((ReadHalf::Tcp(read), WriteHalf::Tcp(write)), String::new())
            }
        };
        let inbox = Inbox { half, buffer: Vec::new(), at: 0, is_known: false, lanes: None, bound_to };
        Ok((Outbox::new(write), inbox))
    }
}

fn no_descriptors() -> io::Error {
    io::Error::new(ErrorKind::Unsupported, "descriptors cannot be sent to another host")
}

enum WriteHalf {
    Unix(QuietWrite),
    Tcp(tcp::OwnedWriteHalf),
}

enum ReadHalf {
    Unix(QuietRead),
    Tcp(tcp::OwnedReadHalf),
}

/// The way out. Cloning gives another handle to the same.
#[derive(Clone)]
pub(crate) struct Outbox {
    inner: Rc<Outgoing>,
}

struct Outgoing {
    half: WriteHalf,
    /// Connections beside this one, for pieces of large payloads.
    lanes: RefCell<Vec<Outbox>>,
    waiting: RefCell<VecDeque<Bytes>>,
    more: Notify,
    written: Notify,
    broken: Cell<bool>,
    /// The socket took no more; a task writes the rest when it does.
    is_blocked: Cell<bool>,
}

impl Outbox {
    fn new(half: WriteHalf) -> Self {
        let inner = Outgoing {
            half,
            lanes: RefCell::default(),
            waiting: RefCell::default(),
            more: Notify::new(),
            written: Notify::new(),
            broken: Cell::new(false),
            is_blocked: Cell::new(false),
        };
        let inner = Rc::new(inner);
        tokio::task::spawn_local(flush(Rc::clone(&inner)));
        Self { inner }
    }

    /// Sends a frame, now or as soon as the socket takes it. What is sent after the link broke is lost; its other
    /// direction says so.
    pub(crate) fn send(&self, frame: Writer) {
        self.queue(frame);
        self.flush();
    }

    /// The same, but not before [`Self::flush`]: frames that belong together cross in one write, and wake their
    /// reader once.
    pub(crate) fn queue(&self, frame: Writer) {
        if self.inner.broken.get() {
            return;
        }
        let mut first = Vec::with_capacity(8 + 8 * frame.payloads.len() + frame.head.len());
        first.extend_from_slice(&(frame.head.len() as u32).to_le_bytes());
        first.extend_from_slice(&(frame.payloads.len() as u32).to_le_bytes());
        let lanes = self.inner.lanes.borrow();
        let count = |payload: &Bytes| if payload.len() < CUT_FROM_BYTES { 0 } else { lanes.len() as u8 };
        for payload in &frame.payloads {
            first.extend_from_slice(&announced(payload.len() as u64, count(payload)).to_le_bytes());
        }
        first.extend_from_slice(&frame.head);
        let mut waiting = self.inner.waiting.borrow_mut();
        waiting.push_back(first.into());
        for payload in frame.payloads {
            let mut pieces = pieces(payload.len(), count(&payload)).map(|piece| payload.slice(piece));
            waiting.extend(pieces.next());
            for (lane, piece) in lanes.iter().zip(pieces) {
                lane.inner.waiting.borrow_mut().push_back(piece);
            }
        }
    }

    /// Large payloads cross over `lanes` as well from now on.
    pub(crate) fn widen(&self, lanes: Vec<Self>) {
        *self.inner.lanes.borrow_mut() = lanes;
    }

    /// Whether something that is queued now would cross in pieces if there were lanes.
    pub(crate) fn would_cut(&self, frame: &Writer) -> bool {
        self.inner.lanes.borrow().is_empty() && frame.payloads.iter().any(|it| it.len() >= CUT_FROM_BYTES)
    }

    /// Sends what was queued, as far as the socket takes it now; the rest follows.
    pub(crate) fn flush(&self) {
        for lane in self.inner.lanes.borrow().iter() {
            lane.flush();
        }
        if self.inner.is_blocked.get() || self.inner.waiting.borrow().is_empty() {
            return;
        }
        self.inner.write();
        if !self.inner.waiting.borrow().is_empty() {
            self.inner.is_blocked.set(true);
            self.inner.more.notify_one();
        }
    }
}

impl Outbox {
    /// Ends when nothing waits to be written: a reader that is slow holds back whoever asks for room.
    pub(crate) async fn room(&self) {
        while !self.inner.waiting.borrow().is_empty() {
            self.inner.written.notified().await;
        }
    }

    /// Ends when everything that was queued has been written, over the lanes as well.
    pub(crate) async fn all_written(&self) {
        self.flush();
        let lanes = self.inner.lanes.borrow().clone();
        for lane in lanes {
            lane.room().await;
        }
        self.room().await;
    }
}

impl Outgoing {
    /// Writes as much as the socket takes now.
    fn write(&self) {
        let mut waiting = self.waiting.borrow_mut();
        while !waiting.is_empty() {
            let slices: Vec<IoSlice<'_>> =
                waiting.iter().take(WRITE_SLICES).map(|bytes| IoSlice::new(bytes)).collect();
            let written = match &self.half {
                WriteHalf::Unix(half) => half.write_vectored(&slices),
                WriteHalf::Tcp(half) => half.try_write_vectored(&slices),
            };
            match written {
                Ok(mut written) => {
                    while let Some(front) = waiting.front_mut()
                        && (written > 0 || front.is_empty())
                    {
                        let taken = written.min(front.len());
                        front.advance(taken);
                        written -= taken;
                        if front.is_empty() {
                            waiting.pop_front();
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.broken.set(true);
                    waiting.clear();
                }
            }
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match &self.half {
            WriteHalf::Unix(half) => half.writable().await,
            WriteHalf::Tcp(half) => half.writable().await,
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        // This handle and the task that flushes are the last: once nothing waits, the task ends, and with it
        // this direction of the connection.
        if Rc::strong_count(&self.inner) == 2 {
            self.inner.more.notify_one();
        }
    }
}

/// Writes what waits, whenever there is something and the socket takes it.
async fn flush(outgoing: Rc<Outgoing>) {
    loop {
        if outgoing.is_blocked.get() {
            if outgoing.writable().await.is_ok() {
                outgoing.write();
            } else {
                outgoing.broken.set(true);
                outgoing.waiting.borrow_mut().clear();
            }
            if outgoing.waiting.borrow().is_empty() {
                outgoing.is_blocked.set(false);
                outgoing.written.notify_waiters();
            }
        } else if Rc::strong_count(&outgoing) > 1 {
            outgoing.more.notified().await;
        } else if outgoing.waiting.borrow().is_empty() {
            return;
        } else {
            // Queued before the last handle was dropped.
            outgoing.is_blocked.set(true);
        }
    }
}

/// The way in.
pub(crate) struct Inbox {
    half: ReadHalf,
    buffer: Vec<u8>,
    at: usize,
    is_known: bool,
    /// Where pieces of large payloads come, if the other end may cut them.
    lanes: Option<Rc<Lanes>>,
    bound_to: String,
}

/// A frame as it came.
pub(crate) struct Came {
    pub(crate) head: Vec<u8>,
    pub(crate) payloads: Vec<Bytes>,
}

impl Inbox {
    /// Whoever is at the other end has shown that he knows the token: his frames may be large.
    pub(crate) const fn trust(&mut self) {
        self.is_known = true;
    }

    /// What proofs of the token are bound to over this connection; nothing, if it is not encrypted.
    pub(crate) fn bound_to(&self) -> &str {
        &self.bound_to
    }

    /// Pieces of large payloads may come over `lanes`.
    pub(crate) fn widen(&mut self, lanes: Rc<Lanes>) {
        self.lanes = Some(lanes);
    }

    /// The next frame; `None` when the other end has closed. Not cancel safe: a frame that was begun is lost.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Came>> {
        if !self.fill(8).await? {
            return if self.at == self.buffer.len() {
                Ok(None)
            } else {
                Err(ErrorKind::UnexpectedEof.into())
            };
        }
        let head_bytes = self.u32();
        let payloads = self.u32();
        let (most_bytes, most_payloads) =
            if self.is_known { (MAX_HEAD_BYTES, MAX_PAYLOADS) } else { (MAX_STRANGERS_BYTES, 0) };
        if head_bytes > most_bytes || payloads > most_payloads {
            let message = format!("a frame of {head_bytes} bytes and {payloads} payloads");
            return Err(io::Error::new(ErrorKind::InvalidData, message));
        }
        let needed = head_bytes as usize + 8 * payloads as usize;
        if !self.fill(needed).await? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let lengths: Vec<u64> = (0..payloads).map(|_| self.u64()).collect();
        let head = self.buffer[self.at..self.at + head_bytes as usize].to_vec();
        self.at += head_bytes as usize;
        let mut contents = Vec::with_capacity(lengths.len());
        for announced in lengths {
            contents.push(match heard(announced) {
                (bytes, 0) => self.payload(bytes).await?,
                (bytes, lanes) => self.cut_payload(bytes, lanes).await?,
            });
        }
        Ok(Some(Came { head, payloads: contents }))
    }

    /// A payload, read straight to where it stays.
    async fn payload(&mut self, length: u64) -> io::Result<Bytes> {
        let length = room_for(length)?;
        if matches!(self.half, ReadHalf::Unix(_)) {
            let mut payload = vec![0; length];
            self.read_exact(&mut payload).await?;
            return Ok(payload.into());
        }
        let mut payload: Vec<u8> = Vec::with_capacity(length);
        let there = (self.buffer.len() - self.at).min(length);
        payload.extend_from_slice(&self.buffer[self.at..self.at + there]);
        self.at += there;
        let mut left = (length - there) as u64;
        while left > 0 {
            let ReadHalf::Tcp(half) = &mut self.half else { unreachable!("it was no Unix socket before") };
            let read = half.take(left).read_buf(&mut payload).await?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
        }
        Ok(payload.into())
    }

    /// A payload that comes in pieces, read straight to where they stay.
    async fn cut_payload(&mut self, length: u64, lanes: u8) -> io::Result<Bytes> {
        let others = self.lanes.clone();
        let others = others
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "pieces of a payload on a whole link"))?;
        let length = room_for(length)?;
        // Fresh pages are zero anyway: that costs nothing.
        let mut payload = vec![0; length];
        let first = pieces(length, lanes).next().map_or(0, |piece| piece.len());
        let (here, elsewhere) = payload.split_at_mut(first);
        tokio::try_join!(self.read_exact(here), others.read(elsewhere, first, lanes))?;
        Ok(payload.into())
    }

    /// Fills `into`.
    pub(crate) async fn read_exact(&mut self, into: &mut [u8]) -> io::Result<()> {
        let there = (self.buffer.len() - self.at).min(into.len());
        let (now, later) = into.split_at_mut(there);
        now.copy_from_slice(&self.buffer[self.at..self.at + there]);
        self.at += there;
        match &mut self.half {
            ReadHalf::Unix(half) => half.read_all(later).await,
            ReadHalf::Tcp(half) => half.read_exact(later).await.map(drop),
        }
    }

    /// Reads until `needed` bytes are there; whether they are.
    async fn fill(&mut self, needed: usize) -> io::Result<bool> {
        if self.at > 0 && self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
        }
        while self.buffer.len() - self.at < needed {
            if self.at > 0 {
                self.buffer.drain(..self.at);
                self.at = 0;
            }
            self.buffer.reserve(READ_BYTES.max(needed - self.buffer.len()));
            let read = match &mut self.half {
                ReadHalf::Unix(half) => half.read_some(&mut self.buffer).await?,
                ReadHalf::Tcp(half) => half.read_buf(&mut self.buffer).await?,
            };
            if read == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.buffer[self.at..self.at + 4]);
        self.at += 4;
        u32::from_le_bytes(bytes)
    }

    fn u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.buffer[self.at..self.at + 8]);
        self.at += 8;
        u64::from_le_bytes(bytes)
    }
}

/// The length of a payload, if there is room for one of that length.
fn room_for(length: u64) -> io::Result<usize> {
    let too_large = || io::Error::new(ErrorKind::InvalidData, format!("a payload of {length} bytes"));
    let length = usize::try_from(length).map_err(|_| too_large())?;
    Vec::<u8>::new().try_reserve_exact(length).map_err(|_| too_large())?;
    Ok(length)
}
