//! Section "Handshake": the server's side in two calls, and a whole exchange for show.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::channel_binding::ChannelBinding;
use scram_core::client::{Client, ClientError};
use scram_core::keys::Key;
use scram_core::message::{ErrorValue, ServerFinal};
use scram_core::server::{Candidate, Challenge, Outcome, Request, Terms};
use scram_core::state::{Seal, State};
use scram_core::{Mechanism, Selection, Verifier, mock};

use crate::error::Error;
use crate::record::Record;
use crate::text::{Text, Utf8};
use crate::verifier::{interrupts, read, read_bounded};
use crate::{guc, random};

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
    client_first: Option<Text>,
    verifier: Option<Text>,
    username: Option<Text>,
    mechanism: Option<Text>,
    channel_binding_type: Option<Text>,
    channel_binding_data: Option<&[u8]>,
    verifier_alt: Option<Text>,
) -> Result<Record<3>, ErrorReport> {
    let secrets = Secrets::of_this_cluster(Secrets::VERIFIER)?;
    let given = Given::read(verifier.as_ref(), verifier_alt.as_ref())?;
    let binding = binding(channel_binding_type.as_ref(), channel_binding_data)?;
    let terms = Terms::new(given.selection(mechanism.as_ref())?, binding).map_err(Error::from)?;
    let username = username.map(|username| username.name());

    let client_first = client_first.map(|message| message.utf8());
    let Some(client_first) = client_first else {
        return Ok(start_error(ErrorValue::InvalidEncoding));
    };
    let request = match Request::read(&client_first, &terms, username.as_deref()) {
        Ok(request) => request,
        Err(fault) => return Ok(start_error(fault.value())),
    };
    let candidates = Candidates::new(&secrets, &given, request.mechanism(), request.username())?;
    let challenge = request.challenge(candidates.first.parameters(), &random::nonce()?);
    let state = State { issued_at: now(), challenge, digests: candidates.digests(&secrets.seal) };
    let sealed = secrets.seal.seal(&state).map_err(Error::from)?;
    Ok(Record([state.challenge.server_first().into_datum(), sealed.into_datum(), None]))
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
    client_final: Option<Text>,
    verifier: Option<Text>,
    verifier_alt: Option<Text>,
) -> Result<Record<5>, ErrorReport> {
    let secrets = Secrets::of_this_cluster(Secrets::VERIFIER)?;
    let state = state.ok_or(Error::Null { argument: "state" })?;
    let state = secrets.seal.open(state).map_err(Error::from)?;
    let given = Given::read(verifier.as_ref(), verifier_alt.as_ref())?;
    let challenge = &state.challenge;
    let candidates =
        Candidates::new(&secrets, &given, challenge.mechanism(), challenge.username())?;
    Ok(finish(&secrets, state, client_final.as_ref(), &candidates))
}

/// `scram.handshake(…) returns table (step integer, sender text, name text, message text, note text)`
///
/// Plays both sides of an exchange through the real client and server code.
///
/// Raises 22023 for nonces, names or options that no exchange can have, and for a count over
/// `scram.max_iterations`; 22P02 for a malformed verifier.
#[pg_extern(schema = "scram", volatile, parallel_safe, cost = 100000)]
#[expect(clippy::too_many_arguments, reason = "the SQL signature has as many")]
#[expect(clippy::type_complexity, reason = "the SQL signature in pgrx's words")]
fn handshake(
    password: Option<Text>,
    verifier: Option<Text>,
    username: default!(Option<Text>, "'user'"),
    mechanism: default!(Option<Text>, "NULL"),
    client_nonce: default!(Option<Text>, "NULL"),
    server_nonce: default!(Option<Text>, "NULL"),
    channel_binding_type: default!(Option<Text>, "NULL"),
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
    read_bounded(&verifier)?;
    let given = Given::read(Some(&verifier), None)?;
    let binding = binding(channel_binding_type.as_ref(), channel_binding_data)?;
    let selection = given.selection(mechanism.as_ref())?;
    let terms = Terms::new(selection, binding.clone()).map_err(Error::from)?;
    let username = username.map_or_else(|| "user".to_owned(), |username| username.name());
    let client_nonce = client_nonce.map_or_else(random::nonce, |nonce| Ok(nonce.name()))?;
    let server_nonce = server_nonce.map_or_else(random::nonce, |nonce| Ok(nonce.name()))?;

    let mut exchange = Exchange::default();
    let client = Client::start(selection, binding.as_ref(), &username, &client_nonce)
        .map_err(Error::from)?;
    exchange.say(Side::Client, CLIENT_FIRST, client.client_first(), "user name and client nonce");
    match Request::read(client.client_first().as_bytes(), &terms, None) {
        Err(fault) => exchange.refuse(fault.value()),
        Ok(request) => {
            let secrets = Secrets::of_this_cluster(Secrets::VERIFIER)?;
            let candidates =
                Candidates::new(&secrets, &given, request.mechanism(), request.username())?;
            let challenge = request.challenge(candidates.first.parameters(), &server_nonce);
            let server_first = challenge.server_first().to_owned();
            exchange.say(
                Side::Server,
                SERVER_FIRST,
                &server_first,
                "nonce of both sides, salt, iteration count",
            );
            let answer =
                client.answer(&server_first, &password, interrupts).map_err(Error::from)?;
            exchange.say(
                Side::Client,
                CLIENT_FINAL,
                answer.client_final(),
                "channel binding, nonce, ClientProof: shows that the client knows the password",
            );
            match challenge.finish(answer.client_final().as_bytes(), &candidates.list()) {
                Outcome::Refused { error, .. } => exchange.refuse(error),
                Outcome::Accepted { server_final, .. } => match answer.finish(&server_final) {
                    Ok(()) => exchange.say(
                        Side::Server,
                        SERVER_FINAL,
                        &server_final,
                        "accepted; ServerSignature: shows that the server knows the verifier",
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

const CLIENT_FIRST: &str = "client-first-message";
const SERVER_FIRST: &str = "server-first-message";
const CLIENT_FINAL: &str = "client-final-message";
const SERVER_FINAL: &str = "server-final-message";

/// Who speaks.
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

/// The verifiers that the caller gave, in order, or none.
struct Given {
    verifier: Option<Verifier>,
    alternative: Option<Verifier>,
}

impl Given {
    fn read(verifier: Option<&Text>, alternative: Option<&Text>) -> Result<Self, Error> {
        let verifier = verifier.map(read).transpose()?;
        let alternative = alternative.map(read).transpose()?;
        if let Some(alternative) = &alternative {
            let fits =
                verifier.as_ref().is_some_and(|v| v.parameters() == alternative.parameters());
            if !fits {
                return Err(Error::Alternative);
            }
        }
        Ok(Self { verifier, alternative })
    }

    /// What the client selected; the verifier's own mechanism if nothing is said.
    fn selection(&self, name: Option<&Text>) -> Result<Selection, Error> {
        match (name, &self.verifier) {
            (Some(name), _) => Ok(name.ascii().parse()?),
            (None, Some(verifier)) => Ok(verifier.mechanism().into()),
            (None, None) => Ok(Mechanism::ScramSha256.into()),
        }
    }
}

/// What the client's proof is checked against. Two always: no cost tells a user who has no
/// alternative, or who does not exist, from another.
struct Candidates {
    first: Verifier,
    second: Verifier,
    first_is_real: bool,
    second_is_real: bool,
}

impl Candidates {
    fn new(
        secrets: &Secrets,
        given: &Given,
        mechanism: Mechanism,
        username: &str,
    ) -> Result<Self, Error> {
        // Made for known users too: the cost is the same.
        let mock = secrets.mock(mechanism, username)?;
        let real = |verifier: &Option<Verifier>| {
            verifier.as_ref().filter(|verifier| verifier.mechanism() == mechanism).cloned()
        };
        let (first, second) = (real(&given.verifier), real(&given.alternative));
        Ok(Self {
            first_is_real: first.is_some(),
            second_is_real: second.is_some(),
            second: second.unwrap_or_else(|| mock.clone()),
            first: first.unwrap_or(mock),
        })
    }

    fn list(&self) -> [Candidate<'_>; 2] {
        [
            Candidate::new(&self.first, self.first_is_real),
            Candidate::new(&self.second, self.second_is_real),
        ]
    }

    fn digests(&self, seal: &Seal) -> [Key; 2] {
        [seal.digest(&self.first.to_string()), seal.digest(&self.second.to_string())]
    }

    /// As [`Self::list`], but only those that the state was made for can be accepted.
    fn known_to<'a>(&'a self, state: &State, seal: &Seal) -> [Candidate<'a>; 2] {
        let [first, second] = self.digests(seal);
        [
            Candidate::new(&self.first, self.first_is_real & state.knows(&first)),
            Candidate::new(&self.second, self.second_is_real & state.knows(&second)),
        ]
    }
}

/// What only the servers of this cluster know.
pub(crate) struct Secrets {
    seal: Seal,
    mock: Key,
}

impl Secrets {
    /// Purpose of the states of `handshake_start`.
    pub(crate) const VERIFIER: &str = "scram_ext handshake state";

    /// Derived from the cluster's mock authentication nonce: the same on the primary and its
    /// standbys, after a restart and a promotion, and another one after initdb.
    pub(crate) fn of_this_cluster(purpose: &str) -> Result<Self, Error> {
        // SAFETY: points to MOCK_AUTH_NONCE_LEN bytes in shared memory, there since start-up and
        // never written again.
        let nonce = unsafe {
            let nonce = pg_sys::GetMockAuthenticationNonce().cast::<u8>();
            core::slice::from_raw_parts(nonce, pg_sys::MOCK_AUTH_NONCE_LEN as usize)
        };
        let root = Key::new(Mechanism::ScramSha256, nonce).ok_or(Error::Random)?;
        Ok(Self {
            seal: Seal::new(&root, purpose),
            mock: root.hmac(Mechanism::ScramSha256, &[b"scram_ext mock salt"]),
        })
    }

    /// What an unknown user of this name is challenged with.
    fn mock(&self, mechanism: Mechanism, username: &str) -> Result<Verifier, Error> {
        let iterations = guc::target_iterations();
        mock::verifier(&self.mock, mechanism, username, iterations, guc::salt_length())
            // A salt too long for a verifier to be stored is not what real users have.
            .or_else(|_| {
                let len = mock::POSTGRES_SALT_LEN;
                mock::verifier(&self.mock, mechanism, username, iterations, len)
            })
            .map_err(Error::from)
    }
}

/// Checks client-final against an open state.
fn finish(
    secrets: &Secrets,
    state: State,
    client_final: Option<&Text>,
    candidates: &Candidates,
) -> Record<5> {
    let Some(client_final) = client_final else {
        return finish_error(ErrorValue::InvalidEncoding);
    };
    if state.is_expired(now(), guc::handshake_timeout()) {
        return finish_error(ErrorValue::OtherError);
    }
    let list = candidates.known_to(&state, &secrets.seal);
    let username = state.challenge.username().to_owned();
    match Challenge::finish(state.challenge, &client_final.utf8(), &list) {
        Outcome::Accepted { server_final, matched } => Record([
            true.into_datum(),
            server_final.into_datum(),
            Utf8(username).into_datum(),
            None,
            matched.cast_signed().into_datum(),
        ]),
        Outcome::Refused { error, .. } => finish_error(error),
    }
}

fn start_error(error: ErrorValue) -> Record<3> {
    Record([None, None, error.as_str().into_datum()])
}

fn finish_error(error: ErrorValue) -> Record<5> {
    Record([
        false.into_datum(),
        ServerFinal::Error(error).write().into_datum(),
        None,
        error.as_str().into_datum(),
        None,
    ])
}

/// Type and data go together.
fn binding(kind: Option<&Text>, data: Option<&[u8]>) -> Result<Option<ChannelBinding>, Error> {
    match (kind, data) {
        (None, None) => Ok(None),
        (Some(kind), Some(data)) => {
            Ok(Some(ChannelBinding { kind: kind.ascii().parse()?, data: data.to_vec() }))
        }
        _ => Err(Error::Binding),
    }
}

/// The server's clock, in microseconds.
fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}
