//! The setting of a fleet that is a text.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

static KEY_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

/// Defines it for superusers, so that no role chooses a key for the digests that it may read.
pub(super) fn define() {
    GucRegistry::define_string_guc(
        c"scram.fleet_key_file",
        c"Sets the file with the key of scram.fleet_digests().",
        c"The clusters of a fleet have the same key. Empty: no digest is made.",
        &KEY_FILE,
        GucContext::Suset,
        GucFlags::empty(),
    );
}

/// `scram.fleet_key_file`; `None` if it is empty. The server works in its data directory, from which a relative path counts.
pub(crate) fn fleet_key_file() -> Option<PathBuf> {
    let file = KEY_FILE.get()?.into_bytes();
    (!file.is_empty()).then(|| OsString::from_vec(file).into())
}
