//! KServe v2, with what Triton adds to it: routes as models, values as tensors.
//!
//! What clients send and expect is not all in the protocol's text: contents are answered raw, texts have their length
//! before them, and a stream of responses says which is the last of a request.

mod generate;
mod messages;
mod models;
mod output;
mod parameters;
mod stream;
mod tensor;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corn_core::Datum;
use corn_plan::{Endpoint, Kind, Limits};
use prost::Message;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use crate::Served;
use crate::grpc::ask::{self, Asked, Asking, Wanted};
use crate::grpc::kserve::parameters::Parameters;
use crate::grpc::proto::corn::Value;
use crate::grpc::proto::inference as pb;
use crate::grpc::proto::inference::grpc_inference_service_server::GrpcInferenceService;
use crate::grpc::proto::inference::infer_parameter::ParameterChoice;
use crate::grpc::proto::inference::model_infer_request::InferInputTensor;
use crate::grpc::routes::{Input, Route, Routes};
use crate::grpc::{inputs, pass_of, status};
use crate::intake::Intake;
use crate::keys::Pass;

/// A request of more bytes than that is read where it keeps no other waiting.
const LARGE_BYTES: usize = 64 << 10;

/// The KServe protocol, for every route that is served by it.
#[derive(Clone)]
pub(super) struct Kserve {
    served: Arc<Served>,
    routes: Arc<Routes>,
    intake: Intake,
}

/// A request that is under way.
struct Called {
    asking: Asking,
    /// As the client calls it.
    model: String,
    id: String,
    wants_final: bool,
}

impl Kserve {
    pub(super) fn new(served: Arc<Served>, intake: Intake) -> Self {
        let routes = Arc::new(Routes::new(served.plan(), &Endpoint::Kserve));
        Self { served, routes, intake }
    }

    /// What is served now. A stream may outlast what was served when it began.
    fn newest(self) -> Self {
        match self.served.newest() {
            Some(newest) => Self::new(Arc::clone(newest), self.intake),
            None => self,
        }
    }

    fn is_ready(&self, route: &Route) -> bool {
        route.recordings.iter().any(|recording| self.served.has_ready(*recording))
    }

    /// Reads and submits a request, which has until `deadline`.
    async fn submit(
        &self,
        mut request: pb::ModelInferRequest,
        deadline: Option<Duration>,
        pass: &Pass,
    ) -> Result<Called, Status> {
        let slot = pass.begin().map_err(|over| status::over(&over))?;
        let bytes = request.encoded_len();
        let route = models::find(&self.routes, &request.model_name, &request.model_version)?;
        let text_output = generate::renamed(&mut request, route);
        let limits = inputs::limits(self.served.plan(), &route.graph, bytes)?;
        let mut taken = self.intake.begin();
        taken.take(bytes as u64).map_err(|fault| status::of(&fault))?;
        let pb::ModelInferRequest {
            model_name: model,
            id,
            parameters,
            inputs,
            outputs,
            raw_input_contents,
            ..
        } = request;
        let parameters = parameters::read(parameters, route)?;
        for output in &outputs {
            if let Some(name) = output.parameters.keys().min() {
                let message = format!("output '{}': there is no parameter '{name}' of outputs", output.name);
                return Err(status::refused(message));
            }
        }
        let (graph, name) = (route.graph.clone(), route.name.clone());
        let (priority, wants_final) = (parameters.priority, parameters.wants_final);
        let deadline = parameters.timeout.into_iter().chain(deadline).min();
        let until = deadline.map(|deadline| Instant::now() + deadline);
        let inputs = if is_work(route, bytes) {
            let (routes, graph, name) = (Arc::clone(&self.routes), graph.clone(), name.clone());
            let read = move || {
                let route = routes.iter().find(|route| route.graph == graph && route.name == name);
                route.map(|route| read(route, inputs, raw_input_contents, parameters, limits))
            };
            let read = self.intake.apart(until, read).await.map_err(|fault| status::of(&fault))?;
            read.unwrap_or_else(|| Err(Status::internal("a route is gone; this is a bug of corn")))
        } else {
            read(route, inputs, raw_input_contents, parameters, limits)
        }?;
        let asked = Asked {
            graph,
            route: Some(name),
            inputs,
            outputs: outputs.into_iter().map(|output| output.name).collect(),
            deadline: until.map(|until| until.saturating_duration_since(Instant::now())),
            priority,
            slot,
        };
        let mut asking = ask::submit(&self.served, &self.routes, &self.intake, asked)?;
        for output in asking.outputs.iter_mut().filter(|output| Some(&output.name) == text_output.as_ref()) {
            generate::OUTPUT.clone_into(&mut output.name);
        }
        Ok(Called { asking, model, id, wants_final })
    }
}

/// Whether reading takes so long that it is done apart: whether there can be files to decode, or much to convert.
fn is_work(route: &Route, bytes: usize) -> bool {
    let is_media = |input: &Input| {
        matches!(
            input.ty.kind,
            Kind::Image { .. }
                | Kind::Audio { .. }
                | Kind::Video { .. }
                | Kind::Media { .. }
                | Kind::Messages { .. }
        )
    };
    bytes > LARGE_BYTES || route.inputs.iter().any(is_media)
}

/// What a request to `route` brings, as its inputs declare it.
fn read(
    route: &Route,
    inputs: Vec<InferInputTensor>,
    raw: Vec<Bytes>,
    mut parameters: Parameters,
    limits: Limits,
) -> Result<Vec<(String, Datum)>, Status> {
    let mut given = std::mem::take(&mut parameters.inputs);
    given.extend(tensors(route, inputs, raw, &parameters)?);
    let mut names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some((twice, _)) = names.iter().zip(names.iter().skip(1)).find(|(one, next)| one == next) {
        return Err(status::refused(format!("input '{twice}' is brought twice")));
    }
    inputs::read(&[route], &format!("model '{}'", models::name(route)), given, limits)
}

/// The tensors of a request, as values of inputs of `route`.
fn tensors(
    route: &Route,
    inputs: Vec<InferInputTensor>,
    raw: Vec<Bytes>,
    parameters: &Parameters,
) -> Result<Vec<(String, Value)>, Status> {
    if !raw.is_empty() && raw.len() != inputs.len() {
        let (raw, inputs) = (raw.len(), inputs.len());
        let message =
            format!("{raw} raw contents for {inputs} inputs; there is one for each, or none at all");
        return Err(status::refused(message));
    }
    let mut raw = raw.into_iter();
    let mut given = Vec::with_capacity(inputs.len());
    for tensor in inputs {
        let raw = raw.next();
        let name = tensor.name.clone();
        let Some(input) = route.inputs.iter().find(|input| input.name == name) else {
            return Err(ask::unknown_input(&format!("model '{}'", models::name(route)), &[route], &name));
        };
        let wrong = |problem: String| status::refused(format!("input '{name}': {problem}"));
        if let Some(parameter) = tensor.parameters.keys().min() {
            let problem = match parameter.as_str() {
                "shared_memory_region" | "shared_memory_byte_size" | "shared_memory_offset" => {
                    "it is in shared memory, which is not read here; send its contents".to_owned()
                }
                other => format!("there is no parameter '{other}' of inputs"),
            };
            return Err(wrong(problem));
        }
        let value = tensor::read(tensor, raw, input, parameters).map_err(wrong)?;
        given.push((name, value));
    }
    Ok(given)
}

impl Called {
    /// A response that has yet to get its outputs.
    fn response(
        &self,
        parameters: impl IntoIterator<Item = (&'static str, ParameterChoice)>,
    ) -> pb::ModelInferResponse {
        let request = ParameterChoice::StringParam(status::id(self.asking.request()));
        let parameters = parameters.into_iter().chain([("corn_request_id", request)]);
        pb::ModelInferResponse {
            model_name: self.model.clone(),
            model_version: models::VERSION.to_owned(),
            id: self.id.clone(),
            parameters: output::parameters(parameters),
            outputs: Vec::new(),
            raw_output_contents: Vec::new(),
        }
    }
}

/// `response` with these outputs.
async fn filled(
    mut response: pb::ModelInferResponse,
    outputs: Vec<(Wanted, Datum)>,
    intake: &Intake,
) -> Result<pb::ModelInferResponse, Status> {
    let is_work = outputs.iter().any(|(_, datum)| output::is_work(datum));
    let fill = move || {
        for (wanted, datum) in &outputs {
            let added = output::add(&mut response, &wanted.name, &wanted.ty, datum);
            added.map_err(|problem| Status::internal(format!("output '{}': {problem}", wanted.name)))?;
        }
        Ok(response)
    };
    if !is_work {
        return fill();
    }
    intake.apart(None, fill).await.map_err(|fault| status::of(&fault))?
}

/// RPCs that are not offered, and what is instead.
macro_rules! not_offered {
    ($($name:ident: $request:ident -> $response:ident, $why:literal;)*) => {$(
        fn $name<'s: 'f, 'f>(
            &'s self,
            _request: Request<pb::$request>,
        ) -> std::pin::Pin<Box<dyn Future<Output = Result<Response<pb::$response>, Status>> + Send + 'f>> {
            Box::pin(async { Err(Status::unimplemented($why)) })
        }
    )*};
}

#[tonic::async_trait]
impl GrpcInferenceService for Kserve {
    async fn server_live(
        &self,
        _request: Request<pb::ServerLiveRequest>,
    ) -> Result<Response<pb::ServerLiveResponse>, Status> {
        Ok(Response::new(pb::ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _request: Request<pb::ServerReadyRequest>,
    ) -> Result<Response<pb::ServerReadyResponse>, Status> {
        Ok(Response::new(pb::ServerReadyResponse { ready: self.served.is_ready() }))
    }

    async fn model_ready(
        &self,
        request: Request<pb::ModelReadyRequest>,
    ) -> Result<Response<pb::ModelReadyResponse>, Status> {
        let pb::ModelReadyRequest { name, version } = request.into_inner();
        let route = models::find(&self.routes, &name, &version)?;
        Ok(Response::new(pb::ModelReadyResponse { ready: self.is_ready(route) }))
    }

    async fn server_metadata(
        &self,
        _request: Request<pb::ServerMetadataRequest>,
    ) -> Result<Response<pb::ServerMetadataResponse>, Status> {
        Ok(Response::new(pb::ServerMetadataResponse {
            name: "corn".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: vec!["model_configuration".to_owned(), "parameters".to_owned()],
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<pb::ModelMetadataRequest>,
    ) -> Result<Response<pb::ModelMetadataResponse>, Status> {
        let pb::ModelMetadataRequest { name, version } = request.into_inner();
        let route = models::find(&self.routes, &name, &version)?;
        Ok(Response::new(models::metadata(route, &name)))
    }

    async fn model_config(
        &self,
        request: Request<pb::ModelConfigRequest>,
    ) -> Result<Response<pb::ModelConfigResponse>, Status> {
        let pb::ModelConfigRequest { name, version } = request.into_inner();
        let route = models::find(&self.routes, &name, &version)?;
        Ok(Response::new(pb::ModelConfigResponse { config: Some(models::config(route, &name)) }))
    }

    async fn model_infer(
        &self,
        request: Request<pb::ModelInferRequest>,
    ) -> Result<Response<pb::ModelInferResponse>, Status> {
        let deadline = ask::deadline(request.metadata())?;
        let pass = pass_of(request.extensions());
        let mut called = self.submit(request.into_inner(), deadline, &pass).await?;
        let outputs = called.asking.whole().await?;
        let outputs = outputs.into_iter().filter_map(|(wanted, datum)| Some((wanted, datum?)));
        let response = filled(called.response([]), outputs.collect(), &self.intake).await?;
        let mut response = Response::new(response);
        status::name_request(response.metadata_mut(), called.asking.request());
        Ok(response)
    }

    type ModelStreamInferStream = stream::Responses;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<pb::ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let (deadline, pass) = (ask::deadline(request.metadata())?, pass_of(request.extensions()));
        Ok(Response::new(stream::answer(self.clone(), pass, request.into_inner(), deadline)))
    }

    async fn repository_index(
        &self,
        request: Request<pb::RepositoryIndexRequest>,
    ) -> Result<Response<pb::RepositoryIndexResponse>, Status> {
        let only_ready = request.into_inner().ready;
        let model = |route: &Route| {
            let is_ready = self.is_ready(route);
            let (state, reason) =
                if is_ready { ("READY", "") } else { ("UNAVAILABLE", "not every component is ready") };
            pb::repository_index_response::ModelIndex {
                name: models::name(route),
                version: models::VERSION.to_owned(),
                state: state.to_owned(),
                reason: reason.to_owned(),
            }
        };
        let models = self.routes.iter().filter(|route| !only_ready || self.is_ready(route)).map(model);
        Ok(Response::new(pb::RepositoryIndexResponse { models: models.collect() }))
    }

    not_offered! {
        model_statistics: ModelStatisticsRequest -> ModelStatisticsResponse,
            "statistics are not kept by model";
        repository_model_load: RepositoryModelLoadRequest -> RepositoryModelLoadResponse,
            "models are the routes of one plan, which are loaded together when it is deployed";
        repository_model_unload: RepositoryModelUnloadRequest -> RepositoryModelUnloadResponse,
            "models are the routes of one plan, which are unloaded together when it is taken down";
        system_shared_memory_status: SystemSharedMemoryStatusRequest -> SystemSharedMemoryStatusResponse,
            "shared memory of clients is not read; send contents in requests";
        system_shared_memory_register: SystemSharedMemoryRegisterRequest -> SystemSharedMemoryRegisterResponse,
            "shared memory of clients is not read; send contents in requests";
        system_shared_memory_unregister: SystemSharedMemoryUnregisterRequest -> SystemSharedMemoryUnregisterResponse,
            "shared memory of clients is not read; send contents in requests";
        cuda_shared_memory_status: CudaSharedMemoryStatusRequest -> CudaSharedMemoryStatusResponse,
            "CUDA memory of clients is not read; send contents in requests";
        cuda_shared_memory_register: CudaSharedMemoryRegisterRequest -> CudaSharedMemoryRegisterResponse,
            "CUDA memory of clients is not read; send contents in requests";
        cuda_shared_memory_unregister: CudaSharedMemoryUnregisterRequest -> CudaSharedMemoryUnregisterResponse,
            "CUDA memory of clients is not read; send contents in requests";
        trace_setting: TraceSettingRequest -> TraceSettingResponse,
            "traces are not set over this protocol";
        log_settings: LogSettingsRequest -> LogSettingsResponse,
            "logs are not set over this protocol";
    }
}
