//! Bytes that are no messages, and calls that nobody answers.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes};
use corn_serve::proto::corn::value::Kind;
use corn_serve::proto::corn::{InferRequest, List, Value};
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};

use crate::harness::{Host, PROGRAM, host};

/// Bytes as they are.
#[derive(Default)]
struct Raw(PhantomData<()>);

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// What is said of these messages, sent to a method.
async fn refused(host: &Host, path: &'static str, messages: Vec<Bytes>) -> Status {
    let mut client = Grpc::new(host.channel().await);
    client.ready().await.unwrap();
    let messages = Request::new(tokio_stream::iter(messages));
    let called = client.streaming(messages, PathAndQuery::from_static(path), Raw::default()).await;
    match called {
        Err(status) => status,
        Ok(answer) => answer.into_inner().message().await.unwrap_err(),
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_a_mistake_of_who_sent_it() {
    let host = host(PROGRAM).await;
    let methods = [
        "/corn.v1.Corn/Infer",
        "/corn.v1.Corn/Stream",
        "/corn.v1.Corn/Converse",
        "/corn.v1.Corn/Describe",
        "/inference.GRPCInferenceService/ModelInfer",
        "/inference.GRPCInferenceService/ModelStreamInfer",
    ];
    for method in methods {
        for junk in [&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\x0a\xff\xff\xff\xff\x0f"] {
            let status = refused(&host, method, vec![Bytes::copy_from_slice(junk)]).await;
            assert_eq!(status.code(), Code::InvalidArgument, "{method}: {status:?}");
            let start = "the message cannot be read: failed to decode Protobuf message";
            assert!(status.message().starts_with(start), "{method}: {status:?}");
            assert_eq!(status.metadata().get("corn-blame").unwrap(), "request");
        }
    }
    for method in ["/corn.v1.Corn/Infer", "/inference.GRPCInferenceService/ModelInfer"] {
        let status = refused(&host, method, Vec::new()).await;
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, "the request has no message"),
            "{method}"
        );
    }
}

#[tokio::test]
async fn what_is_too_deep_is_not_read() {
    let host = host(PROGRAM).await;
    let list = |item| Value { kind: Some(Kind::List(List { items: vec![item] })) };
    let deep = (0..100).fold(Value::default(), |item, _| list(item));
    let request = InferRequest { inputs: [("text".to_owned(), deep)].into(), ..InferRequest::default() };
    let status = refused(&host, "/corn.v1.Corn/Infer", vec![request.encode_to_vec().into()]).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("recursion limit"), "{status:?}");
}

#[tokio::test]
async fn who_asks_for_what_is_not_there_hears_what_is() {
    let host = host(PROGRAM).await;
    for method in ["/corn.v1.Corn/Nope", "/corn.v2.Corn/Infer", "/nothing"] {
        let status = refused(&host, method, vec![Bytes::new()]).await;
        assert_eq!(status.code(), Code::Unimplemented);
        let start = format!("there is no method '{method}'; the services are corn.v1.Corn, ");
        assert!(status.message().starts_with(&start), "{status:?}");
    }
}
