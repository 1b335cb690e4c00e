//! Clusters of a fleet, and the one that collects from them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use postgres::Client;

use crate::{Cluster, Run, rows};

/// The auditors' role on each server, and its password.
const AUDITOR: &str = "
CREATE ROLE fleet_auditor LOGIN PASSWORD 'Xq8-fleet-auditor';
GRANT SELECT ON scram.audit_run, scram.audit_finding, scram.audit_census TO fleet_auditor;
CREATE ROLE ann LOGIN PASSWORD 'ann';
";

/// A cluster with a run, a critical finding on role `ann`, and the auditors' role `fleet_auditor`.
pub fn audited() -> Cluster {
    audited_with(Cluster::builder())
}

/// The same with settings of its own.
pub fn audited_with(builder: crate::Builder) -> Cluster {
    let cluster = builder.start();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    client.batch_execute(AUDITOR).expect("roles");
    Run::call(&mut client);
    cluster
}

/// A cluster whose superuser collects from these servers, named a, b, c and so on.
pub fn collector(servers: &[&Cluster]) -> Cluster {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION postgres_fdw").expect("postgres_fdw");
    for (server, name) in servers.iter().zip('a'..='z') {
        add_server(&mut client, &name.to_string(), server.port());
    }
    cluster
}

/// Adds a server to the fleet, on this port of 127.0.0.1.
pub fn add_server(client: &mut Client, name: &str, port: u16) {
    let add = format!(
        "CREATE SERVER {name} FOREIGN DATA WRAPPER postgres_fdw
             OPTIONS (host '127.0.0.1', port '{port}', dbname 'postgres', fetch_size '50');
         CREATE USER MAPPING FOR postgres SERVER {name}
             OPTIONS (user 'fleet_auditor', password 'Xq8-fleet-auditor');
         INSERT INTO scram.fleet_server (name) VALUES ('{name}');"
    );
    client.batch_execute(&add).expect("a server");
}

/// A row of `scram.fleet_refresh()`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// The server.
    pub name: String,
    /// Whether it was ever seen.
    pub is_seen: bool,
    /// Its error.
    pub error: Option<String>,
}

impl State {
    /// A server without an error.
    pub fn seen(name: &str) -> Self {
        Self { name: name.to_owned(), is_seen: true, error: None }
    }

    /// The error, which must be there and hold one of these texts.
    pub fn fails_with(&self, texts: &[&str]) {
        let error = self.error.as_ref().unwrap_or_else(|| panic!("no error: {self:?}"));
        assert!(texts.iter().any(|text| error.contains(text)), "{self:?}");
    }
}

/// Calls `scram.fleet_refresh()`.
pub fn refresh(client: &mut Client) -> Vec<State> {
    let sql = "SELECT name, last_seen IS NOT NULL, error FROM scram.fleet_refresh()";
    let state = |row: Vec<Option<String>>| {
        let [name, seen, error] = <[_; 3]>::try_from(row).expect("three columns");
        State { name: name.expect("a name"), is_seen: seen.as_deref() == Some("t"), error }
    };
    rows(client, sql).into_iter().map(state).collect()
}

/// A program that listens like a server of PostgreSQL and is none. Each connection is given to `speak`.
pub fn impostor(speak: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || speak(connection));
        }
    });
    port
}

/// Takes a start-up packet and lets the client in without a password.
pub fn let_in(connection: &mut TcpStream) {
    loop {
        let mut head = [0; 8];
        connection.read_exact(&mut head).expect("a start-up packet");
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let mut rest = vec![0; length as usize - 8];
        connection.read_exact(&mut rest).expect("its rest");
        // SSLRequest and GSSENCRequest.
        if matches!(&head[4..], [4, 210, 22, 47 | 48]) {
            connection.write_all(b"N").expect("no encryption");
            continue;
        }
        break;
    }
    connection.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").expect("an answer");
}

/// Says nothing more, and keeps the connection.
pub fn fall_silent(connection: TcpStream) {
    thread::sleep(Duration::from_secs(600));
    drop(connection);
}

/// A description of a row with two columns of text.
pub fn two_columns() -> Vec<u8> {
    let column = b"x\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";
    let body = [&[0, 2][..], column, column].concat();
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&b"T"[..], &length, &body].concat()
}
