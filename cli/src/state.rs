//! Where deployments keep what outlives their processes: a folder each, which only its owner may enter.

use std::fs;
use std::path::{Path, PathBuf};

use corn_engine::{Remote, Token};
use rustix::fs::FlockOperation;

use crate::failure::Failure;

/// Unix sockets have short names: with the longest of ours, a folder may be so long.
const MAX_FOLDER_BYTES: usize = 80;

/// The folder of a deployment, as one of its generations sees it: each has a plan and workers of its own.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) name: String,
    folder: PathBuf,
    generation: u32,
}

/// Where all deployments of this person are.
pub(crate) fn root() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CORN_STATE_DIR")
        .or_else(|| set("XDG_STATE_HOME").map(|home| home.join("corn")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/corn")))
        .unwrap_or_else(|| std::env::temp_dir().join("corn"))
}

impl State {
    pub(crate) fn of(name: &str) -> Result<Self, Failure> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
            let message =
                format!("'{name}' is no name for a deployment: letters, digits, '-', '_' and '.' are");
            return Err(Failure::Usage(message));
        }
        let folder = root().join(name);
        if folder.as_os_str().len() > MAX_FOLDER_BYTES {
            let message = format!(
                "'{}' is too long for the sockets in it; set CORN_STATE_DIR to a shorter one",
                folder.display()
            );
            return Err(Failure::Usage(message));
        }
        Ok(Self { name: name.to_owned(), folder, generation: 1 })
    }

    /// The deployments that have a folder.
    pub(crate) fn all() -> Vec<Self> {
        let entries = fs::read_dir(root()).into_iter().flatten().flatten();
        let names = entries.filter(|entry| entry.path().join("lock").exists());
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let mut all: Vec<Self> = names.filter_map(|name| Self::of(&name).ok()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Makes the folder, if there is none.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        let make = || {
            fs::create_dir_all(self.logs())?;
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700))?;
            }
            Ok(())
        };
        make().map_err(|error: std::io::Error| {
            Failure::setup(format!("'{}' cannot be made: {error}", self.folder.display()))
        })
    }

    /// As the generation sees it that serves, or served last.
    pub(crate) fn present(&self) -> Self {
        let said = fs::read_to_string(self.folder.join("generation")).ok();
        let generation = said.and_then(|said| said.trim().parse().ok()).unwrap_or(1);
        Self { generation, ..self.clone() }
    }

    /// As the next generation sees it.
    pub(crate) fn next(&self) -> Self {
        Self { generation: self.generation + 1, ..self.clone() }
    }

    /// This generation serves from now on. A coordinator that comes back finds it, or the one before: nothing between.
    pub(crate) fn make_present(&self) -> Result<(), Failure> {
        let (path, new) = (self.folder.join("generation"), self.folder.join("generation.new"));
        crate::commands::write(&new, &format!("{}\n", self.generation))?;
        fs::rename(new, &path)
            .map_err(|error| Failure::setup(format!("'{}' cannot be written: {error}", path.display())))
    }

    /// Forgets what is kept of this generation.
    pub(crate) fn forget(&self) {
        let _ = fs::remove_file(self.plan());
        let _ = fs::remove_file(self.workers_socket());
    }

    /// A name of this generation's own.
    fn own(&self, stem: &str, ending: &str) -> PathBuf {
        self.folder.join(match self.generation {
            1 => format!("{stem}.{ending}"),
            other => format!("{stem}-{other}.{ending}"),
        })
    }

    pub(crate) fn plan(&self) -> PathBuf {
        self.own("plan", "plan")
    }

    pub(crate) fn token(&self) -> PathBuf {
        self.folder.join("token")
    }

    pub(crate) fn workers_socket(&self) -> PathBuf {
        self.own("coordinator", "sock")
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// The log of `who`: `coordinator`, or a worker such as `w0`.
    pub(crate) fn log(&self, who: &str) -> PathBuf {
        self.logs().join(format!("{who}.log"))
    }

    /// Where the process id of a worker is written down.
    pub(crate) fn pid(&self, worker: u32) -> PathBuf {
        self.own(&format!("w{worker}"), "pid")
    }

    /// What other generations left when their coordinator was killed: the files in which process ids of their workers
    /// are, and others.
    pub(crate) fn strays(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let (workers, plan) = (self.workers_socket(), self.plan());
        let is_own = |path: &Path| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let number = stem.strip_prefix('w').and_then(|stem| stem.split('-').next()?.parse().ok());
            path == workers || path == plan || number.is_some_and(|worker| path == self.pid(worker))
        };
        let ends = |path: &Path, ending| path.extension().is_some_and(|it| it == ending);
        let is_plan = |path: &Path| {
            ends(path, "plan")
                || path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("coordinator"))
        };
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let others: Vec<PathBuf> = entries.filter(|path| !is_own(path)).collect();
        let (pids, rest): (Vec<PathBuf>, Vec<PathBuf>) =
            others.into_iter().partition(|path| ends(path, "pid"));
        (pids, rest.into_iter().filter(|path| is_plan(path)).collect())
    }

    /// The folder, as it stands in the command lines of its workers.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The right to be its coordinator, for as long as the file is open; `None` while another process has it.
    pub(crate) fn lock(&self) -> Result<Option<fs::File>, Failure> {
        let path = self.folder.join("lock");
        let cannot =
            |error: std::io::Error| Failure::setup(format!("'{}' cannot be locked: {error}", path.display()));
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(cannot)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(cannot(error.into())),
        }
    }

    /// The token of its processes; made and written down if there is none that encrypts, or does not.
    pub(crate) fn make_token(&self, encrypts: bool) -> Result<Token, Failure> {
        if let Ok(token) = fs::read_to_string(self.token())
            && !token.trim().is_empty()
        {
            let token = Token::new(token);
            if token.encrypts() == encrypts {
                return Ok(token);
            }
        }
        let token = if encrypts { Token::encrypting() } else { Token::random() };
        let token = token.map_err(|error| Failure::setup(format!("no random numbers: {error}")))?;
        write_secret(&self.token(), token.secret())?;
        Ok(token)
    }

    /// A connection to it; `None` if it is not up.
    pub(crate) async fn connect(&self) -> Option<Remote> {
        Remote::connect(&self.control_socket()).await
    }

    /// The same, or a failure that says so.
    pub(crate) async fn connected(&self) -> Result<Remote, Failure> {
        let not_up = || {
            let name = &self.name;
            Failure::Usage(format!("no deployment '{name}' is up; `corn ps` lists those that are"))
        };
        self.connect().await.ok_or_else(not_up)
    }
}

/// Writes what only its owner may read.
fn write_secret(path: &Path, secret: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let written = options.open(path).and_then(|mut file| writeln!(file, "{secret}"));
    written.map_err(|error| Failure::setup(format!("'{}' cannot be written: {error}", path.display())))
}
