//! Where deployments keep what outlives their processes: a folder each, which only its owner may enter.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use corn_engine::{Remote, Token};
use corn_plan::WorkerId;
use rustix::fs::FlockOperation;

use crate::failure::Failure;

/// Unix sockets have short names: with the longest of ours, `worker-4194304.sock`, a folder may be so long.
const MAX_FOLDER_BYTES: usize = 80;

/// How often a coordinator looks whether its folder is there.
const LOOKS_EVERY: Duration = Duration::from_millis(500);

/// The folder of a deployment, as one of its generations sees it: each has a plan and workers of its own.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) name: String,
    folder: PathBuf,
    generation: u32,
    /// The right to be its coordinator, where this process has it.
    lock: Option<Arc<fs::File>>,
}

/// Where all deployments of this person are.
pub(crate) fn root() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = set("CORN_STATE_DIR")
        .or_else(|| set("XDG_STATE_HOME").map(|home| home.join("corn")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/corn")))
        .unwrap_or_else(|| std::env::temp_dir().join("corn"));
    std::path::absolute(&root).unwrap_or(root)
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
        Ok(Self { name: name.to_owned(), folder, generation: 1, lock: None })
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

    /// As the coordinator sees it that has the `lock`.
    pub(crate) fn locked(&self, lock: fs::File) -> Self {
        Self { lock: Some(Arc::new(lock)), ..self.clone() }
    }

    /// This generation serves from now on. A coordinator that comes back finds it, or the one before: nothing between.
    pub(crate) fn make_present(&self) -> Result<(), Failure> {
        self.still_there()?;
        let (path, new) = (self.folder.join("generation"), self.folder.join("generation.new"));
        crate::commands::write(&new, &format!("{}\n", self.generation))?;
        fs::rename(new, &path)
            .map_err(|error| Failure::setup(format!("'{}' cannot be written: {error}", path.display())))
    }

    /// Forgets what is kept of this generation, but for its logs.
    pub(crate) fn forget(&self) {
        self.remove(&self.plan());
        self.remove(&self.workers_socket());
    }

    /// Forgets the process of a worker.
    pub(crate) fn forget_process(&self, worker: WorkerId) {
        self.remove(&self.pid(worker.0));
    }

    /// Forgets where its coordinator is reached.
    pub(crate) fn forget_control(&self) {
        self.remove(&self.control_socket());
    }

    /// Forgets what workers of other generations have said.
    pub(crate) fn forget_logs_of_others(&self) {
        for (path, ..) in self.worker_logs().filter(|(_, _, generation)| *generation != self.generation) {
            self.remove(&path);
        }
    }

    /// Removes a file, unless the folder was removed and may now be that of a deployment of the same name.
    fn remove(&self, path: &Path) {
        if self.is_ours() {
            let _ = fs::remove_file(path);
        }
    }

    /// A name of this generation's own.
    fn own(&self, stem: &str, ending: &str) -> PathBuf {
        self.folder.join(named(self.generation, stem, ending))
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

    pub(crate) fn coordinator_log(&self) -> PathBuf {
        self.logs().join("coordinator.log")
    }

    /// The log of a worker of this generation.
    pub(crate) fn log(&self, worker: WorkerId) -> PathBuf {
        self.logs().join(named(self.generation, &worker.to_string(), "log"))
    }

    /// What `corn logs` calls it now.
    pub(crate) fn log_name(&self, worker: WorkerId) -> String {
        let is_present = self.present().generation == self.generation;
        if is_present { worker.to_string() } else { format!("{worker}-{}", self.generation) }
    }

    /// The log that somebody calls `who`: `coordinator`, a worker of this generation such as `w0`, or one of another
    /// such as `w0-1`.
    pub(crate) fn log_called(&self, who: &str) -> PathBuf {
        match of_generation(who) {
            Some((worker, None)) => self.log(worker),
            Some((worker, Some(generation))) => Self { generation, ..self.clone() }.log(worker),
            None => self.logs().join(format!("{who}.log")),
        }
    }

    /// All logs, and what each is called: a worker's says of which generation it is, once there was another one.
    pub(crate) fn all_logs(&self) -> Vec<(String, PathBuf)> {
        let mut workers: Vec<(PathBuf, WorkerId, u32)> = self.worker_logs().collect();
        workers.sort_by_key(|(_, worker, generation)| (*worker, *generation));
        let is_first = self.generation == 1 && workers.iter().all(|(_, _, generation)| *generation == 1);
        let called = |worker: WorkerId, generation: u32| {
            if is_first { worker.to_string() } else { format!("{worker}-{generation}") }
        };
        let coordinator = Some(("coordinator".to_owned(), self.coordinator_log()));
        let coordinator = coordinator.filter(|(_, path)| path.exists()).into_iter();
        let workers =
            workers.into_iter().map(|(path, worker, generation)| (called(worker, generation), path));
        coordinator.chain(workers).collect()
    }

    /// The logs of workers of all generations.
    fn worker_logs(&self) -> impl Iterator<Item = (PathBuf, WorkerId, u32)> {
        let entries = fs::read_dir(self.logs()).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter_map(|path| {
            let (worker, generation) = of_generation(path.file_name()?.to_str()?.strip_suffix(".log")?)?;
            Some((path, worker, generation.unwrap_or(1)))
        })
    }

    /// Where the process id of a worker is written down.
    pub(crate) fn pid(&self, worker: u32) -> PathBuf {
        self.own(&format!("w{worker}"), "pid")
    }

    /// The sockets of its workers, by process id.
    pub(crate) fn worker_sockets(&self) -> Vec<(u32, PathBuf)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let sockets = entries.filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            let pid = name.strip_prefix("worker-")?.strip_suffix(".sock")?.parse().ok()?;
            Some((pid, path))
        });
        sockets.collect()
    }

    /// The files that other generations left when their coordinator was killed.
    pub(crate) fn strays(&self) -> Vec<PathBuf> {
        let (workers, plan) = (self.workers_socket(), self.plan());
        let is_own = |path: &Path| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let number = stem.strip_prefix('w').and_then(|stem| stem.split('-').next()?.parse().ok());
            path == workers || path == plan || number.is_some_and(|worker| path == self.pid(worker))
        };
        let is_generations = |path: &Path| {
            path.extension().is_some_and(|it| it == "pid" || it == "plan")
                || path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("coordinator"))
        };
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| is_generations(path) && !is_own(path)).collect()
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

    /// Whether the lock that this process has is that of the folder, which somebody may have removed or replaced.
    /// An error if that cannot be known.
    fn is_locked(&self) -> std::io::Result<bool> {
        let Some(lock) = &self.lock else { return Ok(true) };
        let held = lock.metadata()?;
        match fs::metadata(self.folder.join("lock")) {
            Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
            Err(error) if is_absence(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether what is in the folder is certainly of this deployment.
    fn is_ours(&self) -> bool {
        self.is_locked().unwrap_or(false)
    }

    /// Fails if the folder was removed, which may now be that of another deployment.
    pub(crate) fn still_there(&self) -> Result<(), Failure> {
        match self.is_locked() {
            Ok(false) => Err(self.was_removed(&self.folder)),
            Ok(true) | Err(_) => Ok(()),
        }
    }

    /// Ends when the folder was removed or replaced, or the control socket, which is there from when this is first
    /// polled: nobody reaches the coordinator there any more.
    pub(crate) async fn removed(&self) -> Failure {
        let socket = self.control_socket();
        loop {
            tokio::time::sleep(LOOKS_EVERY).await;
            if let Err(failure) = self.still_there() {
                return failure;
            }
            if fs::symlink_metadata(&socket).is_err_and(|error| is_absence(&error)) {
                return self.was_removed(&socket);
            }
        }
    }

    fn was_removed(&self, path: &Path) -> Failure {
        let (path, name) = (path.display(), &self.name);
        Failure::setup(format!("'{path}' was removed: nobody can reach '{name}' there any more, so it ends"))
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
    pub(crate) async fn connect(&self) -> Result<Option<Remote>, Failure> {
        let path = self.control_socket();
        Remote::connect(&path).await.map_err(|error| {
            Failure::setup(format!("'{}' is not reached at {}: {error}", self.name, path.display()))
        })
    }

    /// The same, or a failure that says so.
    pub(crate) async fn connected(&self) -> Result<Remote, Failure> {
        let not_up = || {
            let name = &self.name;
            Failure::Usage(format!("no deployment '{name}' is up; `corn ps` lists those that are"))
        };
        self.connect().await?.ok_or_else(not_up)
    }
}

/// What belongs to a generation is called so.
fn named(generation: u32, stem: &str, ending: &str) -> String {
    match generation {
        1 => format!("{stem}.{ending}"),
        other => format!("{stem}-{other}.{ending}"),
    }
}

/// The worker that a log is of, and the generation, if that is said: `w0`, or `w0-2`.
fn of_generation(name: &str) -> Option<(WorkerId, Option<u32>)> {
    let name = name.strip_prefix('w')?;
    let (worker, generation) = match name.split_once('-') {
        Some((worker, generation)) => (worker, Some(generation.parse().ok()?)),
        None => (name, None),
    };
    Some((WorkerId(worker.parse().ok()?), generation))
}

/// Whether there is no such file, nor folder that it could be in.
fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
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
