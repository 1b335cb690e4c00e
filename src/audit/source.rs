//! Reads registered sources: relations of other people, views and whatever stands behind them.
//!
//! Their code must not run with the auditor's rights, which are a superuser's. So the query runs as
//! the relation's owner, in a security-restricted operation, as ANALYZE or REFRESH do it: there a
//! function can't change the role, make anything that outlives the query, or leave a setting behind.

use core::ffi::{CStr, c_int};
use core::hash::{Hash as _, Hasher as _};
use core::mem::ManuallyDrop;
use std::ffi::CString;
use std::hash::DefaultHasher;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport, ErrorReportable as _};
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use scram_core::audit::{Origin, Secret, Subject, System};
use scram_core::identify::Kind;
use zeroize::Zeroizing;

use crate::acting::Acting;
use crate::error::Error;
use crate::served;
use crate::spi::{ServerText, internal, rows};
use crate::text::Text;

/// Rows that are read, judged and forgotten at a time.
const BATCH: i64 = 1000;

/// What stands for a name that is NULL.
const NO_NAME: &str = "NULL";

/// `$1` is the source's name. No row where it isn't registered or its relation is gone; raises where
/// the columns aren't what they were.
const SOURCE: &str = r"
SELECT c.oid, s.client,
       format('SELECT coalesce(%1$I::pg_catalog.text, %3$L), %2$I::pg_catalog.text FROM ',
              s.subject_column, s.secret_column, 'NULL'),
       format(' WHERE coalesce(%1$I::pg_catalog.text, %2$L) OPERATOR(pg_catalog.=) ANY ($1)',
              s.subject_column, 'NULL')
FROM scram.audit_source s
JOIN pg_class c ON c.oid = s.relation
WHERE s.name = $1 AND scram.audit_source_fits(s.relation, s.subject_column, s.secret_column)";

/// A registered source.
pub(super) struct Source {
    relation: pg_sys::Oid,
    /// In the server's encoding, as a name may be of any; up to where the relation's belongs.
    query: Text,
    filter: Text,
    name: Arc<str>,
    system: Option<System>,
}

impl Source {
    pub(super) fn find(name: &str) -> Result<Self, ErrorReport> {
        let argument = ServerText(Text::from_utf8(name));
        let found = rows(SOURCE, &[argument.into()], |row| {
            let part = |column| {
                let part = row.get::<ServerText>(column)?;
                Ok::<_, pgrx::spi::Error>(part.map_or_else(|| Text::from_bytes(&[]), |part| part.0))
            };
            Ok(Self {
                relation: row.get(1)?.unwrap_or_default(),
                system: row.get::<String>(2)?.and_then(|client| System::named(&client)),
                query: part(3)?,
                filter: part(4)?,
                name: name.into(),
            })
        })?;
        Ok(found.into_iter().next().ok_or(Error::SourceGone)?)
    }

    /// Hands every row to `take`, or those of the given subjects, a batch at a time. What `take`
    /// allocates of PostgreSQL's memory is freed after each batch.
    pub(super) fn read(
        &self,
        subjects: Option<Vec<ServerText>>,
        mut take: impl FnMut(Subject),
    ) -> Result<(), ErrorReport> {
        let relation = Locked::relation(self.relation)?;
        let (filter, arguments): (_, Vec<DatumWithOid<'_>>) = match subjects {
            Some(subjects) => (self.filter.as_bytes(), vec![subjects.into()]),
            None => (&[], Vec::new()),
        };
        let query = [self.query.as_bytes(), relation.name.to_bytes(), filter].concat();
        let query = CString::new(query).map_err(|_| Error::SourceGone)?;
        let cursor = Spi::connect(|client| {
            Owner::run(relation.owner, || {
                Ok(client.try_open_cursor(query.as_c_str(), &arguments)?.detach_into_name())
            })
        })
        .map_err(internal)?;

        while self.batch(&cursor, relation.owner, &mut take).map_err(internal)? {}
        Spi::connect(|client| client.find_cursor(&cursor).map(drop)).map_err(internal)
    }

    /// False at the end. Each batch has an SPI session of its own, as pgrx frees the rows with it.
    fn batch(
        &self,
        cursor: &str,
        owner: pg_sys::Oid,
        take: &mut impl FnMut(Subject),
    ) -> SpiResult<bool> {
        Spi::connect(|client| {
            // Closed when all went well: an error on its way out has other things to do.
            let mut cursor = ManuallyDrop::new(client.find_cursor(cursor)?);
            let batch = Owner::run(owner, || cursor.fetch(BATCH))?;
            let mut more = false;
            for row in batch {
                more = true;
                let name = row.get::<ServerText>(1)?;
                let secret = row.get::<ServerText>(2)?;
                take(self.subject(name, secret));
            }
            Ok(more)
        })
    }

    fn subject(&self, name: Option<ServerText>, secret: Option<ServerText>) -> Subject {
        let secret = secret.map(|secret| served::audited(&secret.0));
        let (name, name_bytes) = name.map_or_else(
            || (NO_NAME.to_owned(), Vec::new()),
            |name| (shown(&name.0), name.0.as_bytes().to_vec()),
        );
        let origin = Origin::Registered { name: Arc::clone(&self.name), system: self.system };
        Subject { name, name_bytes, origin, secret }
    }
}

/// What a subject is called in findings. They are indexed by it, which a text of any length can't be,
/// and whoever chooses such a name must not keep the others from being read.
fn shown(name: &Text) -> String {
    let text = name.name();
    // Columns are mixed up easily, and findings hold no secret.
    let is_secret = Secret::read(Zeroizing::new(text.clone()), |_| None).kind() != Kind::Unknown;
    if text.len() <= LONGEST_NAME && !is_secret {
        return text;
    }
    let start: String =
        if is_secret { "a secret".to_owned() } else { text.chars().take(64).collect() };
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{start}... ({:016x}, {}{SHORTENED}", hasher.finish(), text.len())
}

/// Whether a name may be shown in another form than it is stored in.
pub(super) fn is_shown_otherwise(name: &str) -> bool {
    name.contains(ESCAPED) || name.ends_with(SHORTENED)
}

/// Of a subject's name as it is shown, in bytes.
const LONGEST_NAME: usize = 512;

/// What a shortened name ends with.
const SHORTENED: &str = " bytes, shortened)";

/// What a byte that is no text is written with (`Text::name`).
const ESCAPED: &str = "\\x";

/// A relation that nobody renames, drops or gives to somebody else until the transaction ends.
///
/// Without the lock whoever owns the schema could put a view of his own under this name while the
/// query waits for him, and have it planned, which runs functions, as the owner of what was there.
struct Locked {
    /// Qualified and quoted.
    name: CString,
    owner: pg_sys::Oid,
}

impl Locked {
    /// Name and owner as they are once the lock is had: read past the statement's snapshot, which may
    /// be older.
    fn relation(relation: pg_sys::Oid) -> Result<Self, ErrorReport> {
        // SAFETY: on the backend's thread; the functions return NULL for what is gone, and the tuple
        // is released after the last use of what it holds.
        unsafe {
            pg_sys::LockRelationOid(relation, pg_sys::AccessShareLock.cast_signed());
            let tuple = pg_sys::SearchSysCache1(
                pg_sys::SysCacheIdentifier::RELOID.cast_signed(),
                pg_sys::Datum::from(relation),
            );
            if tuple.is_null() {
                return Err(Error::SourceGone.into());
            }
            let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>();
            let (owner, schema) = ((*form).relowner, (*form).relnamespace);
            pg_sys::ReleaseSysCache(tuple);
            let (schema, name) =
                (pg_sys::get_namespace_name(schema), pg_sys::get_rel_name(relation));
            if schema.is_null() || name.is_null() {
                return Err(Error::SourceGone.into());
            }
            let name = CStr::from_ptr(pg_sys::quote_qualified_identifier(schema, name));
            Ok(Self { name: name.to_owned(), owner })
        }
    }
}

/// Whether the server itself cancels the statement (`ProcessInterrupts` in src/backend/tcop/postgres.c):
/// everybody can raise the code and the message.
fn is_cancel(error: &CaughtError) -> bool {
    match error {
        CaughtError::PostgresError(error) => error.function_name() == Some("ProcessInterrupts"),
        CaughtError::ErrorReport(_) | CaughtError::RustPanic { .. } => true,
    }
}

/// As long as it lives the current user is a relation's owner, in a security-restricted operation.
struct Owner {
    acting: Acting,
    settings: c_int,
}

impl Owner {
    /// Runs what may be the owner's code. A cancel that only this code raises is one more way to
    /// fail: as a cancel it would end every audit before it has come to the others.
    fn run<T>(owner: pg_sys::Oid, body: impl FnOnce() -> T) -> T {
        let owner = Self::become_one(owner);
        let result = PgTryBuilder::new(AssertUnwindSafe(body))
            .catch_when(PgSqlErrorCode::ERRCODE_QUERY_CANCELED, |error| {
                if is_cancel(&error) {
                    error.rethrow();
                }
                Err(ErrorReport::from(Error::SourceCancels)).unwrap_or_report()
            })
            .execute();
        owner.end();
        result
    }

    fn become_one(owner: pg_sys::Oid) -> Self {
        let acting = Acting::restricted(owner);
        // SAFETY: counts up a level of the backend's settings; the search_path is pinned by the SQL
        // function around this.
        Self { acting, settings: unsafe { pg_sys::NewGUCNestLevel() } }
    }

    /// Every setting that the owner's code has changed back to what it was, and the user to who it
    /// was. An error needs no help with the settings.
    fn end(self) {
        // SAFETY: the level that become_one() has made.
        unsafe { pg_sys::AtEOXact_GUC(false, self.settings) };
        drop(self.acting);
    }
}
