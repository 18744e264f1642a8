//! KServe v2, where a client other than Triton's shows more: typed contents, names of models, requests side by side.

use std::collections::HashMap;

use corn_serve::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use corn_serve::proto::inference::infer_parameter::ParameterChoice;
use corn_serve::proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use corn_serve::proto::inference::{
    InferParameter, InferTensorContents, LogSettingsRequest, ModelConfigRequest, ModelInferRequest,
    ModelInferResponse, ModelMetadataRequest, ModelReadyRequest, RepositoryIndexRequest,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::harness::{Host, PROGRAM, host};

async fn client(host: &Host) -> GrpcInferenceServiceClient<Channel> {
    GrpcInferenceServiceClient::new(host.channel().await)
}

/// A request that brings typed contents.
fn typed(model: &str, inputs: Vec<(&str, &str, Vec<i64>, InferTensorContents)>) -> ModelInferRequest {
    let inputs = inputs.into_iter().map(|(name, datatype, shape, contents)| InferInputTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape,
        parameters: HashMap::new(),
        contents: Some(contents),
    });
    ModelInferRequest {
        model_name: model.to_owned(),
        id: "7".to_owned(),
        inputs: inputs.collect(),
        ..ModelInferRequest::default()
    }
}

fn texts(texts: &[&str]) -> InferTensorContents {
    let bytes_contents = texts.iter().map(|text| text.as_bytes().to_vec().into()).collect();
    InferTensorContents { bytes_contents, ..InferTensorContents::default() }
}

pub(crate) fn prompt(model: &str, text: &str) -> ModelInferRequest {
    typed(model, vec![("prompt", "BYTES", vec![1], texts(&[text]))])
}

fn with(mut request: ModelInferRequest, name: &str, choice: ParameterChoice) -> ModelInferRequest {
    let parameter = InferParameter { parameter_choice: Some(choice) };
    request.parameters.insert(name.to_owned(), parameter);
    request
}

fn elements(mut raw: &[u8]) -> Vec<&str> {
    let mut elements = Vec::new();
    while let Some((length, rest)) = raw.split_first_chunk::<4>() {
        let (element, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        elements.push(std::str::from_utf8(element).unwrap());
        raw = rest;
    }
    elements
}

#[tokio::test]
async fn routes_are_models() {
    let host = host(PROGRAM).await;
    let mut client = client(&host).await;
    let index = client.repository_index(RepositoryIndexRequest::default()).await.unwrap().into_inner();
    let names: Vec<&str> = index.models.iter().map(|model| model.name.as_str()).collect();
    assert!(names.starts_with(&["speak.say", "speak.talk", "shout.shout"]), "{names:?}");
    for name in ["speak.talk", "talk", "shout", "shout.shout"] {
        let request = ModelReadyRequest { name: name.to_owned(), version: "1".to_owned() };
        assert!(client.model_ready(request).await.unwrap().into_inner().ready, "{name}");
    }
    let cases = [
        ("speak", "", "'speak' is several models: speak.say, speak.talk"),
        ("speak.tlak", "", "there is no model 'speak.tlak'; did you mean 'speak.talk'?"),
        ("talk", "2", "model 'talk' has no version '2'; it has 1"),
    ];
    for (name, version, message) in cases {
        let request = ModelMetadataRequest { name: name.to_owned(), version: version.to_owned() };
        let status = client.model_metadata(request).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().starts_with(message), "{status:?}");
    }
    let request = ModelConfigRequest { name: "count".to_owned(), version: String::new() };
    let config = client.model_config(request).await.unwrap().into_inner().config.unwrap();
    assert!(config.input[0].optional && config.model_transaction_policy.unwrap().decoupled);
    let status = client.log_settings(LogSettingsRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.message(), "logs are not set over this protocol");
}

#[tokio::test]
async fn typed_contents_are_answered_raw() {
    let host = host(PROGRAM).await;
    let mut client = client(&host).await;
    let lines = typed("shout", vec![("lines", "BYTES", vec![2], texts(&["a", "b"]))]);
    let answer = client.model_infer(lines).await.unwrap();
    assert!(answer.metadata().get("corn-request-id").is_some());
    let answer = answer.into_inner();
    assert_eq!((answer.id.as_str(), answer.outputs[0].shape.as_slice()), ("7", &[2][..]));
    assert_eq!(elements(&answer.raw_output_contents[0]), ["A", "B"]);
    let narrow = InferTensorContents { int_contents: vec![2], ..InferTensorContents::default() };
    let count = typed("count", vec![("upto", "INT8", vec![1], narrow)]);
    let answer = client.model_infer(count).await.unwrap().into_inner();
    assert_eq!((answer.outputs[0].datatype.as_str(), &answer.outputs[0].shape[..]), ("FP32", &[2, 1][..]));
    // A plain value may come as a parameter, and a number as text.
    for choice in [ParameterChoice::Int64Param(2), ParameterChoice::StringParam("2".to_owned())] {
        let count = with(typed("count", Vec::new()), "upto", choice);
        let answer = client.model_infer(count).await.unwrap().into_inner();
        assert_eq!(answer.outputs[0].shape, [2, 1]);
    }
    let mut talk = prompt("talk", "Hi.");
    talk.outputs = vec![InferRequestedOutputTensor { name: "voice".to_owned(), parameters: HashMap::new() }];
    let answer = client.model_infer(talk).await.unwrap().into_inner();
    assert_eq!(answer.outputs.len(), 1);
    let rate = answer.outputs[0].parameters["sample_rate"].parameter_choice.clone();
    assert_eq!(rate, Some(ParameterChoice::Int64Param(16000)));
    let pixels = InferTensorContents { uint_contents: vec![255, 0, 0], ..InferTensorContents::default() };
    let colour = typed("colour", vec![("photo", "UINT8", vec![1, 1, 3], pixels)]);
    let answer = client.model_infer(colour).await.unwrap().into_inner();
    assert_eq!(answer.raw_output_contents[0][..4], 1.0f32.to_le_bytes());
    host.all_given_back().await;
}

/// Clients of generate endpoints call the text of any model by the same names, in tensors or parameters, whole or in
/// pieces. W2.
#[tokio::test]
async fn the_only_text_has_the_names_of_generate_endpoints() {
    let host = host(PROGRAM).await;
    let mut client = client(&host).await;
    let names = |answer: &ModelInferResponse| -> Vec<String> {
        answer.outputs.iter().map(|output| output.name.clone()).collect()
    };
    let by_tensor = typed("say", vec![("text_input", "BYTES", vec![1], texts(&["One two."]))]);
    let text = ParameterChoice::StringParam("One two.".to_owned());
    let by_parameter = with(typed("say", Vec::new()), "text_input", text);
    for request in [by_tensor.clone(), by_parameter] {
        let answer = client.model_infer(request).await.unwrap().into_inner();
        assert_eq!(names(&answer), ["text_output"]);
        assert_eq!(elements(&answer.raw_output_contents[0]), ["One two. "]);
    }
    // Beside its own names: what is asked by one of the two is answered by it.
    let asked = |name: &str| InferRequestedOutputTensor { name: name.to_owned(), parameters: HashMap::new() };
    let mut talk = prompt("talk", "Hi.");
    talk.outputs = vec![asked("voice"), asked("text_output")];
    let answer = client.model_infer(talk).await.unwrap().into_inner();
    assert_eq!(names(&answer), ["text_output", "voice"]);
    let answer = client.model_infer(prompt("talk", "Hi.")).await.unwrap().into_inner();
    assert_eq!(names(&answer), ["reply", "voice"]);
    let mut pieces = client.model_stream_infer(tokio_stream::iter([by_tensor])).await.unwrap().into_inner();
    let mut words = 0;
    while let Some(piece) = pieces.message().await.unwrap() {
        assert_eq!(names(&piece.infer_response.unwrap()), ["text_output"], "{}", piece.error_message);
        words += 1;
    }
    assert_eq!(words, 2);
    // A list of texts is not one, and what is brought twice is said to be.
    let lines = typed("shout", vec![("text_input", "BYTES", vec![1], texts(&["a"]))]);
    let status = client.model_infer(lines).await.unwrap_err();
    assert!(status.message().contains("'text_input' is not an input of model 'shout.shout'"), "{status:?}");
    let twice = with(prompt("say", "x"), "text_input", ParameterChoice::StringParam("y".to_owned()));
    let status = client.model_infer(twice).await.unwrap_err();
    assert!(status.message().starts_with("input 'prompt' is brought twice"), "{status:?}");
    host.all_given_back().await;
}

#[tokio::test]
async fn mistakes_are_refused_by_name() {
    let host = host(PROGRAM).await;
    let mut client = client(&host).await;
    let bytes = |raw: Vec<u8>| {
        let mut request = prompt("say", "");
        request.inputs[0].contents = None;
        ModelInferRequest { raw_input_contents: vec![raw.into()], ..request }
    };
    let mut both = prompt("say", "x");
    both.raw_input_contents = vec![b"\x01\0\0\0x".to_vec().into()];
    let mut promt = prompt("say", "x");
    promt.inputs[0].name = "promt".to_owned();
    let mut shared = prompt("say", "x");
    let region = InferParameter { parameter_choice: Some(ParameterChoice::StringParam("r".to_owned())) };
    shared.inputs[0].parameters.insert("shared_memory_region".to_owned(), region);
    let wide = InferTensorContents { int_contents: vec![200], ..InferTensorContents::default() };
    let cases = [
        (
            promt,
            "input 'promt' is not an input of model 'speak.say'; did you mean 'prompt'?; it takes prompt",
        ),
        (both, "input 'prompt': its contents are both in it and raw"),
        (shared, "input 'prompt': it is in shared memory, which is not read here; send its contents"),
        (bytes(b"\x09\0\0\0x".to_vec()), "input 'prompt': its bytes end inside of an element"),
        (bytes(Vec::new()), "input 'prompt': 0 elements, which are no BYTES[1]"),
        (
            typed("count", vec![("upto", "INT8", vec![1], wide)]),
            "input 'upto': 200 is out of the range of INT8",
        ),
        (
            typed("count", vec![("upto", "INT32", vec![-1], InferTensorContents::default())]),
            "input 'upto': a shape with an extent below 0",
        ),
        (
            with(prompt("say", "x"), "temprature", ParameterChoice::DoubleParam(0.5)),
            "parameter 'temprature' means nothing to route 'say'",
        ),
        (
            with(prompt("say", "x"), "sequence_id", ParameterChoice::Int64Param(3)),
            "parameter 'sequence_id': there are no sequences here; each request stands alone",
        ),
        (
            with(prompt("say", "x"), "prompt", ParameterChoice::StringParam("y".to_owned())),
            "input 'prompt' is brought twice",
        ),
        (typed("say", Vec::new()), "route 'say' needs input 'prompt', a text max 16KiB"),
    ];
    for (request, message) in cases {
        let status = client.model_infer(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(
            status.message().starts_with(message),
            "{:?} where {message:?} is expected",
            status.message()
        );
    }
    let late = with(typed("endless", vec![]), "upto", ParameterChoice::Int64Param(0));
    let late = with(late, "timeout", ParameterChoice::Int64Param(100_000));
    assert_eq!(client.model_infer(late).await.unwrap_err().code(), Code::DeadlineExceeded);
    host.all_given_back().await;
}

/// Requests of one stream are answered side by side; one that fails leaves the others.
#[tokio::test]
async fn requests_of_a_stream_do_not_wait_for_each_other() {
    let host = host(PROGRAM).await;
    let mut client = client(&host).await;
    let final_wanted = |id: &str, request: ModelInferRequest| {
        let request = ModelInferRequest { id: id.to_owned(), ..request };
        with(request, "triton_enable_empty_final_response", ParameterChoice::BoolParam(true))
    };
    let endless = with(typed("endless", Vec::new()), "upto", ParameterChoice::Int64Param(0));
    let requests = [
        final_wanted("never", endless),
        final_wanted("wrong", prompt("sai", "x")),
        final_wanted("words", prompt("say", "One two.")),
    ];
    let (asks, asked) = tokio::sync::mpsc::channel(requests.len());
    for request in requests {
        asks.try_send(request).unwrap();
    }
    let asked = tokio_stream::wrappers::ReceiverStream::new(asked);
    let mut responses = client.model_stream_infer(asked).await.unwrap().into_inner();
    let mut said: HashMap<String, Vec<(String, ModelInferResponse)>> = HashMap::new();
    let is_all = |said: &HashMap<String, Vec<(String, ModelInferResponse)>>| {
        let words = said.get("words").and_then(|said| said.last());
        said.contains_key("wrong") && said.contains_key("never") && words.is_some_and(|(_, it)| is_final(it))
    };
    while !is_all(&said) {
        let response = responses.message().await.unwrap().unwrap();
        let infer = response.infer_response.unwrap();
        said.entry(infer.id.clone()).or_default().push((response.error_message, infer));
    }
    let words: Vec<&str> = said["words"]
        .iter()
        .flat_map(|(_, response)| response.raw_output_contents.iter().flat_map(|raw| elements(raw)))
        .collect();
    assert_eq!(words.concat(), "One two. ");
    assert!(said["words"].iter().rev().skip(1).all(|(_, response)| !is_final(response)));
    assert!(said["wrong"][0].0.starts_with("there is no model 'sai'"), "{:?}", said["wrong"]);
    // The client library gives the call up only when nothing is left of either side of it.
    drop((asks, responses));
    host.all_given_back().await;
}

fn is_final(response: &ModelInferResponse) -> bool {
    let parameter = response.parameters.get("triton_final_response");
    parameter.is_some_and(|it| it.parameter_choice == Some(ParameterChoice::BoolParam(true)))
}

/// A stream has one deadline for all its requests.
#[tokio::test]
async fn a_stream_ends_with_its_deadline() {
    let host = host(PROGRAM).await;
    let endless = with(typed("endless", Vec::new()), "upto", ParameterChoice::Int64Param(0));
    let mut request = tonic::Request::new(tokio_stream::iter([endless]));
    request.metadata_mut().insert("grpc-timeout", "3S".parse().unwrap());
    let mut responses = client(&host).await.model_stream_infer(request).await.unwrap().into_inner();
    let last: Result<String, Status> = loop {
        match responses.message().await {
            Ok(Some(response)) if response.error_message.is_empty() => {}
            Ok(Some(response)) => break Ok(response.error_message),
            Ok(None) => panic!("it must not just end"),
            Err(status) => break Err(status),
        }
    };
    assert!(last.unwrap().contains("deadline"));
    host.all_given_back().await;
}
