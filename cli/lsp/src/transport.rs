//! Messages on standard input and output.
//!
//! Reading is done here, not by `lsp-server`: what is no message must not end the session, and a
//! header must not make us reserve whatever it says.

use std::io::{self, BufRead, Read, Write};
use std::thread;

use lsp_server::{Connection, Message};

/// Most bytes of a message. The longest text that the compiler reads is a fraction of it.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Calls `serve` with a connection to standard input and output.
pub(crate) fn stdio(serve: impl FnOnce(&Connection) -> bool) -> bool {
    let (ours, theirs) = Connection::memory();
    let Connection { sender, receiver } = theirs;
    let writer = thread::spawn(move || {
        let mut stdout = io::stdout().lock();
        // An editor that reads no more has gone; the reader sees that, too.
        receiver.into_iter().try_for_each(|message| message.write(&mut stdout))
    });
    // It is left alone at the end: it may wait for input that never comes.
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        while let Ok(Some(read)) = next(&mut stdin) {
            match read {
                Ok(message) => {
                    if sender.send(message).is_err() {
                        return;
                    }
                }
                Err(problem) => {
                    let _ = writeln!(io::stderr().lock(), "corn lsp: a message is passed over: {problem}");
                }
            }
        }
    });
    let outcome = serve(&ours);
    drop(ours);
    let _ = writer.join();
    outcome
}

/// The next message; `None` at the end of the input. What is no message is said inside.
fn next(input: &mut impl BufRead) -> io::Result<Option<Result<Message, String>>> {
    let mut length = None;
    loop {
        let mut line = Vec::new();
        if input.by_ref().take(64 << 10).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        match (line.trim().split_once(':'), length) {
            (None, Some(_)) if line.trim().is_empty() => break,
            (Some((name, value)), _) if name.trim().eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse::<usize>().ok();
            }
            _ => {}
        }
    }
    let length = length.unwrap_or_default();
    if length > MAX_MESSAGE_BYTES {
        io::copy(&mut input.by_ref().take(length as u64), &mut io::sink())?;
        return Ok(Some(Err(format!("it has {length} bytes"))));
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes).map_err(|error| error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_between_messages_is_passed_over() {
        let exit = r#"{"jsonrpc":"2.0","method":"exit"}"#;
        let framed = |text: &str| format!("Content-Length: {}\r\n\r\n{text}", text.len());
        let huge = format!("Content-Length: {}\r\n\r\n", u64::MAX);
        let input = format!("hello\r\n\r\n{}content-type: x\r\n{}{}", framed("{"), framed(exit), huge);
        let mut input = io::Cursor::new(input.into_bytes());
        assert!(matches!(next(&mut input), Ok(Some(Err(_)))), "no JSON");
        assert!(matches!(next(&mut input), Ok(Some(Ok(Message::Notification(it)))) if it.method == "exit"));
        assert!(matches!(next(&mut input), Ok(Some(Err(_)))), "longer than any message");
        assert!(matches!(next(&mut input), Ok(None)));
    }
}
