//! Corn's own service.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use corn_core::Datum;
use corn_core::executor::Usage;
use corn_core::message::Priority;
use corn_media::Format;
use corn_plan::Endpoint;
use futures_util::stream::{self, Stream, StreamExt};
use prost::Message;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::Served;
use crate::grpc::ask::{self, Asked, Asking, Event};
use crate::grpc::proto::corn as pb;
use crate::grpc::proto::corn::converse_request::Message as Spoken;
use crate::grpc::proto::corn::corn_server::Corn;
use crate::grpc::proto::corn::stream_response::Event as Said;
use crate::grpc::routes::{Route, Routes};
use crate::grpc::value::{self, Formats};
use crate::grpc::{describe, inputs, nearest, pass_of, status, unread};
use crate::intake::Intake;
use crate::keys::{Pass, Slot};

/// Corn's own service, for every route that is served natively.
#[derive(Clone)]
pub(crate) struct Native {
    served: Arc<Served>,
    routes: Arc<Routes>,
    intake: Intake,
}

/// The pieces of an answer.
pub(crate) type Answers = Pin<Box<dyn Stream<Item = Result<pb::StreamResponse, Status>> + Send>>;

/// Ends when the client says that it does not want the answer any more.
pub(crate) type Cancelled = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Native {
    pub(super) fn new(served: Arc<Served>, intake: Intake) -> Self {
        let routes = Arc::new(Routes::new(served.plan(), &Endpoint::Grpc));
        Self { served, routes, intake }
    }

    /// The same for clients of another face, and for every route that is served at all.
    pub(crate) fn open(served: Arc<Served>, intake: Intake) -> Self {
        let routes = Arc::new(Routes::open(served.plan()));
        Self { served, routes, intake }
    }

    /// The routes that can be asked.
    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }

    async fn submit(
        &self,
        metadata: &MetadataMap,
        pass: &Pass,
        request: pb::InferRequest,
    ) -> Result<Asking, Status> {
        let slot = pass.begin().map_err(|over| status::over(&over))?;
        self.ask(ask::deadline(metadata)?, slot, request).await
    }

    /// What a client asks for, read and submitted.
    pub(crate) async fn ask(
        &self,
        deadline: Option<Duration>,
        slot: Slot,
        request: pb::InferRequest,
    ) -> Result<Asking, Status> {
        let priority = match known(request.priority, "priority")? {
            pb::Priority::Normal => Priority::Normal,
            pb::Priority::Low => Priority::Low,
            pb::Priority::High => Priority::High,
        };
        let (graph, route) = self.names(&request.graph, &request.route)?;
        let until = deadline.map(|deadline| Instant::now() + deadline);
        let bytes = request.encoded_len();
        let limits = inputs::limits(self.served.plan(), &graph, bytes)?;
        let mut taken = self.intake.begin();
        taken.take(bytes as u64).map_err(|fault| status::of(&fault))?;
        let pb::InferRequest { inputs: given, outputs, .. } = request;
        let given: Vec<(String, pb::Value)> = given.into_iter().collect();
        let is_work = given.iter().any(|(_, value)| inputs::is_work(value));
        let (routes, of_graph, of_route) = (Arc::clone(&self.routes), graph.clone(), route.clone());
        let read = move || {
            let routes = routes.iter().filter(|it| it.graph == of_graph);
            let routes: Vec<&Route> =
                routes.filter(|it| of_route.as_ref().is_none_or(|name| it.name == *name)).collect();
            let of = match &of_route {
                Some(route) => format!("route '{route}'"),
                None => format!("graph '{of_graph}'"),
            };
            inputs::read(&routes, &of, given, limits)
        };
        let inputs = if is_work {
            self.intake.apart(until, read).await.map_err(|fault| status::of(&fault))?
        } else {
            read()
        }?;
        let deadline = until.map(|until| until.saturating_duration_since(Instant::now()));
        let asked = Asked { graph, route, inputs, outputs, deadline, priority, slot };
        ask::submit(&self.served, &self.routes, &self.intake, asked)
    }

    /// The graph and the route that a request means.
    fn names(&self, graph: &str, route: &str) -> Result<(String, Option<String>), Status> {
        let graphs = self.routes.graphs();
        let with_route: Vec<&Route> = self.routes.iter().filter(|it| it.name == route).collect();
        let graph = match (graph, with_route.as_slice(), graphs.as_slice()) {
            ("", [one], _) => one.graph.as_str(),
            ("", [], [one]) => one,
            ("", [], _) if !route.is_empty() => {
                let names = || self.routes.iter().map(|it| it.name.as_str());
                let (hint, names) = (nearest::hint(route, names()), ask::listed(names()));
                return Err(status::not_found(format!(
                    "there is no route '{route}'{hint}; there is {names}"
                )));
            }
            ("", ..) => {
                let message = format!("say which graph: there is {}", ask::listed(graphs.iter().copied()));
                return Err(status::refused(message));
            }
            (graph, ..) if graphs.contains(&graph) => graph,
            (graph, ..) => return Err(self.no_graph(graph)),
        };
        if route.is_empty() {
            return Ok((graph.to_owned(), None));
        }
        let of_graph: Vec<&str> =
            self.routes.iter().filter(|it| it.graph == graph).map(|it| it.name.as_str()).collect();
        if !of_graph.contains(&route) {
            let (hint, names) = (nearest::hint(route, of_graph.iter().copied()), of_graph.join(", "));
            let message = format!("graph '{graph}' has no route '{route}'{hint}; it has {names}");
            return Err(status::not_found(message));
        }
        Ok((graph.to_owned(), Some(route.to_owned())))
    }

    fn no_graph(&self, graph: &str) -> Status {
        if self.served.plan().recordings.iter().any(|recording| recording.graph == graph) {
            let message =
                format!("graph '{graph}' is not served here: no `grpc` stands in a `serve {graph}`");
            return status::not_found(message);
        }
        let graphs = self.routes.graphs();
        let (hint, names) =
            (nearest::hint(graph, graphs.iter().copied()), ask::listed(graphs.iter().copied()));
        status::not_found(format!("there is no graph '{graph}'{hint}; there is {names}"))
    }
}

/// The word that a number stands for. One of a later version is refused rather than taken for another.
fn known<T: TryFrom<i32>>(number: i32, field: &str) -> Result<T, Status> {
    T::try_from(number).map_err(|_| status::refused(format!("{number} stands for nothing as '{field}'")))
}

/// How the media of an answer are written.
pub(crate) fn formats(request: &pb::InferRequest) -> Result<Formats, Status> {
    let images = match known(request.images, "images")? {
        pb::ImageFormat::ImageRgb => None,
        pb::ImageFormat::ImagePng => Some(Format::Png),
        pb::ImageFormat::ImageJpeg => Some(Format::Jpeg { quality: 90 }),
        pb::ImageFormat::ImageWebp => Some(Format::WebpLossless),
    };
    let wav = match known(request.audio, "audio")? {
        pb::AudioFormat::AudioSamples => false,
        pb::AudioFormat::AudioWav => true,
    };
    Ok(Formats { images, wav })
}

/// `datum` as clients get it.
pub(crate) async fn written(datum: Datum, formats: Formats, intake: &Intake) -> Result<pb::Value, Status> {
    let written = if formats.is_work(&datum) {
        intake.apart(None, move || value::write(&datum, formats)).await.map_err(|fault| status::of(&fault))?
    } else {
        value::write(&datum, formats)
    };
    written.map_err(|error| Status::internal(error.to_string()))
}

/// The pieces of an answer, made as the client takes them.
pub(crate) fn answers(asking: Asking, formats: Formats, cancelled: Option<Cancelled>) -> Answers {
    let asked = asking.outputs.iter().filter(|output| output.is_asked);
    let started = pb::Started {
        request_id: status::id(asking.request()),
        route: asking.route.clone(),
        outputs: asked.map(|output| output.name.clone()).collect(),
    };
    let first = stream::once(async { Ok(pb::StreamResponse { event: Some(Said::Started(started)) }) });
    let rest = stream::unfold(Some((asking, cancelled)), move |state| async move {
        let (mut asking, mut cancelled) = state?;
        let event = loop {
            let Some(cancel) = &mut cancelled else { break asking.next().await };
            tokio::select! {
                event = asking.next() => break event,
                () = cancel => {
                    asking.cancel();
                    cancelled = None;
                }
            }
        };
        let Some(event) = event else {
            let used = Said::Used(used(asking.usage.take()?));
            return Some((Ok(pb::StreamResponse { event: Some(used) }), Some((asking, cancelled))));
        };
        let said = match event {
            Ok(Event::End { output }) => {
                Ok(Said::End(pb::End { output: asking.outputs[output].name.clone() }))
            }
            Ok(Event::Item { output, datum }) => written(datum, formats, &asking.intake).await.map(|value| {
                Said::Item(pb::Item { output: asking.outputs[output].name.clone(), value: Some(value) })
            }),
            Err(status) => Err(status),
        };
        // Nothing comes after a failure, and what is left of the request is given up with it.
        let next = said.is_ok().then_some((asking, cancelled));
        Some((said.map(|event| pb::StreamResponse { event: Some(event) }), next))
    });
    Box::pin(first.chain(rest))
}

pub(crate) fn used(usage: Usage) -> pb::Used {
    let Usage { prompt_tokens, cached_tokens, completion_tokens, is_cut } = usage;
    pb::Used { prompt_tokens, cached_tokens, completion_tokens, is_cut }
}

fn respond<T>(asking: corn_core::message::RequestId, message: T) -> Response<T> {
    let mut response = Response::new(message);
    status::name_request(response.metadata_mut(), asking);
    response
}

/// Ends when `later` says to cancel, or says what it must not.
async fn told_to_cancel(mut later: Streaming<pb::ConverseRequest>, wrong: oneshot::Sender<Status>) {
    match later.message().await {
        Ok(Some(pb::ConverseRequest { message: Some(Spoken::Cancel(_)) })) => {}
        Ok(Some(_)) => {
            let _ = wrong.send(status::refused("after the request, a client says nothing but `cancel`"));
        }
        // It has nothing more to say, and waits for the answer. If it has gone, the call is dropped.
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

#[tonic::async_trait]
impl Corn for Native {
    async fn infer(&self, request: Request<pb::InferRequest>) -> Result<Response<pb::InferResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let formats = formats(&request)?;
        let mut asking = self.submit(&metadata, &pass_of(&extensions), request).await?;
        let mut outputs = Vec::new();
        for (wanted, datum) in asking.whole().await? {
            let value = match datum {
                Some(datum) => Some(written(datum, formats, &asking.intake).await?),
                None => None,
            };
            outputs.push(pb::Output { name: wanted.name, value });
        }
        let request_id = status::id(asking.request());
        let response = pb::InferResponse {
            request_id,
            route: asking.route.clone(),
            outputs,
            used: asking.usage.map(used),
        };
        Ok(respond(asking.request(), response))
    }

    type StreamStream = Answers;

    async fn stream(&self, request: Request<pb::InferRequest>) -> Result<Response<Answers>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let formats = formats(&request)?;
        let asking = self.submit(&metadata, &pass_of(&extensions), request).await?;
        Ok(respond(asking.request(), answers(asking, formats, None)))
    }

    type ConverseStream = Answers;

    async fn converse(
        &self,
        request: Request<Streaming<pb::ConverseRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let (metadata, extensions, mut spoken) = request.into_parts();
        let first = spoken.message().await.map_err(unread::said)?.and_then(|first| first.message);
        let Some(Spoken::Request(request)) = first else {
            return Err(status::refused("the first message of a client is its request"));
        };
        let formats = formats(&request)?;
        let asking = self.submit(&metadata, &pass_of(&extensions), request).await?;
        let (wrong, said_wrong) = oneshot::channel();
        let cancelled: Cancelled = Box::pin(told_to_cancel(spoken, wrong));
        let request = asking.request();
        let mut said_wrong = Some(said_wrong);
        // The fault of a request that was given up for a wrong message is that message.
        let answers = answers(asking, formats, Some(cancelled)).map(move |said| match said {
            Err(status) => {
                Err(said_wrong.take().and_then(|mut wrong| wrong.try_recv().ok()).unwrap_or(status))
            }
            said => said,
        });
        Ok(respond(request, Box::pin(answers)))
    }

    async fn describe(
        &self,
        request: Request<pb::DescribeRequest>,
    ) -> Result<Response<pb::DescribeResponse>, Status> {
        let graph = request.into_inner().graph;
        if !graph.is_empty() && !self.routes.graphs().contains(&graph.as_str()) {
            return Err(self.no_graph(&graph));
        }
        Ok(Response::new(describe::plan(&self.served, &self.routes, &graph)))
    }
}
