//! Branches and loops: which list of steps is under way.
//!
//! Every stage that takes part in a block sees the value that decides, so each takes the same case and as many rounds
//! by itself, and nobody is told. The one thing that stages tell each other is that a round is over: whoever hands
//! something over in a round may be one round ahead of whoever takes it, and not more, so that what comes early finds
//! the memory that the round before has given back.

use std::sync::Arc;

use corn_plan::{BlockId, StageId};

use crate::datum::Datum;
use crate::fault::Fault;
use crate::message::Body;
use crate::program::{ArmPlan, LoopPlan, Operand, Until};
use crate::replay::{Replay, Scope, Work};

/// The rounds of a loop that is under way.
#[derive(Debug)]
pub(super) struct Round {
    number: u64,
    /// How many there are, unless a value ends them before.
    count: u64,
}

/// What is counted over all rounds of a loop, however often it begins.
#[derive(Debug)]
pub(super) struct RoundCount {
    /// Rounds that have begun here.
    begun: u64,
    /// Rounds that have ended at each of the receivers.
    ended: Vec<u64>,
    /// Whether the round under way is the last, as far as was seen.
    is_last: bool,
}

impl RoundCount {
    pub(super) fn new(plan: &LoopPlan) -> Self {
        Self { begun: 0, ended: vec![0; plan.receivers.len()], is_last: false }
    }
}

impl Replay {
    /// Begins a list: leases its values, and lets its steps look for what they wait for.
    pub(super) fn begin(&mut self, list: usize, scope: &mut Scope<'_>) {
        let program = Arc::clone(&self.program);
        let plan = &program.lists[list];
        scope.ledger.open(plan.slots.len() as u64);
        for slot in &plan.slots {
            self.slots[*slot].open(&program.slots[*slot]);
        }
        self.unfinished[list] = plan.steps.len();
        for step in &plan.steps {
            self.steps[*step].done = false;
            self.wake(*step);
        }
    }

    pub(super) fn fire_branch(
        &mut self,
        step: usize,
        subject: usize,
        arms: &[ArmPlan],
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        if !matches!(self.steps[step].work, Work::Branch(_)) {
            let Some(decides) = self.slots[subject].whole() else { return Ok(()) };
            let is_taken = |arm: &&ArmPlan| arm.is.as_ref().is_none_or(|is| is == decides);
            let Some(taken) = arms.iter().find(is_taken) else {
                return Err(Fault::component(format!("no case is taken for {decides:?}")));
            };
            self.take(step, taken, arms, scope);
        }
        if let Work::Branch(list) = self.steps[step].work
            && self.unfinished[list] == 0
        {
            self.finish(step, scope);
        }
        Ok(())
    }

    /// Begins a case. Who reads streams in the others holds them back no more.
    fn take(&mut self, step: usize, taken: &ArmPlan, arms: &[ArmPlan], scope: &mut Scope<'_>) {
        let program = Arc::clone(&self.program);
        for arm in arms.iter().filter(|arm| arm.list != taken.list) {
            for from in &program.lists[arm.list].outer_streams {
                self.leave(*from, scope);
            }
        }
        for slot in &taken.absent {
            self.settle_presence(*slot, true);
        }
        self.steps[step].work = Work::Branch(taken.list);
        self.begin(taken.list, scope);
    }

    /// What a case makes becomes what its branch makes.
    pub(super) fn fire_yield(
        &mut self,
        step: usize,
        from: Operand,
        to: usize,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        if self.slots[from.slot].is_absent() {
            self.settle_presence(to, true);
            self.finish(step, scope);
        } else if let Some(whole) = self.slots[from.slot].whole().cloned() {
            self.push(to, whole, scope)?;
            self.finish(step, scope);
        } else if self.slots[from.slot].is_open_stream() {
            self.settle_presence(to, false);
            self.pass_on(step, from, to, scope)?;
        }
        Ok(())
    }

    pub(super) fn fire_loop(
        &mut self,
        step: usize,
        number: usize,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        let program = Arc::clone(&self.program);
        let plan = &program.loops[number];
        let whole = |slot: usize| self.slots[slot].whole().cloned();
        let Work::Loop(Round { number: round, count }) = self.steps[step].work else {
            let begins: Option<Vec<Datum>> = plan.carries.iter().map(|carry| whole(carry.init)).collect();
            let Some(begins) = begins else { return Ok(()) };
            let count = match plan.count.map(whole) {
                None => u64::from(plan.max),
                Some(Some(Datum::Int(count))) => count.clamp(0, i64::from(plan.max)) as u64,
                Some(_) => return Ok(()),
            };
            return self.next_round(step, number, Round { number: 0, count }, begins, scope);
        };
        if self.unfinished[plan.body] > 0 {
            return Ok(());
        }
        let nexts: Option<Vec<Datum>> = plan.carries.iter().map(|carry| whole(carry.next)).collect();
        let Some(nexts) = nexts else { return Ok(()) };
        if let Some(Until::Outside(slot)) = plan.until {
            let Some(until) = whole(slot) else { return Ok(()) };
            self.look_at_until(number, &until);
        }
        for slot in &program.lists[plan.body].kept {
            self.drop_use(*slot, scope);
        }
        let is_last = self.rounds[number].is_last || round + 1 == count;
        if !is_last || plan.outer.is_some() {
            self.tell_round_ended(plan, number, scope);
        }
        let count = if is_last { round + 1 } else { count };
        self.next_round(step, number, Round { number: round + 1, count }, nexts, scope)
    }

    /// Begins a round with `values`, or ends the loop with them if there are no more.
    fn next_round(
        &mut self,
        step: usize,
        number: usize,
        round: Round,
        values: Vec<Datum>,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        let program = Arc::clone(&self.program);
        let plan = &program.loops[number];
        let carries = plan.carries.iter().zip(values);
        if round.number == round.count {
            for (carry, value) in carries {
                if let Some(result) = carry.result {
                    self.push(result, value, scope)?;
                }
            }
            for from in &program.lists[plan.body].outer_streams {
                self.leave(*from, scope);
            }
            self.finish(step, scope);
            return Ok(());
        }
        let count = &mut self.rounds[number];
        count.begun += 1;
        count.is_last = false;
        self.begin(plan.body, scope);
        for (carry, value) in carries {
            self.push(carry.inside, value, scope)?;
            self.drop_use(carry.inside, scope);
        }
        if let Some(index) = plan.index {
            self.push(index, Datum::Int(round.number as i64), scope)?;
            self.drop_use(index, scope);
        }
        self.steps[step].work = Work::Loop(round);
        // A round of no steps is over as it begins.
        if program.lists[plan.body].steps.is_empty() {
            self.wake(step);
        }
        Ok(())
    }

    /// A value that ends a loop was made.
    pub(super) fn look_at_until(&mut self, number: usize, until: &Datum) {
        self.rounds[number].is_last = *until == Datum::Bool(true);
    }

    /// Whoever handed something over in the round that has ended here may do so in the one after the next.
    fn tell_round_ended(&mut self, plan: &LoopPlan, number: usize, scope: &mut Scope<'_>) {
        self.unconfirmed += plan.receivers.len() as i64;
        let turn = self.rounds[number].begun - 1;
        for sender in &plan.senders {
            self.tell(*sender, turn, Body::RoundEnded(plan.block), scope);
        }
    }

    /// A round has ended where this stage hands something over to.
    pub(super) fn round_ended(&mut self, block: BlockId, from: StageId, turn: u64) -> Result<(), Fault> {
        let program = Arc::clone(&self.program);
        let number = program.loops.iter().position(|plan| plan.block == block);
        let receiver = number.and_then(|number| {
            let receivers = &program.loops[number].receivers;
            Some((number, receivers.iter().position(|(stage, _)| *stage == from)?))
        });
        let known = receiver.filter(|(number, place)| self.rounds[*number].ended[*place] == turn);
        let Some((number, place)) = known else {
            let stage = self.stage;
            return Err(Fault::component(format!("{from} told {stage} that round {turn} of {block} ended")));
        };
        self.rounds[number].ended[place] += 1;
        self.unconfirmed -= 1;
        program.loops[number].receivers[place].1.iter().for_each(|step| self.wake(*step));
        Ok(())
    }

    /// Whether what is made in this round of the loop `within` can be taken by `to` already: for it and every loop
    /// around it, the round before has ended there.
    pub(super) fn may_send(&self, mut within: Option<usize>, to: StageId) -> bool {
        while let Some(number) = within {
            let (plan, count) = (&self.program.loops[number], &self.rounds[number]);
            let place = plan.receivers.iter().position(|(stage, _)| *stage == to);
            let place = place.expect("every stage that is sent to is a receiver");
            if count.ended[place] + 1 < count.begun {
                return false;
            }
            within = plan.outer;
        }
        true
    }
}
