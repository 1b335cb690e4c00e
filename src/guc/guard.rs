//! Settings of the guard.

use core::ffi::{CStr, c_char, c_void};
use core::time::Duration;
use std::ffi::CString;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use pgrx::prelude::*;

/// `scram.guard`: what happens to a password that breaks a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq, PostgresGucEnum)]
pub(crate) enum GuardMode {
    #[name = c"off"]
    Off,
    #[name = c"warn"]
    Warn,
    #[name = c"enforce"]
    Enforce,
}

static EXEMPT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static MIN_LENGTH: GucSetting<i32> = GucSetting::<i32>::new(12);
static MODE: GucSetting<GuardMode> = GucSetting::<GuardMode>::new(GuardMode::Off);
static TIME: GucSetting<i32> = GucSetting::<i32>::new(200);

/// Defines them for superusers, so that a role cannot switch the guard off for its own session.
pub(super) fn define() {
    GucRegistry::define_enum_guc(
        c"scram.guard",
        c"Sets what happens to a new password of a role that breaks a rule.",
        c"It applies to sessions that have loaded the library.",
        &MODE,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"scram.guard_min_length",
        c"Sets how many characters a new password of a role must have.",
        c"It applies to plain text. 0 allows any length.",
        &MIN_LENGTH,
        0,
        1024,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"scram.guard_time",
        c"Sets how long passwords are tried on a ready-made hash.",
        c"0 tries those that the role's name suggests.",
        &TIME,
        0,
        60_000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    // SAFETY: the hook is guarded.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"scram.guard_exempt",
            c"Sets the roles whose passwords the guard does not look at.",
            c"A list of names, separated by commas.",
            &EXEMPT,
            GucContext::Suset,
            GucFlags::empty(),
            Some(check_exempt),
            None,
            None,
        );
    }
}

/// `scram.guard`.
pub(crate) fn guard_mode() -> GuardMode {
    MODE.get()
}

/// `scram.guard_min_length` in characters.
pub(crate) fn guard_min_length() -> usize {
    usize::try_from(MIN_LENGTH.get()).unwrap_or(0)
}

/// `scram.guard_time`.
pub(crate) fn guard_time() -> Duration {
    Duration::from_millis(u64::try_from(TIME.get()).unwrap_or(0))
}

/// Whether `scram.guard_exempt` has this role. Names are compared byte for byte, in the server's encoding.
pub(crate) fn is_guard_exempt(role: &[u8]) -> bool {
    let names = EXEMPT.get().and_then(|list| names(&list));
    names.is_some_and(|names| names.iter().any(|name| name.to_bytes() == role))
}

/// The names of a list, read as the server reads `search_path`; `None` for a text that is no list.
fn names(list: &CStr) -> Option<Vec<CString>> {
    let mut names = core::ptr::null_mut();
    // SAFETY: the server's function changes the copy, and the list points into it.
    unsafe {
        let copy = pg_sys::pstrdup(list.as_ptr());
        let is_list = pg_sys::SplitIdentifierString(copy, c_char::try_from(b',').ok()?, &mut names);
        let mut owned = Vec::new();
        for index in 0..if names.is_null() { 0 } else { (*names).length } {
            let cell = (*names).elements.offset(isize::try_from(index).ok()?);
            owned.push(CStr::from_ptr((*cell).ptr_value.cast::<c_char>()).to_owned());
        }
        pg_sys::list_free(names);
        pg_sys::pfree(copy.cast());
        is_list.then_some(owned)
    }
}

/// Refuses a text that is no list, because it would silently exempt no role.
#[pg_guard]
unsafe extern "C-unwind" fn check_exempt(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: the server passes a pointer to the text, or to NULL.
    unsafe { (*value).is_null() || names(CStr::from_ptr(*value)).is_some() }
}
