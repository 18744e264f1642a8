//! The servers, each a process: `corn serve`, and this binary as the bare one.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::Outcome;

/// A server and where it listens; it ends with its value.
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    _process: Child,
}

impl Server {
    /// Corn with `faces.corn`.
    pub(crate) async fn corn(binary: &Path) -> Outcome<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("faces/faces.corn");
        let mut command = Command::new(binary);
        command.arg("serve").arg(program);
        command.args([
            "--http",
            "127.0.0.1:0",
            "--grpc",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--inflight",
            "128",
        ]);
        let mut process = command.stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let said = process.stderr.take().ok_or("corn has no standard error")?;
        Self::listening(process, said).await
    }

    /// The bare server.
    pub(crate) async fn bare() -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command.arg("bare").stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let said = process.stdout.take().ok_or("the bare server has no standard output")?;
        Self::listening(process, said).await
    }

    /// Reads where it listens from what it says: the first address in a line that names the protocol.
    async fn listening(process: Child, said: impl AsyncRead + Unpin + Send + 'static) -> Outcome<Self> {
        let mut lines = BufReader::new(said).lines();
        let (mut http, mut grpc, mut all) = (None, None, String::new());
        while http.is_none() || grpc.is_none() {
            let line = lines.next_line().await?;
            let line = line.ok_or_else(|| format!("a server ended and said: {all}"))?;
            let address = |word: &str| word.trim_start_matches("http://").split('/').next()?.parse().ok();
            let address = line.split([' ', ',']).find_map(address);
            match line.as_str() {
                line if line.contains("over HTTP") => http = address,
                line if line.contains("over gRPC") => grpc = address,
                line => all.push_str(line),
            }
        }
        // What it says later is read as well, so that it never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (Some(http), Some(grpc)) = (http, grpc) else { return Err("a server says no address".into()) };
        Ok(Self { http, grpc, _process: process })
    }
}
