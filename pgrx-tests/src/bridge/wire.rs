//! The few messages of PostgreSQL's protocol that come before a session.
//!
//! Source: PostgreSQL's documentation, "Message Formats".

use std::io::{Error, ErrorKind};

use tokio::io::AsyncRead;

use super::read_bytes;

/// The longest message before a login.
const MAX_LEN: u32 = 10_000;

/// The first message of a client.
pub(super) enum Startup {
    Cancel,
    Gssapi,
    Session { user: String, database: String },
    Ssl,
}

pub(super) async fn read_startup<S: AsyncRead + Unpin>(client: &mut S) -> std::io::Result<Startup> {
    let body = read_body(client).await?;
    let (code, rest) = body.split_first_chunk::<4>().ok_or(ErrorKind::InvalidData)?;
    Ok(match u32::from_be_bytes(*code) {
        80_877_102 => Startup::Cancel,
        80_877_103 => Startup::Ssl,
        80_877_104 => Startup::Gssapi,
        _ => {
            let mut texts = rest.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            let (mut user, mut database) = (None, None);
            while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
                match &*name {
                    "user" => user = Some(value.into_owned()),
                    "database" => database = Some(value.into_owned()),
                    _ => {}
                }
            }
            let user = user.ok_or(ErrorKind::InvalidData)?;
            let database = database.unwrap_or_else(|| user.clone());
            Startup::Session { user, database }
        }
    })
}

pub(super) fn startup_message(user: &str, database: &str) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for text in ["user", user, "database", database, "client_encoding", "UTF8"] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    with_length(&body)
}

/// Kind and body of a message.
pub(super) async fn read_message<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> std::io::Result<(u8, Vec<u8>)> {
    let kind = read_bytes(stream, 1).await?;
    Ok((kind[0], read_body(stream).await?))
}

pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], with_length(body).as_slice()].concat()
}

pub(super) fn error_response(code: &str, text: &str) -> Vec<u8> {
    let body = format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0");
    message(b'E', body.as_bytes())
}

/// SASLInitialResponse: mechanism and client-first.
pub(super) fn initial_response(kind: u8, body: &[u8]) -> Option<(&str, &str)> {
    let end = body.iter().position(|byte| *byte == 0).filter(|_| kind == b'p')?;
    let (mechanism, rest) = body.split_at(end);
    let (_, client_first) = rest.get(1..)?.split_first_chunk::<4>()?;
    Some((str::from_utf8(mechanism).ok()?, str::from_utf8(client_first).ok()?))
}

async fn read_body<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Vec<u8>> {
    let len = read_bytes(stream, 4).await?;
    let len = u32::from_be_bytes([len[0], len[1], len[2], len[3]]);
    if !(4..MAX_LEN).contains(&len) {
        return Err(Error::new(ErrorKind::InvalidData, "length of a message"));
    }
    read_bytes(stream, len as usize - 4).await
}

fn with_length(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 4).expect("a short message");
    [&len.to_be_bytes(), body].concat()
}
