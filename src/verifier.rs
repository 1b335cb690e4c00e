//! Section "Verifiers": make, read, check.

mod formats;
mod preparation;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::search::{Search, Target};
use scram_core::verifier::{MAX_SALT_LEN, Minimum, ParameterError};
use scram_core::{Mechanism, Parameters, Verifier};

use crate::error::Error;
use crate::guc;
use crate::pg::record::Record;
use crate::pg::scram_secret;
use crate::pg::text::ServerText;
use crate::pg::{interrupt, random, search_threads, verifier_text};

use preparation::Preparation;

/// Candidates that [`match_any`] copies and searches at a time, at most.
const CANDIDATES_PER_SEARCH: usize = 8192;

/// Bytes of candidates that [`match_any`] holds at a time, roughly.
const BYTES_PER_SEARCH: usize = 16 * 1024 * 1024;

/// `scram.generate(password text, iterations integer DEFAULT NULL, salt bytea DEFAULT NULL,
/// mechanism text DEFAULT 'SCRAM-SHA-256', salt_length integer DEFAULT NULL,
/// preparation text DEFAULT 'postgresql') returns text`
///
/// A new verifier. NULL for an option means its default: the target count, a random salt. A NULL
/// password gives NULL.
///
/// Raises 22023 for a count or salt out of range, a salt and its length together, an unknown
/// mechanism or preparation, a password that is empty or that the preparation forbids.
/// VOLATILE: a new salt at every call.
#[pg_extern(schema = "scram", volatile, parallel_safe, cost = 100000)]
fn generate(
    password: Option<ServerText>,
    iterations: default!(Option<i32>, "NULL"),
    salt: default!(Option<&[u8]>, "NULL"),
    mechanism: default!(Option<ServerText>, "'SCRAM-SHA-256'"),
    salt_length: default!(Option<i32>, "NULL"),
    preparation: default!(Option<ServerText>, "'postgresql'"),
) -> Result<Option<String>, ErrorReport> {
    let Some(password) = password else { return Ok(None) };
    let password = Preparation::parse(preparation.as_ref())?.prepare(&password)?;
    if password.is_empty() {
        return Err(Error::EmptyPassword.into());
    }
    let salt = new_salt(salt, salt_length)?;
    let parameters = new_parameters(iterations, salt, mechanism.as_ref())?;
    let verifier = Verifier::derive(parameters, &password, interrupt::check);
    Ok(Some(verifier.to_string()))
}

/// `scram.parse(verifier text, OUT mechanism text, OUT iterations integer, OUT salt bytea,
/// OUT stored_key bytea, OUT server_key bytea)`
///
/// The parts of a verifier. Raises 22P02 if it is malformed. Derives nothing.
#[pg_extern(sql = "
CREATE FUNCTION scram.parse(
    verifier text,
    OUT mechanism text,
    OUT iterations integer,
    OUT salt bytea,
    OUT stored_key bytea,
    OUT server_key bytea
) IMMUTABLE STRICT PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'parse_wrapper';
")]
fn parse(verifier: ServerText) -> Result<Record<5>, ErrorReport> {
    let verifier = verifier_text::parse(&verifier)?;
    Ok(Record([
        verifier.mechanism().name().into_datum(),
        verifier.iterations().get().cast_signed().into_datum(),
        verifier.salt().into_datum(),
        verifier.stored_key().as_bytes().into_datum(),
        verifier.server_key().as_bytes().into_datum(),
    ]))
}

/// `scram.is_verifier(secret text) returns boolean`
///
/// Whether the text is a verifier in its strict form. Never raises.
#[pg_extern(schema = "scram", immutable, parallel_safe)]
fn is_verifier(secret: ServerText) -> bool {
    verifier_text::parse(&secret).is_ok()
}

/// `scram.identify(secret text) returns text`
///
/// The kind of the stored secret. Never raises. STABLE, because it asks the running server, and
/// releases differ in their judgement.
#[pg_extern(schema = "scram", stable, parallel_safe)]
fn identify(secret: ServerText) -> &'static str {
    scram_secret::kind(&secret).as_str()
}

/// `scram.verify(password text, verifier text, preparation text DEFAULT 'postgresql')
/// returns boolean`
///
/// Whether the password made the verifier: both keys match.
///
/// Raises 22P02 if the verifier is malformed, and 22023 if its count is over `scram.max_iterations`,
/// the preparation is unknown, or it forbids the password.
/// Takes as long as its iteration count asks for, and can be cancelled meanwhile. IMMUTABLE, so with
/// two constants it already runs at planning.
#[pg_extern(schema = "scram", immutable, parallel_safe, cost = 100000)]
fn verify(
    password: ServerText,
    verifier: ServerText,
    preparation: default!(ServerText, "'postgresql'"),
) -> Result<bool, ErrorReport> {
    let verifier = verifier_text::parse_bounded(&verifier)?;
    let password = Preparation::parse(Some(&preparation))?.prepare(&password)?;
    Ok(verifier.verify(&password, interrupt::check))
}

/// `scram.match_any(verifier text, candidates text[]) returns integer`
///
/// The 1-based position of the first candidate that is the password, else NULL. NULL elements are
/// skipped. Works on `scram.search_threads` threads where the caller may execute `scram.run_audit`, else
/// on one: processors are not for every user to take.
///
/// Raises as `verify` does, before any work.
#[pg_extern(schema = "scram", immutable, parallel_safe, cost = 1000000)]
fn match_any(
    verifier: ServerText,
    candidates: Array<'_, ServerText>,
) -> Result<Option<i32>, ErrorReport> {
    let verifier = verifier_text::parse_bounded(&verifier)?;
    let mut rest = (1_i32..).zip(candidates.iter());
    loop {
        // Copied a part at a time: no candidate lives longer than its part, and the threads read
        // none of the memory that PostgreSQL frees when it ends this session.
        let mut positions = Vec::with_capacity(rest.size_hint().0.min(CANDIDATES_PER_SEARCH));
        let mut part = Vec::with_capacity(positions.capacity());
        let mut too_long = None;
        let mut bytes = 0;
        let mut is_last = true;
        for (position, candidate) in rest.by_ref() {
            let Some(candidate) = candidate else { continue };
            if let Err(error) = candidate.check_length() {
                too_long = Some(error);
                break;
            }
            bytes += candidate.len();
            positions.push(position);
            part.push(candidate);
            if part.len() == CANDIDATES_PER_SEARCH || bytes >= BYTES_PER_SEARCH {
                is_last = false;
                break;
            }
        }
        let search = Search::new(Target::Scram(&verifier), &part);
        search_threads::run(&search, search_threads::threads_of_caller())?;
        if let Some(index) = search.found() {
            return Ok(positions.get(index).copied());
        }
        if let Some(error) = too_long {
            return Err(error.into());
        }
        if is_last {
            return Ok(None);
        }
    }
}

/// `scram.search_backend() returns text`
///
/// The code that tries candidates in this session: its name, then what was measured. The first call in a
/// session measures it, if no search has done so before, for a few milliseconds.
/// VOLATILE and PARALLEL RESTRICTED: each process measures for itself.
#[pg_extern(schema = "scram", volatile, parallel_restricted)]
fn search_backend() -> String {
    scram_core::search::calibrate();
    scram_core::search::backend_report()
}

/// `scram.needs_rotation(verifier text) returns boolean`
///
/// Whether a new verifier would be a better one: another mechanism than SCRAM-SHA-256, fewer
/// iterations than the target or a shorter salt. Raises 22P02 if it is malformed. STABLE: follows
/// the settings.
#[pg_extern(schema = "scram", stable, parallel_safe)]
fn needs_rotation(verifier: ServerText) -> Result<bool, ErrorReport> {
    let verifier = verifier_text::parse(&verifier)?;
    let target = Minimum { iterations: guc::target_iterations(), salt_len: guc::salt_length() };
    Ok(verifier.mechanism() != Mechanism::ScramSha256 || !target.accepts(&verifier))
}

/// The parameters of a new verifier: what is given, within bounds, or the targets.
fn new_parameters(
    iterations: Option<i32>,
    salt: Vec<u8>,
    mechanism: Option<&ServerText>,
) -> Result<Parameters, Error> {
    let mechanism = match mechanism {
        Some(name) => name.as_ascii().parse()?,
        None => Mechanism::ScramSha256,
    };
    let iterations = match iterations {
        Some(got) => verifier_text::bounded_iterations(got)?,
        None => guc::target_iterations(),
    };
    Ok(Parameters::new(mechanism, iterations, salt)?)
}

/// The salt of a new verifier: the given one, or a random one of the given or the target length.
fn new_salt(salt: Option<&[u8]>, length: Option<i32>) -> Result<Vec<u8>, Error> {
    match (salt, length) {
        (Some(_), Some(_)) => Err(Error::SaltAndLength),
        // Before it is copied.
        (Some(salt), None) if salt.len() > MAX_SALT_LEN => Err(ParameterError::Salt.into()),
        (Some(salt), None) => Ok(salt.to_vec()),
        (None, Some(length)) => match usize::try_from(length) {
            Ok(length @ 1..=MAX_SALT_LEN) => random::salt(length),
            _ => Err(ParameterError::Salt.into()),
        },
        (None, None) => random::salt(guc::salt_length()),
    }
}
