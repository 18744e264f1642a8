//! What is served is replaced while clients are connected.

use std::sync::Arc;

use corn_serve::proto::corn::corn_client::CornClient;
use corn_serve::proto::corn::value::Kind;
use corn_serve::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use corn_serve::{Listening, Served, Sockets};
use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{PROGRAM, engine};
use crate::kserve::prompt;
use crate::native::{ask, int, text};

/// Another graph, and nothing else.
const NEXT: &str = "
component Upper() { in text: text out text: text run reference \"text.upper\" }
let upper = Upper()
graph loudly(prompt: text) -> { reply: text } { { reply: upper(prompt) } }
serve loudly { grpc kserve }
";

/// Requests that come are answered by what is served now, over the connection that is there; what is under way ends
/// where it began, and then nothing holds what was served before.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_replaced_under_its_clients() {
    let (first, second) = (Served::new(engine(PROGRAM).await.0), Served::new(engine(NEXT).await.0));
    let (serves, served) = watch::channel(Arc::clone(&first));
    let listening = Listening { grpc: Some("127.0.0.1:0".to_owned()), ..Listening::default() };
    let sockets = Sockets::bind(&listening).await.unwrap();
    let address = sockets.bound().grpc.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let faces = tokio::spawn(sockets.serve(served, async { drop(stopped.await) }));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = CornClient::new(channel.clone());
    let mut health = HealthClient::new(channel.clone());
    let (asks, asked) = mpsc::channel(1);
    asks.send(prompt("speak.say", "One.")).await.unwrap();
    let mut inference = GrpcInferenceServiceClient::new(channel);
    let mut answers = inference.model_stream_infer(ReceiverStream::new(asked)).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().error_message, "");
    let mut said = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    while said.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    let mut under_way = client.stream(ask("endless", &[("upto", int(0))], &[])).await.unwrap().into_inner();
    assert!(under_way.message().await.unwrap().is_some());

    serves.send_replace(Arc::clone(&second));
    // The faces hear of it in a moment; until then there is no such graph.
    let answer = loop {
        match client.infer(ask("loudly", &[("prompt", text("One two."))], &[])).await {
            Ok(answer) => break answer.into_inner().outputs[0].value.clone().unwrap().kind,
            Err(status) => assert_eq!(status.code(), Code::NotFound, "{status:?}"),
        }
    };
    assert_eq!(answer, Some(Kind::Text("ONE TWO.".to_owned())));
    let gone = client.stream(ask("endless", &[("upto", int(0))], &[])).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound, "{gone:?}");
    // A stream that outlasts what was served when it began asks what is served now.
    asks.send(prompt("loudly", "Two.")).await.unwrap();
    loop {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer.error_message, "");
        if answer.infer_response.is_some_and(|answer| answer.model_name == "loudly") {
            break;
        }
    }
    drop((asks, answers));
    for _ in 0..1000 {
        assert!(under_way.message().await.unwrap().is_some());
    }
    assert!(first.left().now_or_never().is_none(), "something of it is under way");
    drop(under_way);
    first.left().await;
    assert!(said.message().now_or_never().is_none(), "nobody is told of bad health");
    stop.send(()).unwrap();
    drop((said, client, health));
    faces.await.unwrap().unwrap();
    second.left().await;
}
