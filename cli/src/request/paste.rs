//! Lines that ask each route, ready to be pasted into a shell. Files in them are examples: there must be one of that name.

use corn_plan::{Endpoint, Kind, Literal, Modality, Plan, Recording, Type};
use serde_json::{Value, json};

/// Most lines: who has more routes looks them up.
const MOST: usize = 16;

/// Where a server listens, and what its clients have to bring.
pub(crate) struct Server {
    /// `http://127.0.0.1:8000`
    pub(crate) http: Option<String>,
    /// `http://127.0.0.1:8001`
    pub(crate) grpc: Option<String>,
    /// The certificate that it is known by.
    pub(crate) certificate: Option<String>,
    pub(crate) wants_certificates: bool,
    pub(crate) wants_keys: bool,
}

impl Server {
    /// What `curl` and `corn call` both have to be told to trust it and to be trusted.
    fn tls(&self) -> String {
        let known = self.certificate.as_ref().map(|certificate| format!(" --cacert {}", quoted(certificate)));
        let own = self.wants_certificates.then_some(" --cert YOUR.pem --key YOUR.key");
        known.unwrap_or_default() + own.unwrap_or_default()
    }
}

/// `corn call NAME …` for each route.
pub(crate) fn to_deployment(name: &str, plan: &Plan) -> Vec<String> {
    few(plan.recordings.iter(), |of| {
        Some(format!("corn call {name} {}", call(shortest(plan, &of.graph, &of.route)?)))
    })
}

/// What is served over HTTP with `curl`, the rest of what is served over gRPC with `corn call`.
pub(crate) fn to_server(plan: &Plan, server: &Server) -> Vec<String> {
    let endpoints = || plan.serves.iter().flat_map(|it| it.endpoints.iter().map(move |at| (&*it.graph, at)));
    let mut lines = Vec::new();
    if let Some(http) = &server.http {
        lines.extend(few(endpoints(), |(graph, endpoint)| match endpoint {
            Endpoint::Openai { path, with, route } => {
                let asked = openai(graph, path, with, shortest(plan, graph, route)?);
                Some(asked.line(http, server))
            }
            Endpoint::Grpc | Endpoint::Kserve => None,
        }));
    }
    if let Some(grpc) = &server.grpc {
        let is_served = |graph: &str, by: &Endpoint| {
            plan.serves.is_empty() || endpoints().any(|(of, at)| of == graph && at == by)
        };
        let key = if server.wants_keys { "CORN_API_KEY=YOUR_KEY " } else { "" };
        let options = server.tls();
        let native = plan.recordings.iter().filter(|it| is_served(&it.graph, &Endpoint::Grpc));
        lines.extend(few(native, |of| {
            let recording = shortest(plan, &of.graph, &of.route)?;
            Some(format!("{key}corn call --at {grpc}{options} {}", call(recording)))
        }));
        let by_kserve = plan.recordings.iter().filter(|it| is_served(&it.graph, &Endpoint::Kserve));
        let models = few(by_kserve, |of| Some(format!("{}.{}", of.graph, of.route)));
        if !models.is_empty() {
            let address = grpc.split_once("://").map_or(grpc.as_str(), |(_, address)| address);
            lines.push(format!("models of KServe v2 at {address}: {}", models.join(", ")));
        }
    }
    lines
}

/// A line for each of `things` that has one, once each and not too many.
fn few<T>(things: impl Iterator<Item = T>, line: impl Fn(T) -> Option<String>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut more = 0;
    for line in things.filter_map(line) {
        if lines.contains(&line) {
            continue;
        }
        if lines.len() < MOST {
            lines.push(line);
        } else {
            more += 1;
        }
    }
    lines.extend((more > 0).then(|| format!("… and {more} more")));
    lines
}

/// The recording of a route that needs the fewest inputs.
fn shortest<'p>(plan: &'p Plan, graph: &str, route: &str) -> Option<&'p Recording> {
    let needed = |it: &&Recording| it.inputs.iter().filter(|input| input.default.is_none()).count();
    let of_route = plan.recordings.iter().filter(|it| it.graph == graph && it.route == route);
    of_route.min_by_key(needed)
}

/// Route, inputs and files for outputs, as `corn call` takes them.
fn call(recording: &Recording) -> String {
    let mut words = vec![format!("--route {}", recording.route)];
    for input in &recording.inputs {
        let decided = input.is.as_ref().map(|is| match is {
            Literal::Text(text) => text.clone(),
            other => other.to_string(),
        });
        if decided.is_none() && input.default.is_some() {
            continue;
        }
        let ty = &recording.values[input.value].ty;
        let example = || {
            let kinds = input.media.as_ref().map(|media| media.kinds.as_slice()).unwrap_or_default();
            example(&input.name, ty, kinds)
        };
        words.push(format!("--in {}={}", input.name, decided.map_or_else(example, |it| quoted(&it))));
    }
    for output in &recording.outputs {
        let name = &output.name;
        match recording.values[output.value].ty.kind {
            Kind::Audio { .. } => words.push(format!("--out {name}={name}.wav")),
            Kind::Image { .. } => words.push(format!("--out {name}={name}.png")),
            _ => {}
        }
    }
    words.join(" ")
}

/// Something that an input takes.
fn example(name: &str, ty: &Type, kinds: &[Modality]) -> String {
    match &ty.kind {
        Kind::Text { .. } | Kind::Messages { .. } => "\"How are you?\"".to_owned(),
        Kind::Image { .. } => "@picture.png".to_owned(),
        Kind::Audio { .. } => "@speech.wav".to_owned(),
        Kind::Video { .. } => "@film.mp4".to_owned(),
        Kind::Media { .. } => match kinds.first() {
            Some(Modality::Audio) => "@speech.wav".to_owned(),
            Some(Modality::Video) => "@film.mp4".to_owned(),
            Some(Modality::Image) | None => "@picture.png".to_owned(),
        },
        Kind::Tensor { .. } => format!("@{name}.npy"),
        Kind::Int => "1".to_owned(),
        Kind::Float => "1.0".to_owned(),
        Kind::Bool => "true".to_owned(),
        Kind::Enum(words) => words.first().map_or_else(String::new, |word| quoted(word)),
    }
}

/// A request to the OpenAI-compatible API.
enum Asked {
    /// A body of JSON, and the file that the answer goes to if it is no text.
    Json { path: &'static str, body: Value, file: Option<&'static str> },
    /// A form.
    Form { path: &'static str, fields: Vec<String> },
    /// A session.
    Session { graph: String },
}

fn openai(graph: &str, path: &str, with: &[String], recording: &Recording) -> Asked {
    let has = |word: &str| {
        let brings = recording.inputs.iter().filter(|input| input.default.is_none());
        let media = brings.clone().filter_map(|input| input.media.as_ref()).flat_map(|media| &media.kinds);
        brings.map(|input| recording.values[input.value].ty.kind.word()).any(|it| it == word)
            || media.into_iter().any(|kind| kind.name() == word)
    };
    let field = |name: &str, value: &str| format!("{name}={value}");
    let model = field("model", graph);
    let json = |path, body, file| Asked::Json { path, body, file };
    match path {
        "completions" => json("completions", json!({ "model": graph, "prompt": "How are you?" }), None),
        "embeddings" => json("embeddings", json!({ "model": graph, "input": "How are you?" }), None),
        "audio.speech" => {
            let body = json!({ "model": graph, "input": "How are you?", "response_format": "wav" });
            json("audio/speech", body, Some("speech.wav"))
        }
        "images.generations" => {
            json("images/generations", json!({ "model": graph, "prompt": "A red square" }), None)
        }
        "images.edits" => Asked::Form {
            path: "images/edits",
            fields: vec![model, field("prompt", "A red square"), field("image", "@picture.png")],
        },
        "audio.transcriptions" => {
            let mut fields = vec![model, field("file", "@speech.wav")];
            fields.extend(has("text").then(|| field("prompt", "A greeting")));
            Asked::Form { path: "audio/transcriptions", fields }
        }
        "realtime" => Asked::Session { graph: graph.to_owned() },
        _ => {
            let mut content = vec![json!({ "type": "text", "text": "How are you?" })];
            for (word, part) in [
                ("image", json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,…" } })),
                ("audio", json!({ "type": "input_audio", "input_audio": { "data": "…", "format": "wav" } })),
                ("video", json!({ "type": "video_url", "video_url": { "url": "data:video/mp4;base64,…" } })),
            ] {
                content.extend(has(word).then_some(part));
            }
            let content = if content.len() == 1 { json!("How are you?") } else { content.into() };
            let mut body = json!({ "model": graph, "messages": [{ "role": "user", "content": content }] });
            if with.iter().any(|word| word == "audio") {
                body["modalities"] = json!(["text", "audio"]);
            }
            json("chat/completions", body, None)
        }
    }
}

impl Asked {
    fn line(&self, http: &str, server: &Server) -> String {
        let mut options = server.tls();
        if server.wants_keys {
            options += " -H \"authorization: Bearer YOUR_KEY\"";
        }
        match self {
            Self::Json { path, body, file } => {
                let file = file.map_or_else(String::new, |file| format!(" -o {file}"));
                let body = quoted(&body.to_string());
                format!(
                    "curl{options} {http}/v1/{path} -H \"content-type: application/json\" -d {body}{file}"
                )
            }
            Self::Form { path, fields } => {
                let fields: Vec<String> =
                    fields.iter().map(|field| format!("-F {}", quoted(field))).collect();
                format!("curl{options} {http}/v1/{path} {}", fields.join(" "))
            }
            Self::Session { graph } => {
                let address = http.replacen("http", "ws", 1);
                format!("a session of the realtime API at {address}/v1/realtime?model={graph}")
            }
        }
    }
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./=@:,+%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
