//! The handshake for the cluster's own roles.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::server::{PassthroughKeys, Terms};
use scram_core::{Mechanism, Selection, Verifier};

use super::Credentials;
use crate::cluster_keys::{ClusterKeys, MOCK_VERIFIER_TEXT, Purpose};
use crate::error::Error;
use crate::pg::catalog_role::{CatalogRole, MAX_NAME_LEN};
use crate::pg::name::PgName;
use crate::pg::record::Record;
use crate::pg::scram_secret::ParsedSecret;
use crate::pg::text::{ServerText, Utf8};
use crate::pg::{check_log, clock, random};

/// `scram.role_handshake_start(…, OUT server_first text, OUT state bytea, OUT error text)`
///
/// Works like `handshake_start`, for a role of the cluster. The challenge is the one that the
/// server itself would send on its own port, also for a role that cannot log in.
///
/// SECURITY DEFINER, because only superusers read pg_authid; therefore PUBLIC may not call it.
#[pg_extern(sql = "
CREATE FUNCTION scram.role_handshake_start(
    client_first text,
    role name DEFAULT NULL,
    mechanism text DEFAULT 'SCRAM-SHA-256',
    channel_binding_type text DEFAULT NULL,
    channel_binding_data bytea DEFAULT NULL,
    OUT server_first text,
    OUT state bytea,
    OUT error text
) VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'role_handshake_start_wrapper';
")]
fn role_handshake_start(
    client_first: Option<ServerText>,
    role: Option<PgName>,
    mechanism: Option<ServerText>,
    channel_binding_type: Option<ServerText>,
    channel_binding_data: Option<&[u8]>,
) -> Result<Record<3>, ErrorReport> {
    let keys = ClusterKeys::load();
    let seal = keys.seal(Purpose::RoleHandshakeState);
    let selection = match &mechanism {
        Some(name) => name.as_ascii().parse().map_err(Error::from)?,
        None => Selection::from(Mechanism::ScramSha256),
    };
    let binding = super::binding(channel_binding_type.as_ref(), channel_binding_data)?;
    let terms = Terms::new(selection, binding).map_err(Error::from)?;

    let username = role.as_ref().map(PgName::text);
    let request = match super::request(client_first.as_ref(), &terms, username) {
        Ok(request) => request,
        Err(error) => return Ok(super::start_error(error)),
    };
    let Login { credentials, server_secret, .. } =
        Login::new(&keys, request.mechanism(), request.username())?;
    let nonce = random::nonce()?;
    let challenge = match server_secret {
        Some(secret) => {
            request.challenge_verbatim(&secret.salt.to_string_lossy(), secret.iterations, &nonce)
        }
        None => request.challenge(credentials.parameters(), &nonce),
    };
    Ok(super::sealed(&seal, challenge, &credentials)?)
}

/// `scram.role_handshake_finish(…, OUT accepted boolean, OUT server_final text, OUT username text,
/// OUT error text)`
///
/// Works like `handshake_finish`, for a role of the cluster. The function looks the role up again
/// and refuses a role that was locked, dropped or given another password in between. It accepts a
/// superuser or a role with REPLICATION only with `scram.authenticate_superusers`. It logs each
/// checked proof.
#[pg_extern(sql = "
CREATE FUNCTION scram.role_handshake_finish(
    state bytea,
    client_final text,
    OUT accepted boolean,
    OUT server_final text,
    OUT username text,
    OUT error text
) VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'role_handshake_finish_wrapper';
")]
fn role_handshake_finish(
    state: Option<&[u8]>,
    client_final: Option<ServerText>,
) -> Result<Record<4>, ErrorReport> {
    let (record, _) = finish_role("role_handshake_finish", state, client_final)?;
    Ok(record)
}

/// Checks client-final against the role's secret and logs the result under the function's name.
pub(super) fn finish_role(
    function: &'static str,
    state: Option<&[u8]>,
    client_final: Option<ServerText>,
) -> Result<(Record<4>, Option<PassthroughKeys>), Error> {
    let keys = ClusterKeys::load();
    let seal = keys.seal(Purpose::RoleHandshakeState);
    let state = super::open(&seal, state)?;
    let challenge = &state.challenge;
    let Login { credentials, name, oid, .. } =
        Login::new(&keys, challenge.mechanism(), challenge.username())?;
    let finished = super::finish(&seal, state, client_final.as_ref(), &credentials);
    if let Some(matches) = finished.decided {
        check_log::log(function, oid, &name, matches);
    }
    let [accepted, server_final, username, error, _] = finished.record.0;
    // The role, not what the client sent: of a name that is too long only the start counts.
    let username = username.and_then(|_| Utf8(name.to_display()).into_datum());
    Ok((Record([accepted, server_final, username, error]), finished.keys))
}

/// The facts about a login under a given name.
struct Login {
    /// The role's name, as it is looked up.
    name: ServerText,
    /// `None` for an unknown role.
    oid: Option<pg_sys::Oid>,
    credentials: Credentials,
    /// The secret that the server itself would challenge with; `None` for its mock.
    server_secret: Option<ParsedSecret>,
}

impl Login {
    /// Challenges a role that cannot log in as the server does, and never accepts it. Where there
    /// is no secret, the function parses the mock verifier, so that the cost is the same.
    fn new(keys: &ClusterKeys, mechanism: Mechanism, username: &str) -> Result<Self, Error> {
        let name = ServerText::from_utf8(username);
        // The server truncates the name in a start-up packet in the same way (ProcessStartupPacket,
        // postmaster.c).
        let name =
            ServerText::from_bytes(&name.as_bytes()[..name.as_bytes().len().min(MAX_NAME_LEN)]);
        let mock = keys.role_mock(mechanism, name.as_bytes())?;
        // With an escape for a character that this encoding lacks it would be another role's name.
        let is_exact = Utf8(username.to_owned()).is_encodable();
        let role = CatalogRole::lookup(name.as_bytes()).filter(|_| is_exact);
        let secret = role.as_ref().and_then(|role| role.secret.as_ref());
        let text = secret.map_or(MOCK_VERIFIER_TEXT.as_bytes(), ServerText::as_bytes);
        let verifier = str::from_utf8(text).ok().and_then(|text| text.parse::<Verifier>().ok());
        let server_secret = ParsedSecret::parse(text);

        // The server challenges a role without LOGIN with its own salt, and refuses it afterwards
        // (InitializeSessionUserId); an expired one is no role to it (get_role_password, crypt.c).
        let is_valid = role.as_ref().is_some_and(|role| {
            role.secret.is_some() & role.valid_until.is_none_or(|until| until >= clock::now())
        });
        let is_served = is_valid & (mechanism == Mechanism::ScramSha256);
        let oid = role.as_ref().map(|role| role.oid);
        let can_login = role.is_some_and(|role| role.can_login & role.may_be_authenticated());
        let verifier = verifier.filter(|v| is_valid & can_login & (v.mechanism() == mechanism));
        Ok(Self {
            name,
            oid,
            credentials: Credentials::with_mock(verifier, None, mock),
            server_secret: server_secret.filter(|_| is_served),
        })
    }
}
