//! Many requests at once, for a look at latency: each client has a connection and asks again when it is answered.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use corn_engine::Piece;
use tokio::task::JoinSet;

use crate::commands::call::measured::Measured;
use crate::commands::call::whom::Whom;
use crate::failure::Failure;
use crate::request::answer::Pieces;

/// Asks `repeat` times, `concurrency` at once. What has ended is in `measured` at any time: dropping this gives up
/// the requests that are under way, and keeps what was measured.
pub(super) async fn load(
    whom: &impl Whom,
    repeat: u32,
    concurrency: u32,
    measured: &Rc<RefCell<Measured>>,
) -> Result<(), Failure> {
    let left = Rc::new(Cell::new(repeat));
    let mut clients = JoinSet::new();
    measured.borrow_mut().begin();
    for _ in 0..concurrency.min(repeat) {
        let line = whom.connect().await?;
        clients.spawn_local(client(whom.clone(), line, Rc::clone(&left), Rc::clone(measured)));
    }
    while let Some(ended) = clients.join_next().await {
        ended.map_err(|error| Failure::setup(error.to_string()))??;
    }
    Ok(())
}

/// One client; it ends when nothing is left to ask, and fails when whom it asks is gone.
async fn client<W: Whom>(
    whom: W,
    mut line: W::Line,
    left: Rc<Cell<u32>>,
    measured: Rc<RefCell<Measured>>,
) -> Result<(), Failure> {
    while left.get() > 0 {
        left.set(left.get() - 1);
        let from = Instant::now();
        let mut answer = whom.ask(line).await;
        drain(&mut answer, from, &measured).await;
        line = match W::line(answer) {
            Some(line) => line,
            None => whom.connect().await?,
        };
    }
    Ok(())
}

/// Takes an answer, keeps nothing of it, and notes how long it took since `from`.
async fn drain(answer: &mut impl Pieces, from: Instant, measured: &RefCell<Measured>) {
    let (mut first, mut failed, mut items) = (None, None, 0);
    while let Some(piece) = answer.next().await {
        match piece {
            Piece::Failed(fault) => failed = Some(fault),
            Piece::Item { .. } => {
                items += 1;
                first.get_or_insert_with(|| from.elapsed());
            }
            Piece::Used(_) => {}
            Piece::End { .. } => {
                first.get_or_insert_with(|| from.elapsed());
            }
        }
    }
    let mut measured = measured.borrow_mut();
    match failed {
        Some(fault) => measured.failed(fault),
        None => measured.answered(first, from.elapsed(), items),
    }
}
