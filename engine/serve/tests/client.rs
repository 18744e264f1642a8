//! The client of our own service against both kinds of server, and what it says when it is not let in.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: what is wrong here fails the test")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use corn_core::message::Priority;
use corn_core::{Blame, Datum, Fault, Image};
use corn_engine::Piece;
use corn_media::{Format, write_image};
use corn_serve::client::{Address, Answering, Brought, Offer, Question};
use corn_serve::{Keys, KnownBy, Listening, Tls};
use support::Server;
use support::certificates::Authority;

const PROGRAM: &str = r#"
component Words() {
    in  text: text
    out words: stream<text max 1KiB>
    run reference "text.words"
    batch 4
}
component Tone() {
    in  text: stream<text>
    out voice: stream<audio<16kHz> max 2min>
    run reference "tone.speak"
}
component Mean() {
    in  image: image
    out colour: tensor<f32>[3]
    run reference "image.mean"
}
component Ticks() {
    in  count: int
    out ticks: stream<tensor<f32>[1]>
    run reference "stream.ticks"
}
let words = Words()
let tone  = Tone()
let mean  = Mean()
let ticks = Ticks()

graph speak(prompt: text max 64B) -> { reply: stream<text>, voice: stream<audio>? } {
    let reply = words(prompt)
    { reply, voice: tone(reply.sentences()) }
}
route say  = speak(prompt) -> reply
route talk = speak(prompt) -> reply + voice

graph count(upto: int = 3) -> { ticks: stream<tensor<f32>[1]> } { { ticks: ticks(upto) } }
graph colours(photos: list<image max 3MiB> max 2) -> { colours: list<tensor<f32>[3]> max 2 } {
    { colours: [mean(photo) for photo in photos] }
}
"#;

async fn serve(listening: Listening) -> Server {
    let listening = Listening { grpc: Some("127.0.0.1:0".to_owned()), ..listening };
    Server::start_at(PROGRAM, 4, listening).await
}

fn plain(server: &Server) -> Address {
    Address::new(&format!("http://{}", server.grpc.unwrap()), None, None, None).unwrap()
}

fn question(offer: &Offer, route: &str, inputs: &[(&str, Brought)]) -> Question {
    let found = offer.routes.iter().find(|it| it.name == route);
    Question {
        route: Arc::clone(found.unwrap_or_else(|| panic!("no route {route}: {offer:?}"))),
        inputs: inputs.iter().map(|(name, brought)| ((*name).to_owned(), brought.clone())).collect(),
        outputs: Vec::new(),
        deadline: None,
        priority: Priority::Normal,
    }
}

async fn pieces(mut answering: Answering) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Some(piece) = answering.next().await {
        pieces.push(piece);
    }
    pieces
}

/// Why a server is not even asked, or does not say what it offers.
async fn refusal(address: Result<Address, Fault>) -> Fault {
    let said = async { address?.connect().await?.offer().await };
    match said.await {
        Ok(offer) => panic!("it was let in: {offer:?}"),
        Err(fault) => fault,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_offered_can_be_asked() {
    let server = serve(Listening::default()).await;
    let mut line = plain(&server).connect().await.unwrap();
    let offer = line.offer().await.unwrap();
    let names: Vec<String> = offer.routes.iter().map(|it| format!("{}.{}", it.graph, it.name)).collect();
    assert_eq!(names, ["speak.say", "speak.talk", "count.count", "colours.colours"]);
    let default = &offer.routes[2].inputs[0];
    assert_eq!((default.default.as_deref(), default.is_required), (Some("3"), false));

    let prompt = ("prompt", Brought::Datum(Datum::text("One is here. Two.")));
    let said = pieces(line.ask(&question(&offer, "say", std::slice::from_ref(&prompt))).await.unwrap()).await;
    let text: String = said
        .iter()
        .filter_map(|it| match it {
            Piece::Item { output: 0, datum: Datum::Text(text) } => Some(&**text),
            _ => None,
        })
        .collect();
    assert_eq!(text, "One is here. Two. ");
    assert_eq!(said.last(), Some(&Piece::End { output: 0 }));

    let talked = pieces(line.ask(&question(&offer, "talk", &[prompt])).await.unwrap()).await;
    let rates: Vec<u32> = talked
        .iter()
        .filter_map(|it| match it {
            Piece::Item { output: 1, datum: Datum::Audio(audio) } => Some(audio.rate_hz),
            _ => None,
        })
        .collect();
    assert!(!rates.is_empty() && rates.iter().all(|rate| *rate == 16_000), "{rates:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_as_they_are() {
    let server = serve(Listening::default()).await;
    let mut line = plain(&server).connect().await.unwrap();
    let offer = line.offer().await.unwrap();
    let red = Image { width: 2, height: 2, rgb: [255, 0, 0].repeat(4).into() };
    let file = write_image(&red, Format::Png).unwrap();
    let ask = |files: &[&[u8]]| {
        let files = files.iter().map(|file| Brought::ImageFile(file.to_vec().into())).collect();
        question(&offer, "colours", &[("photos", Brought::List(files))])
    };
    let made = pieces(line.ask(&ask(&[&file, &file])).await.unwrap()).await;
    let Piece::Item { datum: Datum::List(colours), .. } = &made[0] else { panic!("{made:?}") };
    let Datum::Tensor(colour) = &colours[1] else { panic!("{colours:?}") };
    assert_eq!(colour.to_f32s().unwrap(), [1.0, 0.0, 0.0]);

    let fault = line.ask(&ask(&[&file, b"no picture"])).await.err().unwrap();
    assert_eq!(fault.blame, Blame::Request);
    assert!(fault.message.starts_with("input 'photos': item 1: "), "{fault}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_given_up_on_every_worker() {
    let server = serve(Listening::default()).await;
    let mut line = plain(&server).connect().await.unwrap();
    let offer = line.offer().await.unwrap();
    let endless = question(&offer, "count", &[("upto", Brought::Datum(Datum::Int(1_000_000)))]);

    let mut answering = line.ask(&endless).await.unwrap();
    assert!(matches!(answering.next().await, Some(Piece::Item { .. })));
    drop(answering);
    server.idle().await;

    let late = Question { deadline: Some(Duration::from_secs(1)), ..endless };
    let mut answering = line.ask(&late).await.unwrap();
    let failed = loop {
        if let Piece::Failed(fault) = answering.next().await.unwrap() {
            break fault;
        }
    };
    assert_eq!(failed.blame, Blame::Deadline, "{failed}");
    assert_eq!(answering.next().await, None);
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_named() {
    let server = serve(Listening::default()).await;
    let (http, grpc) = (server.address, server.grpc.unwrap());
    let to = |url: String| refusal(Address::new(&url, None, None, None));

    let fault = to(format!("http://{http}")).await;
    assert_eq!(fault.blame, Blame::Request, "{fault}");
    assert!(fault.message.contains("is not the one for HTTP"), "{fault}");
    let fault = to(format!("https://{grpc}")).await;
    assert_eq!(fault.blame, Blame::Setup);
    assert!(fault.message.contains("does not speak TLS; say http://"), "{fault}");
    for (url, why) in [
        ("localhost:8001", "does not begin with http"),
        ("ftp://localhost", "does not begin with http"),
        ("http://localhost:8001/v1", "something behind the port"),
        ("no url", "it is no URL"),
    ] {
        let fault = to(url.to_owned()).await;
        assert!(fault.blame == Blame::Request && fault.message.contains(why), "{url}: {fault}");
    }
    let fault = to("http://no-such-host.invalid:8001".to_owned()).await;
    // A resolver that says nothing is waited for.
    let is_away = ["cannot be reached", "does not answer"].iter().any(|why| fault.message.contains(why));
    assert!(fault.blame == Blame::Unavailable && is_away, "{fault}");
    server.stop().await;
    let fault = to(format!("http://{grpc}")).await;
    assert_eq!(fault.blame, Blame::Unavailable);
    assert!(fault.message.starts_with(&format!("nobody listens at http://{grpc}; ")), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_said_to() {
    let server = serve(Listening::default()).await;
    let mut line = plain(&server).connect().await.unwrap();
    line.offer().await.unwrap();
    server.stop().await;
    let fault = line.offer().await.unwrap_err();
    assert_eq!(fault.blame, Blame::Unavailable, "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_brought() {
    let keys = Keys::parse("sk-right name=lab").unwrap();
    let server = serve(Listening { keys: Some(keys), ..Listening::default() }).await;
    let url = format!("http://{}", server.grpc.unwrap());
    let with = |key: Option<&str>| Address::new(&url, None, None, key);
    let fault = refusal(with(None)).await;
    assert!(fault.message.contains("wants a key: set CORN_API_KEY"), "{fault}");
    let fault = refusal(with(Some("sk-wrong"))).await;
    assert!(fault.blame == Blame::Request && fault.message.ends_with("does not know this key"), "{fault}");
    assert!(refusal(with(Some("a\nb"))).await.message.contains("characters"));
    let mut line = with(Some("sk-right")).unwrap().connect().await.unwrap();
    let offer = line.offer().await.unwrap();
    let asked = line.ask(&question(&offer, "count", &[])).await.unwrap();
    assert_eq!(pieces(asked).await.len(), 4);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_held_against_who_vouches_for_them() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let identity = ours.vouch_for("server");
    let tls = Tls::read(&identity.certificate, &identity.key, Some(&theirs.certificate)).unwrap();
    let server = serve(Listening { tls: Some(tls), ..Listening::default() }).await;
    let port = server.grpc.unwrap().port();
    let url = format!("https://localhost:{port}");
    let known = |authority: &Authority| {
        let identity = authority.vouch_for("client");
        KnownBy { certificate: identity.certificate, key: identity.key }
    };
    let known_by = known(&theirs);
    let at = |url: &str, ca: Option<&Path>, known_by: Option<&KnownBy>| Address::new(url, ca, known_by, None);
    let ca = Some(ours.certificate.as_path());

    let mut line = at(&url, ca, Some(&known_by)).unwrap().connect().await.unwrap();
    let offer = line.offer().await.unwrap();
    assert_eq!(pieces(line.ask(&question(&offer, "count", &[])).await.unwrap()).await.len(), 4);

    for (address, why) in [
        (
            at(&url, None, Some(&known_by)),
            "nobody who is trusted vouches for it; name who does with --cacert",
        ),
        (at(&url, Some(&theirs.certificate), Some(&known_by)), "nobody who is trusted vouches for it"),
        (at(&format!("https://[::ffff:127.0.0.1]:{port}"), ca, Some(&known_by)), "is for another name"),
        (at(&url, ca, None), "wants a certificate of its clients: say --cert FILE and --key FILE"),
        (at(&url, ca, Some(&known(&ours))), "does not take the certificate that --cert names"),
        (at(&url, Some(Path::new("/no/such/file")), None), "/no/such/file cannot be read"),
        (at(&url, Some(&known_by.key), None), "has no certificate in PEM"),
    ] {
        let fault = refusal(address).await;
        // What a server says of its clients' certificates, it says while they write already, so it may be lost.
        let is_cut = why.contains("--cert ")
            && fault.message.contains("a server that wants a certificate of its clients, or another one");
        assert!(is_cut || fault.blame == Blame::Setup && fault.message.contains(why), "{why}: {fault}");
    }
    let plain = refusal(at(&format!("http://localhost:{port}"), None, None)).await;
    assert!(plain.blame == Blame::Unavailable && plain.message.contains("say https://"), "{plain}");
    let of_no_use = refusal(at(&format!("http://localhost:{port}"), ca, None)).await;
    assert!(of_no_use.message.contains("of use only with https://"), "{of_no_use}");
    server.stop().await;
}
