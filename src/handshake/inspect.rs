//! Exchanges for a person: played, explained, checked.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::client::{Client, ClientError};
use scram_core::explain::{Attribute, MAX_EXPLAINED_LEN};
use scram_core::message::{ClientFirst, ErrorValue, ServerFinal, is_nonce};
use scram_core::server::{Outcome, Request, Terms};
use scram_core::transcript::{Transcript, TranscriptCheck};

use super::credentials::{Credentials, GivenVerifiers};
use crate::cluster_keys::ClusterKeys;
use crate::error::Error;
use crate::pg::random;
use crate::pg::text::{ServerText, Utf8};
use crate::pg::{interrupt, verifier_text};

/// `scram.handshake(…) returns table (step integer, sender text, name text, message text, note text)`
///
/// Plays both sides of an exchange through the real client and server code.
///
/// Raises 22023 for nonces, names or options that no exchange can have, and for a count over
/// `scram.max_iterations`; 22P02 for a malformed verifier.
#[pg_extern(schema = "scram", volatile, parallel_safe, cost = 100000)]
#[expect(clippy::too_many_arguments, reason = "the SQL signature has as many")]
#[expect(clippy::type_complexity, reason = "the SQL signature in pgrx's words")]
pub(crate) fn handshake(
    password: Option<ServerText>,
    verifier: Option<ServerText>,
    username: default!(Option<ServerText>, "'user'"),
    mechanism: default!(Option<ServerText>, "NULL"),
    client_nonce: default!(Option<ServerText>, "NULL"),
    server_nonce: default!(Option<ServerText>, "NULL"),
    channel_binding_type: default!(Option<ServerText>, "NULL"),
    channel_binding_data: default!(Option<&[u8]>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(step, i32),
            name!(sender, &'static str),
            name!(name, &'static str),
            name!(message, Utf8),
            name!(note, &'static str),
        ),
    >,
    ErrorReport,
> {
    let password = password.ok_or(Error::Null { argument: "password" })?.password()?;
    let verifier = verifier.ok_or(Error::Null { argument: "verifier" })?;
    verifier_text::parse_bounded(&verifier)?;
    let given = GivenVerifiers::parse(Some(&verifier), None)?;
    let binding = super::binding(channel_binding_type.as_ref(), channel_binding_data)?;
    let selection = given.selection(mechanism.as_ref())?;
    let terms = Terms::new(selection, binding.clone()).map_err(Error::from)?;
    let username = match &username {
        Some(username) => {
            super::require_username_length(username)?;
            username.to_display()
        }
        None => "user".to_owned(),
    };
    let client_nonce = client_nonce.map_or_else(random::nonce, |nonce| Ok(nonce.to_display()))?;
    let server_nonce = server_nonce.map_or_else(random::nonce, |nonce| Ok(nonce.to_display()))?;

    for nonce in [&client_nonce, &server_nonce] {
        if !is_nonce(nonce) {
            return Err(Error::Nonce.into());
        }
    }

    let mut exchange = Exchange::default();
    let client = Client::start(selection, binding.as_ref(), &username, &client_nonce)
        .map_err(Error::from)?;
    exchange.say(Side::Client, CLIENT_FIRST, client.client_first(), "user name and client nonce");
    match Request::from_wire(client.client_first().as_bytes(), &terms, None) {
        Err(fault) => exchange.refuse(fault.value()),
        Ok(request) => {
            let keys = ClusterKeys::for_show()?;
            let credentials =
                Credentials::new(&keys, &given, request.mechanism(), request.username())?;
            let challenge = request.challenge(credentials.parameters(), &server_nonce);
            let server_first = challenge.server_first().to_owned();
            exchange.say(
                Side::Server,
                SERVER_FIRST,
                &server_first,
                "nonce of both sides, salt, iteration count",
            );
            let answer =
                client.answer(&server_first, &password, interrupt::check).map_err(Error::from)?;
            exchange.say(
                Side::Client,
                CLIENT_FINAL,
                answer.client_final(),
                "ClientProof: the client knows the password",
            );
            match challenge.finish(answer.client_final().as_bytes(), &credentials.list()) {
                Outcome::Refused { error, .. } => exchange.refuse(error),
                Outcome::Accepted { server_final, .. } => match answer.finish(&server_final) {
                    Ok(()) => exchange.say(
                        Side::Server,
                        SERVER_FINAL,
                        &server_final,
                        "accepted; ServerSignature: the server knows the verifier",
                    ),
                    Err(ClientError::ServerSignature) => exchange.say(
                        Side::Server,
                        SERVER_FINAL,
                        &server_final,
                        "accepted, but the client refuses: ServerKey is of another password",
                    ),
                    Err(error) => return Err(Error::from(error).into()),
                },
            }
        }
    }
    Ok(TableIterator::new(
        exchange.steps.into_iter().zip(1_i32..).map(|((side, name, message, note), step)| {
            (step, side.name(), name, Utf8(message), note)
        }),
    ))
}

/// `scram.username(client_first text) returns text`
///
/// The decoded `n=`; NULL if the message is malformed or the name is empty.
#[pg_extern(schema = "scram", immutable, parallel_safe)]
pub(crate) fn username(client_first: ServerText) -> Option<Utf8> {
    let message = client_first.to_wire();
    let first = ClientFirst::from_wire(&message).ok()?;
    (!first.username.is_empty()).then_some(Utf8(first.username))
}

/// `scram.explain(message text) returns table (ordinal integer, attribute text, name text,
/// value text, meaning text)`
///
/// The attributes of any of the four messages. Never raises: a fault is the last row.
#[pg_extern(schema = "scram", immutable, parallel_safe)]
pub(crate) fn explain(
    message: ServerText,
) -> TableIterator<
    'static,
    (
        name!(ordinal, i32),
        name!(attribute, Option<String>),
        name!(name, &'static str),
        name!(value, Utf8),
        name!(meaning, Utf8),
    ),
> {
    // No exchange has a message of this length, so the function reports the length alone.
    let message = if message.len() > MAX_EXPLAINED_LEN {
        " ".repeat(MAX_EXPLAINED_LEN + 1)
    } else {
        message.to_display()
    };
    let attributes = scram_core::explain::explain(&message);
    TableIterator::new((1_i32..).zip(attributes).map(
        |(ordinal, Attribute { letter, name, value, meaning })| {
            (ordinal, letter.map(String::from), name, Utf8(value), Utf8(meaning))
        },
    ))
}

/// `scram.check_transcript(verifier text, client_first text, server_first text, client_final text,
/// server_final text DEFAULT NULL, channel_binding_data bytea DEFAULT NULL) returns table
/// (step integer, check_name text, ok boolean, detail text)`
///
/// Every check of a recorded exchange up to the first that fails. Derives no key from a password.
///
/// Raises 22P02 for a malformed verifier, 22004 if one of the first four is NULL.
#[pg_extern(schema = "scram", immutable, parallel_safe)]
#[expect(clippy::type_complexity, reason = "the SQL signature in pgrx's words")]
pub(crate) fn check_transcript(
    verifier: Option<ServerText>,
    client_first: Option<ServerText>,
    server_first: Option<ServerText>,
    client_final: Option<ServerText>,
    server_final: default!(Option<ServerText>, "NULL"),
    channel_binding_data: default!(Option<&[u8]>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(step, i32),
            name!(check_name, &'static str),
            name!(ok, Option<bool>),
            name!(detail, String),
        ),
    >,
    ErrorReport,
> {
    let given = |argument, text: Option<ServerText>| text.ok_or(Error::Null { argument });
    let verifier = verifier_text::parse(&given("verifier", verifier)?)?;
    let client_first = given("client_first", client_first)?.to_wire();
    let server_first = given("server_first", server_first)?.to_wire();
    let client_final = given("client_final", client_final)?.to_wire();
    let server_final = server_final.map(|message| message.to_wire());
    let transcript = Transcript {
        client_first: &client_first,
        server_first: &server_first,
        client_final: &client_final,
        server_final: server_final.as_ref().map(|message| message.as_slice()),
        binding_data: channel_binding_data,
    };
    let checks = transcript.check(&verifier);
    Ok(TableIterator::new(
        checks.into_iter().map(|TranscriptCheck { step, name, ok, detail }| {
            (step.cast_signed(), name, ok, detail)
        }),
    ))
}

const CLIENT_FIRST: &str = "client-first-message";
const SERVER_FIRST: &str = "server-first-message";
const CLIENT_FINAL: &str = "client-final-message";
const SERVER_FINAL: &str = "server-final-message";

/// The sender of a message.
#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// The messages of an exchange so far.
#[derive(Default)]
struct Exchange {
    steps: Vec<(Side, &'static str, String, &'static str)>,
}

impl Exchange {
    fn say(&mut self, side: Side, name: &'static str, message: &str, note: &'static str) {
        self.steps.push((side, name, message.to_owned(), note));
    }

    fn refuse(&mut self, error: ErrorValue) {
        let note = match error {
            ErrorValue::InvalidProof => "refused: another password, or no such user",
            _ => "refused",
        };
        self.say(Side::Server, SERVER_FINAL, &ServerFinal::Error(error).write(), note);
    }
}
