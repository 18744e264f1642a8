//! Many requests to a deployment, so many at the same time, for a look at how long they take.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use corn_core::{Blame, Fault};
use corn_engine::{Ask, Piece, Remote};

use super::Call;
use super::figures::Taken;
use crate::commands::{print, told_to_stop};
use crate::failure::Failure;
use crate::state::State;

/// What the clients of a load share. All of them are driven by one thread.
struct Load {
    ask: Ask,
    /// Requests that nobody has made yet.
    left: Cell<u32>,
    taken: RefCell<Taken>,
}

/// Asks `repeat` times and says how long it took; an interrupt ends it, and says how long it took so far.
pub(super) async fn many(args: &Call, state: &State, ask: &Ask, repeat: u32) -> Result<(), Failure> {
    let load = Rc::new(Load { ask: ask.clone(), left: Cell::new(repeat), taken: RefCell::default() });
    let mut stopped = std::pin::pin!(told_to_stop());
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..args.concurrency.min(repeat) {
        clients.spawn_local(client(Rc::clone(&load), state.connected().await?));
    }
    let begun = Instant::now();
    let interrupted = loop {
        tokio::select! {
            biased;
            () = &mut stopped => break true,
            ended = clients.join_next() => match ended {
                Some(ended) => ended.map_err(|error| Failure::setup(error.to_string()))?,
                None => break false,
            },
        }
    };
    let elapsed = begun.elapsed();
    // Their connections go with them, and with these what they still wait for.
    drop(clients);
    let taken = load.taken.take();
    let first_failed = taken.failed.first().cloned();
    let figures = taken.figures(elapsed);
    print(&if args.json { format!("{}\n", figures.to_json()) } else { figures.to_string() })?;
    if interrupted {
        let asked = repeat - load.left.get();
        let message = format!("interrupted, when {asked} of {repeat} requests had been made");
        return Err(Failure::Fault(Fault::new(Blame::Cancelled, message)));
    }
    match (first_failed, load.left.get()) {
        (Some(fault), _) => Err(Failure::Fault(fault)),
        (None, 0) => Ok(()),
        (None, left) => {
            let message = format!("{left} requests could not be made: the deployment's connections are lost");
            Err(Failure::Fault(Fault::new(Blame::Lost, message)))
        }
    }
}

/// Makes one request after the other while any are left, and the connection lasts.
async fn client(load: Rc<Load>, mut remote: Remote) {
    while let Some(left) = load.left.get().checked_sub(1) {
        load.left.set(left);
        let from = Instant::now();
        let mut answer = remote.call(load.ask.clone());
        let (mut first, mut failed) = (None, None);
        while let Some(piece) = answer.next().await {
            match piece {
                Piece::Failed(fault) => failed = Some(fault),
                Piece::Item { .. } | Piece::End { .. } => {
                    first.get_or_insert_with(|| from.elapsed());
                }
            }
        }
        load.taken.borrow_mut().add(from.elapsed(), first, failed);
        match answer.into_remote() {
            Some(connected) => remote = connected,
            None => return,
        }
    }
}
