//! Section "Handshake": the server's side in two calls.

mod credentials;
mod inspect;
mod passthrough;
mod role;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::channel_binding::ChannelBinding;
use scram_core::message::{ErrorValue, Fault, ServerFinal};
use scram_core::server::{Challenge, Outcome, PassthroughKeys, Request, Terms};
use scram_core::state::{Seal, SealError, State};

use crate::cluster_keys::{ClusterKeys, Purpose};
use crate::error::Error;
use crate::guc;
use crate::limits::{MAX_PASSWORD_LEN, MAX_SECRET_LEN};
use crate::pg::record::Record;
use crate::pg::text::{ServerText, Utf8};
use crate::pg::{clock, random};

use credentials::{Credentials, GivenVerifiers};

/// `scram.handshake_start(…, OUT server_first text, OUT state bytea, OUT error text)`
///
/// Reads client-first and answers with server-first, for an unknown user (`verifier` NULL) as for a
/// known one. A fault of the client is a value in `error`.
///
/// Raises 22P02 for a malformed verifier and 22023 for options that don't go together.
#[pg_extern(sql = "
CREATE FUNCTION scram.handshake_start(
    client_first text,
    verifier text,
    username text DEFAULT NULL,
    mechanism text DEFAULT NULL,
    channel_binding_type text DEFAULT NULL,
    channel_binding_data bytea DEFAULT NULL,
    verifier_alt text DEFAULT NULL,
    OUT server_first text,
    OUT state bytea,
    OUT error text
) VOLATILE PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'handshake_start_wrapper';
")]
fn handshake_start(
    client_first: Option<ServerText>,
    verifier: Option<ServerText>,
    username: Option<ServerText>,
    mechanism: Option<ServerText>,
    channel_binding_type: Option<ServerText>,
    channel_binding_data: Option<&[u8]>,
    verifier_alt: Option<ServerText>,
) -> Result<Record<3>, ErrorReport> {
    let keys = ClusterKeys::load();
    let seal = keys.seal(Purpose::HandshakeState);
    let given = GivenVerifiers::parse(verifier.as_ref(), verifier_alt.as_ref())?;
    let binding = binding(channel_binding_type.as_ref(), channel_binding_data)?;
    let terms = Terms::new(given.selection(mechanism.as_ref())?, binding).map_err(Error::from)?;
    username.as_ref().map_or(Ok(()), require_username_length)?;

    let request = match request(client_first.as_ref(), &terms, username.as_ref()) {
        Ok(request) => request,
        Err(error) => return Ok(start_error(error)),
    };
    let credentials = Credentials::new(&keys, &given, request.mechanism(), request.username())?;
    let challenge = request.challenge(credentials.parameters(), &random::nonce()?);
    Ok(sealed(&seal, challenge, &credentials)?)
}

/// `scram.handshake_finish(…, OUT accepted boolean, OUT server_final text, OUT username text,
/// OUT error text, OUT matched integer)`
///
/// Reads client-final and checks the proof. A fault of the client, a wrong password, an unknown
/// user, an old state: `accepted` is false and `error` says why.
///
/// Raises 22023 for a state that was altered or made elsewhere, 22P02 for a malformed verifier.
#[pg_extern(sql = "
CREATE FUNCTION scram.handshake_finish(
    state bytea,
    client_final text,
    verifier text,
    verifier_alt text DEFAULT NULL,
    OUT accepted boolean,
    OUT server_final text,
    OUT username text,
    OUT error text,
    OUT matched integer
) VOLATILE PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'handshake_finish_wrapper';
")]
fn handshake_finish(
    state: Option<&[u8]>,
    client_final: Option<ServerText>,
    verifier: Option<ServerText>,
    verifier_alt: Option<ServerText>,
) -> Result<Record<5>, ErrorReport> {
    Ok(finish_given(state, client_final, verifier, verifier_alt)?.record)
}

/// Checks client-final against the verifiers that the caller gave.
fn finish_given(
    state: Option<&[u8]>,
    client_final: Option<ServerText>,
    verifier: Option<ServerText>,
    verifier_alt: Option<ServerText>,
) -> Result<Finished, Error> {
    let keys = ClusterKeys::load();
    let seal = keys.seal(Purpose::HandshakeState);
    let state = open(&seal, state)?;
    let given = GivenVerifiers::parse(verifier.as_ref(), verifier_alt.as_ref())?;
    let challenge = &state.challenge;
    let credentials = Credentials::new(&keys, &given, challenge.mechanism(), challenge.username())?;
    Ok(finish(&seal, state, client_final.as_ref(), &credentials))
}

/// The longest sealed state, in bytes: with the longest name and the longest salt that a server stores.
const MAX_STATE_LEN: usize = 2 * MAX_PASSWORD_LEN;

/// Refuses a user name that the caller gives and that is too long to be copied.
pub(crate) fn require_username_length(username: &ServerText) -> Result<(), Error> {
    username.require_length("user name", MAX_SECRET_LEN)
}

/// Reads client-first; a NULL is a client's fault like any other, and so is a `username` that has no UTF-8 form: with
/// escapes it would be another user's name.
pub(crate) fn request(
    client_first: Option<&ServerText>,
    terms: &Terms,
    username: Option<&ServerText>,
) -> Result<Request, ErrorValue> {
    let client_first = client_first.ok_or(ErrorValue::InvalidEncoding)?.to_wire();
    let username = username
        .map(|name| name.to_utf8().ok_or(ErrorValue::InvalidUsernameEncoding))
        .transpose()?;
    Request::from_wire(&client_first, terms, username.as_deref()).map_err(Fault::value)
}

/// Answers with server-first and a sealed state.
pub(crate) fn sealed(
    seal: &Seal,
    challenge: Challenge,
    credentials: &Credentials,
) -> Result<Record<3>, Error> {
    let digests = credentials.digests(seal);
    let state = State { issued_at: clock::now(), challenge, digests };
    let sealed = seal.seal(&state)?;
    Ok(Record([state.challenge.server_first().into_datum(), sealed.into_datum(), None]))
}

/// Opens a state that was sealed for this purpose on this cluster.
pub(crate) fn open(seal: &Seal, state: Option<&[u8]>) -> Result<State, Error> {
    let state = state.ok_or(Error::Null { argument: "state" })?;
    // Before the tag of it is computed, and anything copied.
    if state.len() > MAX_STATE_LEN {
        return Err(SealError.into());
    }
    Ok(seal.open(state)?)
}

/// How an exchange ended.
pub(crate) struct Finished {
    pub(crate) record: Record<5>,
    /// Whether the proof was right; `None` where it was not looked at.
    pub(crate) decided: Option<bool>,
    /// The keys of an accepted client.
    keys: Option<PassthroughKeys>,
}

/// Checks client-final against an open state.
pub(crate) fn finish(
    seal: &Seal,
    state: State,
    client_final: Option<&ServerText>,
    credentials: &Credentials,
) -> Finished {
    let Some(client_final) = client_final else {
        return finish_error(ErrorValue::InvalidEncoding);
    };
    if state.is_expired(clock::now(), guc::handshake_timeout()) {
        return finish_error(ErrorValue::OtherError);
    }
    let list = credentials.known_to(&state, seal);
    let username = state.challenge.username().to_owned();
    let client_final = client_final.to_wire();
    let (outcome, keys) = Challenge::finish_passthrough(state.challenge, &client_final, &list);
    match outcome {
        Outcome::Accepted { server_final, matched } => Finished {
            record: Record([
                true.into_datum(),
                server_final.into_datum(),
                Utf8(username).into_datum(),
                None,
                matched.cast_signed().into_datum(),
            ]),
            decided: Some(true),
            keys,
        },
        Outcome::Refused { error, .. } => finish_error(error),
    }
}

pub(crate) fn start_error(error: ErrorValue) -> Record<3> {
    Record([None, None, error.as_str().into_datum()])
}

fn finish_error(error: ErrorValue) -> Finished {
    let record = Record([
        false.into_datum(),
        ServerFinal::Error(error).write().into_datum(),
        None,
        error.as_str().into_datum(),
        None,
    ]);
    let decided = (error == ErrorValue::InvalidProof).then_some(false);
    Finished { record, decided, keys: None }
}

/// The longest channel-binding data, in bytes: longer than any type has, short enough for a message.
const MAX_BINDING_LEN: usize = 512;

/// Type and data go together; empty data would bind to nothing.
pub(crate) fn binding(
    kind: Option<&ServerText>,
    data: Option<&[u8]>,
) -> Result<Option<ChannelBinding>, Error> {
    match (kind, data) {
        (None, None) => Ok(None),
        (Some(_), Some(data)) if !(1..=MAX_BINDING_LEN).contains(&data.len()) => {
            Err(Error::BindingData)
        }
        (Some(kind), Some(data)) => {
            Ok(Some(ChannelBinding { kind: kind.as_ascii().parse()?, data: data.to_vec() }))
        }
        _ => Err(Error::Binding),
    }
}
