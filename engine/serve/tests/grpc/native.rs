//! Corn's own service: every RPC, every kind of value, every way to end.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corn_core::Image;
use corn_media::{Format, write_image};
use corn_serve::proto::corn;
use corn_serve::proto::corn::corn_client::CornClient;
use corn_serve::proto::corn::value::Kind;
use corn_serve::proto::corn::{
    AudioFormat, Cancel, ConverseRequest, DescribeRequest, Form, ImageFormat, InferRequest, List, Pixels,
    Priority, StreamResponse, Tensor, Value, audio, converse_request, image, stream_response,
};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::harness::{Host, PROGRAM, host};

pub(crate) fn text(text: &str) -> Value {
    Value { kind: Some(Kind::Text(text.to_owned())) }
}

pub(crate) fn int(value: i64) -> Value {
    Value { kind: Some(Kind::Int(value)) }
}

fn encoded(file: Vec<u8>) -> Value {
    let content = Some(image::Content::Encoded(file.into()));
    Value { kind: Some(Kind::Image(corn::Image { content })) }
}

pub(crate) fn ask(graph: &str, inputs: &[(&str, Value)], outputs: &[&str]) -> InferRequest {
    InferRequest {
        graph: graph.to_owned(),
        inputs: inputs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect::<HashMap<_, _>>(),
        outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
        ..InferRequest::default()
    }
}

async fn infer(host: &Host, request: InferRequest) -> Result<Vec<(String, Option<Kind>)>, Status> {
    let response = host.native().await.infer(request).await?.into_inner();
    let outputs = response.outputs.into_iter();
    Ok(outputs.map(|output| (output.name, output.value.and_then(|value| value.kind))).collect())
}

fn as_text(kind: Option<&Kind>) -> &str {
    if let Some(Kind::Text(text)) = kind { text } else { panic!("{kind:?} where text is expected") }
}

fn item(response: &StreamResponse) -> Option<(&str, &Kind)> {
    let Some(stream_response::Event::Item(item)) = &response.event else { return None };
    Some((&item.output, item.value.as_ref()?.kind.as_ref()?))
}

#[tokio::test]
async fn whole_outputs_are_answered_with_the_fewest_that_fit() {
    let host = host(PROGRAM).await;
    let prompt = || text("One is here. Two is there.");
    let outputs = infer(&host, ask("speak", &[("prompt", prompt())], &[])).await.unwrap();
    assert_eq!(outputs.len(), 1, "only what is always made");
    assert_eq!(as_text(outputs[0].1.as_ref()), "One is here. Two is there. ");

    let request = InferRequest { route: "talk".to_owned(), ..ask("", &[("prompt", prompt())], &[]) };
    let response = host.native().await.infer(request).await.unwrap();
    assert_eq!(response.metadata().get("corn-request-id").unwrap(), response.get_ref().request_id.as_str());
    let response = response.into_inner();
    assert_eq!(response.route, "talk");
    let Some(Kind::Audio(sound)) = &response.outputs[1].value.as_ref().unwrap().kind else {
        panic!("a sound")
    };
    let Some(audio::Content::Samples(samples)) = &sound.content else { panic!("samples") };
    assert_eq!((samples.rate_hz, samples.f32.len()), (16000, 25 * 160 * 4));

    // What a route makes beyond what is asked is not sent.
    let request =
        InferRequest { route: "talk".to_owned(), ..ask("speak", &[("prompt", prompt())], &["voice"]) };
    let request = InferRequest { audio: AudioFormat::AudioWav.into(), ..request };
    let outputs = infer(&host, request).await.unwrap();
    let [(name, Some(Kind::Audio(sound)))] = &outputs[..] else { panic!("{outputs:?}") };
    let Some(audio::Content::Encoded(file)) = &sound.content else { panic!("a file") };
    assert_eq!((name.as_str(), &file[..4]), ("voice", &b"RIFF"[..]));
    host.all_given_back().await;
}

#[tokio::test]
async fn every_kind_of_value_passes() {
    let host = host(PROGRAM).await;
    let lines = Value { kind: Some(Kind::List(List { items: ["a", "b"].map(text).to_vec() })) };
    let outputs = infer(&host, ask("shout", &[("lines", lines)], &[])).await.unwrap();
    let Some(Kind::List(list)) = &outputs[0].1 else { panic!("a list") };
    let loud: Vec<&str> = list.items.iter().map(|item| as_text(item.kind.as_ref())).collect();
    assert_eq!(loud, ["A", "B"]);

    let picture = Image { width: 2, height: 1, rgb: vec![255, 0, 0, 255, 0, 0].into() };
    let file = encoded(write_image(&picture, Format::Png).unwrap());
    let outputs = infer(&host, ask("colour", &[("photo", file.clone())], &[])).await.unwrap();
    let Some(Kind::Tensor(tensor)) = &outputs[0].1 else { panic!("a tensor") };
    assert_eq!((tensor.dtype.as_str(), &tensor.shape[..]), ("f32", &[3][..]));
    assert_eq!(&tensor.data[..4], 1.0f32.to_le_bytes());

    let raw = Some(image::Content::Pixels(Pixels { width: 2, height: 1, rgb: picture.rgb.clone() }));
    let raw = Value { kind: Some(Kind::Image(corn::Image { content: raw })) };
    let request = ask("colour", &[("photo", raw)], &["negative"]);
    let outputs = infer(&host, request.clone()).await.unwrap();
    let Some(Kind::Image(negative)) = &outputs[0].1 else { panic!("{outputs:?}") };
    let Some(image::Content::Pixels(pixels)) = &negative.content else { panic!("pixels") };
    assert_eq!(&pixels.rgb[..], [0, 255, 255, 0, 255, 255]);
    let request = InferRequest { images: ImageFormat::ImagePng.into(), ..request };
    let outputs = infer(&host, request).await.unwrap();
    let Some(Kind::Image(negative)) = &outputs[0].1 else { panic!("{outputs:?}") };
    let Some(image::Content::Encoded(file)) = &negative.content else { panic!("a file") };
    assert!(file.starts_with(b"\x89PNG"));

    let data: Vec<u8> = (0..=255).collect();
    let tensor = Tensor { dtype: "u8".to_owned(), shape: vec![256], data: data.clone().into() };
    let tensor = Value { kind: Some(Kind::Tensor(tensor)) };
    let outputs = infer(&host, ask("echo", &[("data", tensor)], &[])).await.unwrap();
    let Some(Kind::Tensor(tensor)) = &outputs[0].1 else { panic!("a tensor") };
    assert_eq!(tensor.data, data);

    // An input with a default may be left out; the pieces of a stream of tensors are a list.
    let outputs = infer(&host, ask("count", &[], &[])).await.unwrap();
    let Some(Kind::List(list)) = &outputs[0].1 else { panic!("a list") };
    assert_eq!(list.items.len(), 3);
    host.all_given_back().await;
}

#[tokio::test]
async fn pieces_come_as_they_are_made() {
    let host = host(PROGRAM).await;
    let request = ask("speak", &[("prompt", text("One is here. Two is there."))], &["reply", "voice"]);
    let request = InferRequest { priority: Priority::High.into(), ..request };
    let response = host.native().await.stream(request).await.unwrap();
    let id = response.metadata().get("corn-request-id").unwrap().to_str().unwrap().to_owned();
    let mut stream = response.into_inner();
    let first = stream.message().await.unwrap().unwrap().event.unwrap();
    let stream_response::Event::Started(started) = first else { panic!("{first:?}") };
    assert_eq!((started.request_id, started.route.as_str()), (id, "talk"));
    assert_eq!(started.outputs, ["reply", "voice"]);
    let (mut reply, mut sounds, mut ended) = (String::new(), 0, Vec::new());
    while let Some(response) = stream.message().await.unwrap() {
        match item(&response) {
            Some(("reply", Kind::Text(text))) => reply.push_str(text),
            Some(("voice", Kind::Audio(_))) => sounds += 1,
            Some(other) => panic!("{other:?}"),
            None => match response.event.unwrap() {
                stream_response::Event::End(end) => ended.push(end.output),
                other => panic!("{other:?}"),
            },
        }
    }
    ended.sort();
    assert_eq!((reply.as_str(), sounds), ("One is here. Two is there. ", 2));
    assert_eq!(ended, ["reply", "voice"]);
    host.all_given_back().await;
}

/// What is wrong with a request, and how it is said.
#[tokio::test]
async fn mistakes_are_refused_by_name() {
    let host = host(PROGRAM).await;
    let huge = Image { width: 2000, height: 2000, rgb: vec![0; 12_000_000].into() };
    let huge = encoded(write_image(&huge, Format::Png).unwrap());
    let wrong = Tensor { dtype: "u8".to_owned(), shape: vec![7], data: vec![0; 3].into() };
    let wrong = Value { kind: Some(Kind::Tensor(wrong)) };
    let prompt = || ("prompt", text("x"));
    let many = Value { kind: Some(Kind::List(List { items: vec![text("x"); 9] })) };
    let cases = [
        (ask("spek", &[], &[]), Code::NotFound, "there is no graph 'spek'; did you mean 'speak'?; there is"),
        (
            InferRequest { images: 7, ..ask("speak", &[prompt()], &[]) },
            Code::InvalidArgument,
            "7 stands for nothing as 'images'",
        ),
        (ask("", &[], &[]), Code::InvalidArgument, "say which graph: there is speak, shout"),
        (
            InferRequest { route: "tlak".to_owned(), ..ask("speak", &[], &[]) },
            Code::NotFound,
            "graph 'speak' has no route 'tlak'; did you mean 'talk'?; it has say, talk",
        ),
        (
            ask("speak", &[("promt", text("x"))], &[]),
            Code::InvalidArgument,
            "input 'promt' is not an input of graph 'speak'; did you mean 'prompt'?; it takes prompt",
        ),
        (
            ask("speak", &[prompt()], &["repl"]),
            Code::InvalidArgument,
            "output 'repl' is not an output of graph 'speak'; did you mean 'reply'?; it makes reply, voice",
        ),
        (
            ask("speak", &[], &[]),
            Code::InvalidArgument,
            "graph 'speak' needs input 'prompt', a text max 16KiB",
        ),
        (
            ask("speak", &[("prompt", int(1))], &[]),
            Code::InvalidArgument,
            "input 'prompt': int where text max 16KiB is declared",
        ),
        (
            ask("speak", &[("prompt", text(&"x".repeat(20_000)))], &[]),
            Code::InvalidArgument,
            "input 'prompt': a text of 20000 bytes is over the bound of 16384 bytes",
        ),
        (ask("colour", &[("photo", huge)], &[]), Code::InvalidArgument, "input 'photo': "),
        (
            ask("colour", &[("photo", encoded(b"GIF89a".to_vec()))], &[]),
            Code::InvalidArgument,
            "input 'photo': ",
        ),
        (
            ask("echo", &[("data", wrong)], &[]),
            Code::InvalidArgument,
            "input 'data': 3 bytes, which are no u8[7]",
        ),
        (
            ask("shout", &[("lines", many)], &[]),
            Code::InvalidArgument,
            "input 'lines': a list of 9 items is over the bound of 8",
        ),
    ];
    for (request, code, message) in cases {
        let status = infer(&host, request.clone()).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert!(
            status.message().starts_with(message),
            "{:?} where {message:?} is expected",
            status.message()
        );
    }
    host.all_given_back().await;
}

/// What goes wrong with a request that was taken, and what clients are told to do about it.
#[tokio::test]
async fn faults_say_whose_they_are() {
    let host = host(PROGRAM).await;
    let status = infer(&host, ask("fail", &[("text", text("x"))], &[])).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.message(), "component 'broken': the weights are made of straw");
    assert_eq!(status.metadata().get("corn-component").unwrap(), "broken");
    assert_eq!(status.metadata().get("corn-retry").unwrap(), "false");
    assert!(status.metadata().get("corn-request-id").is_some());
    // Two are in flight and eight wait; that is all.
    let mut client = host.native().await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        let stream = client.stream(ask("endless", &[("upto", int(0))], &[])).await.unwrap();
        streams.push(stream.into_inner());
    }
    let status = infer(&host, ask("count", &[], &[])).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(status.metadata().get("corn-retry").unwrap(), "true");
    drop(streams);
    host.all_given_back().await;
}

/// A client that stops reading holds its own request, and what is made for it stops soon.
#[tokio::test]
async fn a_slow_reader_holds_the_component_back() {
    let host = host(PROGRAM).await;
    // It has little room for what it has not read.
    let endpoint = Channel::from_shared(format!("http://{}", host.address)).unwrap();
    let channel = endpoint.initial_stream_window_size(65_535).connect().await.unwrap();
    let mut client = CornClient::new(channel);
    let mut stream = client.stream(ask("endless", &[("upto", int(0))], &[])).await.unwrap().into_inner();
    stream.message().await.unwrap();
    let mut before = u64::MAX;
    let stands = async {
        // Buffers of the socket fill first; then nothing is made any more.
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = host.dripped.load(Ordering::Relaxed);
            if now == before {
                return now;
            }
            before = now;
        }
    };
    let made = tokio::time::timeout(Duration::from_mins(1), stands).await.unwrap();
    assert!(made < 100_000, "{made} items for a client that reads none");
    let others = infer(&host, ask("speak", &[("prompt", text("Quick."))], &[])).await.unwrap();
    assert_eq!(as_text(others[0].1.as_ref()), "Quick. ");
    for _ in 0..made {
        stream.message().await.unwrap().unwrap();
    }
    let goes_on = async {
        while host.dripped.load(Ordering::Relaxed) <= made {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let goes_on = tokio::time::timeout(Duration::from_secs(10), goes_on).await;
    assert!(goes_on.is_ok(), "it stands at {made} although its client reads");
    drop(stream);
    host.all_given_back().await;
}

/// However a client goes away, nothing is held for it any more.
#[tokio::test]
async fn a_call_that_ends_early_ends_the_work() {
    let host = host(PROGRAM).await;
    let endless = || ask("endless", &[("upto", int(0))], &[]);
    // A unary call whose future is dropped.
    let mut client = host.native().await;
    let call = client.infer(endless());
    assert!(tokio::time::timeout(Duration::from_millis(100), call).await.is_err());
    host.all_given_back().await;
    // A stream that is dropped.
    let mut stream = host.native().await.stream(endless()).await.unwrap().into_inner();
    for _ in 0..10 {
        stream.message().await.unwrap().unwrap();
    }
    drop(stream);
    host.all_given_back().await;
    // A connection that breaks.
    let client = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let address = host.address;
    client.spawn(async move {
        let client = corn::corn_client::CornClient::connect(format!("http://{address}")).await;
        let mut stream = client.unwrap().stream(endless()).await.unwrap().into_inner();
        while stream.message().await.is_ok() {}
    });
    host.something_held().await;
    client.shutdown_background();
    host.all_given_back().await;
}

#[tokio::test]
async fn a_deadline_ends_the_work() {
    let host = host(PROGRAM).await;
    let mut request = Request::new(ask("endless", &[("upto", int(0))], &[]));
    request.metadata_mut().insert("grpc-timeout", "3S".parse().unwrap());
    let mut stream = host.native().await.stream(request).await.unwrap().into_inner();
    let status = loop {
        match stream.message().await {
            Ok(response) => assert!(response.is_some(), "it must not just end"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    host.all_given_back().await;
    let mut request = Request::new(ask("endless", &[("upto", int(0))], &[]));
    request.metadata_mut().insert("grpc-timeout", "1S".parse().unwrap());
    let status = host.native().await.infer(request).await.unwrap_err();
    // The client looks at the clock as well until an answer begins, and may be first.
    let is_clients = status.message() == "Timeout expired";
    assert!(is_clients || status.code() == Code::DeadlineExceeded, "{status:?}");
    host.all_given_back().await;
}

#[tokio::test]
async fn a_conversation_can_be_cancelled() {
    let host = host(PROGRAM).await;
    let said = |message| ConverseRequest { message: Some(message) };
    let request = said(converse_request::Message::Request(ask("endless", &[("upto", int(0))], &[])));
    let (say, heard) = tokio::sync::mpsc::channel(4);
    say.send(request.clone()).await.unwrap();
    let heard = tokio_stream::wrappers::ReceiverStream::new(heard);
    let mut stream = host.native().await.converse(heard).await.unwrap().into_inner();
    for _ in 0..10 {
        stream.message().await.unwrap().unwrap();
    }
    say.send(said(converse_request::Message::Cancel(Cancel {}))).await.unwrap();
    let status = loop {
        match stream.message().await {
            Ok(response) => assert!(response.is_some(), "it must not just end"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Cancelled, "{status:?}");
    host.all_given_back().await;
    // A client that has said all it wants to say still gets its answer.
    let request = ask("speak", &[("prompt", text("Hello."))], &[]);
    let only = tokio_stream::iter([said(converse_request::Message::Request(request))]);
    let mut stream = host.native().await.converse(only).await.unwrap().into_inner();
    let mut reply = String::new();
    while let Some(response) = stream.message().await.unwrap() {
        reply.push_str(item(&response).map_or("", |(_, kind)| as_text(Some(kind))));
    }
    assert_eq!(reply, "Hello. ");
    // One that says another thing is told so.
    let twice = tokio_stream::iter([request_of(&request_again()), request_of(&request_again())]);
    let mut stream = host.native().await.converse(twice).await.unwrap().into_inner();
    let status = loop {
        match stream.message().await {
            Ok(response) => assert!(response.is_some(), "it must not just end"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    host.all_given_back().await;
}

fn request_again() -> InferRequest {
    ask("endless", &[("upto", int(0))], &[])
}

fn request_of(request: &InferRequest) -> ConverseRequest {
    ConverseRequest { message: Some(converse_request::Message::Request(request.clone())) }
}

#[tokio::test]
async fn what_can_be_asked_is_described() {
    let host = host(PROGRAM).await;
    let described = host.native().await.describe(DescribeRequest::default()).await.unwrap().into_inner();
    assert_eq!((described.name.as_str(), described.inflight), ("served", 2));
    assert_eq!(described.plan_hash, host.engine.plan().hash().to_string());
    let graph = |name: &str| described.graphs.iter().find(|graph| graph.name == name).unwrap();
    let names: Vec<&str> = graph("speak").routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["say", "talk"]);
    let count = &graph("count").routes[0];
    assert_eq!(count.inputs[0].default, Some(int(3)));
    assert!(!count.inputs[0].required);
    let ty = count.outputs[0].r#type.as_ref().unwrap();
    assert_eq!((ty.kind.as_str(), ty.form()), ("tensor", Form::Stream));
    let lines = graph("shout").routes[0].inputs[0].r#type.as_ref().unwrap();
    assert_eq!(lines.text, "list<text max 1KiB> max 8");
    assert_eq!((lines.form(), lines.max_items, lines.max_bytes), (Form::List, 8, 1024));
    let only = DescribeRequest { graph: "echo".to_owned() };
    assert_eq!(host.native().await.describe(only).await.unwrap().into_inner().graphs.len(), 1);
    let none = DescribeRequest { graph: "ekho".to_owned() };
    assert_eq!(host.native().await.describe(none).await.unwrap_err().code(), Code::NotFound);
}

/// A `serve` says what is taken.
#[tokio::test]
async fn limits_are_held_before_anything_is_decoded() {
    let program = r#"
component Mean() {
    in  image: image
    out colour: tensor<f32>[3]
    run reference "image.mean"
}
component Count() {
    in  text: text
    out count: int
    run reference "text.count"
}
let mean = Mean()
let count = Count()
graph look(photos: list<image> max 4) -> { colours: list<tensor<f32>[3]> max 4 } {
    { colours: [mean(photo) for photo in photos] }
}
graph hidden(text: text max 1KiB) -> { count: int } { { count: count(text) } }
serve look {
    grpc
    limit body 100KiB, images 2
}
serve hidden { kserve }
"#;
    let host = host(program).await;
    let picture = Image { width: 1, height: 1, rgb: vec![255, 0, 0].into() };
    let picture = encoded(write_image(&picture, Format::Png).unwrap());
    let photos =
        |items: Vec<Value>| ask("look", &[("photos", Value { kind: Some(Kind::List(List { items })) })], &[]);
    assert!(infer(&host, photos(vec![picture.clone(); 2])).await.is_ok());
    let status = infer(&host, photos(vec![picture; 3])).await.unwrap_err();
    assert_eq!(status.message(), "input 'photos': item 2: one picture more than a request may bring");
    let status = infer(&host, photos(vec![encoded(vec![0; 110 << 10])])).await.unwrap_err();
    assert!(status.message().contains("is over the bound of 102400 bytes"), "{status:?}");
    let status = infer(&host, ask("hidden", &[("text", text("x"))], &[])).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("no `grpc` stands in a `serve hidden`"), "{status:?}");
    host.all_given_back().await;
}
