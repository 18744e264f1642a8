//! What a worker lends to a peer of the same host, and what it borrows: contents that lie in the lender's arena until the
//! last view of them is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use corn_core::OnDevice;
use corn_device::Held;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::arena::{Arena, Foreign};
use crate::counts::Counts;
use crate::devices::Devices;
use crate::wire::link::Outbox;
use crate::wire::{Borrow, DevicePlace, Frame, Full, Lend, Place};

/// Lends contents to one peer.
pub(super) struct Lender<'a> {
    pub(super) arena: &'a Arc<Arena>,
    pub(super) devices: &'a Devices,
    pub(super) leases: &'a mut BTreeMap<u64, Bytes>,
    pub(super) device_leases: &'a mut BTreeMap<u64, Arc<dyn OnDevice>>,
    pub(super) next: &'a mut u64,
    /// What had been made elsewhere and had to be copied.
    pub(super) copied_bytes: u64,
}

impl Lend for Lender<'_> {
    fn lend(&mut self, contents: &Bytes) -> Result<Place, Full> {
        let bytes = contents.len() as u64;
        let held = if self.arena.offset_of(contents).is_some() {
            contents.clone()
        } else {
            let mut block = self.arena.allocate(contents.len()).ok_or(Full { bytes })?;
            block.as_mut().copy_from_slice(contents);
            self.copied_bytes += bytes;
            block.freeze()
        };
        let offset = self.arena.offset_of(&held).expect("it lies in the arena now");
        let lease = *self.next;
        *self.next += 1;
        self.leases.insert(lease, held);
        Ok(Place { offset, bytes, lease })
    }

    fn lend_on_device(&mut self, contents: &Arc<dyn OnDevice>) -> DevicePlace {
        let lease = *self.next;
        *self.next += 1;
        let held = Held::of(contents).expect("it was brought to a GPU of this process");
        let place = self.devices.place_of(&held, lease).expect("it was brought to an arena of this process");
        self.device_leases.insert(lease, Arc::clone(contents));
        place
    }
}

/// Looks at what a peer lends, and gives it back when nobody here looks any more.
pub(super) struct Borrower {
    arena: Foreign,
    /// Those of the peer's GPUs.
    devices: Vec<corn_device::Foreign>,
    give_back: UnboundedSender<u64>,
}

impl Borrower {
    pub(super) fn new(
        arena: Foreign,
        devices: Vec<corn_device::Foreign>,
        out: Outbox,
        counts: Arc<Counts>,
    ) -> Self {
        let (give_back, mut leases) = unbounded_channel();
        // Views are dropped on any thread; the link belongs to this one.
        tokio::task::spawn_local(async move {
            while let Some(lease) = leases.recv().await {
                let released = Frame::Released(lease);
                counts.sent.count(&released);
                out.send(released.write(0, None).expect("a lease is no content"));
            }
        });
        Self { arena, devices, give_back }
    }
}

impl Borrow for Borrower {
    fn borrow(&self, place: Place) -> Option<Bytes> {
        let give_back = self.give_back.clone();
        self.arena.view(place.offset, place.bytes, move || {
            // The link may have ended; then the lender has everything back already.
            let _ = give_back.send(place.lease);
        })
    }

    fn borrow_on_device(&self, DevicePlace { arena, place }: DevicePlace) -> Option<Arc<dyn OnDevice>> {
        let give_back = self.give_back.clone();
        let released = move || {
            // As above.
            let _ = give_back.send(place.lease);
        };
        self.devices.get(arena as usize)?.view(place.offset, place.bytes, Box::new(released))
    }
}
