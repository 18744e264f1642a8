//! How two processes find out that they belong together: each proves to the other that it knows the
//! deployment's token, without saying it. HMAC-SHA256 (RFC 2104) over both sides' nonces, and over what the connection is
//! known by where it is encrypted ([`cipher`](super::cipher)).

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::cipher::Cipher;
use super::control::{Control, VERSION, read, write};
use super::frame::Frame;
use super::link::{Inbox, Outbox};

/// What the processes of a deployment know and nobody else does. It says as well whether they encrypt what goes to other
/// hosts, so that all of them do or none.
#[derive(Clone)]
pub struct Token {
    secret: String,
    cipher: Option<Arc<Cipher>>,
}

/// How a token begins whose bearers encrypt.
const ENCRYPTS: &str = "tls-";

impl Token {
    /// A new one.
    pub fn random() -> Result<Self, getrandom::Error> {
        Ok(Self::new(nonce()?))
    }

    /// A new one whose bearers encrypt what goes to other hosts.
    pub fn encrypting() -> Result<Self, getrandom::Error> {
        Ok(Self::new(format!("{ENCRYPTS}{}", nonce()?)))
    }

    /// One that was written down.
    pub fn new(token: impl Into<String>) -> Self {
        let secret = token.into().trim().to_owned();
        let cipher = secret.starts_with(ENCRYPTS).then(Arc::default);
        Self { secret, cipher }
    }

    /// Whether its bearers encrypt what goes to other hosts.
    pub const fn encrypts(&self) -> bool {
        self.cipher.is_some()
    }

    pub(crate) fn cipher(&self) -> Option<&Cipher> {
        self.cipher.as_deref()
    }

    /// To be written down where only its owner can read it.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    fn proof(&self, role: &str, one: &str, other: &str, bound: &str) -> String {
        hex(&self.mac(role, one, other, bound).finalize().into_bytes())
    }

    fn mac(&self, role: &str, one: &str, other: &str, bound: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("any length is a key");
        // A connection that is not encrypted is bound to nothing.
        let bound = Some(bound).filter(|bound| !bound.is_empty());
        for part in [role, one, other].into_iter().chain(bound) {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }

    /// Compared in constant time.
    fn is_proof(&self, proof: &str, role: &str, one: &str, other: &str, bound: &str) -> bool {
        unhex(proof).is_some_and(|proof| self.mac(role, one, other, bound).verify_slice(&proof).is_ok())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What whoever connects says first.
pub(crate) trait Greeting {
    /// With this nonce and proof.
    fn with(self, nonce: String, proof: String) -> Control;
}

impl<F: FnOnce(String, String) -> Control> Greeting for F {
    fn with(self, nonce: String, proof: String) -> Control {
        self(nonce, proof)
    }
}

/// Listens to whoever connected: what he asks for, once he has shown that he knows the token.
pub(crate) async fn listen(out: &Outbox, inbox: &mut Inbox, token: &Token) -> Result<Control, String> {
    let ours = nonce().map_err(|error| error.to_string())?;
    say(out, &Control::Challenge { version: VERSION, nonce: ours.clone() });
    let asked = hear(inbox).await?;
    let (Control::Join(super::control::Join { nonce, proof, .. })
    | Control::Peer { nonce, proof, .. }
    | Control::Lane { nonce, proof, .. }) = &asked
    else {
        return Err("it did not say who it is".to_owned());
    };
    if !token.is_proof(proof, "connects", &ours, nonce, inbox.bound_to()) {
        let reason = "its token is not that of this deployment".to_owned();
        say(out, &Control::Refused { reason: reason.clone() });
        return Err(reason);
    }
    say(out, &Control::Welcome { proof: token.proof("listens", nonce, &ours, inbox.bound_to()) });
    inbox.trust();
    Ok(asked)
}

/// Greets whoever listens; both have shown then that they know the token.
pub(crate) async fn greet(
    out: &Outbox,
    inbox: &mut Inbox,
    token: &Token,
    greeting: impl Greeting,
) -> Result<(), String> {
    let Control::Challenge { version, nonce: theirs } = hear(inbox).await? else {
        return Err("it is no process of corn".to_owned());
    };
    if version != VERSION {
        return Err(format!("it speaks version {version} of the protocol, and this corn speaks {VERSION}"));
    }
    let ours = nonce().map_err(|error| error.to_string())?;
    say(out, &greeting.with(ours.clone(), token.proof("connects", &theirs, &ours, inbox.bound_to())));
    match hear(inbox).await? {
        Control::Welcome { proof } if token.is_proof(&proof, "listens", &ours, &theirs, inbox.bound_to()) => {
            inbox.trust();
            Ok(())
        }
        Control::Welcome { .. } => Err("it does not know the token of this deployment".to_owned()),
        Control::Refused { reason } => Err(reason),
        _ => Err("it answered something else than was asked".to_owned()),
    }
}

/// Sends a control message.
pub(crate) fn say(out: &Outbox, control: &Control) {
    let frame = Frame::Control(write(control)).write(0, None);
    out.send(frame.expect("control messages lend nothing"));
}

/// The next control message.
pub(crate) async fn hear(inbox: &mut Inbox) -> Result<Control, String> {
    let came = inbox.next().await.map_err(|error| error.to_string())?;
    let came = came.ok_or_else(|| "it closed the connection".to_owned())?;
    match Frame::read(&came.head, came.payloads, 0, None) {
        Ok(Frame::Control(json)) => read(&json).map_err(|problem| problem.to_string()),
        Ok(_) => Err("it sent something else than was waited for".to_owned()),
        Err(problem) => Err(problem.to_string()),
    }
}

fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}
