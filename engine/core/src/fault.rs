//! What goes wrong in the world: whose fault it is and whether trying again can help.

use std::fmt;

/// Why a request, a load or a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose fault.
    pub blame: Blame,
    /// What happened, where, and what to do, in one or two sentences for the person who asked.
    pub message: String,
    /// The component it happened in, if in one.
    pub component: Option<String>,
}

/// Whose fault it is. This decides the exit code, the status on the wire, and whether to retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request: asking again the same way fails again.
    Request,
    /// The set-up: weights missing or corrupt, a library not found, a plan that does not fit.
    Setup,
    /// A component failed while it worked.
    Component,
    /// Too much at once: asking again later can succeed.
    Busy,
    /// No worker that could do it is ready: asking again later can succeed.
    Unavailable,
    /// A worker that took part was lost; the request is replayed if nothing of its answer was sent.
    Lost,
    /// The deadline passed.
    Deadline,
    /// Whoever asked went away or said stop.
    Cancelled,
}

impl Fault {
    /// The request is at fault.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(Blame::Request, message)
    }

    /// The set-up is at fault.
    pub fn setup(message: impl Into<String>) -> Self {
        Self::new(Blame::Setup, message)
    }

    /// A component failed.
    pub fn component(message: impl Into<String>) -> Self {
        Self::new(Blame::Component, message)
    }

    /// A worker was lost when a part of the answer had reached the client, and what was left of it is lost.
    pub fn cut_short() -> Self {
        let message = "a worker was lost after it had sent a part of the answer; asking again can succeed";
        Self::new(Blame::Lost, message)
    }

    /// A fault with this blame.
    pub fn new(blame: Blame, message: impl Into<String>) -> Self {
        Self { blame, message: message.into(), component: None }
    }

    /// The same fault, in component `name`.
    #[must_use]
    pub fn in_component(mut self, name: impl Into<String>) -> Self {
        self.component.get_or_insert(name.into());
        self
    }

    /// Whether the same request can succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self.blame, Blame::Busy | Blame::Unavailable | Blame::Lost)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.component {
            Some(component) => write!(f, "component '{component}': {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Fault {}
