//! Prosody and ejabberd out of Debian's packages, which are unpacked and not installed: each in a temporary folder and on
//! a free port of 127.0.0.1.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cluster::program::{Program, Running, own};
use crate::port::free as free_port;
use crate::unpacked::{self, libraries};
use crate::{Cluster, until};

/// Prosody with accounts in files, on host `localhost`.
#[derive(Debug)]
pub struct Prosody {
    /// Dropped before the folder.
    _server: Option<Running>,
    dir: TempDir,
    port: u16,
}

impl Prosody {
    /// A server for this mechanism, which does not run yet.
    pub fn new(mechanism: &str) -> Self {
        let dir = unpacked::copy("prosody");
        let port = free_port();
        let place = dir.path().display();
        for program in ["prosody", "prosodyctl"] {
            let file = dir.path().join("usr/bin").join(program);
            let text = fs::read_to_string(&file).expect("a program of Prosody (make clients)");
            fs::write(
                &file,
                text.replace("'/usr/lib/prosody", &format!("'{place}/usr/lib/prosody")),
            )
            .expect("its folder");
        }
        let hash = mechanism.trim_start_matches("SCRAM-");
        let settings = format!(
            "data_path = '{place}/data'\n\
             interfaces = {{ '127.0.0.1' }}\n\
             c2s_ports = {{ {port} }}\n\
             modules_enabled = {{ 'saslauth' }}\n\
             modules_disabled = {{ 's2s' }}\n\
             c2s_require_encryption = false\n\
             authentication = 'internal_hashed'\n\
             password_hash = '{hash}'\n\
             storage = 'internal'\n\
             log = {{ info = '{place}/log' }}\n\
             VirtualHost 'localhost'\n"
        );
        fs::write(dir.path().join("prosody.cfg.lua"), settings).expect("prosody.cfg.lua");
        for folder in ["data", "data/localhost", "data/localhost/accounts"] {
            let folder = dir.path().join(folder);
            fs::create_dir(&folder).expect("a folder");
            own(&folder);
        }
        Self { _server: None, dir, port }
    }

    /// Makes an account as `prosodyctl register` does, and returns its file.
    pub fn register(&self, user: &str, password: &str) -> String {
        self.program("prosodyctl").args(["register", user, "localhost", password]).succeed();
        fs::read_to_string(self.account(user)).expect("an account")
    }

    /// Gives the server the file of an account.
    pub fn add_account(&self, user: &str, text: &str) {
        fs::write(self.account(user), text).expect("an account");
    }

    /// Runs the server, and returns its port.
    pub fn start(&mut self) -> u16 {
        let log = File::create(self.dir.path().join("stderr")).expect("a log");
        self._server = Some(Running::new(self.program("prosody").arg("-F").spawn_logging_to(log)));
        until("Prosody listens", || TcpStream::connect(("127.0.0.1", self.port)).ok());
        self.port
    }

    fn account(&self, user: &str) -> PathBuf {
        self.dir.path().join(format!("data/localhost/accounts/{user}.dat"))
    }

    fn program(&self, name: &str) -> Program {
        let usr = self.dir.path().join("usr");
        let libraries = libraries(&usr);
        let share = usr.join("share/lua/5.4");
        let mut program = Program::new(&usr.join("bin/lua5.4").display().to_string());
        program.env("LUA_PATH", format!("{0}/?.lua;{0}/?/init.lua", share.display()).as_ref());
        program.env("LUA_CPATH", format!("{}/lua/5.4/?.so", libraries.display()).as_ref());
        program.env("LD_LIBRARY_PATH", libraries.as_ref());
        program.arg(usr.join("bin").join(name));
        program.arg("--config").arg(self.dir.path().join("prosody.cfg.lua"));
        program
    }
}

/// A running ejabberd. Its hosts `sha`, `sha256` and `sha512` keep their users in table `users` of a cluster, in the
/// database `postgres`, and host `mnesia` keeps them in Erlang's own.
#[derive(Debug)]
pub struct Ejabberd {
    /// Dropped before the folder.
    _server: Running,
    dir: TempDir,
    port: u16,
}

impl Ejabberd {
    /// Makes its tables and its role, starts it, and has it register a user with a password on each host, whose name
    /// ends in `-` and the host, because the hosts share a table.
    pub fn start(cluster: &Cluster, registered: &str, password: &str) -> Self {
        let dir = unpacked::copy("ejabberd");
        let tables = fs::read_to_string(dir.path().join("usr/share/ejabberd/sql/pg.sql"));
        let mut client = cluster.client();
        client.batch_execute(&tables.expect("tables (make clients)")).expect("its tables");
        let role = "CREATE ROLE ejabberd LOGIN PASSWORD 'of ejabberd';
                    GRANT ALL ON ALL TABLES IN SCHEMA public TO ejabberd;
                    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ejabberd";
        client.batch_execute(role).expect("its role");

        let port = free_port();
        let mut settings = format!(
            "hosts: [sha, sha256, sha512, mnesia]\n\
             listen: [{{port: {port}, ip: 127.0.0.1, module: ejabberd_c2s}}]\n\
             modules: {{}}\n\
             auth_password_format: scram\n\
             sql_type: pgsql\n\
             sql_server: 127.0.0.1\n\
             sql_port: {}\n\
             sql_database: postgres\n\
             sql_username: ejabberd\n\
             sql_password: of ejabberd\n\
             sql_pool_size: 1\n\
             host_config:\n  mnesia: {{auth_method: mnesia, auth_scram_hash: sha256}}\n",
            cluster.port(),
        );
        for hash in ["sha", "sha256", "sha512"] {
            settings += &format!("  {hash}: {{auth_method: sql, auth_scram_hash: {hash}}}\n");
        }
        fs::write(dir.path().join("ejabberd.yml"), settings).expect("ejabberd.yml");
        let server = run(dir.path(), registered, password);
        until("ejabberd has started", || dir.path().join("started").exists().then_some(()));
        Self { _server: server, dir, port }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The record of the registered user in Erlang's own table.
    pub fn record(&self) -> String {
        fs::read_to_string(self.dir.path().join("record")).expect("a record")
    }

    /// The registered user in the file that it exports, which is named by the time.
    pub fn export(&self) -> String {
        let files = fs::read_dir(self.dir.path()).expect("a folder").flatten();
        let mut texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        let text = texts.find(|text| text.contains("</user>")).expect("an export");
        let (start, end) =
            (text.find("<user ").expect("a user"), text.find("</user>").expect("its end"));
        text[start..end + "</user>".len()].to_owned()
    }
}

/// Erlang's virtual machine with ejabberd, without the network between nodes.
fn run(dir: &Path, registered: &str, password: &str) -> Running {
    let usr = dir.join("usr");
    let erlang = usr.join("lib/erlang");
    let machine = fs::read_dir(&erlang).expect("Erlang").flatten().map(|entry| entry.path());
    let machine = machine.into_iter().find(|path| path.display().to_string().contains("/erts-"));
    let bin = machine.expect("Erlang's machine").join("bin");
    let libraries = libraries(&usr);
    let path = |name: &str| dir.join(name);
    let mut program = Program::new(&bin.join("erlexec").display().to_string());
    for (name, value) in [
        ("ROOTDIR", erlang.as_os_str()),
        ("BINDIR", bin.as_os_str()),
        ("EMU", OsStr::new("beam")),
        ("PROGNAME", OsStr::new("erl")),
        ("HOME", dir.as_os_str()),
        ("ERL_LIBS", libraries.as_os_str()),
        ("LD_LIBRARY_PATH", libraries.as_os_str()),
        ("ERL_CRASH_DUMP", path("crash").as_os_str()),
        ("EJABBERD_CONFIG_PATH", path("ejabberd.yml").as_os_str()),
        ("EJABBERD_LOG_PATH", path("ejabberd.log").as_os_str()),
    ] {
        program.env(name, value);
    }
    let place = dir.display();
    let register = format!(
        "[ok = ejabberd_auth:try_register(<<\"{registered}-\", Host/binary>>, Host, <<\"{password}\"/utf8>>)
              || Host <- [<<\"sha\">>, <<\"sha256\">>, <<\"sha512\">>, <<\"mnesia\">>]],
         Record = mnesia:dirty_read(passwd, {{<<\"{registered}-mnesia\">>, <<\"mnesia\">>}}),
         ok = file:write_file(\"{place}/record\", io_lib:format(\"~p\", Record)),
         ok = ejabberd_piefxis:export_host(\"{place}\", <<\"mnesia\">>),
         ok = file:write_file(\"{place}/started\", \"\")."
    );
    program.args(["-noshell", "-noinput", "-mnesia", "dir"]).arg(format!("\"{place}/mnesia\""));
    program.args(["-s", "ejabberd", "-eval"]).arg(register);
    Running::new(program.spawn_logging_to(File::create(path("stderr")).expect("a log")))
}
