//! How a command ends when it does not end well.

use std::fmt;
use std::process::ExitCode;

use corn_core::{Blame, Fault};

use crate::commands::{print, say};

/// Why a command failed; decides what is printed and the exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Diagnostics were printed already.
    Program,
    /// Some of several files could not be used; each was named.
    Files,
    /// The command line asks for what cannot be.
    Usage(String),
    /// Something failed while the command worked.
    Fault(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program | Self::Files => Ok(()),
            Self::Usage(message) => f.write_str(message),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl Failure {
    /// The machine lacks something.
    pub(crate) fn setup(message: impl Into<String>) -> Self {
        Self::Fault(Fault::setup(message))
    }

    /// Prints what is left to say and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        let code = match self {
            Self::Program => return ExitCode::from(1),
            Self::Files => return ExitCode::from(2),
            Self::Usage(_) => 2,
            Self::Fault(fault) => exit_code(fault.blame),
        };
        let message = self.to_string();
        if json {
            let component = if let Self::Fault(fault) = self { fault.component.clone() } else { None };
            let error = serde_json::json!({ "message": message, "exit_code": code, "component": component });
            let _ = print(&format!("{}\n", serde_json::json!({ "error": error })));
        } else {
            say(&format!("error: {message}"));
        }
        ExitCode::from(code)
    }
}

const fn exit_code(blame: Blame) -> u8 {
    match blame {
        Blame::Request => 3,
        Blame::Setup => 4,
        Blame::Component => 5,
        Blame::Busy | Blame::Unavailable | Blame::Lost => 6,
        Blame::Deadline => 124,
        Blame::Cancelled => 130,
    }
}
