//! The names that a graph's body has bound so far, and those that it binds later.
//!
//! A body may have very many, so names are found without a search. Nothing here is ever walked in
//! the order of a hash.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use crate::analyze::body::Eval;
use crate::analyze::context::Const;
use crate::source::Span;

/// A name bound in the graph.
pub(crate) struct Local {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) eval: Eval,
    pub(crate) used: bool,
    /// Whether nobody minds if it is not used.
    pub(crate) quiet: bool,
}

/// Names in the order in which they were bound.
#[derive(Default)]
pub(crate) struct Locals {
    bound: Vec<Local>,
    /// Where each name is bound. It is bound twice only where that was reported.
    places: HashMap<String, Vec<usize>>,
    /// Where names of the blocks around this place are bound later.
    later: HashMap<String, Vec<Span>>,
}

/// What they are worth may be changed in place; what they are called may not.
impl Deref for Locals {
    type Target = [Local];

    fn deref(&self) -> &[Local] {
        &self.bound
    }
}

impl DerefMut for Locals {
    fn deref_mut(&mut self) -> &mut [Local] {
        &mut self.bound
    }
}

impl Local {
    /// What it is worth when the program is compiled.
    pub(crate) fn constant(&self) -> Const {
        match &self.eval {
            Eval::Const(value) => value.clone(),
            Eval::Poison => Const::Poison,
            _ => Const::Brought,
        }
    }
}

impl Locals {
    /// What `name` was bound to last.
    pub(crate) fn find(&self, name: &str) -> Option<&Local> {
        let place = self.places.get(name)?.last()?;
        self.bound.get(*place)
    }

    pub(crate) fn find_mut(&mut self, name: &str) -> Option<&mut Local> {
        let place = self.places.get(name)?.last()?;
        self.bound.get_mut(*place)
    }

    pub(crate) fn push(&mut self, local: Local) {
        self.places.entry(local.name.clone()).or_default().push(self.bound.len());
        self.bound.push(local);
    }

    /// Takes out the names bound since there were `count`.
    pub(crate) fn split_off(&mut self, count: usize) -> Vec<Local> {
        let gone = self.bound.split_off(count);
        for local in gone.iter().rev() {
            if let Some(places) = self.places.get_mut(&local.name) {
                places.pop();
            }
        }
        gone
    }

    /// Notes that `name` is bound at `span`, further on in a block that begins here.
    pub(crate) fn announce(&mut self, name: &str, span: Span) {
        self.later.entry(name.to_owned()).or_default().push(span);
    }

    /// Notes that the place at which `name` is bound is reached.
    pub(crate) fn arrive(&mut self, name: &str, span: Span) {
        if let Some(spans) = self.later.get_mut(name) {
            spans.retain(|other| *other != span);
        }
    }

    /// Where `name` is bound, if that is later in a block around this place.
    pub(crate) fn later(&self, name: &str) -> Option<Span> {
        self.later.get(name)?.first().copied()
    }
}
