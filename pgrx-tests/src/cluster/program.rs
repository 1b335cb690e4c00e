//! PostgreSQL's programs, run as the operating-system user that owns the server.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use crate::versions::pg_config;

/// The server refuses to run as root: then everything of it is run as, and belongs to, this user.
const OWNER: &str = "postgres";

/// One of PostgreSQL's programs, in an environment without the caller's settings: `PGHOST`,
/// `PGOPTIONS` and the like would change the tests, and `RUST_BACKTRACE` the errors.
pub(crate) struct Program(Command);

impl Program {
    pub(crate) fn new(name: &str) -> Self {
        Self::started_by(Command::new("setpriv"), name)
    }

    /// With an address space of so many bytes, which its own processes inherit.
    pub(crate) fn within(name: &str, bytes: u64) -> Self {
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={bytes}")).arg("setpriv");
        Self::started_by(command, name)
    }

    /// `command` ends in `setpriv`.
    fn started_by(mut command: Command, name: &str) -> Self {
        // Killed by the kernel when the thread that started it is gone: the server must not outlive
        // a test runner that was killed. SIGQUIT is "immediate shutdown" to the server.
        command.args(["--pdeathsig", "SIGQUIT"]);
        if *IS_ROOT {
            command.args(["--reuid", OWNER, "--regid", OWNER, "--init-groups"]);
        }
        command.arg(BIN.join(name));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
        command.current_dir("/").stdin(Stdio::null());
        Self(command)
    }

    pub(crate) fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args<const N: usize>(&mut self, args: [&str; N]) -> &mut Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(&mut self, name: &str, value: &OsStr) -> &mut Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn output(&mut self) -> Output {
        self.0.output().unwrap_or_else(|error| panic!("{:?}: {error}", self.0))
    }

    /// Runs it to its end, which must be a good one, and returns what it printed.
    pub(crate) fn succeed(&mut self) -> String {
        let output = self.output();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{:?}: {}\n{stderr}", self.0, output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn spawn_logging_to(&mut self, log: File) -> Child {
        self.0.stdout(Stdio::null()).stderr(log);
        self.0.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.0))
    }
}

/// A program that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn new(child: Child) -> Self {
        Self(child)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Hands a folder of ours to the server's user.
pub(crate) fn own(dir: &Path) {
    if *IS_ROOT {
        let passwd = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        let entry = passwd.lines().find(|line| line.split(':').next() == Some(OWNER));
        let mut fields = entry.unwrap_or_else(|| panic!("no user {OWNER}")).split(':').skip(2);
        let mut id = || fields.next().and_then(|field| field.parse().ok());
        chown(dir, id(), id()).expect("the folder's owner");
    }
}

/// Where PostgreSQL's programs are.
static BIN: LazyLock<PathBuf> = LazyLock::new(|| PathBuf::from(pg_config("--bindir")));

static IS_ROOT: LazyLock<bool> =
    LazyLock::new(|| std::fs::metadata("/proc/self").expect("the process's own entry").uid() == 0);
