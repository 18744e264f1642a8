//! `serve`: endpoints and the routes that answer them, limits, a deadline.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::endpoint::{FACES, Face};
use corn_plan::{Endpoint, Limits};

use crate::analyze::context::Context;
use crate::analyze::deploy::endpoint::brought;
use crate::diagnostic::semantic::{self, Candidate, Spelled};
use crate::graph::GraphId;
use crate::graph::deploy::Serve;
use crate::source::Span;
use crate::syntax::ast::deploy::{self as ast, ServeLine};
use crate::syntax::ast::{Expr, Name};

/// What can be limited.
const LIMITS: [&str; 4] = ["audio", "body", "images", "inflight"];
/// Most requests in flight and most pictures of a request.
const MOST: u32 = 65_536;

/// A `serve` block while it is read.
struct Serving {
    graph: GraphId,
    endpoints: Vec<Endpoint>,
    /// Each endpoint as written, and where.
    seen: Vec<(String, Span)>,
    limits: Limits,
    deadline_ms: Option<u64>,
    said: BTreeMap<&'static str, Span>,
}

impl Context<'_> {
    pub(super) fn serve(&mut self, block: &ast::Serve) {
        let Some(graph) = self.graph_named(&block.graph) else { return };
        if let Some(first) = self.program.deployment.serves.iter().find(|serve| serve.graph == graph) {
            let what = format!("graph `{}`", block.graph.text);
            self.report(semantic::serve::served_twice(&what, block.graph.span, first.span));
            return;
        }
        let mut serving = Serving {
            graph,
            endpoints: Vec::new(),
            seen: Vec::new(),
            limits: Limits::default(),
            deadline_ms: None,
            said: BTreeMap::new(),
        };
        for line in &block.lines {
            match line {
                ServeLine::Openai { endpoints, .. } => {
                    for endpoint in endpoints {
                        self.endpoint(endpoint, &mut serving);
                    }
                }
                ServeLine::Grpc(span) => self.face("grpc", Endpoint::Grpc, *span, &mut serving),
                ServeLine::Kserve(span) => self.face("kserve", Endpoint::Kserve, *span, &mut serving),
                ServeLine::Limit { limits, .. } => {
                    for (name, most) in limits {
                        self.limit(name, most, &mut serving);
                    }
                }
                ServeLine::Deadline { after, span } => {
                    if let Some(first) = serving.said.insert("deadline", *span) {
                        self.report(semantic::serve::limited_twice("deadline", *span, first));
                    } else {
                        serving.deadline_ms = self.millis(after, "`deadline`");
                    }
                }
                ServeLine::Error(_) => {}
            }
        }
        let plan = corn_plan::Serve {
            graph: self.program.graphs[graph].name.clone(),
            endpoints: serving.endpoints,
            limits: serving.limits,
            deadline_ms: serving.deadline_ms,
        };
        let span = block.graph.span;
        self.program.deployment.serves.push(Serve { graph, plan, span, said: serving.said });
    }

    fn face(&mut self, shown: &str, endpoint: Endpoint, span: Span, serving: &mut Serving) {
        if let Some((_, first)) = serving.seen.iter().find(|(seen, _)| seen == shown) {
            let what = format!("`{shown}`");
            self.report(semantic::serve::served_twice(&what, span, *first));
            return;
        }
        serving.seen.push((shown.to_owned(), span));
        serving.endpoints.push(endpoint);
    }

    fn endpoint(&mut self, endpoint: &ast::Endpoint, serving: &mut Serving) {
        let words: Vec<&str> = endpoint.path.iter().map(|name| name.text.as_str()).collect();
        let path = words.join(".");
        let place = endpoint.path.iter().map(|name| name.span).reduce(Span::to).unwrap_or(endpoint.span);
        let route = self.route_named(&endpoint.route, serving.graph);
        let Some(face) = Face::find(&path) else {
            let known: Vec<Candidate> = FACES.iter().map(|face| Candidate::named(face.path)).collect();
            let path = Spelled { text: &path, span: place };
            self.report(semantic::serve::unknown_endpoint(path, &known));
            return;
        };
        let mut with: Vec<String> = Vec::new();
        for word in &endpoint.with {
            if face.extras().any(|extra| extra == word.text) {
                with.push(word.text.clone());
            } else {
                let known: Vec<Candidate> = face.extras().map(Candidate::named).collect();
                self.report(semantic::serve::unknown_extra(word, &path, &known));
                return;
            }
        }
        with.sort();
        with.dedup();
        let shown = if with.is_empty() { path.clone() } else { format!("{path}[{}]", with.join(", ")) };
        if let Some(position) = route {
            let route = self.program.routes[position].clone();
            self.fits_endpoint(face, &with, &shown, &route, endpoint.span);
        }
        let route = endpoint.route.text.clone();
        let shown = format!("{shown} -> {route}");
        self.face(&shown, Endpoint::Openai { path, with, route }, endpoint.span, serving);
    }

    fn limit(&mut self, name: &Name, most: &Expr, serving: &mut Serving) {
        let Some(known) = LIMITS.iter().find(|known| **known == name.text) else {
            let known = LIMITS.map(Candidate::named);
            self.report(semantic::serve::unknown_limit(name, &known));
            return;
        };
        if let Some(first) = serving.said.insert(known, name.span.to(most.span)) {
            self.report(semantic::serve::limited_twice(known, name.span, first));
            return;
        }
        let word = match *known {
            "images" => Some("image"),
            "audio" => Some("audio"),
            _ => None,
        };
        if let Some(word) = word
            && !self.can_bring(serving.graph, word)
        {
            let graph = &self.program.graphs[serving.graph].name;
            self.found.push(semantic::serve::limit_of_nothing(known, graph, name.span));
        }
        let what = format!("`{known}`");
        match *known {
            "body" => serving.limits.body_bytes = self.size(most, &what),
            "audio" => serving.limits.audio_ms = self.millis(most, &what),
            "images" => serving.limits.images = self.whole(most, MOST, &what),
            _ => serving.limits.inflight = self.whole(most, MOST, &what),
        }
    }

    /// Whether some route of `graph` takes a value of this modality; true if the graph's routes are broken.
    fn can_bring(&self, graph: GraphId, word: &str) -> bool {
        let mut routes = self.program.routes.iter().filter(|route| route.graph == graph).peekable();
        let graph = &self.program.graphs[graph];
        let takes =
            |kind: &corn_plan::Kind| matches!(kind.word(), "media" | "messages") || kind.word() == word;
        routes.peek().is_none()
            || routes.any(|route| {
                brought(route, graph).iter().any(|(input, _)| takes(&graph.values[input.value].ty.kind))
            })
    }

    /// Warns of routes of served graphs that no endpoint names.
    pub(super) fn warn_of_unserved(&mut self) {
        let mut problems = Vec::new();
        for serve in &self.program.deployment.serves {
            let endpoints = &serve.plan.endpoints;
            let all = endpoints.iter().any(|one| matches!(one, Endpoint::Grpc | Endpoint::Kserve));
            let served: BTreeSet<&str> = endpoints
                .iter()
                .filter_map(|endpoint| match endpoint {
                    Endpoint::Openai { route, .. } => Some(route.as_str()),
                    _ => None,
                })
                .collect();
            let routes = self.program.routes.iter().filter(|route| route.graph == serve.graph);
            for route in routes.filter(|route| !all && !served.contains(route.name.as_str())) {
                let graph = &serve.plan.graph;
                problems.push(semantic::serve::never_served(&route.name, graph, serve.span, route.span));
            }
        }
        self.found.extend(problems);
    }
}
