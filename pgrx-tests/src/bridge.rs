//! A small front end that speaks PostgreSQL's protocol. To authenticate a client it calls the
//! extension's SQL functions and nothing else.
//!
//! It knows no password and no verifier, and does no cryptography but TLS, so every accepted client
//! was accepted by the extension. After a login it connects the client with a real session.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio_postgres::types::Type;
use tokio_postgres::{Config, NoTls};
use tokio_rustls::TlsAcceptor;

use crate::Cluster;
use tls::Certificate;
use wire::{Startup, error_response, message, read_message, read_startup, startup_message};

mod tls;
mod wire;

/// Where the bridge finds its users.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Users {
    /// Roles of the cluster: `role_handshake_start` and `role_handshake_finish`.
    Roles,
    /// Table `account (name text, secret scram.verifier)`: `handshake_start` and
    /// `handshake_finish`. Each user gets a session of role [`SESSION`].
    Table,
}

/// The role whose sessions the users of a table get.
pub const SESSION: &str = "application";

/// A running bridge; stopped when dropped.
#[derive(Debug)]
pub struct Bridge {
    port: u16,
    certificate: Option<PathBuf>,
    // Dropped with all its tasks.
    _runtime: Runtime,
}

/// The state that all connections share.
struct Shared {
    users: Users,
    /// The connection for calling the functions: the server, or a pooler in front of it.
    ask: Config,
    /// The server's socket, for the sessions behind a login.
    socket: PathBuf,
    certificate: Option<Certificate>,
}

impl Bridge {
    /// Starts a bridge on a free port of 127.0.0.1, in front of this cluster.
    ///
    /// `ask_port`: where the functions are called, 127.0.0.1 or the socket in `ask_host`. Each call
    /// uses a connection of its own.
    pub fn start(cluster: &Cluster, users: Users, ask: (&Path, u16), tls: bool) -> Self {
        let mut config = Config::new();
        config.host_path(ask.0).port(ask.1).user("gateway").dbname("postgres");
        let certificate = tls.then(|| Certificate::new(cluster.dir()));
        let file = certificate.as_ref().map(|certificate| certificate.file.clone());
        let shared = Arc::new(Shared {
            users,
            ask: config,
            socket: cluster.dir().join(format!(".s.PGSQL.{}", cluster.port())),
            certificate,
        });
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                // A client may disconnect early, so the error is ignored.
                tokio::spawn(async move {
                    let _ = shared.serve(client).await;
                });
            }
        });
        Self { port, certificate: file, _runtime: runtime }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The bridge's certificate in a PEM file, if it has TLS.
    pub fn certificate(&self) -> Option<&Path> {
        self.certificate.as_deref()
    }
}

/// Why a connection ends.
type Ended<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Shared {
    async fn serve(&self, mut client: TcpStream) -> Ended<()> {
        loop {
            match read_startup(&mut client).await? {
                Startup::Ssl => match &self.certificate {
                    Some(certificate) => {
                        client.write_all(b"S").await?;
                        let acceptor = TlsAcceptor::from(Arc::clone(&certificate.config));
                        let mut client = acceptor.accept(client).await?;
                        let Startup::Session { user, database } = read_startup(&mut client).await?
                        else {
                            return Ok(());
                        };
                        return self.session(client, &user, &database, Some(certificate)).await;
                    }
                    None => client.write_all(b"N").await?,
                },
                Startup::Gssapi => client.write_all(b"N").await?,
                Startup::Cancel => return Ok(()),
                Startup::Session { user, database } => {
                    return self.session(client, &user, &database, None).await;
                }
            }
        }
    }

    async fn session<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut client: S,
        user: &str,
        database: &str,
        tls: Option<&Certificate>,
    ) -> Ended<()> {
        if !self.authenticate(&mut client, user, tls).await? {
            let text = format!("password authentication failed for user \"{user}\"");
            client.write_all(&error_response("28P01", &text)).await?;
            client.flush().await?;
            return Ok(());
        }
        let role = if self.users == Users::Roles { user } else { SESSION };
        let mut server = UnixStream::connect(&self.socket).await?;
        server.write_all(&startup_message(role, database)).await?;
        // Skip the server's AuthenticationOk, because the client gets the bridge's own. Everything
        // after it comes from the server.
        let (kind, _) = read_message(&mut server).await?;
        if kind != b'R' {
            return Ok(());
        }
        client.write_all(&message(b'R', &0_u32.to_be_bytes())).await?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        Ok(())
    }

    /// The SASL messages of PostgreSQL's protocol, their content from and to SQL.
    async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        client: &mut S,
        user: &str,
        tls: Option<&Certificate>,
    ) -> Ended<bool> {
        let mut offer = 10_u32.to_be_bytes().to_vec();
        if tls.is_some() {
            offer.extend_from_slice(b"SCRAM-SHA-256-PLUS\0");
        }
        offer.extend_from_slice(b"SCRAM-SHA-256\0\0");
        client.write_all(&message(b'R', &offer)).await?;
        client.flush().await?;

        let (kind, response) = read_message(client).await?;
        let Some((mechanism, client_first)) = wire::initial_response(kind, &response) else {
            return Ok(false);
        };
        let Some((server_first, state)) = self.start(user, mechanism, client_first, tls).await?
        else {
            return Ok(false);
        };
        send_sasl(client, 11, &server_first).await?;

        let (kind, client_final) = read_message(client).await?;
        let (b'p', Ok(client_final)) = (kind, str::from_utf8(&client_final)) else {
            return Ok(false);
        };
        let (accepted, server_final) = self.finish(user, &state, client_final).await?;
        if accepted {
            send_sasl(client, 12, &server_final).await?;
        }
        Ok(accepted)
    }

    /// The first call: returns server-first and the state, or `None` if the client is refused.
    async fn start(
        &self,
        user: &str,
        mechanism: &str,
        client_first: &str,
        tls: Option<&Certificate>,
    ) -> Ended<Option<(String, Vec<u8>)>> {
        let function = match self.users {
            Users::Roles => "scram.role_handshake_start($1, role => $2::text::name,",
            Users::Table => {
                "scram.handshake_start($1, (SELECT secret FROM account WHERE name = $2), username => $2,"
            }
        };
        let sql = format!(
            "SELECT server_first, state, error FROM {function} mechanism => $3,
                channel_binding_type => CASE WHEN $4 IS NOT NULL THEN 'tls-server-end-point' END,
                channel_binding_data => sha256($4))"
        );
        let certificate = tls.map(|certificate| certificate.der.as_slice());
        let row = self
            .ask(
                &sql,
                &[
                    (&client_first, Type::TEXT),
                    (&user, Type::TEXT),
                    (&mechanism, Type::TEXT),
                    (&certificate, Type::BYTEA),
                ],
            )
            .await?;
        let error: Option<String> = row.try_get("error")?;
        if error.is_some() {
            return Ok(None);
        }
        Ok(Some((row.try_get("server_first")?, row.try_get("state")?)))
    }

    /// Second question, on another connection.
    async fn finish(&self, user: &str, state: &[u8], client_final: &str) -> Ended<(bool, String)> {
        let function = match self.users {
            Users::Roles => "scram.role_handshake_finish($1, $2) WHERE $3 IS NOT NULL",
            Users::Table => {
                "scram.handshake_finish($1, $2, (SELECT secret FROM account WHERE name = $3))"
            }
        };
        let sql = format!("SELECT accepted, server_final FROM {function}");
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
            [(&state, Type::BYTEA), (&client_final, Type::TEXT), (&user, Type::TEXT)];
        let row = self.ask(&sql, &parameters).await?;
        Ok((row.try_get("accepted")?, row.try_get("server_final")?))
    }

    async fn ask(
        &self,
        sql: &str,
        parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)],
    ) -> Ended<tokio_postgres::Row> {
        let (client, connection) = self.ask.connect(NoTls).await?;
        let connection = tokio::spawn(connection);
        // An unnamed statement, so that it works through a pooler in transaction mode.
        let rows = client.query_typed(sql, parameters).await;
        drop(client);
        connection.await??;
        Ok(rows?.into_iter().next().ok_or("no row")?)
    }
}

async fn send_sasl<S: AsyncWrite + Unpin>(client: &mut S, kind: u32, text: &str) -> Ended<()> {
    let body = [&kind.to_be_bytes(), text.as_bytes()].concat();
    client.write_all(&message(b'R', &body)).await?;
    client.flush().await?;
    Ok(())
}

/// Reads exactly this many bytes.
async fn read_bytes<S: AsyncRead + Unpin>(stream: &mut S, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
