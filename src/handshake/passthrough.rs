//! The second call of a handshake, for a proxy that logs in elsewhere as its client.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::server::PassthroughKeys;

use super::role::finish_role;
use crate::pg::record::Record;
use crate::pg::text::ServerText;

/// `scram.handshake_finish_passthrough(…, OUT accepted boolean, OUT server_final text,
/// OUT username text, OUT error text, OUT matched integer, OUT client_key bytea,
/// OUT server_key bytea)`
///
/// Works like `handshake_finish`. The keys are NULL unless the client is accepted.
#[pg_extern(sql = "
CREATE FUNCTION scram.handshake_finish_passthrough(
    state bytea,
    client_final text,
    verifier text,
    verifier_alt text DEFAULT NULL,
    OUT accepted boolean,
    OUT server_final text,
    OUT username text,
    OUT error text,
    OUT matched integer,
    OUT client_key bytea,
    OUT server_key bytea
) VOLATILE PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'handshake_finish_passthrough_wrapper';
")]
fn handshake_finish_passthrough(
    state: Option<&[u8]>,
    client_final: Option<ServerText>,
    verifier: Option<ServerText>,
    verifier_alt: Option<ServerText>,
) -> Result<Record<7>, ErrorReport> {
    let finished = super::finish_given(state, client_final, verifier, verifier_alt)?;
    let [accepted, server_final, username, error, matched] = finished.record.0;
    let [client_key, server_key] = datums(finished.keys.as_ref());
    Ok(Record([accepted, server_final, username, error, matched, client_key, server_key]))
}

/// `scram.role_handshake_finish_passthrough(…, OUT accepted boolean, OUT server_final text,
/// OUT username text, OUT error text, OUT client_key bytea, OUT server_key bytea)`
///
/// Works like `role_handshake_finish`. The keys are NULL unless the client is accepted.
#[pg_extern(sql = "
CREATE FUNCTION scram.role_handshake_finish_passthrough(
    state bytea,
    client_final text,
    OUT accepted boolean,
    OUT server_final text,
    OUT username text,
    OUT error text,
    OUT client_key bytea,
    OUT server_key bytea
) VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'role_handshake_finish_passthrough_wrapper';
")]
fn role_handshake_finish_passthrough(
    state: Option<&[u8]>,
    client_final: Option<ServerText>,
) -> Result<Record<6>, ErrorReport> {
    let (record, keys) = finish_role("role_handshake_finish_passthrough", state, client_final)?;
    let [accepted, server_final, username, error] = record.0;
    let [client_key, server_key] = datums(keys.as_ref());
    Ok(Record([accepted, server_final, username, error, client_key, server_key]))
}

/// ClientKey and ServerKey as bytea.
fn datums(keys: Option<&PassthroughKeys>) -> [Option<pg_sys::Datum>; 2] {
    let keys = keys.map(|keys| [&keys.client_key, &keys.server_key]);
    keys.map_or([None; 2], |keys| keys.map(|key| key.as_bytes().into_datum()))
}
