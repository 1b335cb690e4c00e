//! Section "Roles": two roles that take turns, so that a password changes while all clients stay
//! logged in.
//!
//! Each call is one step in one transaction, so after a crash the caller repeats it. The table
//! holds the names of the roles and whose turn it is, never a secret.

use pgrx::datum::{DatumWithOid, Interval};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::alter::{Alteration, lock, require_writable};
use super::password::{random_password, set_new, wanted_iterations};
use super::permission::{AlteredPart, require};
use crate::error::Error;
use crate::pg::catalog_role::CatalogRole;
use crate::pg::clock;
use crate::pg::name::PgName;
use crate::pg::record::Record;
use crate::pg::security_context::{TableName, as_owner};
use crate::pg::statement_hiding::with_hidden_statement;
use crate::pg::text::ServerText;

const TABLE: TableName = (c"scram", c"rotation");

/// Pids that a NOTICE lists.
const LISTED_SESSIONS: usize = 20;

const READ: &str = "
SELECT r.role_a::text AS role_a, r.role_b::text AS role_b, r.active_is_a, r.pending, r.member_of::text AS member_of
FROM scram.rotation r WHERE r.name = $1";

const CREATE: &str = "
INSERT INTO scram.rotation (name, member_of, role_a, role_b)
VALUES ($1, $2::name, $3::name, $4::name)
ON CONFLICT DO NOTHING
RETURNING true";

const TAKEN: &str = "
SELECT x::text AS name FROM scram.rotation r, unnest(ARRAY[r.role_a, r.role_b]) x
WHERE x IN ($1::name, $2::name) ORDER BY x";

const STARTED: &str = "
UPDATE scram.rotation SET pending = true, changed_at = clock_timestamp() WHERE name = $1";

const FINISHED: &str = "
UPDATE scram.rotation SET pending = false, active_is_a = NOT active_is_a, changed_at = clock_timestamp()
WHERE name = $1";

const DROP: &str = "DELETE FROM scram.rotation WHERE name = $1 RETURNING true";

/// The sessions of this role, but for those that are idle for longer than this. Parallel workers are left out, because they end
/// with their leader. Where a session is in a transaction, its state is another one than `idle`.
const SESSIONS: &str = "
SELECT a.pid FROM pg_stat_activity a
WHERE a.usesysid = $1 AND a.leader_pid IS NULL
    AND (a.state = 'idle' AND clock_timestamp() - a.state_change > $2) IS NOT TRUE
ORDER BY a.pid";

/// `scram.create_rotation(name text, member_of name, role_a name, role_b name) returns void`
///
/// Two members of `member_of` take turns; `role_b` is idle first. Changes no role.
///
/// Raises 42704 for an unknown role, 42501 unless the caller may alter both, 22023 where they are one
/// or no members or the name is empty, 42710 where the rotation exists or a role is in another one.
#[pg_extern(sql = "
CREATE FUNCTION scram.create_rotation(name text, member_of name, role_a name, role_b name) RETURNS void
VOLATILE SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'create_rotation_wrapper';
")]
fn create_rotation(
    name: Option<ServerText>,
    member_of: Option<PgName>,
    role_a: Option<PgName>,
    role_b: Option<PgName>,
) -> Result<(), ErrorReport> {
    with_hidden_statement(|| {
        let name = given(name)?;
        if name.len() == 0 {
            return Err(Error::RotationNameless.into());
        }
        let member_of = member_of.ok_or(Error::Null { argument: "member_of" })?;
        let role_a = role_a.ok_or(Error::Null { argument: "role_a" })?;
        let role_b = role_b.ok_or(Error::Null { argument: "role_b" })?;
        require_writable();
        let group = find(member_of.text())?;
        let members = [role_a.text(), role_b.text()];
        let roles = [find(members[0])?, find(members[1])?];
        for (member, role) in members.into_iter().zip(&roles) {
            require(member, role, AlteredPart::Attributes)?;
        }
        for (member, role) in members.into_iter().zip(&roles) {
            require_member(member, role, member_of.text(), &group)?;
        }
        if role_a.text().as_bytes() == role_b.text().as_bytes() {
            return Err(Error::RotationAlike.into());
        }
        // Another call that is not committed yet may give one of them to another rotation. Each call locks in one order,
        // so that none waits for another one that waits for it.
        let mut in_order = [(roles[0].oid, members[0]), (roles[1].oid, members[1])];
        in_order.sort_by_key(|(oid, _)| oid.to_u32());
        for (_, member) in in_order {
            lock(member, AlteredPart::Attributes)?;
        }
        let [a, b] = members.map(argument);
        let taken = as_owner(TABLE, TAKEN, &[a, b], |row| row.value::<ServerText>("name"))?;
        if load_rotation(&name, false)?.is_none()
            && let Some(role) = taken.first()
        {
            return Err(Error::RotationTaken { role: role.in_message() }.into());
        }
        let [a, b] = members.map(argument);
        let row = [argument(&name), argument(member_of.text()), a, b];
        if as_owner(TABLE, CREATE, &row, |_| Ok(()))?.is_empty() {
            return Err(Error::RotationExists { name: name.in_message() }.into());
        }
        Ok(())
    })
}

/// `scram.rotate(name text, OUT role name, OUT password text)`
///
/// Gives the idle role LOGIN and a new random password, which is returned this once. Called again
/// before `finish_rotation`: the same role gets another one, never the active one.
///
/// Raises 55000, and changes nothing, where the role could not log in all the same: it has expired;
/// 22023 where one of the two roles is no member of `member_of` any more.
#[pg_extern(sql = "
CREATE FUNCTION scram.rotate(name text, OUT role name, OUT password text)
VOLATILE SET search_path = pg_catalog, pg_temp
COST 100000
LANGUAGE c AS 'MODULE_PATHNAME', 'rotate_wrapper';
")]
fn rotate(name: Option<ServerText>) -> Result<Record<2>, ErrorReport> {
    with_hidden_statement(|| {
        let name = given(name)?;
        require_writable();
        let rotation = lock_rotation(&name)?;
        let idle = rotation.idle();
        let role = lock(idle, AlteredPart::Attributes)?;
        let password = random_password(None)?;
        let alteration = Alteration { can_login: Some(true), ..Alteration::default() };
        set_new(idle, &role, &password, wanted_iterations(None)?, alteration)?;
        require_ready(idle)?;
        as_owner(TABLE, STARTED, &[argument(&name)], |_| Ok(()))?;
        Ok(Record([name_datum(idle), password.into_datum()]))
    })
}

/// `scram.finish_rotation(name text, ignore_idle interval, OUT retired name, OUT sessions_left integer)`
///
/// Takes LOGIN from the old role once it has no session; until then the function lists the
/// sessions. Sessions that are in no transaction and idle for longer than `ignore_idle` do not
/// count, because poolers keep them. Without a pending rotation it returns NULL and 0.
///
/// Raises 55000 if the new role can no longer log in, and 22023 if one of the two roles is no
/// longer a member of `member_of` or `ignore_idle` is negative.
#[pg_extern(sql = "
CREATE FUNCTION scram.finish_rotation(
    name text, ignore_idle interval DEFAULT NULL, OUT retired name, OUT sessions_left integer)
VOLATILE SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'finish_rotation_wrapper';
")]
fn finish_rotation(
    name: Option<ServerText>,
    ignore_idle: Option<Interval>,
) -> Result<Record<2>, ErrorReport> {
    with_hidden_statement(|| {
        let name = given(name)?;
        if ignore_idle.is_some_and(|time| time.as_micros() < 0) {
            return Err(Error::NegativeIdleTime.into());
        }
        require_writable();
        let rotation = lock_rotation(&name)?;
        if !rotation.pending {
            return Ok(Record([None, 0_i32.into_datum()]));
        }
        // Another session may have changed the new role; then only the old one works.
        require_ready(rotation.idle())?;
        let old = rotation.active();
        let role = lock(old, AlteredPart::Attributes)?;
        let arguments = [DatumWithOid::from(role.oid), ignore_idle.into()];
        // Within one transaction pg_stat_activity keeps its first result.
        // SAFETY: on the backend's thread; discards the backend's own copy.
        unsafe { pg_sys::pgstat_clear_snapshot() };
        let sessions = as_owner(TABLE, SESSIONS, &arguments, |row| row.optional::<i32>("pid"))?;
        if !sessions.is_empty() {
            notice(&name, old, &sessions);
            let count = i32::try_from(sessions.len()).unwrap_or(i32::MAX);
            return Ok(Record([None, count.into_datum()]));
        }
        Alteration { can_login: Some(false), ..Alteration::default() }.apply(old, &role)?;
        as_owner(TABLE, FINISHED, &[argument(&name)], |_| Ok(()))?;
        Ok(Record([name_datum(old), 0_i32.into_datum()]))
    })
}

/// `scram.drop_rotation(name text) returns void`
///
/// Forgets the pair. Changes no role.
#[pg_extern(sql = "
CREATE FUNCTION scram.drop_rotation(name text) RETURNS void
VOLATILE SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'drop_rotation_wrapper';
")]
fn drop_rotation(name: Option<ServerText>) -> Result<(), ErrorReport> {
    with_hidden_statement(|| {
        let name = given(name)?;
        require_writable();
        let rotation = load_rotation(&name, false)?.ok_or_else(|| unknown(&name))?;
        // A role that is gone must not keep its pair.
        for member in [&rotation.role_a, &rotation.role_b] {
            if let Some(role) = CatalogRole::lookup(member.as_bytes()) {
                require(member, &role, AlteredPart::Attributes)?;
            }
        }
        if as_owner(TABLE, DROP, &[argument(&name)], |_| Ok(()))?.is_empty() {
            return Err(unknown(&name).into());
        }
        Ok(())
    })
}

/// The longest name of a rotation, in bytes.
const MAX_NAME_LEN: usize = 1024;

/// The name of a rotation.
fn given(name: Option<ServerText>) -> Result<ServerText, Error> {
    let name = name.ok_or(Error::Null { argument: "name" })?;
    name.require_length("name of the rotation", MAX_NAME_LEN)?;
    Ok(name)
}

/// A row of the table.
struct Rotation {
    role_a: ServerText,
    role_b: ServerText,
    active_is_a: bool,
    /// The idle role has got its password, the active one still has LOGIN.
    pending: bool,
    member_of: ServerText,
}

impl Rotation {
    fn active(&self) -> &ServerText {
        if self.active_is_a { &self.role_a } else { &self.role_b }
    }

    fn idle(&self) -> &ServerText {
        if self.active_is_a { &self.role_b } else { &self.role_a }
    }
}

/// The rotation, for a caller who may alter both roles; a second caller waits for the first one's
/// transaction. Membership can change at any time, so it is checked again under the lock.
fn lock_rotation(name: &ServerText) -> Result<Rotation, ErrorReport> {
    let mut seen = load_rotation(name, false)?.ok_or_else(|| unknown(name))?;
    loop {
        for member in [&seen.role_a, &seen.role_b] {
            require(member, &find(member)?, AlteredPart::Attributes)?;
        }
        let locked = load_rotation(name, true)?.ok_or_else(|| unknown(name))?;
        // Another session may have dropped the rotation and created it with other roles meanwhile.
        let is_same = locked.role_a.as_bytes() == seen.role_a.as_bytes()
            && locked.role_b.as_bytes() == seen.role_b.as_bytes();
        if is_same {
            let group = find(&locked.member_of)?;
            for member in [&locked.role_a, &locked.role_b] {
                require_member(member, &find(member)?, &locked.member_of, &group)?;
            }
            return Ok(locked);
        }
        seen = locked;
    }
}

/// Raises 22023 unless the role is a member of the group: otherwise it does not have the rights that
/// the application needs.
fn require_member(
    name: &ServerText,
    role: &CatalogRole,
    of: &ServerText,
    group: &CatalogRole,
) -> Result<(), Error> {
    // SAFETY: reads the catalogs. A superuser is not taken for a member of every role here.
    let is_member = unsafe { pg_sys::is_member_of_role_nosuper(role.oid, group.oid) };
    if is_member && role.oid != group.oid {
        return Ok(());
    }
    Err(Error::RotationMember { role: name.in_message(), of: of.in_message() })
}

fn load_rotation(name: &ServerText, for_update: bool) -> Result<Option<Rotation>, ErrorReport> {
    let query = if for_update { format!("{READ} FOR UPDATE") } else { READ.to_owned() };
    let mut rows = as_owner(TABLE, &query, &[argument(name)], |row| {
        Ok(Rotation {
            role_a: row.value("role_a")?,
            role_b: row.value("role_b")?,
            active_is_a: row.value("active_is_a")?,
            pending: row.value("pending")?,
            member_of: row.value("member_of")?,
        })
    })?;
    Ok(rows.pop())
}

/// Raises 55000 unless a client that knows the role's password can log in.
fn require_ready(name: &ServerText) -> Result<(), Error> {
    let role = find(name)?;
    let is_valid = role.valid_until.is_none_or(|until| until >= clock::now());
    if role.can_login && role.secret.is_some() && is_valid {
        return Ok(());
    }
    Err(Error::RotationUnready { role: name.in_message() })
}

fn find(name: &ServerText) -> Result<CatalogRole, Error> {
    CatalogRole::lookup(name.as_bytes())
        .ok_or_else(|| Error::UnknownRole { role: name.in_message() })
}

fn unknown(name: &ServerText) -> Error {
    Error::UnknownRotation { name: name.in_message() }
}

fn notice(name: &ServerText, role: &ServerText, sessions: &[Option<i32>]) {
    let pids = sessions
        .iter()
        .flatten()
        .take(LISTED_SESSIONS)
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    let more = sessions.len().saturating_sub(LISTED_SESSIONS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!(
        "rotation \"{}\": role \"{}\" still has {} open session(s), pid {}{more}",
        name.in_message(),
        role.in_message(),
        sessions.len(),
        pids.join(", ")
    );
    ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message, "")
        .set_hint("Call scram.finish_rotation() again when they have ended.")
        .report(PgLogLevel::NOTICE);
}

fn argument(text: &ServerText) -> DatumWithOid<'static> {
    let copy = ServerText::from_bytes(text.as_bytes()).into_datum();
    // SAFETY: a text datum in the current memory context, which outlives the call.
    unsafe { DatumWithOid::new(copy, pg_sys::TEXTOID) }
}

fn name_datum(name: &ServerText) -> Option<pg_sys::Datum> {
    // SAFETY: NAMEDATALEN bytes with a NUL at the end: a name, which has at most 63.
    unsafe {
        let buffer = pg_sys::palloc0(pg_sys::NAMEDATALEN as usize).cast::<u8>();
        let len = name.as_bytes().len().min(pg_sys::NAMEDATALEN as usize - 1);
        core::ptr::copy_nonoverlapping(name.as_bytes().as_ptr(), buffer, len);
        Some(pg_sys::Datum::from(buffer))
    }
}
