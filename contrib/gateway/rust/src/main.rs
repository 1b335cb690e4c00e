//! A gateway for PostgreSQL clients: authenticates them by scram_ext, and logs in to the server as them.
//!
//! It knows no password and no verifier.
//! Usage: scram-gateway PORT SERVER_HOST SERVER_PORT [CERTIFICATE.pem]    (certificate and key in one file)
//! Environment: GATEWAY_DSN, the connection of a role that may execute the two functions in functions.rs.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{collections::HashMap, env, mem, net::IpAddr, sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncWriteExt as _, empty};
use tokio::{net::TcpListener, net::TcpStream, sync::Mutex, sync::Semaphore, time};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use functions::{Accepted, Functions};
use protocol::{GSS_REQUEST, Login, OK, PROTOCOL_3_0, Refused, SASL, SASL_CONTINUE, SASL_FINAL, SSL_REQUEST, Stream};
use protocol::{log_in, read, read_body, relay, require, text, write};

mod functions;
mod protocol;

const LOGIN_TIME: Duration = Duration::from_secs(60);
const MAX_FAILURES: u32 = 20;
const MAX_PARALLEL: usize = 8;

/// An address and user. More logins at once than the places wait, so that failures are counted in time.
struct Peer {
    failures: AtomicU32,
    places: Semaphore,
}

struct Gateway {
    server: (String, u16),
    /// With the data of tls-server-end-point.
    tls: Option<(TlsAcceptor, Vec<u8>)>,
    peers: Mutex<HashMap<(IpAddr, String), Arc<Peer>>>,
    functions: Functions,
}

impl Gateway {
    /// The client's side of the exchange.
    async fn exchange(&self, client: &mut impl Stream, user: &str, binding: Option<&[u8]>) -> Login<Option<Accepted>> {
        let mechanisms = &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"][usize::from(binding.is_none())..];
        write(client, b"R", &[&SASL, mechanisms.join("\0").as_bytes(), b"\0\0"]).await?;
        let (kind, body) = read(client).await?;
        let mut parts = body.splitn(2, |byte| *byte == 0);
        let mechanism = text(parts.next().unwrap_or_default())?;
        require(kind == b'p' && mechanisms.contains(&mechanism))?;
        let client_first = text(parts.next().and_then(|rest| rest.get(4..)).ok_or(Refused(None))?)?;
        let (server_first, state) = self.functions.start(client_first, user, mechanism, binding).await?;
        write(client, b"R", &[&SASL_CONTINUE, server_first.as_bytes()]).await?;
        let (_, client_final) = read(client).await?;
        self.functions.finish(&state, text(&client_final)?).await
    }

    /// Returns a session on the server. The client is read without a buffer, so that nothing that came before TLS
    /// counts as sent over it.
    async fn session(&self, client: &mut Box<dyn Stream>, address: IpAddr, user: &mut String) -> Login<TcpStream> {
        let mut binding = None;
        let startup = loop {
            let startup = read_body(client).await?;
            match &self.tls {
                Some((tls, data)) if startup == SSL_REQUEST && binding.is_none() => {
                    client.write_all(b"S").await?;
                    *client = Box::new(tls.accept(mem::replace(client, Box::new(empty()))).await?);
                    binding = Some(&data[..]);
                }
                _ if startup == SSL_REQUEST || startup == GSS_REQUEST => client.write_all(b"N").await?,
                _ => break startup,
            }
        };
        require(startup.starts_with(&PROTOCOL_3_0))?;
        let fields: Vec<_> = startup[4..].split(|byte| *byte == 0).collect();
        let name = fields.chunks_exact(2).rfind(|field| field[0] == b"user").map_or(&b""[..], |field| field[1]);
        *user = text(name)?.to_owned();
        // The server would cut it, so that each end after these bytes would have failures of its own.
        require(user.len() < 64)?;
        let new = || Arc::new(Peer { failures: AtomicU32::new(0), places: Semaphore::new(MAX_PARALLEL) });
        let peer = Arc::clone(self.peers.lock().await.entry((address, user.clone())).or_insert_with(new));
        let place = peer.places.acquire().await?;
        require(peer.failures.load(Relaxed) < MAX_FAILURES)?;
        let accepted = self.exchange(client, user, binding).await?;
        peer.failures.fetch_add(u32::from(accepted.is_none()), Relaxed);
        drop(place);
        let accepted = accepted.ok_or(Refused(None))?;
        write(client, b"R", &[&SASL_FINAL, accepted.server_final.as_bytes()]).await?;
        let server = log_in(&self.server, &startup, &accepted.client_key, &accepted.server_key).await?;
        write(client, b"R", &[&OK]).await?;
        Ok(server)
    }

    async fn serve(&self, client: TcpStream, address: IpAddr) -> Login<()> {
        client.set_nodelay(true)?;
        let mut client: Box<dyn Stream> = Box::new(client);
        let mut user = String::new();
        match time::timeout(LOGIN_TIME, self.session(&mut client, address, &mut user)).await? {
            Ok(server) => relay(client, server).await,
            Err(error) => {
                let Refused(reason) = *error.downcast()?;
                let error = format!("SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"{user}\"\0\0");
                write(&mut client, b"E", &[&reason.unwrap_or_else(|| error.into_bytes())]).await?;
                client.shutdown().await?;
            }
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Login<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [port, host, server_port, certificate @ ..] = &arguments[..] else {
        return Err("arguments are missing".into());
    };
    let mut tls = None;
    if let [file] = certificate {
        // With the certificates of the authorities between it and the root, which no client has.
        let chain = CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>()?;
        // For a certificate that is signed with SHA-384 or SHA-512, that hash.
        let binding = Sha256::digest(chain.first().ok_or("the file has no certificate")?).to_vec();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(file)?)?;
        tls = Some((TlsAcceptor::from(Arc::new(config)), binding));
    }
    let server = (host.clone(), server_port.parse()?);
    let functions = Functions::connect(env::var("GATEWAY_DSN")?.parse()?).await?;
    let gateway = Arc::new(Gateway { server, tls, peers: Mutex::default(), functions });
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    let mut minute = time::interval(Duration::from_secs(60));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Without a free descriptor the next try would fail at once.
                let Ok((client, address)) = accepted else { time::sleep(Duration::from_secs(1)).await; continue };
                let gateway = Arc::clone(&gateway);
                tokio::spawn(async move {
                    if let Err(error) = gateway.serve(client, address.ip()).await {
                        eprintln!("{error} while a client logged in");
                    }
                });
            }
            // Forgets the failures of the last minute.
            _ = minute.tick() => gateway.peers.lock().await.retain(|_, peer| {
                peer.failures.store(0, Relaxed);
                Arc::strong_count(peer) > 1
            }),
        }
    }
}
