//! Prints and parses how a graph is served.

use std::fmt::{self, Write};

use crate::plan::{Endpoint, Plan, Serve};
use crate::text::ParseError;
use crate::text::scan::Line;
use crate::types::{Bytes, Millis};

pub(super) fn write(out: &mut String, serve: &Serve) -> fmt::Result {
    writeln!(out, "\nserve {}", serve.graph)?;
    for endpoint in &serve.endpoints {
        match endpoint {
            Endpoint::Openai { path, with, route } => {
                let with = if with.is_empty() { String::new() } else { format!("[{}]", with.join(", ")) };
                writeln!(out, "  openai {path}{with} -> {route}")?;
            }
            Endpoint::Grpc => writeln!(out, "  grpc")?,
            Endpoint::Kserve => writeln!(out, "  kserve")?,
        }
    }
    let limits = &serve.limits;
    let written = [
        limits.body_bytes.map(|most| format!("body {}", Bytes(most))),
        limits.images.map(|most| format!("images {most}")),
        limits.audio_ms.map(|most| format!("audio {}", Millis(most))),
        limits.inflight.map(|most| format!("inflight {most}")),
    ];
    for limit in written.into_iter().flatten() {
        writeln!(out, "  limit {limit}")?;
    }
    match serve.deadline_ms {
        Some(deadline_ms) => writeln!(out, "  deadline {}", Millis(deadline_ms)),
        None => Ok(()),
    }
}

/// An indented line below `serve`.
pub(super) fn line(plan: &mut Plan, line: &mut Line<'_>) -> Result<(), ParseError> {
    let serve = plan.serves.last_mut().expect("a serve's lines follow its first");
    match line.word("'openai', 'grpc', 'kserve', 'limit' or 'deadline'")? {
        "openai" => {
            let path = line.name("an endpoint")?;
            let with = if line.eat_mark("[") {
                line.list(Some("]"), |line| line.name("what else is asked for"))?
            } else {
                Vec::new()
            };
            line.mark("->")?;
            let route = line.name("a route")?;
            serve.endpoints.push(Endpoint::Openai { path, with, route });
        }
        "grpc" => serve.endpoints.push(Endpoint::Grpc),
        "kserve" => serve.endpoints.push(Endpoint::Kserve),
        "limit" => limit(serve, line)?,
        "deadline" => serve.deadline_ms = Some(line.millis()?),
        other => return Err(line.error(format!("'{other}' is no line of a serve"))),
    }
    Ok(())
}

fn limit(serve: &mut Serve, line: &mut Line<'_>) -> Result<(), ParseError> {
    let limits = &mut serve.limits;
    match line.word("'body', 'images', 'audio' or 'inflight'")? {
        "body" => limits.body_bytes = Some(line.bytes()?),
        "images" => limits.images = Some(line.number("a number of pictures")?),
        "audio" => limits.audio_ms = Some(line.millis()?),
        "inflight" => limits.inflight = Some(line.number("a number of requests")?),
        other => return Err(line.error(format!("'{other}' cannot be limited"))),
    }
    Ok(())
}
