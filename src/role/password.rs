//! Section "Roles": set, rotate and check passwords of the cluster's roles, without writing one
//! anywhere.

use core::num::NonZeroU32;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::random_password::{self, MAX_LEN, MIN_LEN};
use scram_core::verifier::KeepPolicy;
use scram_core::{Mechanism, Password, Verifier};

use crate::error::Error;
use crate::guc;
use crate::history;
use crate::pg::catalog_role::CatalogRole;
use crate::pg::name::PgName;
use crate::pg::record::Record;
use crate::pg::security_context::SwitchedUser;
use crate::pg::statement_hiding::with_hidden_statement;
use crate::pg::text::ServerText;
use crate::pg::{caller, check_log, clock, interrupt, random, verifier_text};

use super::alter::{Alteration, lock};
use super::permission::AlteredPart;
use super::{check, lifetime};

/// `scram.verify_role(role name, password text) returns boolean`
///
/// Whether the server's own check of this password would succeed now: SCRAM or md5, LOGIN, VALID
/// UNTIL. A role that is unknown, or has no such secret, costs what a role with the target's count
/// does, and so does a superuser or replication role without `scram.authenticate_superusers`, which is
/// false. Logged.
///
/// SECURITY DEFINER like all that reads pg_authid: that is why PUBLIC may not call it.
#[pg_extern(sql = "
CREATE FUNCTION scram.verify_role(role name, password text) RETURNS boolean
VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
COST 100000
LANGUAGE c AS 'MODULE_PATHNAME', 'verify_role_wrapper';
")]
fn verify_role(role: Option<PgName>, password: Option<ServerText>) -> Result<bool, ErrorReport> {
    with_hidden_statement(|| {
        let (Some(name), Some(password)) = (role, password) else { return Ok(false) };
        let role = CatalogRole::lookup(name.text().as_bytes());
        let oid = role.as_ref().map(|role| role.oid);
        let role = role.filter(CatalogRole::may_be_authenticated);
        let matches = check::is_password_of(role.as_ref(), name.text(), &password)?;
        let is_open = role.is_some_and(|role| {
            role.can_login & role.valid_until.is_none_or(|until| until >= clock::now())
        });
        check_log::log("verify_role", oid, name.text(), matches & is_open);
        Ok(matches & is_open)
    })
}

/// `scram.set_role_password(role name, password text, iterations integer DEFAULT NULL,
/// valid_until timestamptz DEFAULT NULL, OUT action text, OUT verifier_changed boolean)`
///
/// Gives the role this password, unless it has it already in a verifier that fits: then nothing is
/// touched. With a count given only that count fits.
///
/// Raises 42501 where ALTER ROLE does, before the stored secret is looked at; 42704 for an unknown
/// role; 22023 for an empty password, a stored hash in place of one, a count out of range, a password of
/// the history.
#[pg_extern(sql = "
CREATE FUNCTION scram.set_role_password(
    role name,
    password text,
    iterations integer DEFAULT NULL,
    valid_until timestamptz DEFAULT NULL,
    OUT action text,
    OUT verifier_changed boolean
) VOLATILE SET search_path = pg_catalog, pg_temp
COST 100000
LANGUAGE c AS 'MODULE_PATHNAME', 'set_role_password_wrapper';
")]
fn set_role_password(
    role: Option<PgName>,
    password: Option<ServerText>,
    iterations: Option<i32>,
    valid_until: Option<TimestampWithTimeZone>,
) -> Result<Record<2>, ErrorReport> {
    with_hidden_statement(|| {
        let name = role.ok_or(Error::Null { argument: "role" })?;
        let password = password.ok_or(Error::Null { argument: "password" })?;
        let change = PasswordChange::new(&password, iterations, valid_until)?;
        let role = lock(name.text(), change.altered_part())?;
        change.apply("set_role_password", name.text(), &role)
    })
}

/// `scram.set_role_verifier(role name, verifier text, valid_until timestamptz DEFAULT NULL,
/// OUT action text, OUT verifier_changed boolean)`
///
/// Gives the role this very verifier, and makes sure that it is what the server has stored.
///
/// Raises as `set_role_password` does; 22P02 for what is no verifier in its strict form, 22023 for one
/// of another mechanism than SCRAM-SHA-256, one of the empty password and counts out of range.
#[pg_extern(sql = "
CREATE FUNCTION scram.set_role_verifier(
    role name,
    verifier text,
    valid_until timestamptz DEFAULT NULL,
    OUT action text,
    OUT verifier_changed boolean
) VOLATILE SET search_path = pg_catalog, pg_temp
COST 100000
LANGUAGE c AS 'MODULE_PATHNAME', 'set_role_verifier_wrapper';
")]
fn set_role_verifier(
    role: Option<PgName>,
    verifier: Option<ServerText>,
    valid_until: Option<TimestampWithTimeZone>,
) -> Result<Record<2>, ErrorReport> {
    with_hidden_statement(|| {
        let name = role.ok_or(Error::Null { argument: "role" })?;
        let text = verifier.ok_or(Error::Null { argument: "verifier" })?;
        let verifier = storable(&text)?;
        let valid_until = valid_until.map(TimestampWithTimeZone::into_inner);
        let role = lock(name.text(), altered_part(valid_until))?;
        let is_stored = role.secret.as_ref().is_some_and(|s| s.as_bytes() == text.as_bytes());
        // The caller may have derived it from a guess, as salt and count are no secrets.
        check_log::log("set_role_verifier", Some(role.oid), name.text(), is_stored);
        let verifier = (!is_stored).then(|| verifier.to_string());
        let new = verifier.as_deref().map(|text| New { text, is_same_password: false });
        store(name.text(), &role, new, valid_until)
    })
}

/// `scram.rotate_role(role name, length integer DEFAULT 24, iterations integer DEFAULT NULL,
/// valid_until timestamptz DEFAULT NULL) returns text`
///
/// Gives the role a new random password and returns it, this once. Raises as `set_role_password` does.
#[pg_extern(sql = "
CREATE FUNCTION scram.rotate_role(
    role name,
    length integer DEFAULT 24,
    iterations integer DEFAULT NULL,
    valid_until timestamptz DEFAULT NULL
) RETURNS text
VOLATILE SET search_path = pg_catalog, pg_temp
COST 100000
LANGUAGE c AS 'MODULE_PATHNAME', 'rotate_role_wrapper';
")]
fn rotate_role(
    role: Option<PgName>,
    length: Option<i32>,
    iterations: Option<i32>,
    valid_until: Option<TimestampWithTimeZone>,
) -> Result<ServerText, ErrorReport> {
    with_hidden_statement(|| {
        let name = role.ok_or(Error::Null { argument: "role" })?;
        let iterations = wanted_iterations(iterations)?;
        let password = random_password(length)?;
        let valid_until = valid_until.map(TimestampWithTimeZone::into_inner);
        let role = lock(name.text(), altered_part(valid_until))?;
        set_new(
            name.text(),
            &role,
            &password,
            iterations,
            Alteration { valid_until, ..Alteration::default() },
        )?;
        Ok(password)
    })
}

/// `scram.change_own_password(old_password text, new_password text, OUT action text, OUT
/// verifier_changed boolean)`
///
/// Changes the password of the session's user, as that user, also under SET ROLE. A wrong old
/// password raises 28P01 and is logged.
#[pg_extern(sql = "
CREATE FUNCTION scram.change_own_password(
    old_password text,
    new_password text,
    OUT action text,
    OUT verifier_changed boolean
) VOLATILE SET search_path = pg_catalog, pg_temp
COST 100000
LANGUAGE c AS 'MODULE_PATHNAME', 'change_own_password_wrapper';
")]
fn change_own_password(
    old_password: Option<ServerText>,
    new_password: Option<ServerText>,
) -> Result<Record<2>, ErrorReport> {
    with_hidden_statement(|| {
        let old = old_password.ok_or(Error::Null { argument: "old_password" })?;
        let new = new_password.ok_or(Error::Null { argument: "new_password" })?;
        let change = PasswordChange::new(&new, None, None)?;
        // The session's user has not asked for a change that another role's function makes.
        if !caller::asked_for_it() {
            return Err(Error::Restricted { function: "scram.change_own_password" }.into());
        }
        // SAFETY: reads the state of the backend; the session's user exists, or this is an error of the server's.
        let (user, name) = unsafe {
            let user = pg_sys::GetSessionUserId();
            let name = core::ffi::CStr::from_ptr(pg_sys::GetUserNameFromId(user, false));
            (user, ServerText::from_bytes(name.to_bytes()))
        };
        let _self = SwitchedUser::new(user);
        let role = lock(&name, AlteredPart::Password)?;
        let matches = check::is_password_of(Some(&role), &name, &old)?;
        check_log::log("change_own_password", Some(role.oid), &name, matches);
        if !matches {
            return Err(Error::OldPassword.into());
        }
        change.apply_unlogged(&name, &role)
    })
}

/// A password that a role is to have.
struct PasswordChange {
    password: Password,
    keep_policy: KeepPolicy,
    valid_until: Option<i64>,
}

impl PasswordChange {
    /// Refuses what no role may get, before any role is looked at.
    fn new(
        password: &ServerText,
        iterations: Option<i32>,
        valid_until: Option<TimestampWithTimeZone>,
    ) -> Result<Self, Error> {
        check::require_plain_text(password)?;
        let password = password.password()?;
        if password.is_empty() {
            return Err(Error::EmptyPassword);
        }
        let keep_policy = KeepPolicy {
            iterations: wanted_iterations(iterations)?,
            is_exact: iterations.is_some(),
            max_iterations: guc::max_iterations(),
            salt_len: guc::salt_length(),
        };
        let valid_until = valid_until.map(TimestampWithTimeZone::into_inner);
        Ok(Self { password, keep_policy, valid_until })
    }

    fn altered_part(&self) -> AlteredPart {
        altered_part(self.valid_until)
    }

    fn apply(
        &self,
        function: &str,
        name: &ServerText,
        role: &CatalogRole,
    ) -> Result<Record<2>, ErrorReport> {
        let is_current = role.has_password(&self.password);
        check_log::log(function, Some(role.oid), name, is_current);
        self.store(name, role, is_current)
    }

    /// Does the work of [`apply`](Self::apply) for a caller who has proved to know the password.
    fn apply_unlogged(
        &self,
        name: &ServerText,
        role: &CatalogRole,
    ) -> Result<Record<2>, ErrorReport> {
        self.store(name, role, role.has_password(&self.password))
    }

    fn store(
        &self,
        name: &ServerText,
        role: &CatalogRole,
        is_current: bool,
    ) -> Result<Record<2>, ErrorReport> {
        let fits = is_current
            && role.secret.as_ref().and_then(strict).is_some_and(|v| self.keep_policy.accepts(&v));
        if fits {
            return store(name, role, None, self.valid_until);
        }
        history::refuse(name, role, &self.password, is_current)?;
        let verifier =
            check::new_verifier(&self.password, self.keep_policy.iterations)?.to_string();
        let new = New { text: &verifier, is_same_password: is_current };
        store(name, role, Some(new), self.valid_until)
    }
}

/// A verifier that a role is to have.
struct New<'a> {
    text: &'a str,
    /// It is of the password that the role has.
    is_same_password: bool,
}

/// Changes what there is to change of a role that is locked, and says what that was.
fn store(
    name: &ServerText,
    role: &CatalogRole,
    new: Option<New<'_>>,
    valid_until: Option<i64>,
) -> Result<Record<2>, ErrorReport> {
    let valid_until = valid_until.filter(|until| role.valid_until != Some(*until));
    let verifier_changed = new.is_some();
    let is_touched = verifier_changed || valid_until.is_some();
    if is_touched {
        let alteration = Alteration { valid_until, ..Alteration::default() };
        apply(name, role, new, alteration)?;
    }
    let action = if is_touched { "set" } else { "unchanged" };
    Ok(Record([action.into_datum(), verifier_changed.into_datum()]))
}

/// Gives a role that is locked a password that it never had.
pub(crate) fn set_new(
    name: &ServerText,
    role: &CatalogRole,
    password: &ServerText,
    iterations: NonZeroU32,
    alteration: Alteration<'_>,
) -> Result<(), ErrorReport> {
    let verifier = check::new_verifier(&password.password()?, iterations)?.to_string();
    apply(name, role, Some(New { text: &verifier, is_same_password: false }), alteration)
}

/// Changes the role, and raises an error unless the server has stored the verifier as given.
fn apply(
    name: &ServerText,
    role: &CatalogRole,
    new: Option<New<'_>>,
    alteration: Alteration<'_>,
) -> Result<(), ErrorReport> {
    let verifier = new.as_ref().map(|new| new.text);
    let is_new_password = new.as_ref().is_some_and(|new| !new.is_same_password);
    let valid_until = match alteration.valid_until {
        None if is_new_password => lifetime::end(name, role),
        given => given,
    };
    let now = Alteration { verifier, valid_until, ..alteration }.apply(name, role)?;
    let Some(New { text, is_same_password }) = new else { return Ok(()) };
    if now.secret.is_none_or(|stored| stored.as_bytes() != text.as_bytes()) {
        return Err(Error::NotStored { role: name.in_message() }.into());
    }
    history::record(name, role, text, is_same_password)
}

/// A random password of this many characters; 24 for NULL.
pub(crate) fn random_password(length: Option<i32>) -> Result<ServerText, Error> {
    let length =
        length.map_or(Some(random_password::DEFAULT_LEN), |length| usize::try_from(length).ok());
    let length = length.filter(|length| (MIN_LEN..=MAX_LEN).contains(length));
    let length = length.ok_or(Error::PasswordOutOfRange { min: MIN_LEN, max: MAX_LEN })?;
    let password = random_password::generate(length, random::fill)?;
    Ok(ServerText::from_bytes(password.as_bytes()))
}

/// The count that is asked for, within bounds, or the target.
pub(crate) fn wanted_iterations(iterations: Option<i32>) -> Result<NonZeroU32, Error> {
    iterations.map_or_else(|| Ok(guc::target_iterations()), verifier_text::bounded_iterations)
}

/// A verifier that a role may get: the server stores it unchanged, and its password lets a client
/// in.
fn storable(text: &ServerText) -> Result<Verifier, Error> {
    let verifier = verifier_text::parse_bounded(text)?;
    let mechanism = verifier.mechanism();
    if mechanism != Mechanism::ScramSha256 {
        return Err(Error::Unstorable { mechanism: mechanism.name() });
    }
    verifier_text::bounded_iterations(verifier.iterations().get().cast_signed())?;
    // The server would clear the password and say so in a NOTICE.
    if verifier.verify(&Password::prepare(b""), interrupt::check) {
        return Err(Error::EmptyPassword);
    }
    Ok(verifier)
}

fn strict(secret: &ServerText) -> Option<Verifier> {
    secret.as_ascii().parse::<Verifier>().ok().filter(|v| v.mechanism() == Mechanism::ScramSha256)
}

fn altered_part(valid_until: Option<i64>) -> AlteredPart {
    if valid_until.is_some() { AlteredPart::Attributes } else { AlteredPart::Password }
}
