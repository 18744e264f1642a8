//! What is asked: each case's request, and clients that put it over one connection or over one for each.

use std::fmt;

use bytes::Bytes;
use corn_serve::proto::corn::corn_client::CornClient;
use corn_serve::proto::corn::{InferRequest, Tensor, Value, value};
use corn_serve::proto::inference::ModelInferRequest;
use corn_serve::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use corn_serve::proto::inference::model_infer_request::InferInputTensor;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use crate::Outcome;
use crate::servers::Server;

const MEDIA_BYTES: usize = 4 << 20;
const TEXT: &str =
    "A question of some ninety bytes, as people ask them: what is the capital of France, and why there?";
const BOUNDARY: &str = "a-boundary-that-no-sound-has";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    Native,
    Kserve,
    Http,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) face: Face,
    pub(crate) is_media: bool,
    pub(crate) at_once: usize,
}

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for is_media in [false, true] {
            for face in [Face::Native, Face::Kserve, Face::Http] {
                all.extend([1, 64].map(|at_once| Self { face, is_media, at_once }));
            }
        }
        all
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let face = match self.face {
            Face::Native => "native",
            Face::Kserve => "kserve",
            Face::Http => "http",
        };
        let payload = if self.is_media { "4MiB" } else { "small" };
        write!(out, "{face} {payload} {}", self.at_once)
    }
}

/// Connections to a server, and what is asked over them: one for all calls of gRPC, one for each question of HTTP/1.1.
pub(crate) enum Asker {
    Native(CornClient<Channel>, InferRequest),
    Kserve(GrpcInferenceServiceClient<Channel>, ModelInferRequest),
    Http(Vec<std::sync::Mutex<Option<SendRequest<Full<Bytes>>>>>, Request<Full<Bytes>>),
}

impl Asker {
    pub(crate) async fn connect(case: Case, server: &Server) -> Outcome<Self> {
        let channel =
            || Endpoint::from_shared(format!("http://{}", server.grpc)).map(|it| it.tcp_nodelay(true));
        Ok(match case.face {
            Face::Native => {
                let client =
                    CornClient::new(channel()?.connect().await?).max_decoding_message_size(usize::MAX);
                Self::Native(client, native(case.is_media))
            }
            Face::Kserve => {
                let client = GrpcInferenceServiceClient::new(channel()?.connect().await?);
                Self::Kserve(client.max_decoding_message_size(usize::MAX), kserve(case.is_media))
            }
            Face::Http => {
                let mut connections = Vec::new();
                for _ in 0..case.at_once {
                    let stream = TcpStream::connect(server.http).await?;
                    stream.set_nodelay(true)?;
                    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
                    tokio::spawn(connection);
                    connections.push(std::sync::Mutex::new(Some(sender)));
                }
                Self::Http(connections, http(case.is_media)?)
            }
        })
    }

    /// Who asks one question after the other.
    pub(crate) fn one(&self, place: usize) -> One {
        match self {
            Self::Native(client, request) => One::Native(client.clone(), request.clone()),
            Self::Kserve(client, request) => One::Kserve(client.clone(), request.clone()),
            Self::Http(connections, request) => {
                let connection = connections.get(place).and_then(|it| it.lock().ok()?.take());
                One::Http(connection, request.clone())
            }
        }
    }
}

pub(crate) enum One {
    Native(CornClient<Channel>, InferRequest),
    Kserve(GrpcInferenceServiceClient<Channel>, ModelInferRequest),
    Http(Option<SendRequest<Full<Bytes>>>, Request<Full<Bytes>>),
}

impl One {
    /// Asks, and takes the whole answer.
    pub(crate) async fn ask(&mut self) -> Outcome<()> {
        let has_answer = match self {
            Self::Native(client, request) => {
                client.infer(request.clone()).await?.into_inner().outputs.len() == 1
            }
            Self::Kserve(client, request) => {
                client.model_infer(request.clone()).await?.into_inner().raw_output_contents.len() == 1
            }
            Self::Http(connection, request) => {
                let connection = connection.as_mut().ok_or("more questions at once than connections")?;
                connection.ready().await?;
                let answer = connection.send_request(request.clone()).await?;
                let status = answer.status();
                let body = answer.into_body().collect().await?.to_bytes();
                if status != StatusCode::OK {
                    return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
                }
                !body.is_empty()
            }
        };
        if has_answer { Ok(()) } else { Err("an answer without outputs".into()) }
    }
}

fn media() -> Bytes {
    (0..MEDIA_BYTES).map(|place| place as u8).collect::<Vec<u8>>().into()
}

fn native(is_media: bool) -> InferRequest {
    let (route, name, kind) = if is_media {
        let tensor = Tensor { dtype: "u8".to_owned(), shape: vec![MEDIA_BYTES as u64], data: media() };
        ("pass", "data", value::Kind::Tensor(tensor))
    } else {
        ("say", "prompt", value::Kind::Text(TEXT.to_owned()))
    };
    let inputs = [(name.to_owned(), Value { kind: Some(kind) })];
    InferRequest { route: route.to_owned(), inputs: inputs.into(), ..InferRequest::default() }
}

fn kserve(is_media: bool) -> ModelInferRequest {
    let (model, name, datatype, extent, raw) = if is_media {
        ("media.pass", "data", "UINT8", MEDIA_BYTES, media())
    } else {
        let mut raw = (TEXT.len() as u32).to_le_bytes().to_vec();
        raw.extend_from_slice(TEXT.as_bytes());
        ("echo.say", "prompt", "BYTES", 1, raw.into())
    };
    let input = InferInputTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: vec![extent as i64],
        ..InferInputTensor::default()
    };
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![input],
        raw_input_contents: vec![raw],
        ..ModelInferRequest::default()
    }
}

fn http(is_media: bool) -> Outcome<Request<Full<Bytes>>> {
    let (path, content_type, body) = if is_media {
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        ("/v1/audio/transcriptions", content_type, form())
    } else {
        let body = json!({ "model": "echo", "prompt": TEXT });
        ("/v1/completions", "application/json".to_owned(), body.to_string().into())
    };
    let request = Request::post(path).header("host", "localhost").header("content-type", content_type);
    Ok(request.body(Full::new(body))?)
}

/// A form with a sound: 16 bits, 16 kHz, one channel.
fn form() -> Bytes {
    let mut body = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nhear\r\n--{BOUNDARY}\r\n\
         content-disposition: form-data; name=\"file\"; filename=\"said.wav\"\r\ncontent-type: audio/wav\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(b"RIFF");
    body.extend_from_slice(&(MEDIA_BYTES as u32 + 36).to_le_bytes());
    body.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    body.extend_from_slice(&16_000u32.to_le_bytes());
    body.extend_from_slice(&32_000u32.to_le_bytes());
    body.extend_from_slice(b"\x02\0\x10\0data");
    body.extend_from_slice(&(MEDIA_BYTES as u32).to_le_bytes());
    body.extend_from_slice(&media());
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body.into()
}
