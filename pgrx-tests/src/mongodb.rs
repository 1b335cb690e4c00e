//! The drivers of MongoDB, and the server of `clients/mongodb_server.py`, which logs them in through the extension.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::cluster::SUPERUSER;
use crate::cluster::program::Running;
use crate::foreign::{Login, node, python, run, stdout};
use crate::port::free as free_port;
use crate::{Cluster, until};

/// A driver, with BSON of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Driver {
    /// mongodb of npm.
    Node,
    /// pymongo.
    Python,
}

impl Driver {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Node, Self::Python];

    /// A user `ann` of `admin.system.users` with these credentials, written by the driver's classes: `relaxed` or
    /// `canonical`.
    pub fn user(self, form: &str, credentials: &str) -> String {
        stdout(self.program("mongodb_user").args([form, credentials]))
    }

    /// Logs in with this mechanism, or with `any` that the driver then chooses. Panics if anything but the server's
    /// refusal is in the way.
    pub fn login(self, server: &Server, user: &str, password: &str, mechanism: &str) -> Login {
        let mut command = self.program("mongodb_login");
        command.arg(server.port.to_string()).args([user, mechanism]).env("PASSWORD", password);
        run(&mut command)
    }

    fn program(self, name: &str) -> Command {
        match self {
            Self::Node => node(&format!("{name}.js")),
            Self::Python => python(&format!("{name}.py")),
        }
    }
}

/// The server, with verifiers from table `mongodb_user` of a cluster; it ends when dropped.
#[derive(Debug)]
pub struct Server {
    _program: Running,
    port: u16,
}

impl Server {
    /// Starts it on 127.0.0.1.
    pub fn start(cluster: &Cluster) -> Self {
        let port = free_port();
        let source = format!(
            "host={} port={} user={SUPERUSER} dbname=postgres",
            cluster.dir().display(),
            cluster.port()
        );
        let mut command = python("mongodb_server.py");
        command.args([port.to_string(), source]);
        let child = command.stdin(Stdio::null()).spawn().expect("Python (make clients)");
        let program = Running::new(child);
        until("the server listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { _program: program, port }
    }
}
