//! Keyed digests of what roles store, by which a collector sees that two clusters have the same verifier.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc;
use pgrx::prelude::*;
use scram_core::derivation::RootKey;
use scram_core::keys::HmacKey;
use zeroize::Zeroizing;

use super::OWNED;
use crate::error::Error;
use crate::guc;
use crate::pg::interrupt;
use crate::pg::row_set::RowSet;
use crate::pg::security_context::read_as_owner;
use crate::pg::text::ServerText;

/// Bytes of the key.
const MIN_KEY: usize = 32;
const MAX_KEY: usize = 4096;

/// Bytes of a digest. Two different secrets of a fleet have the same one with a probability of less than 2⁻⁶⁰.
const DIGEST: usize = 16;

/// `scram.fleet_digests() returns table (subject text, kind text, digest bytea)`
///
/// A digest of 16 bytes for each role with a SCRAM verifier or an MD5 hash: HMAC-SHA-256 under a key that HKDF
/// derives from the file of `scram.fleet_key_file`, of the verifier, or of the hash and the role's name. No row where
/// that setting is empty.
///
/// Raises 58030 where the file cannot be read, and 42501 where other users of the system can.
#[pg_extern(sql = "
CREATE FUNCTION scram.fleet_digests() RETURNS TABLE (subject text, kind text, digest bytea)
VOLATILE COST 10000
SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'fleet_digests_wrapper';
")]
fn fleet_digests() -> RowSet<3> {
    const SECRETS: &str = r#"
SELECT a.rolname::text AS subject, s.kind, a.rolpassword AS secret
FROM pg_authid a
CROSS JOIN LATERAL (SELECT scram.identify(a.rolpassword) AS kind) s
WHERE s.kind IN ('md5', 'scram-sha-256')
ORDER BY a.rolname COLLATE "C""#;

    RowSet::new(|sink| {
        let Some(key) = guc::fleet_key_file().map(|file| load(&file)).transpose()? else {
            return Ok(());
        };
        let rows: Vec<(ServerText, ServerText, ServerText)> =
            read_as_owner(OWNED, SECRETS, |row| {
                Ok((row.value("subject")?, row.value("kind")?, row.value("secret")?))
            })?;
        for (subject, kind, secret) in rows {
            interrupt::check();
            // An MD5 hash is bound to its role: otherwise the caller could store hashes of guesses for another role as
            // its own, and compare digests without the key. Equal hashes of two servers are of equal names.
            let name: &[u8] = if kind.as_bytes() == b"md5" { subject.as_bytes() } else { b"" };
            let digest = key.hmac(&[secret.as_bytes(), name]);
            let digest = digest.as_bytes()[..DIGEST].to_vec();
            sink.push([subject.into_datum(), kind.into_datum(), digest.into_datum()]);
        }
        Ok(())
    })
}

/// The key of the digests. White space at the end of the file does not count.
fn load(file: &Path) -> Result<HmacKey, Error> {
    let unreadable = |why: String| Error::FleetKey { file: file.display().to_string(), why };
    let (mode, content) = read(file).map_err(|error| unreadable(error.to_string()))?;
    if mode & 0o007 != 0 {
        return Err(Error::FleetKeyMode { file: file.display().to_string() });
    }
    let key = content.trim_ascii_end();
    if !(MIN_KEY..=MAX_KEY).contains(&key.len()) {
        return Err(unreadable(format!("It must have {MIN_KEY} to {MAX_KEY} bytes")));
    }
    Ok(HmacKey::new(&RootKey::new(key).key(&[b"scram_ext fleet digest"])))
}

/// The mode and the content of a file. A pipe or a device is an error and is not waited for.
fn read(file: &Path) -> std::io::Result<(u32, Zeroizing<Vec<u8>>)> {
    let open =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(file)?;
    let metadata = open.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("It is no regular file"));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_KEY + 2));
    // One byte more than is allowed, and one for the end of the line.
    open.take(MAX_KEY as u64 + 2).read_to_end(&mut content)?;
    Ok((metadata.mode(), content))
}
