//! Films over every face: the same file, the same frames, and the same words where it is not taken.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: what is wrong here fails the test")]

mod support;

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_serve::Listening;
use corn_serve::proto::corn::corn_client::CornClient;
use corn_serve::proto::corn::value::Kind;
use corn_serve::proto::corn::{
    self, ConverseRequest, InferRequest, Part, Role, Value, converse_request, part, stream_response,
};
use corn_serve::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use corn_serve::proto::inference::model_infer_request::InferInputTensor;
use corn_serve::proto::inference::{InferTensorContents, ModelInferRequest, ModelMetadataRequest};
use serde_json::{Value as Json, json};
use support::Server;
use tonic::transport::Channel;
use tonic::{Code, Status};

const PROGRAM: &str = r#"
component Times() {
    in  video: video max 1MiB
    out times: text
    run reference "video.times"
}
component Few() {
    in  video: video<5fps> max 160KiB
    out times: text
    run reference "video.times"
}
component Sparse() {
    in  video: video<5fps> max 1MiB
    out times: text
    run reference "video.times"
}
let times  = Times()
let few    = Few()
let sparse = Sparse()
graph watch(clip: video max 1MiB) -> { times: text } { { times: times(clip) } }
graph glance(clip: video max 512KiB) -> { times: text } { { times: times(clip) } }
graph watch_all(clips: list<video max 1MiB> max 2) -> { times: list<text> max 2 } {
    { times: [times(clip) for clip in clips] }
}
graph look(media: list<media max 1MiB> max 4) -> { times: list<text> max 4 } {
    { times: [match part { video => times(part) } for part in media] }
}
graph skim(clip: video) -> { times: text } { { times: few(clip) } }
graph twice(clip: video max 1MiB) -> { times: text, few: text } { { times: times(clip), few: sparse(clip) } }
graph converse(talk: messages max 8) -> { times: list<text> max 8 } {
    { times: [match part { video => few(part) } for part in talk.media] }
}
graph discuss(talk: messages max 8) -> { times: list<text> max 8 } {
    { times: [match part { video => times(part) } for part in talk.media] }
}
"#;

const FILM: &[u8] = include_bytes!("../../media/tests/data/film/high.mp4");
const MATROSKA: &[u8] = include_bytes!("../../media/tests/data/film/cavlc.mkv");
const CHART: &[u8] = include_bytes!("../../media/tests/data/chart.jpg");
const HEVC: &[u8] = include_bytes!("../../media/tests/data/film/hevc.mp4");
const TONE: &[u8] = include_bytes!("../../media/tests/data/film/tone.m4a");
const MOVING: &[u8] = include_bytes!("../../media/tests/data/moving.gif");
/// When the pictures of the films are shown.
const SHOWN: &str = "0 40 80 120 160 200 240 280 320 360 400 440";

async fn server() -> Server {
    Server::start_at(PROGRAM, 4, Listening { grpc: Some("127.0.0.1:0".to_owned()), ..Listening::default() })
        .await
}

async fn channel(server: &Server) -> Channel {
    Channel::from_shared(format!("http://{}", server.grpc.unwrap())).unwrap().connect().await.unwrap()
}

fn film(file: &[u8]) -> corn::Video {
    corn::Video { frames: Vec::new(), encoded: Some(file.to_vec().into()) }
}

fn video(file: &[u8]) -> Value {
    Value { kind: Some(Kind::Video(film(file))) }
}

fn list(items: Vec<Value>) -> Value {
    Value { kind: Some(Kind::List(corn::List { items })) }
}

fn ask(graph: &str, input: &str, value: Value) -> InferRequest {
    let inputs = HashMap::from([(input.to_owned(), value)]);
    InferRequest { graph: graph.to_owned(), inputs, ..InferRequest::default() }
}

fn texts(kind: Option<Kind>) -> Vec<String> {
    match kind {
        Some(Kind::Text(text)) => vec![text],
        Some(Kind::List(list)) => list.items.into_iter().flat_map(|item| texts(item.kind)).collect(),
        other => panic!("{other:?} where texts are expected"),
    }
}

/// What it makes of it over gRPC.
async fn infer(server: &Server, request: InferRequest) -> Result<Vec<String>, Status> {
    let answer = CornClient::new(channel(server).await).infer(request).await?.into_inner();
    let value = answer.outputs.into_iter().next().unwrap().value;
    Ok(texts(value.and_then(|value| value.kind)))
}

/// The same over KServe, with an element for each file.
async fn infer_v2(server: &Server, model: &str, input: &str, files: &[&[u8]]) -> Result<Vec<String>, Status> {
    let bytes_contents = files.iter().map(|file| file.to_vec().into()).collect();
    let tensor = InferInputTensor {
        name: input.to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![files.len() as i64],
        contents: Some(InferTensorContents { bytes_contents, ..InferTensorContents::default() }),
        ..InferInputTensor::default()
    };
    let request = ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![tensor],
        ..ModelInferRequest::default()
    };
    let mut client = GrpcInferenceServiceClient::new(channel(server).await);
    let mut raw = &client.model_infer(request).await?.into_inner().raw_output_contents[0][..];
    let mut elements = Vec::new();
    while let Some((length, rest)) = raw.split_first_chunk::<4>() {
        let (element, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        elements.push(String::from_utf8(element.to_vec()).unwrap());
        raw = rest;
    }
    Ok(elements)
}

/// The same over HTTP.
async fn infer_json(server: &Server, graph: &str, input: &str, value: Json) -> (u16, Json) {
    let reply = server.post("/corn/v1/infer", &json!({ "graph": graph, "inputs": { input: value } })).await;
    (reply.status, reply.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_is_taken_over_every_face() {
    let server = server().await;
    for file in [FILM, MATROSKA] {
        assert_eq!(infer(&server, ask("watch", "clip", video(file))).await.unwrap(), [SHOWN]);
        assert_eq!(infer_v2(&server, "watch", "clip", &[file]).await.unwrap(), [SHOWN]);
        for said in [BASE64.encode(file), format!("data:video/mp4;base64,{}", BASE64.encode(file))] {
            let (status, answer) = infer_json(&server, "watch", "clip", json!({ "video": said })).await;
            assert_eq!((status, &answer["outputs"]["times"]), (200, &json!(SHOWN)), "{answer}");
        }
    }
    let moving = "0 250 500 750";
    let both = list(vec![video(FILM), video(MOVING)]);
    assert_eq!(infer(&server, ask("watch_all", "clips", both)).await.unwrap(), [SHOWN, moving]);
    assert_eq!(infer_v2(&server, "watch_all", "clips", &[FILM, MOVING]).await.unwrap(), [SHOWN, moving]);
    let request = ModelMetadataRequest { name: "watch".to_owned(), version: String::new() };
    let metadata = GrpcInferenceServiceClient::new(channel(&server).await).model_metadata(request).await;
    let input = &metadata.unwrap().into_inner().inputs[0];
    assert_eq!((input.datatype.as_str(), &input.shape[..]), ("BYTES", &[1][..]));
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_is_one_of_the_media_and_a_part_of_a_conversation() {
    let server = server().await;
    let media = list(vec![video(FILM), video(MOVING)]);
    assert_eq!(infer(&server, ask("look", "media", media)).await.unwrap().len(), 2);
    assert_eq!(infer_v2(&server, "look", "media", &[MATROSKA]).await.unwrap(), [SHOWN]);
    // Without its kind being said, what has no pictures is a sound, and a picture is one even if it moves.
    for (file, kind) in [(TONE, "audio"), (MOVING, "image")] {
        let status = infer_v2(&server, "look", "media", &[file]).await.unwrap_err();
        assert!(status.message().contains(&format!("{kind} in 'media' is taken by no route")), "{status:?}");
    }
    let status = infer_v2(&server, "look", "media", &[b"hello"]).await.unwrap_err();
    let said = "input 'media': this is plain text, not a picture, a sound or a video that can be read";
    assert!(status.message().starts_with(said), "{status:?}");

    let parts = vec![
        Part { content: Some(part::Content::Text("what is this?".to_owned())) },
        Part { content: Some(part::Content::Video(film(FILM))) },
    ];
    let messages = vec![corn::Message { role: Role::User.into(), parts }];
    let talk = Value { kind: Some(Kind::Messages(corn::Conversation { messages })) };
    assert_eq!(infer(&server, ask("discuss", "talk", talk)).await.unwrap(), [SHOWN]);
    let said = json!({ "messages": [
        { "role": "user", "content": [{ "text": "and this?" }, { "video": BASE64.encode(FILM) }] },
    ] });
    let (status, answer) = infer_json(&server, "discuss", "talk", said).await;
    assert_eq!((status, &answer["outputs"]["times"]), (200, &json!([SHOWN])), "{answer}");
    let url = format!("data:video/mp4;base64,{}", BASE64.encode(FILM));
    let said = json!([
        { "role": "user", "content": [{ "type": "video_url", "video_url": { "url": url } }] },
    ]);
    let said = said.to_string();
    assert_eq!(infer_v2(&server, "discuss", "talk", &[said.as_bytes()]).await.unwrap(), [SHOWN]);
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_films_come_in_pieces_too() {
    let server = server().await;
    let request = ask("watch", "clip", video(FILM));
    let mut client = CornClient::new(channel(&server).await);
    let first = ConverseRequest { message: Some(converse_request::Message::Request(request.clone())) };
    let streamed = client.stream(request).await.unwrap().into_inner();
    let conversed = client.converse(tokio_stream::iter([first])).await.unwrap().into_inner();
    for mut events in [streamed, conversed] {
        let mut said = Vec::new();
        while let Some(response) = events.message().await.unwrap() {
            if let Some(stream_response::Event::Item(item)) = response.event {
                said.extend(texts(item.value.and_then(|value| value.kind)));
            }
        }
        assert_eq!(said, [SHOWN]);
    }
    let refused = client.stream(ask("watch", "clip", video(HEVC))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    server.idle().await;
    server.stop().await;
}

/// A type that names a rate has frames left out while a film is decoded, so it need not fit whole.
#[tokio::test(flavor = "multi_thread")]
async fn films_are_thinned_to_the_rate_that_is_named() {
    let server = server().await;
    let skimmed = "0 200 400";
    assert_eq!(infer(&server, ask("skim", "clip", video(FILM))).await.unwrap(), [skimmed]);
    assert_eq!(infer_v2(&server, "skim", "clip", &[MATROSKA]).await.unwrap(), [skimmed]);
    let frame = |time_us| corn::Frame {
        time_us,
        image: Some(corn::Image { content: Some(corn::image::Content::Encoded(CHART.into())) }),
    };
    let frames = [0, 100_000, 199_500, 210_000, 700_000].map(frame).to_vec();
    let frames = Value { kind: Some(Kind::Video(corn::Video { frames, encoded: None })) };
    assert_eq!(infer(&server, ask("skim", "clip", frames)).await.unwrap(), ["0 199 700"]);
    let talk = |film: &[u8]| {
        let parts = vec![Part { content: Some(part::Content::Video(self::film(film))) }];
        let messages = vec![corn::Message { role: Role::User.into(), parts }];
        Value { kind: Some(Kind::Messages(corn::Conversation { messages })) }
    };
    assert_eq!(infer(&server, ask("converse", "talk", talk(FILM))).await.unwrap(), [skimmed]);
    // Who wants all frames gets them, and beside it the other gets few.
    let request = InferRequest {
        outputs: vec!["times".to_owned(), "few".to_owned()],
        ..ask("twice", "clip", video(MATROSKA))
    };
    let answer = CornClient::new(channel(&server).await).infer(request).await.unwrap().into_inner();
    let said = answer.outputs.into_iter().flat_map(|output| texts(output.value.and_then(|it| it.kind)));
    assert_eq!(said.collect::<Vec<_>>(), [SHOWN, skimmed]);

    let described = CornClient::new(channel(&server).await).describe(corn::DescribeRequest::default()).await;
    let described = described.unwrap().into_inner();
    let rate = |name: &str| {
        let graph = described.graphs.iter().find(|graph| graph.name == name).unwrap();
        graph.routes[0].inputs[0].r#type.as_ref().unwrap().frames_per_second
    };
    assert_eq!((rate("skim"), rate("twice"), rate("watch")), (5.0, 0.0, 0.0));
    server.idle().await;
    server.stop().await;
}

/// Whichever way it comes: what is wrong with it, and in which input.
#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_is_not_taken_is_refused_in_the_same_words() {
    let server = server().await;
    let cases: [(&str, &[u8], &str); 5] = [
        ("watch", HEVC, "input 'clip': this MP4 file uses HEVC (H.265), which is not supported"),
        ("watch", &FILM[..FILM.len() / 2], "input 'clip': this MP4 file is "),
        ("watch", TONE, "input 'clip': this MP4 file has no pictures in it"),
        ("watch", b"", "input 'clip': the video is empty (0 bytes)"),
        (
            "glance",
            FILM,
            "input 'clip': this MP4 video is too large: only 9 of its frames are within 524288 bytes",
        ),
    ];
    for (graph, file, said) in cases {
        for status in [
            infer(&server, ask(graph, "clip", video(file))).await.unwrap_err(),
            infer_v2(&server, graph, "clip", &[file]).await.unwrap_err(),
        ] {
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().starts_with(said), "{said}: {status:?}");
        }
        let (status, answer) =
            infer_json(&server, graph, "clip", json!({ "video": BASE64.encode(file) })).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.starts_with(said), "{said}: {answer}");
    }
    let both = corn::Video { frames: vec![corn::Frame::default()], ..film(FILM) };
    let both = Value { kind: Some(Kind::Video(both)) };
    let status = infer(&server, ask("watch", "clip", both)).await.unwrap_err();
    assert_eq!(status.message(), "input 'clip': frames and a film; a video is one of the two");
    let status = infer_v2(&server, "watch", "clip", &[FILM, FILM]).await.unwrap_err();
    assert_eq!(status.message(), "input 'clip': 2 where one video max 1MiB is declared");
    server.idle().await;
    server.stop().await;
}
