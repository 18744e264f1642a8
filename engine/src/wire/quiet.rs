//! The directions of a Unix socket, each of which listens only to what concerns it.
//!
//! Such a socket reports that it takes more each time that its reader has taken something, whether or not it was ever
//! full. A writer that listened to that would be woken for every frame that it sent: a second wake-up for each step of a
//! chain. So the reading half listens for what comes, and the writing half only while the socket is full.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The halves of a socket that never blocks.
pub(super) fn halves(stream: UnixStream) -> io::Result<(QuietRead, QuietWrite)> {
    let write = stream.try_clone()?;
    Ok((QuietRead(listening(stream, Interest::READABLE)?), QuietWrite(write)))
}

#[expect(
    deprecated,
    reason = "what takes its place is unsafe, for types whose descriptor may change; a socket's does not"
)]
fn listening(stream: UnixStream, to: Interest) -> io::Result<AsyncFd<UnixStream>> {
    AsyncFd::with_interest(stream, to)
}

/// The way in.
pub(super) struct QuietRead(AsyncFd<UnixStream>);

impl QuietRead {
    /// Reads what is there into the room that is left in `buffer`; how much it was, 0 at the end.
    pub(super) async fn read_some(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        loop {
            let mut ready = self.0.readable().await?;
            match rustix::io::read(self.0.get_ref(), spare_capacity(buffer)) {
                Ok(read) => {
                    // That was all: what comes next is told anew, and need not be asked for.
                    if read < room {
                        ready.clear_ready();
                    }
                    return Ok(read);
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Fills `into`.
    pub(super) async fn read_all(&self, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            let mut ready = self.0.readable().await?;
            match rustix::io::read(self.0.get_ref(), &mut *into) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => into = &mut into[read..],
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The way out. It ends with this, and the other end sees that.
pub(super) struct QuietWrite(UnixStream);

impl QuietWrite {
    /// Writes as much as the socket takes now.
    pub(super) fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.0).write_vectored(slices)
    }

    /// Ends when the socket takes more.
    pub(super) async fn writable(&self) -> io::Result<()> {
        let full = listening(self.0.try_clone()?, Interest::WRITABLE)?;
        full.writable().await.map(drop)
    }
}

impl Drop for QuietWrite {
    fn drop(&mut self) {
        // The other end may be gone already.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}
