//! Messages of PostgreSQL's protocol, and a login by ClientKey and ServerKey.

use std::error::Error;

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split};
use tokio::net::TcpStream;

pub(crate) const PROTOCOL_3_0: [u8; 4] = 196_608_u32.to_be_bytes();
pub(crate) const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
pub(crate) const GSS_REQUEST: [u8; 4] = 80_877_104_u32.to_be_bytes();
// The kinds of authentication requests.
pub(crate) const OK: [u8; 4] = [0; 4];
pub(crate) const SASL: [u8; 4] = [0, 0, 0, 10];
pub(crate) const SASL_CONTINUE: [u8; 4] = [0, 0, 0, 11];
pub(crate) const SASL_FINAL: [u8; 4] = [0, 0, 0, 12];
const MAX_MESSAGE: usize = 10_000;

/// For the client every reason looks the same, except what the server says after the client has proved who it is.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
pub(crate) struct Refused(pub(crate) Option<Vec<u8>>);

pub(crate) type Login<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub(crate) fn require(condition: bool) -> Login<()> {
    Ok(condition.then_some(()).ok_or(Refused(None))?)
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Writes a message. That of a start-up packet has no kind.
pub(crate) async fn write(stream: &mut impl Stream, kind: &[u8], body: &[&[u8]]) -> Login<()> {
    let body = body.concat();
    let length = u32::try_from(body.len() + 4)?.to_be_bytes();
    stream.write_all(&[kind, &length, &body].concat()).await?;
    Ok(stream.flush().await?)
}

/// Reads the kind of a message and its body.
pub(crate) async fn read(stream: &mut impl Stream) -> Login<(u8, Vec<u8>)> {
    Ok((stream.read_u8().await?, read_body(stream).await?))
}

/// Reads a message without a kind, which a start-up packet is.
pub(crate) async fn read_body(stream: &mut impl Stream) -> Login<Vec<u8>> {
    let length = usize::try_from(stream.read_u32().await?)?;
    require((4..=MAX_MESSAGE).contains(&length))?;
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// SQL has no text for anything else.
pub(crate) fn text(bytes: &[u8]) -> Login<&str> {
    Ok(str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or(Refused(None))?)
}

/// Logs in to the server. It is on this host or in a trusted network: this part has no TLS.
pub(crate) async fn log_in(
    address: &(String, u16),
    startup: &[u8],
    client_key: &[u8],
    server_key: &[u8],
) -> Login<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let server = &mut stream;
    write(server, b"", &[startup]).await?;
    let (mut kind, mut body) = read(server).await?;
    if kind == b'R' && body.starts_with(&SASL) {
        let bare = format!("n=,r={}", BASE64.encode(rand::random::<[u8; 18]>()));
        let length = u32::try_from("n,,".len() + bare.len())?.to_be_bytes();
        write(server, b"p", &[b"SCRAM-SHA-256\0", &length, b"n,,", bare.as_bytes()]).await?;
        (_, body) = read(server).await?;
        let server_first = text(body.get(4..).unwrap_or_default())?;
        let nonce = server_first.split(',').next().unwrap_or_default();
        require(nonce.starts_with(&bare[3..]))?;
        let without_proof = format!("c=biws,{nonce}");
        let signed = format!("{bare},{server_first},{without_proof}");
        let mac = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(&signed));
        let signature = mac(&Sha256::digest(client_key))?.finalize().into_bytes();
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
        write(server, b"p", &[without_proof.as_bytes(), b",p=", BASE64.encode(proof).as_bytes()]).await?;
        (_, body) = read(server).await?;
        let verifier = body.get(4..).and_then(|message| message.strip_prefix(b"v="));
        let verifier = verifier.and_then(|verifier| BASE64.decode(verifier).ok()).ok_or(Refused(None))?;
        require(mac(server_key)?.verify_slice(&verifier).is_ok())?;
        (kind, body) = read(server).await?;
    }
    if kind == b'R' && body == OK { Ok(stream) } else { Err(Refused((kind == b'E').then_some(body)).into()) }
}

/// Relays until either side ends: a client that has vanished would keep its session, and the connection to the server,
/// after the server has ended the session.
pub(crate) async fn relay(client: impl Stream, server: TcpStream) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (split(client), server.into_split());
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        _ = copy(&mut from_server, &mut to_client) => drop(to_client.shutdown().await),
    }
}
