//! Ports by name: a component may declare the ports of its entry in another order, and leave
//! optional inputs and unused outputs out. Executors know only the entry's own order.

use std::sync::Arc;

use corn_core::executor::{Call, CallId, CallInput, Executor, Memory, Report, Turn};
use corn_core::{Datum, Fault};
use corn_plan::catalog::{Entry, EntryPort};
use corn_plan::{Component, Port};

/// An executor whose ports are those of a component.
pub(crate) struct Ports {
    inner: Box<dyn Executor>,
    inputs: Map,
    outputs: Map,
}

/// Component port ↔ entry port.
#[derive(Debug, PartialEq)]
struct Map {
    /// For each component port, the entry's.
    to_entry: Vec<u32>,
    /// For each entry port, the component's, if it declares it.
    to_component: Vec<Option<u32>>,
}

impl Map {
    /// `needed` says whether every port that is not optional must be declared.
    fn new(entry: &Entry, component: &[Port], ports: &[EntryPort], needed: bool) -> Result<Self, Fault> {
        let mut map = Self { to_entry: Vec::new(), to_component: vec![None; ports.len()] };
        for (index, port) in component.iter().enumerate() {
            let Some(place) = ports.iter().position(|known| known.name == port.name) else {
                let known: Vec<&str> = ports.iter().map(|known| known.name).collect();
                let (name, known) = (&port.name, known.join(", "));
                return Err(Fault::setup(format!(
                    "{} {:?} has no port '{name}'; it has {known}",
                    entry.executor, entry.name
                )));
            };
            let known = &ports[place];
            let is_right = known.modality == "any" || known.modality == port.ty.kind.word();
            if !is_right || !known.form.takes(port.ty.form) {
                let (name, known) = (&port.name, known.describe());
                return Err(Fault::setup(format!(
                    "port '{name}' of {} {:?} is {known}, but the component declares '{}'",
                    entry.executor, entry.name, port.ty
                )));
            }
            map.to_entry.push(place as u32);
            map.to_component[place] = Some(index as u32);
        }
        let missing = ports
            .iter()
            .zip(&map.to_component)
            .find(|(known, port)| needed && !known.optional && port.is_none());
        if let Some((known, _)) = missing {
            let (executor, entry, name) = (entry.executor, entry.name, known.name);
            return Err(Fault::setup(format!(
                "{executor} {entry:?} needs its input '{name}', which the component does not declare"
            )));
        }
        Ok(map)
    }

    fn is_identity(&self) -> bool {
        self.to_component.iter().enumerate().all(|(index, port)| *port == Some(index as u32))
    }
}

/// Whether the ports of `component` are those of `entry`.
pub(crate) fn check(entry: &Entry, component: &Component) -> Result<(), Fault> {
    if entry.open.ports {
        return Ok(());
    }
    Map::new(entry, &component.inputs, entry.inputs, true)?;
    Map::new(entry, &component.outputs, entry.outputs, false)?;
    let has = |name: &&str| component.inputs.iter().any(|port| port.name == **name);
    if !entry.one_of.is_empty() && !entry.one_of.iter().any(has) {
        let (executor, name, inputs) = (entry.executor, entry.name, entry.one_of.join(", "));
        return Err(Fault::setup(format!("{executor} {name:?} needs one of the inputs {inputs}")));
    }
    Ok(())
}

/// `inner` with the ports of `component`.
pub(crate) fn by_name(
    inner: Box<dyn Executor>,
    entry: &Entry,
    component: &Component,
) -> Result<Box<dyn Executor>, Fault> {
    let inputs = Map::new(entry, &component.inputs, entry.inputs, true)?;
    let outputs = Map::new(entry, &component.outputs, entry.outputs, false)?;
    if inputs.is_identity() && outputs.is_identity() {
        return Ok(inner);
    }
    Ok(Box::new(Ports { inner, inputs, outputs }))
}

impl Executor for Ports {
    fn start(&mut self, mut call: Call) {
        let by_entry = |port: &Option<u32>| port.map(|port| port as usize);
        let inputs = self.inputs.to_component.iter().map(by_entry).map(|port| {
            port.map_or(CallInput::Absent, |port| {
                std::mem::replace(&mut call.inputs[port], CallInput::Absent)
            })
        });
        let inputs = inputs.collect();
        let outputs = self
            .outputs
            .to_component
            .iter()
            .map(by_entry)
            .map(|port| port.and_then(|port| call.outputs[port]));
        let outputs = outputs.collect();
        self.inner.start(Call { id: call.id, inputs, outputs });
    }

    fn feed(&mut self, call: CallId, port: u32, item: Datum) {
        self.inner.feed(call, self.inputs.to_entry[port as usize], item);
    }

    fn end(&mut self, call: CallId, port: u32) {
        self.inner.end(call, self.inputs.to_entry[port as usize]);
    }

    fn grant(&mut self, call: CallId, port: u32, count: u32) {
        self.inner.grant(call, self.outputs.to_entry[port as usize], count);
    }

    fn cancel(&mut self, call: CallId) {
        self.inner.cancel(call);
    }

    fn advance(&mut self, now_us: u64, reports: &mut dyn FnMut(Report)) -> Turn {
        let (inputs, outputs) = (&self.inputs, &self.outputs);
        self.inner.advance(now_us, &mut |report| match report {
            Report::Emitted { call, port, item } => {
                // What is not declared is not wanted, and so never emitted.
                if let Some(port) = outputs.to_component[port as usize] {
                    reports(Report::Emitted { call, port, item });
                }
            }
            Report::Took { call, port, count } => {
                if let Some(port) = inputs.to_component[port as usize] {
                    reports(Report::Took { call, port, count });
                }
            }
            report => reports(report),
        })
    }

    fn memory_bytes(&self) -> u64 {
        self.inner.memory_bytes()
    }

    fn is_light(&self) -> bool {
        self.inner.is_light()
    }

    fn make_in(&mut self, memory: Arc<dyn Memory>) {
        self.inner.make_in(memory);
    }
}
