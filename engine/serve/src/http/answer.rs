//! What a request gets, piece by piece. Whoever holds it takes a piece when the one before has gone out, so a slow
//! client holds back its own request; whoever drops it has given the request up.

use std::collections::VecDeque;

use corn_core::Datum;
use corn_core::executor::Usage;
use corn_engine::Piece;

use super::metrics::Meter;
use super::refusal::Refusal;
use crate::{Request, Served, Watched};

/// The outputs of a request as they are made.
pub(super) struct Outputs {
    answer: Watched,
    meter: Meter,
    /// Taken in advance, to know that the answer begins before a client is told so.
    taken: VecDeque<(usize, Datum)>,
    usage: Option<Usage>,
    is_over: bool,
}

impl Outputs {
    pub(super) fn new(answer: Watched, meter: Meter) -> Self {
        Self { answer, meter, taken: VecDeque::new(), usage: None, is_over: false }
    }

    /// The next item of some output, and the output's place. None when all have ended.
    pub(super) async fn next(&mut self) -> Result<Option<(usize, Datum)>, Refusal> {
        if let Some(item) = self.taken.pop_front() {
            return Ok(Some(item));
        }
        if self.is_over {
            return Ok(None);
        }
        loop {
            match self.answer.next().await {
                Some(Piece::Item { output, datum }) => {
                    self.meter.piece();
                    return Ok(Some((output, datum)));
                }
                Some(Piece::End { .. }) => {}
                Some(Piece::Used(usage)) => self.usage = Some(usage),
                Some(Piece::Failed(fault)) => {
                    self.is_over = true;
                    let refusal = Refusal::from(fault);
                    self.meter.end(refusal.status.as_u16());
                    return Err(refusal);
                }
                None => {
                    self.is_over = true;
                    return Ok(None);
                }
            }
        }
    }

    /// What components say that they have used for it so far.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Waits for the first item, so that what fails before it is answered with a status of its own.
    pub(super) async fn begin(&mut self) -> Result<(), Refusal> {
        let first = self.next().await?;
        self.taken.extend(first);
        Ok(())
    }

    /// What was made cannot be sent on: the rest of it is given up.
    pub(super) fn break_off(&mut self, why: &Refusal) {
        self.meter.end(why.status.as_u16());
        self.answer.refused(&why.why());
        self.answer.cancel();
        self.is_over = true;
    }

    /// The answer has gone out whole.
    pub(super) fn end(&self) {
        self.meter.end(200);
    }
}

/// Several requests that came as one, answered in their order. As many are under way as the plan admits, so that none
/// is refused because of the others.
pub(super) struct InOrder<'f> {
    served: &'f Served,
    meter: Meter,
    requests: VecDeque<Request>,
    under_way: VecDeque<Outputs>,
}

impl<'f> InOrder<'f> {
    pub(super) fn new(served: &'f Served, requests: VecDeque<Request>, meter: &Meter) -> Self {
        Self { served, meter: meter.clone(), requests, under_way: VecDeque::new() }
    }

    /// What the next of them gets. None when all have been answered.
    pub(super) fn next(&mut self) -> Result<Option<Outputs>, Refusal> {
        let at_once = self.requests.front().map_or(0, |request| self.served.admits(&request.graph)) as usize;
        while self.under_way.len() < at_once
            && let Some(request) = self.requests.pop_front()
        {
            self.under_way.push_back(Outputs::new(self.served.submit(request)?, self.meter.clone()));
        }
        Ok(self.under_way.pop_front())
    }
}
