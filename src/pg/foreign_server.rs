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
    let needs_password = !waived && !by_superusers;
    let options = of_server
        .into_iter()
        .chain(of_mapping)
        .filter(|(name, _)| known.contains(name))
        // The server applies these settings while it lets the client in, which is before the password is checked here.
        .filter(|(name, _)| !needs_password || name.as_c_str() != c"options")
        .collect();
    ConnectionParameters { options, needs_password }
}

impl ConnectionParameters {
    /// Whether the user mapping has a password.
    pub(crate) fn has_password(&self) -> bool {
        !self.value(c"password").is_empty()
    }

    /// Whether each connection goes to a host over TCP, as libpq reads `host` and `hostaddr`. A socket of this host may
    /// let in the operating-system user without a password.
    pub(crate) fn has_remote_host(&self) -> bool {
        let is_name = |host: &[u8]| !matches!(host.first(), None | Some(b'/' | b'@'));
        let (hosts, addresses) = (self.value(c"host"), self.value(c"hostaddr"));
        // An address goes before the name in the same place of the other list.
        !addresses.split(|byte| *byte == b',').any(<[u8]>::is_empty)
            || hosts.split(|byte| *byte == b',').all(is_name)
    }

    /// The value of an option; empty if there is none. The last one holds, as in libpq.
    fn value(&self, name: &CStr) -> &[u8] {
        let option = self.options.iter().rfind(|(option, _)| option.as_c_str() == name);
        option.map_or(&[], |(_, value)| value.to_bytes())
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
