//! A role of the cluster as pg_authid holds it, read from the server's cache.

use pgrx::FromDatum;
use pgrx::prelude::*;

use scram_core::Password;

use super::text::ServerText;
use super::{interrupt, scram_secret};
use crate::guc;

/// The longest name of a role, in bytes.
pub(crate) const MAX_NAME_LEN: usize = pg_sys::NAMEDATALEN as usize - 1;

/// The row of a role in pg_authid.
pub(crate) struct CatalogRole {
    pub(crate) oid: pg_sys::Oid,
    pub(crate) can_login: bool,
    pub(crate) is_replication: bool,
    pub(crate) is_superuser: bool,
    pub(crate) secret: Option<ServerText>,
    /// Microseconds, as [`clock::now`].
    pub(crate) valid_until: Option<i64>,
}

impl CatalogRole {
    /// Whether the extension may let this role in: it lets superusers and replication roles in only where
    /// `scram.authenticate_superusers` says so.
    pub(crate) fn may_be_authenticated(&self) -> bool {
        !(self.is_superuser | self.is_replication) | guc::authenticate_superusers()
    }

    /// Whether the role has this password now, in any verifier.
    pub(crate) fn has_password(&self, password: &Password) -> bool {
        let stored = self.secret.as_ref().and_then(scram_secret::stored_verifier);
        stored.is_some_and(|stored| stored.verify(password, interrupt::check))
    }

    /// Reads the server's cache. Asks for no privilege: what is returned must not reach a caller.
    /// Names are compared byte for byte, in the server's encoding.
    pub(crate) fn lookup(name: &[u8]) -> Option<Self> {
        let mut buffer = [0_u8; MAX_NAME_LEN + 1];
        buffer[..MAX_NAME_LEN].get_mut(..name.len())?.copy_from_slice(name);
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
            let secret = ServerText::from_datum(secret, is_null);
            let (valid_until, is_null) = attribute(pg_sys::Anum_pg_authid_rolvaliduntil);
            let valid_until = i64::from_datum(valid_until, is_null);
            pg_sys::ReleaseSysCache(tuple);
            Some(Self { oid, can_login, is_replication, is_superuser, secret, valid_until })
        }
    }
}
