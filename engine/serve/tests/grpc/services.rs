//! What stands around the services: health, reflection, sizes, compression.

use corn_serve::proto::corn::value::Kind;
use corn_serve::proto::corn::{InferRequest, Tensor, Value};
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::harness::{PROGRAM, host};

#[tokio::test]
async fn health_is_told_once_every_component_is_ready() {
    let host = host(PROGRAM).await;
    let mut client = HealthClient::new(host.channel().await);
    for service in ["", "corn.v1.Corn", "inference.GRPCInferenceService"] {
        let mut watched =
            client.watch(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner();
        loop {
            let status = watched.message().await.unwrap().unwrap().status();
            if status == ServingStatus::Serving {
                break;
            }
        }
    }
    let unknown = client.check(HealthCheckRequest { service: "corn.v2.Corn".to_owned() }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn services_are_listed_and_described() {
    let host = host(PROGRAM).await;
    let mut client = ServerReflectionClient::new(host.channel().await);
    let request = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let asked = tokio_stream::iter([
        request(MessageRequest::ListServices(String::new())),
        request(MessageRequest::FileContainingSymbol("corn.v1.Corn".to_owned())),
        request(MessageRequest::FileContainingSymbol("inference.ModelInferRequest".to_owned())),
    ]);
    let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
    let listed = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(listed) = listed else { panic!("{listed:?}") };
    let mut names: Vec<String> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "corn.v1.Corn",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "inference.GRPCInferenceService",
        ]
    );
    for _ in 0..2 {
        let described = answers.message().await.unwrap().unwrap().message_response.unwrap();
        assert!(matches!(described, MessageResponse::FileDescriptorResponse(_)), "{described:?}");
    }
    let mut older = tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient::new(
        host.channel().await,
    );
    let request = tonic_reflection::pb::v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest::ListServices(
                String::new(),
            ),
        ),
    };
    let answers = older.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
    assert!(answers.into_inner().message().await.unwrap().is_some());
}

fn echo(bytes: usize) -> InferRequest {
    let data = vec![7; bytes].into();
    let tensor = Tensor { dtype: "u8".to_owned(), shape: vec![bytes as u64], data };
    let value = Value { kind: Some(Kind::Tensor(tensor)) };
    InferRequest {
        graph: "echo".to_owned(),
        inputs: [("data".to_owned(), value)].into(),
        ..InferRequest::default()
    }
}

/// More than 4 MiB arrive, and are refused for their bound rather than for their size; more than the largest limit
/// of a graph do not arrive.
#[tokio::test]
async fn sizes_are_those_of_the_plan() {
    let host = host(PROGRAM).await;
    let mut client = host.native().await.max_encoding_message_size(usize::MAX);
    let status = client.infer(echo(6 << 20)).await.unwrap_err();
    assert!(status.message().starts_with("input 'data': tensor<u8>[6291456] where"), "{status:?}");
    let status = client.infer(echo(65 << 20)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    let mut compressing =
        client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    let response = compressing.infer(echo(1 << 20)).await.unwrap();
    // Pixels and sound do not get smaller by it, and texts are small.
    assert!(response.metadata().get("grpc-encoding").is_none());
}
