//! A small hub on this machine: answers as it is told, notes what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request, as far as it matters.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) host: String,
}

/// What to answer.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes of the body after which the connection is cut.
    pub(crate) cut: Option<usize>,
}

impl Answer {
    pub(crate) fn of(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn body(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), ..Self::default() }
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

pub(crate) struct Hub {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Hub {
    /// Serves until the test ends. The handler is told the request and how many came before it.
    pub(crate) fn start(handler: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, handler) = (Arc::clone(&asked), Arc::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, handler) = (Arc::clone(&log), Arc::clone(&handler));
                std::thread::spawn(move || serve(stream, &log, handler.as_ref()));
            }
        });
        Self { address, asked }
    }

    /// A hub with one large file `bytes` at `owner/name`, path `model.gguf`, that honours ranges and
    /// cuts its `n`-th answer to a GET after `cuts[n]` bytes.
    pub(crate) fn with_file(bytes: Vec<u8>, etag: String, cuts: Vec<usize>) -> Self {
        let gets = Mutex::new(0);
        Self::start(move |asked, _| {
            if asked.method == "HEAD" {
                return Answer::of(302)
                    .header("Location", "/elsewhere")
                    .header("X-Linked-Etag", &format!("\"{etag}\""))
                    .header("X-Linked-Size", &bytes.len().to_string())
                    .header("X-Repo-Commit", &"c".repeat(40));
            }
            let mut gets = gets.lock().unwrap();
            let cut = cuts.get(*gets).copied();
            *gets += 1;
            Answer { cut, ..ranged(&bytes, asked.range.as_deref()) }
        })
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// `METHOD PATH RANGE` of every request.
    pub(crate) fn log(&self) -> Vec<String> {
        let line = |asked: &Asked| {
            format!("{} {} {}", asked.method, asked.path, asked.range.as_deref().unwrap_or(""))
                .trim()
                .to_owned()
        };
        self.asked().iter().map(line).collect()
    }
}

/// `bytes` from where `range` starts.
pub(crate) fn ranged(bytes: &[u8], range: Option<&str>) -> Answer {
    let start =
        range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match start {
        None => Answer::body(bytes),
        Some(start) if start >= bytes.len() => Answer::of(416),
        Some(start) => Answer { status: 206, ..Answer::body(&bytes[start..]) }
            .header("Content-Range", &format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len())),
    }
}

fn serve(
    stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    handler: &(dyn Fn(&Asked, usize) -> Answer + Send + Sync),
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() || line.is_empty() {
        return;
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let mut asked = Asked { method, path, range: None, token: None, host: String::new() };
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => asked.range = Some(value.to_owned()),
            "host" => value.clone_into(&mut asked.host),
            "authorization" => asked.token = Some(value.to_owned()),
            _ => {}
        }
    }
    let before = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    let answer = handler(&asked, before);
    let is_head = asked.method == "HEAD";
    let headers: Vec<String> =
        answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {} It\r\nConnection: close\r\n{}Content-Length: {}\r\n\r\n",
        answer.status,
        headers.concat(),
        if is_head { 0 } else { answer.body.len() }
    );
    let mut stream = stream;
    // The store may have heard enough and gone.
    let _ = stream.write_all(head.as_bytes());
    if !is_head {
        let _ = stream.write_all(&answer.body[..answer.cut.unwrap_or(answer.body.len())]);
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = reader.read_to_end(&mut Vec::new());
}
