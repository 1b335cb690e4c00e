//! The cluster's own roles: pg_authid through the server's cache, and the handshake for them.

use core::ffi::{CStr, c_char};

use pgrx::callconv::{Arg, ArgAbi};
use pgrx::nullable::Nullable;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{FromDatum, impl_sql_translatable};
use scram_core::server::Terms;
use scram_core::{Mechanism, Selection, Verifier};

use crate::cluster_keys::{ClusterKeys, Purpose};
use crate::error::Error;
use crate::handshake::{self, Candidates};
use crate::record::Record;
use crate::text::{Text, Utf8};
use crate::{check_log, guc, random, served};

/// `scram.role_handshake_start(…, OUT server_first text, OUT state bytea, OUT error text)`
///
/// As `handshake_start`, for a role of the cluster: the challenge is what the server itself would
/// send on its own port, for a role that can't log in too.
///
/// SECURITY DEFINER like all that reads pg_authid: that is why PUBLIC may not call it.
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
    client_first: Option<Text>,
    role: Option<Name>,
    mechanism: Option<Text>,
    channel_binding_type: Option<Text>,
    channel_binding_data: Option<&[u8]>,
) -> Result<Record<3>, ErrorReport> {
    let keys = ClusterKeys::of_this_cluster();
    let seal = keys.seal(Purpose::RoleHandshakeState);
    let selection = match &mechanism {
        Some(name) => name.ascii().parse().map_err(Error::from)?,
        None => Selection::from(Mechanism::ScramSha256),
    };
    let binding = handshake::binding(channel_binding_type.as_ref(), channel_binding_data)?;
    let terms = Terms::new(selection, binding).map_err(Error::from)?;

    let username = role.map(|role| role.text().name());
    let request = match handshake::request(client_first.as_ref(), &terms, username.as_deref()) {
        Ok(request) => request,
        Err(error) => return Ok(handshake::start_error(error)),
    };
    let Login { candidates, served, .. } =
        Login::of(&keys, request.mechanism(), request.username())?;
    let nonce = random::nonce()?;
    let challenge = match served {
        Some(secret) => {
            request.challenge_verbatim(&secret.salt.to_string_lossy(), secret.iterations, &nonce)
        }
        None => request.challenge(candidates.parameters(), &nonce),
    };
    Ok(handshake::sealed(&seal, challenge, &candidates)?)
}

/// `scram.role_handshake_finish(…, OUT accepted boolean, OUT server_final text, OUT username text,
/// OUT error text)`
///
/// As `handshake_finish`, for a role of the cluster. The role is looked up again: one that was
/// locked, dropped or given another password in between is not let in. A superuser or a role with
/// REPLICATION is let in only with `scram.authenticate_superusers`. Each checked proof is logged.
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
    client_final: Option<Text>,
) -> Result<Record<4>, ErrorReport> {
    let keys = ClusterKeys::of_this_cluster();
    let seal = keys.seal(Purpose::RoleHandshakeState);
    let state = handshake::open(&seal, state)?;
    let challenge = &state.challenge;
    let Login { candidates, name, oid, .. } =
        Login::of(&keys, challenge.mechanism(), challenge.username())?;
    let finished = handshake::finish(&seal, state, client_final.as_ref(), &candidates);
    if let Some(matches) = finished.decided {
        check_log::log("role_handshake_finish", oid, &name, matches);
    }
    let [accepted, server_final, username, error, _] = finished.record.0;
    // The role, not what the client sent: of a name that is too long only the start counts.
    let username = username.and_then(|_| Utf8(name.name()).into_datum());
    Ok(Record([accepted, server_final, username, error]))
}

/// What a login by this name comes to.
struct Login {
    /// The role's name, as it is looked up.
    name: Text,
    /// `None` for an unknown role.
    oid: Option<pg_sys::Oid>,
    candidates: Candidates,
    /// What the server would challenge with; `None` for its mock.
    served: Option<served::Secret>,
}

impl Login {
    /// A role that can't log in, in whatever way, is challenged as the server does it and never let
    /// in. What is read of a role is read of a decoy where there is none: the cost is the same.
    fn of(keys: &ClusterKeys, mechanism: Mechanism, username: &str) -> Result<Self, Error> {
        let name = Text::from_utf8(username);
        // As the server truncates the name in a start-up packet (ProcessStartupPacket, postmaster.c).
        let name = Text::from_bytes(&name.as_bytes()[..name.as_bytes().len().min(MAX_NAME_LEN)]);
        let mock = keys.role_mock(mechanism, name.as_bytes())?;
        let role = Role::lookup(name.as_bytes());
        let secret = role.as_ref().and_then(|role| role.secret.as_ref());
        let text = secret.map_or(handshake::DECOY.as_bytes(), Text::as_bytes);
        let verifier = str::from_utf8(text).ok().and_then(|text| text.parse::<Verifier>().ok());
        let served = served::Secret::read(text);

        // The server challenges a role without LOGIN with its own salt, and refuses it afterwards
        // (InitializeSessionUserId); an expired one is no role to it (get_role_password, crypt.c).
        let is_valid = role.as_ref().is_some_and(|role| {
            role.secret.is_some() & role.valid_until.is_none_or(|until| until >= handshake::now())
        });
        let is_served = is_valid & (mechanism == Mechanism::ScramSha256);
        let oid = role.as_ref().map(|role| role.oid);
        let can_login = role.is_some_and(|role| role.can_login & role.may_be_authenticated());
        let verifier = verifier.filter(|v| is_valid & can_login & (v.mechanism() == mechanism));
        Ok(Self {
            name,
            oid,
            candidates: Candidates::with_mock(verifier, None, mock),
            served: served.filter(|_| is_served),
        })
    }
}

/// The longest name of a role, in bytes.
const MAX_NAME_LEN: usize = pg_sys::NAMEDATALEN as usize - 1;

/// What pg_authid holds of a role.
pub(crate) struct Role {
    pub(crate) oid: pg_sys::Oid,
    pub(crate) can_login: bool,
    pub(crate) is_replication: bool,
    pub(crate) is_superuser: bool,
    pub(crate) secret: Option<Text>,
    /// Microseconds, as [`handshake::now`].
    pub(crate) valid_until: Option<i64>,
}

impl Role {
    /// Whether the extension may let this role in: it lets superusers and replication roles in only where
    /// `scram.authenticate_superusers` says so.
    pub(crate) fn may_be_authenticated(&self) -> bool {
        !(self.is_superuser | self.is_replication) | guc::authenticate_superusers()
    }

    /// Reads the server's cache. Asks for no privilege: what is returned must not reach a caller.
    /// Names are compared byte for byte, in the server's encoding.
    pub(crate) fn lookup(name: &[u8]) -> Option<Self> {
        let mut buffer = [0_u8; MAX_NAME_LEN + 1];
        buffer.get_mut(..name.len())?.copy_from_slice(name);
        // SAFETY: the key is a NUL-terminated name in a buffer of NAMEDATALEN bytes; the tuple is
        // released after the last use of what it holds, which is copied.
        unsafe {
            let tuple = pg_sys::SearchSysCache1(
                pg_sys::SysCacheIdentifier::AUTHNAME.cast_signed(),
                pg_sys::Datum::from(buffer.as_ptr()),
            );
            if tuple.is_null() {
                return None;
            }
            let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_authid>();
            let (oid, can_login) = ((*form).oid, (*form).rolcanlogin);
            let (is_superuser, is_replication) = ((*form).rolsuper, (*form).rolreplication);
            let attribute = |number: u32| {
                let mut is_null = false;
                let number = i16::try_from(number).unwrap_or_default();
                let cache = pg_sys::SysCacheIdentifier::AUTHNAME.cast_signed();
                let datum = pg_sys::SysCacheGetAttr(cache, tuple, number, &mut is_null);
                (datum, is_null)
            };
            let (secret, is_null) = attribute(pg_sys::Anum_pg_authid_rolpassword);
            let secret = Text::from_datum(secret, is_null);
            let (valid_until, is_null) = attribute(pg_sys::Anum_pg_authid_rolvaliduntil);
            let valid_until = i64::from_datum(valid_until, is_null);
            pg_sys::ReleaseSysCache(tuple);
            Some(Self { oid, can_login, is_replication, is_superuser, secret, valid_until })
        }
    }
}

/// A `name` argument: its bytes in the server's encoding, at most 63.
pub(crate) struct Name(Text);

impl Name {
    pub(crate) fn text(&self) -> &Text {
        &self.0
    }
}

impl FromDatum for Name {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: the caller vouches for a datum of type name: NAMEDATALEN bytes with a NUL.
        (!is_null).then(|| unsafe {
            Self(Text::from_bytes(CStr::from_ptr(datum.cast_mut_ptr::<c_char>()).to_bytes()))
        })
    }
}

// SAFETY: unboxes through FromDatum above, which reads a name datum.
unsafe impl<'fcx> ArgAbi<'fcx> for Name {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: as the caller vouches; see `Text` for NULL.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or_else(|| Self(Text::from_bytes(&[])))
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: as the caller vouches.
        unsafe { arg.unbox_arg_using_from_datum::<Self>() }.into()
    }
}

impl_sql_translatable!(Name, "name");
