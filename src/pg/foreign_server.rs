//! Foreign servers of postgres_fdw, as connections for the calling role.

use core::ffi::CStr;
use std::ffi::CString;

use pgrx::PgList;
use pgrx::pg_sys;

/// The parameters of a connection to a foreign server for a user, and what its password is to do.
pub(crate) struct ConnectionParameters {
    /// Names and values.
    pub(crate) options: Vec<(CString, CString)>,
    /// Whether the connection needs a password of the user mapping, which the server must ask for.
    ///
    /// Without it a role could have this server's operating-system user log in somewhere: to this cluster as its
    /// superuser, for example. postgres_fdw asks the same of roles that are no superusers. Here superusers are asked
    /// too, unless a superuser owns the foreign server, because the owner chooses its host and the mappings of all users.
    pub(crate) needs_password: bool,
}

/// The parameters for `user` of a foreign server that exists, with a user mapping. `known` are libpq's names; other
/// options are postgres_fdw's own.
pub(crate) fn connection_parameters(
    server: &CStr,
    user: pg_sys::Oid,
    known: &[CString],
) -> ConnectionParameters {
    // SAFETY: reads the catalogs. Raises if the server or the mapping was dropped a moment ago.
    let (server, mapping) = unsafe {
        let server = &*pg_sys::GetForeignServerByName(server.as_ptr(), false);
        (server, &*pg_sys::GetUserMapping(user, server.serverid))
    };
    let (of_server, of_mapping) = (definitions(server.options), definitions(mapping.options));
    let waived = of_mapping
        .iter()
        .any(|(name, value)| name.as_c_str() == c"password_required" && is_false(value));
    // SAFETY: reads the catalogs.
    let by_superusers =
        unsafe { pg_sys::superuser_arg(user) && pg_sys::superuser_arg(server.owner) };
    let options =
        of_server.into_iter().chain(of_mapping).filter(|(name, _)| known.contains(name)).collect();
    ConnectionParameters { options, needs_password: !waived && !by_superusers }
}

impl ConnectionParameters {
    /// Whether the user mapping has a password.
    pub(crate) fn has_password(&self) -> bool {
        self.options.iter().any(|(name, value)| name.as_c_str() == c"password" && !value.is_empty())
    }
}

/// The options of a server or a mapping.
fn definitions(options: *mut pg_sys::List) -> Vec<(CString, CString)> {
    // SAFETY: a list of DefElem with string values, as the catalogs have it; the strings are copied.
    unsafe {
        PgList::<pg_sys::DefElem>::from_pg(options)
            .iter_ptr()
            .map(|definition| {
                let value = pg_sys::defGetString(definition);
                (CStr::from_ptr((*definition).defname).to_owned(), CStr::from_ptr(value).to_owned())
            })
            .collect()
    }
}

/// Whether the server reads the text as false.
fn is_false(value: &CStr) -> bool {
    let mut result = true;
    // SAFETY: a C string.
    unsafe { pg_sys::parse_bool(value.as_ptr(), &mut result) && !result }
}
