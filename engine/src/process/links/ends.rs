//! How links end without losing what crosses them: a worker that ends writes what it has handed over, and whoever takes
//! from it reads all of that before it counts as lost.

use std::time::Duration;

use corn_core::message::{Seat, WorkerEvent};

use super::{Links, Peer};

/// How long what a lost peer sent last may take to be read, if the end of its link cannot be seen.
const REST_WITHIN: Duration = Duration::from_secs(1);

impl Links {
    /// The coordinator says that `peer` is lost. It may know that before everything is read that the peer sent: that is
    /// heard first, and the end of the link says the same.
    pub(crate) fn lost(&self, peer: Seat) {
        let number = self.inner.takes_from.borrow().get(&peer).map(|taken| taken.number);
        let (links, seat) = (self.clone(), self.inner.seat.get());
        let Some(number) = number else { return drop(self.inner.events.send(WorkerEvent::PeerLost(peer))) };
        tokio::task::spawn_local(async move {
            let is_read = async {
                loop {
                    let changed = links.inner.changed.notified();
                    if !links.is_newest(peer, number) {
                        return;
                    }
                    changed.await;
                }
            };
            let is_read = tokio::time::timeout(REST_WITHIN, is_read).await.is_ok();
            if !is_read && links.inner.seat.get() == seat {
                let _ = links.inner.events.send(WorkerEvent::PeerLost(peer));
            }
        });
    }

    /// Ends when everything that was handed over has been written, or has nobody left to take it.
    pub(crate) async fn written(&self) {
        loop {
            let changed = self.inner.changed.notified();
            let (mut open, mut is_queued) = (Vec::new(), true);
            for peer in self.inner.peers.borrow().values() {
                match peer {
                    Peer::Open(peer) if peer.waiting.is_empty() => open.push(peer.out.clone()),
                    Peer::Open(_) | Peer::Opening(_) => is_queued = false,
                }
            }
            for out in open {
                out.all_written().await;
            }
            if is_queued {
                return;
            }
            changed.await;
        }
    }
}
