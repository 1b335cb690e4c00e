//! Every setting: its definition, and a getter that returns what the core takes.
//!
//! Read on the backend's own thread only; hand values on.

mod fleet;
mod guard;
mod iterations;
mod policy;

use core::ffi::CStr;
use core::num::NonZeroU32;
use core::time::Duration;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::pg_sys;
use scram_core::verifier::MAX_SALT_LEN;

pub(crate) use fleet::fleet_key_file;
pub(crate) use guard::{GuardMode, guard_min_length, guard_mode, guard_time, is_guard_exempt};
pub(crate) use iterations::{server_iterations, session_iterations};
pub(crate) use policy::policy;

/// PostgreSQL's own count where the server has no setting for it (`SCRAM_DEFAULT_ITERATIONS`,
/// src/include/common/scram-common.h).
const POSTGRES_ITERATIONS: i32 = 4096;

static AUTHENTICATE_SUPERUSERS: GucSetting<bool> = GucSetting::<bool>::new(false);
static AUDIT_BUDGET: GucSetting<i32> = GucSetting::<i32>::new(5 * 60);
static AUDIT_ROWS_LISTED: GucSetting<i32> = GucSetting::<i32>::new(1000);
/// The audit's steps read it, in SQL.
static BUILTIN_WORDS: GucSetting<i32> = GucSetting::<i32>::new(1000);
static SEARCH_THREADS: GucSetting<i32> = GucSetting::<i32>::new(1);
static CLIENT_MAX_ITERATIONS: GucSetting<i32> = GucSetting::<i32>::new(100_000);
static DEFAULT_ITERATIONS: GucSetting<i32> = GucSetting::<i32>::new(0);
static EXPIRY_WARNING: GucSetting<i32> = GucSetting::<i32>::new(7 * 24 * 60);
static FLEET_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(10);
static HANDSHAKE_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(60);
static MAX_ITERATIONS: GucSetting<i32> = GucSetting::<i32>::new(1_000_000);
static MIN_ITERATIONS: GucSetting<i32> = GucSetting::<i32>::new(POSTGRES_ITERATIONS);
static MAX_PASSWORD_AGE: GucSetting<i32> = GucSetting::<i32>::new(0);
static PASSWORD_HISTORY: GucSetting<i32> = GucSetting::<i32>::new(0);
static PASSWORD_LIFETIME: GucSetting<i32> = GucSetting::<i32>::new(0);
static SALT_LENGTH: GucSetting<i32> = GucSetting::<i32>::new(16);

struct Definition {
    name: &'static CStr,
    short: &'static CStr,
    long: &'static CStr,
    setting: &'static GucSetting<i32>,
    min: i32,
    max: i32,
    flags: GucFlags,
}

#[expect(clippy::cast_possible_truncation, reason = "1024")]
#[expect(clippy::cast_possible_wrap, reason = "1024")]
const DEFINITIONS: &[Definition] = &[
    Definition {
        name: c"scram.audit_budget",
        short: c"Sets the time that one scram.run_audit() may take.",
        long: c"A run that has spent it ends as partial; the next one goes on where it stopped.",
        setting: &AUDIT_BUDGET,
        min: 1,
        max: 24 * 60 * 60,
        flags: GucFlags::UNIT_S,
    },
    Definition {
        name: c"scram.audit_rows_listed",
        short: c"Sets how many rows of a source a critical check of the audit lists by name.",
        long: c"Further rows are counted. scram.audit_source_rows() lists all.",
        setting: &AUDIT_ROWS_LISTED,
        min: 0,
        max: 100_000,
        flags: GucFlags::empty(),
    },
    Definition {
        name: c"scram.builtin_words",
        short: c"Sets how many words of the built-in list the audit tries while scram.wordlist is empty.",
        long: c"The most common ones. scram.load_wordlist() copies the whole list.",
        setting: &BUILTIN_WORDS,
        min: 0,
        max: 10_000,
        flags: GucFlags::empty(),
    },
    Definition {
        name: c"scram.search_threads",
        short: c"Sets the number of threads that try candidate passwords.",
        long: c"The backend itself is one of them; the others end with the call.",
        setting: &SEARCH_THREADS,
        min: 1,
        max: 64,
        flags: GucFlags::empty(),
    },
    Definition {
        name: c"scram.client_max_iterations",
        short: c"Sets the iteration count above which common clients refuse to log in.",
        long: c"The audit reports stored verifiers with more.",
        setting: &CLIENT_MAX_ITERATIONS,
        min: 1,
        max: i32::MAX,
        flags: GucFlags::empty(),
    },
    Definition {
        name: c"scram.default_iterations",
        short: c"Sets the iteration count of new verifiers and of answers to unknown users.",
        long:
            c"0 means the server's own: scram_iterations, or 4096 where there is no such setting.",
        setting: &DEFAULT_ITERATIONS,
        min: 0,
        max: i32::MAX,
        flags: GucFlags::empty(),
    },
    Definition {
        name: c"scram.expiry_warning",
        short: c"Sets how long before a password expires the audit reports it.",
        long: c"",
        setting: &EXPIRY_WARNING,
        min: 0,
        max: i32::MAX,
        flags: GucFlags::UNIT_MIN,
    },
    Definition {
        name: c"scram.fleet_timeout",
        short: c"Sets how long scram.fleet_refresh() waits for one server.",
        long: c"From the beginning of its connection to the end of its answer.",
        setting: &FLEET_TIMEOUT,
        min: 1,
        max: 60 * 60,
        flags: GucFlags::UNIT_S,
    },
    Definition {
        name: c"scram.handshake_timeout",
        short: c"Sets how long the state of a handshake is accepted.",
        long: c"",
        setting: &HANDSHAKE_TIMEOUT,
        min: 1,
        max: 60 * 60,
        flags: GucFlags::UNIT_S,
    },
    Definition {
        name: c"scram.max_iterations",
        short:
            c"Sets the highest iteration count that keys are derived with or verifiers stored with.",
        long: c"It bounds how long one call can keep a processor busy.",
        setting: &MAX_ITERATIONS,
        min: 1,
        max: i32::MAX,
        flags: GucFlags::empty(),
    },
    Definition {
        name: c"scram.min_iterations",
        short: c"Sets the lowest iteration count of new verifiers.",
        long: c"The audit reports stored verifiers with fewer.",
        setting: &MIN_ITERATIONS,
        min: 1,
        max: i32::MAX,
        flags: GucFlags::empty(),
    },
    Definition {
        name: c"scram.max_password_age",
        short: c"Sets the age from which the audit reports an unchanged password.",
        long:
            c"It counts from the first stored audit that saw the password. 0 turns the check off.",
        setting: &MAX_PASSWORD_AGE,
        min: 0,
        max: i32::MAX,
        flags: GucFlags::UNIT_MIN,
    },
    Definition {
        name: c"scram.password_history",
        short: c"Sets how many of a role's last passwords may not come back.",
        long: c"0 turns it off. They are kept as verifiers, in a table that only its owner reads.",
        setting: &PASSWORD_HISTORY,
        min: 0,
        max: 100,
        flags: GucFlags::empty(),
    },
    Definition {
        name: c"scram.password_lifetime",
        short: c"Sets how long a new password of a role is valid where no VALID UNTIL is given.",
        long: c"0 leaves VALID UNTIL as it is.",
        setting: &PASSWORD_LIFETIME,
        min: 0,
        max: i32::MAX,
        flags: GucFlags::UNIT_MIN,
    },
    Definition {
        name: c"scram.salt_length",
        short: c"Sets the length in bytes of the salt of new verifiers.",
        long: c"",
        setting: &SALT_LENGTH,
        min: 1,
        max: MAX_SALT_LEN as i32,
        flags: GucFlags::empty(),
    },
];

/// Defines every setting and reserves their prefix, so that a misspelt one is an error.
pub(crate) fn define() {
    for Definition { name, short, long, setting, min, max, flags } in DEFINITIONS {
        GucRegistry::define_int_guc(
            name,
            short,
            long,
            setting,
            *min,
            *max,
            GucContext::Suset,
            *flags,
        );
    }
    GucRegistry::define_bool_guc(
        c"scram.authenticate_superusers",
        c"Sets whether scram.role_handshake_finish() and scram.verify_role() accept superusers.",
        c"It applies to roles with REPLICATION too. They are challenged in any case.",
        &AUTHENTICATE_SUPERUSERS,
        GucContext::Suset,
        GucFlags::empty(),
    );
    fleet::define();
    guard::define();
    // SAFETY: a NUL-terminated constant, after the last definition.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"scram".as_ptr()) };
}

/// `scram.authenticate_superusers`.
pub(crate) fn authenticate_superusers() -> bool {
    AUTHENTICATE_SUPERUSERS.get()
}

/// `scram.audit_rows_listed`: how many rows of a source a critical check lists by name.
pub(crate) fn audit_rows_listed() -> usize {
    usize::try_from(AUDIT_ROWS_LISTED.get()).unwrap_or(0)
}

/// `scram.search_threads`: how many threads try candidates, the backend's own among them.
pub(crate) fn search_threads() -> usize {
    usize::try_from(SEARCH_THREADS.get()).unwrap_or(1)
}

/// Lowest and highest count of new verifiers.
pub(crate) fn iteration_bounds() -> (i32, i32) {
    (MIN_ITERATIONS.get(), MAX_ITERATIONS.get())
}

/// `scram.max_iterations`: nothing derives keys with more.
pub(crate) fn max_iterations() -> u32 {
    positive(MAX_ITERATIONS.get()).get()
}

/// `scram.min_iterations`.
pub(crate) fn min_iterations() -> u32 {
    positive(MIN_ITERATIONS.get()).get()
}

/// `scram.expiry_warning` in minutes.
pub(crate) fn expiry_warning() -> i64 {
    EXPIRY_WARNING.get().into()
}

/// `scram.max_password_age` in minutes, 0 for off.
pub(crate) fn max_password_age() -> i64 {
    MAX_PASSWORD_AGE.get().into()
}

/// `scram.client_max_iterations`.
pub(crate) fn client_max_iterations() -> u32 {
    positive(CLIENT_MAX_ITERATIONS.get()).get()
}

/// The count that new verifiers have: `scram.default_iterations`, or that of ALTER ROLE in this session, raised to the
/// minimum, lowered to the maximum.
pub(crate) fn target_iterations() -> NonZeroU32 {
    target(session_iterations())
}

/// The count that answers to unknown users have. No role may change it for itself, because the answer would differ from
/// those to users that exist.
pub(crate) fn mock_iterations() -> NonZeroU32 {
    target(server_iterations())
}

fn target(postgres: i32) -> NonZeroU32 {
    let wanted = match DEFAULT_ITERATIONS.get() {
        0 => postgres,
        iterations => iterations,
    };
    let (min, max) = iteration_bounds();
    positive(wanted.max(min).min(max))
}

/// `password_encryption`: whether the server hashes a plain text with MD5.
pub(crate) fn stores_md5() -> bool {
    // SAFETY: reads a setting of the server on the backend's thread.
    let kind = unsafe { pg_sys::Password_encryption };
    u32::try_from(kind) == Ok(pg_sys::PasswordType::PASSWORD_TYPE_MD5)
}

/// `scram.password_history`: how many of a role's last passwords may not come back. `None`: the
/// history is off.
pub(crate) fn password_history() -> Option<usize> {
    usize::try_from(PASSWORD_HISTORY.get()).ok().filter(|last| *last > 0)
}

/// `scram.password_lifetime` in microseconds. `None`: VALID UNTIL is left alone.
pub(crate) fn password_lifetime() -> Option<i64> {
    let minutes = i64::from(PASSWORD_LIFETIME.get());
    (minutes > 0).then_some(minutes * 60_000_000)
}

/// `scram.salt_length` in bytes.
pub(crate) fn salt_length() -> usize {
    usize::try_from(SALT_LENGTH.get()).unwrap_or(1)
}

/// `scram.fleet_timeout`.
pub(crate) fn fleet_timeout() -> Duration {
    Duration::from_secs(u64::from(FLEET_TIMEOUT.get().unsigned_abs()))
}

/// `scram.handshake_timeout` in microseconds.
pub(crate) fn handshake_timeout() -> u64 {
    u64::from(HANDSHAKE_TIMEOUT.get().unsigned_abs()) * 1_000_000
}

/// A setting whose lower bound is 1.
fn positive(value: i32) -> NonZeroU32 {
    NonZeroU32::new(value.unsigned_abs()).unwrap_or(NonZeroU32::MIN)
}
