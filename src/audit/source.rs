//! Registered sources: relations with the stored passwords of an application.
//!
//! Each is read from storage, by OID and under its lock: no name is resolved a second time, and no
//! view, rule, policy, operator, cast or function of another role runs. See
//! docs/decisions/0007-sources-from-storage.md.

mod access;
mod column;
mod name;
mod relation;
mod scan;
mod slice;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use password_audit::{ClientKind, Origin, StoredSecret, Subject};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Error;
use crate::pg::name::PgName;
use crate::pg::query::query;
use crate::pg::record::Record;
use crate::pg::scram_secret;
use crate::pg::text::ServerText;

use column::{Columns, Value};
use relation::{Member, Relation};
pub(super) use scan::Snapshot;

pub(super) use slice::{Position, Slice};

/// How long a call waits for a relation's lock.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(3);

/// `$1` is the source's name. The registrant is known by OID; by name only where a restore found no
/// such role.
const SOURCE: &str = r"
SELECT s.relation::oid AS relation, s.client, s.expects = 'scram' AS expects_scram, s.subject_column::text AS subject_column,
       s.secret_column::text AS secret_column, s.subject_type, s.secret_type,
       coalesce(s.registrant_oid, (SELECT a.oid FROM pg_roles a WHERE a.rolname = s.registrant))
           AS registrant_oid,
       s.registrant::text AS registrant
FROM scram.audit_source s
WHERE s.name = $1";

/// `scram_internal.require_readable_source(relation oid, subject_column name, secret_column name, registrant name,
/// OUT subject_type oid, OUT secret_type oid)`
///
/// The types of the two columns, where the audit can read them for this registrant. Its lock ends
/// with the call.
///
/// Raises 42P01 or 42703 for what does not exist, 42809 for a relation and 42804 for a column that the
/// audit does not read, 42501 where the registrant may not read them, 55P03 for a locked relation.
///
/// Internal: the trigger on `scram.audit_source`.
#[pg_extern(sql = "
CREATE FUNCTION scram_internal.require_readable_source(
    relation oid,
    subject_column name,
    secret_column name,
    registrant name,
    OUT subject_type oid,
    OUT secret_type oid
) STABLE STRICT SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'require_readable_source_wrapper';
")]
pub(crate) fn require_readable_source(
    relation: pg_sys::Oid,
    subject_column: PgName,
    secret_column: PgName,
    registrant: PgName,
) -> Result<Record<2>, ErrorReport> {
    let registrant = Registrant::named(registrant.text());
    let until = Instant::now() + LOCK_WAIT;
    let relation = Relation::open(relation, until)?.for_this_call();
    relation.require_kind()?;
    let columns = Columns::find(&relation, subject_column.text(), secret_column.text())?;
    access::require(&relation, &columns, &registrant)?;
    relation.require_readable_partitions()?;
    let [subject, secret] = columns.types();
    Ok(Record([subject.into_datum(), secret.into_datum()]))
}

/// The role that registered a source.
struct Registrant {
    /// `None` where there is no such role.
    oid: Option<pg_sys::Oid>,
    name: ServerText,
}

impl Registrant {
    fn named(name: &ServerText) -> Self {
        let role = crate::pg::catalog_role::CatalogRole::lookup(name.as_bytes());
        Self { oid: role.map(|role| role.oid), name: ServerText::from_bytes(name.as_bytes()) }
    }
}

/// A registered source.
pub(super) struct Source {
    name: Arc<str>,
    relation: pg_sys::Oid,
    subject_column: ServerText,
    secret_column: ServerText,
    /// The types that the columns had when they were registered; `None` where a restore did not find
    /// them.
    types: [Option<pg_sys::Oid>; 2],
    registrant: Registrant,
    client: Option<ClientKind>,
    expects_scram: bool,
}

impl Source {
    /// Reads the registration. Raises 42P01 where there is none.
    pub(super) fn find(source: &ServerText) -> Result<Self, ErrorReport> {
        let argument = ServerText::from_bytes(source.as_bytes());
        let name: Arc<str> = source.to_display().into();
        let found = query(SOURCE, &[argument.into()], |row| {
            let client = row.optional_text("client")?;
            Ok(Self {
                name: Arc::clone(&name),
                relation: row.value("relation")?,
                client: client.and_then(|client| ClientKind::from_name(&client)),
                expects_scram: row.value("expects_scram")?,
                subject_column: row.value("subject_column")?,
                secret_column: row.value("secret_column")?,
                types: [row.optional("subject_type")?, row.optional("secret_type")?],
                registrant: Registrant {
                    oid: row.optional("registrant_oid")?,
                    name: row.value("registrant")?,
                },
            })
        })?;
        Ok(found.into_iter().next().ok_or(Error::SourceGone)?)
    }

    /// Opens the relation and all that inherits from it, under locks that stay until the transaction ends.
    ///
    /// Everything that was asked at registration is asked again. Waits for locks no longer than this, and than
    /// [`LOCK_WAIT`].
    pub(super) fn open(self, lock_wait: Duration) -> Result<OpenSource, ErrorReport> {
        let until = Instant::now() + lock_wait.min(LOCK_WAIT);
        let root = Relation::open(self.relation, until)?;
        root.require_kind()?;
        let columns = Columns::find(&root, &self.subject_column, &self.secret_column)?;
        columns.require_types(&root, self.types)?;
        access::require(&root, &columns, &self.registrant)?;
        let members = root.members(until)?;
        for member in &members {
            member.require_populated()?;
        }
        Ok(OpenSource { source: self, columns, members })
    }

    fn subject(&self, name: Value, secret: Value) -> Subject {
        let (name, name_bytes) = name::shown(name);
        let secret = match secret {
            Value::Null => None,
            Value::Text(text) => Some(scram_secret::stored_secret(&text)),
            Value::TooLong { bytes } => Some(StoredSecret::unread(bytes)),
        };
        let (name_of_source, client) = (Arc::clone(&self.name), self.client);
        let expects_scram = self.expects_scram;
        let origin = Origin::Registered { name: name_of_source, client, expects_scram };
        Subject { name, name_bytes, origin, secret }
    }
}

/// A registered source under its locks.
pub(super) struct OpenSource {
    source: Source,
    /// Of the relation itself; a child may have other numbers for them.
    columns: Columns,
    /// By OID.
    members: Vec<Member>,
}

impl OpenSource {
    /// What the registration says about its rows, for a fingerprint.
    pub(super) fn settings(&self) -> String {
        format!("{:?}", (self.source.client, self.source.expects_scram))
    }

    /// Names of partitions that are foreign tables: these are not read.
    pub(super) fn unread(&self) -> impl Iterator<Item = &ServerText> {
        self.members.iter().filter_map(|member| match member {
            Member::Foreign { name, .. } => Some(name),
            Member::Table(_) => None,
        })
    }

    /// Hands every row to `take`, a batch at a time; the memory that `take` allocates from PostgreSQL is freed
    /// after each batch.
    pub(super) fn read_all(
        &self,
        snapshot: &Snapshot,
        mut take: impl FnMut(Subject),
    ) -> Result<(), ErrorReport> {
        for member in &self.members {
            let Member::Table(table) = member else { continue };
            let columns = self.columns.in_child(table)?;
            scan::rows(table, &columns, snapshot, None, |_, name, secret| {
                take(self.source.subject(name, secret));
                ControlFlow::Continue(())
            });
        }
        Ok(())
    }
}
