//! Both faces by TLS, with clients as they come: `openai`, `tritonclient` and `curl`, and one of our own that looks at
//! what was agreed on.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corn_serve::{Bounds, Listening, Notices, Tls};
use support::certificates::{Authority, Identity};
use support::python::python;
use support::{PROGRAM, Reply, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

const PACKAGES: [&str; 2] = ["openai==3.54.0", "tritonclient[grpc]==2.73.0"];
/// How long all that a Python script asks may take.
const PATIENCE: Duration = Duration::from_secs(150);

async fn serve(tls: Tls, notices: Notices) -> Server {
    // Longer than a test goes on: one opens a connection, and asks when files were replaced.
    let bounds = Bounds { first_within: Duration::from_mins(1), ..Bounds::default() };
    let grpc = Some("127.0.0.1:0".to_owned());
    let listening = Listening { grpc, tls: Some(tls), notices, bounds, ..Listening::default() };
    Server::start_at(PROGRAM, 4, listening).await
}

fn tls(identity: &Identity, clients: Option<&Authority>) -> Tls {
    let clients = clients.map(|authority| authority.certificate.as_path());
    Tls::read(&identity.certificate, &identity.key, clients).unwrap()
}

async fn connect(
    at: std::net::SocketAddr,
    trusts: &Authority,
    shows: Option<&Identity>,
    speaks: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&trusts.certificate).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shows {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from_pem_file(&identity.certificate).unwrap()];
            let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = speaks.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(at).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// Asks for health by TLS; an error if the client is not let in.
async fn health(server: &Server, trusts: &Authority, shows: Option<&Identity>) -> io::Result<Reply> {
    let mut stream = connect(server.address, trusts, shows, &["http/1.1"]).await?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: corn\r\nconnection: close\r\n\r\n").await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(Reply::parse(&bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_face_agrees_on_what_it_speaks() {
    let authority = Authority::new("ours");
    let server = serve(tls(&authority.vouch_for("server"), None), Notices::default()).await;
    let (http, grpc) = (server.address, server.grpc.unwrap());
    for (at, speaks, agreed) in [
        (http, vec!["h2", "http/1.1"], Some("h2")),
        (http, vec!["http/1.1"], Some("http/1.1")),
        (http, vec![], None),
        (grpc, vec!["h2"], Some("h2")),
    ] {
        let stream = connect(at, &authority, None, &speaks).await.unwrap();
        let found = stream.get_ref().1.alpn_protocol().map(|it| String::from_utf8(it.to_vec()).unwrap());
        assert_eq!(found.as_deref(), agreed, "of {speaks:?}");
    }
    let refused = connect(grpc, &authority, None, &["http/1.1"]).await.unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    assert_eq!(health(&server, &authority, None).await.unwrap().status, 200);
    // Who does not know the authority does not ask.
    assert!(health(&server, &Authority::new("another"), None).await.is_err());
    // Who asks without TLS is told, in words.
    let plain = server.get("/health").await;
    let (message, _, _, code) = plain.error();
    assert_eq!((plain.status, code.as_str()), (400, "tls_wanted"), "{message}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_known_by_their_certificates_where_that_is_wanted() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = serve(tls(&ours.vouch_for("server"), Some(&theirs)), Notices::default()).await;
    assert!(health(&server, &ours, None).await.is_err());
    assert!(health(&server, &ours, Some(&ours.vouch_for("stranger"))).await.is_err());
    let known = theirs.vouch_for("client");
    assert_eq!(health(&server, &ours, Some(&known)).await.unwrap().status, 200);
    server.stop().await;
}

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Ends when something was said of which `word` is part.
async fn said(word: &str) -> String {
    let said = async {
        loop {
            let found = SAID.lock().unwrap().iter().find(|line| line.contains(word)).cloned();
            match found {
                Some(line) => return line,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), said).await.expect(word)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_by_replacing_them() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let used = old.vouch_for("server");
    let server = serve(tls(&used, None), Notices(|line| SAID.lock().unwrap().push(line.to_owned()))).await;
    let mut kept = connect(server.address, &old, None, &["http/1.1"]).await.unwrap();
    // One of two files: what was there before is used.
    let next = new.vouch_for("server");
    std::fs::copy(&next.certificate, &used.certificate).unwrap();
    let line = said("is not that of the first certificate").await;
    assert!(line.starts_with("what was there before is used: the TLS key"), "{line}");
    assert_eq!(health(&server, &old, None).await.unwrap().status, 200);
    std::fs::copy(&next.key, &used.key).unwrap();
    said("is new, and is used").await;
    assert_eq!(health(&server, &new, None).await.unwrap().status, 200);
    assert!(health(&server, &old, None).await.is_err());
    // Who is connected stays so.
    kept.write_all(b"GET /health HTTP/1.1\r\nhost: corn\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    kept.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(Reply::parse(&bytes).status, 200);
    server.stop().await;
}

#[test]
fn files_that_cannot_be_used_are_told_from_each_other() {
    let authority = Authority::new("ours");
    let (one, other) = (authority.vouch_for("one"), authority.vouch_for("other"));
    let write = |name: &str, text: &str| {
        let path = authority.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let empty = write("empty.pem", "");
    let text = std::fs::read_to_string(&one.certificate).unwrap();
    let cut = write("cut.pem", &text[..text.len() / 2]);
    let junk = write("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let locked = write(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let nowhere = authority.folder().join("nowhere.pem");
    let wrong: [(&Path, &Path, Option<&Path>, &str); 9] = [
        (&nowhere, &one.key, None, "nowhere.pem cannot be read"),
        (&one.certificate, &nowhere, None, "nowhere.pem cannot be read"),
        (&empty, &one.key, None, "empty.pem has no certificate in PEM"),
        (&one.key, &one.key, None, "there is a private key, which goes to --tls-key"),
        (&cut, &one.key, None, "cut.pem is damaged"),
        (&junk, &one.key, None, "junk.pem cannot be used"),
        (&one.certificate, &one.certificate, None, "has no private key in PEM"),
        (&one.certificate, &locked, None, "openssl pkey"),
        (&one.certificate, &other.key, None, "is not that of the first certificate"),
    ];
    for (certificate, key, client_ca, why) in wrong {
        let fault = Tls::read(certificate, key, client_ca).unwrap_err();
        assert!(fault.message.contains(why), "{fault} for {why}");
    }
    let fault = Tls::read(&one.certificate, &one.key, Some(&empty)).unwrap_err();
    assert!(fault.message.contains("vouches for clients"), "{fault}");
}

async fn runs(command: &mut Command) -> Result<String, String> {
    let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    let output = output.map_err(|_| "it took too long".to_owned())?.map_err(|error| error.to_string())?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(out.into_owned()) } else { Err(format!("{out}{err}")) }
}

/// W1, W2, W3, by TLS on both sides.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stderr, reason = "a test that is skipped must be seen to be")]
async fn clients_as_they_come_are_served() {
    let python = match python("tls-clients", &PACKAGES).await {
        Ok(python) => python,
        Err(why) => return eprintln!("SKIPPED: {PACKAGES:?} cannot be installed here: {why}"),
    };
    let authority = Authority::new("ours");
    let server = serve(tls(&authority.vouch_for("server"), Some(&authority)), Notices::default()).await;
    let client = authority.vouch_for("client");
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls_clients.py"));
    command.arg(server.address.port().to_string()).arg(server.grpc.unwrap().port().to_string());
    command.args([&authority.certificate, &client.certificate, &client.key]);
    command.env_clear().env("PYTHONUNBUFFERED", "1");
    let said = tokio::time::timeout(PATIENCE, runs(&mut command)).await.unwrap();
    assert!(said.as_ref().is_ok_and(|said| said.trim_end().ends_with("all as expected")), "{said:?}");
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stderr, reason = "a test that is skipped must be seen to be")]
async fn curl_is_served_over_both_versions_of_http() {
    if let Err(why) = runs(Command::new("curl").arg("--version")).await {
        return eprintln!("SKIPPED: there is no curl: {why}");
    }
    let authority = Authority::new("ours");
    let server = serve(tls(&authority.vouch_for("server"), None), Notices::default()).await;
    let url = format!("https://localhost:{}/health", server.address.port());
    for version in ["--http1.1", "--http2"] {
        let mut command = Command::new("curl");
        command.args([
            "-q",
            "--noproxy",
            "*",
            "--silent",
            "--show-error",
            version,
            "--write-out",
            " %{http_version}",
        ]);
        let said = runs(command.arg("--cacert").arg(&authority.certificate).arg(&url)).await;
        assert!(said.as_ref().is_ok_and(|said| said.starts_with("ok ")), "{said:?}");
    }
    server.stop().await;
}
