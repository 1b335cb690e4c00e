//! Programs that `tools/clients.sh` has unpacked out of packages, without installing them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::cluster::program::own;
use crate::docs;

/// A copy of an unpacked program, because the user that runs it may not be able to read the checkout.
pub(crate) fn copy(name: &str) -> TempDir {
    let dir = tempfile::Builder::new().prefix("scram_ext_server.").tempdir().expect("a folder");
    let source = docs::root().join("target/clients").join(name).join("usr");
    let copied = Command::new("cp").arg("-a").arg(source).arg(dir.path()).status().expect("cp");
    assert!(copied.success(), "{name} (make clients)");
    own(dir.path());
    dir
}

/// The folder of this machine's libraries.
pub(crate) fn libraries(usr: &Path) -> PathBuf {
    let entries = fs::read_dir(usr.join("lib")).expect("a folder").flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.find(|path| path.display().to_string().ends_with("-linux-gnu")).expect("libraries")
}
