//! Reads registered sources: relations of other people, views and whatever stands behind them.
//!
//! Their code must not run with the auditor's rights, which are a superuser's. So the query runs as
//! the relation's owner, in a security-restricted operation, as ANALYZE or REFRESH do it: there a
//! function can't change the role, make anything that outlives the query, or leave a setting behind.

use core::ffi::c_int;
use core::mem::ManuallyDrop;
use std::sync::Arc;

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::SpiResult;
use scram_core::audit::{Origin, Secret, Subject, System};
use zeroize::Zeroizing;

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
SELECT c.oid, c.relowner, s.client,
       format('SELECT coalesce(%1$I::pg_catalog.text, %3$L), %2$I::pg_catalog.text FROM %4$I.%5$I',
              s.subject_column, s.secret_column, 'NULL', n.nspname, c.relname),
       format(' WHERE coalesce(%1$I::pg_catalog.text, %2$L) OPERATOR(pg_catalog.=) ANY ($1)',
              s.subject_column, 'NULL')
FROM scram.audit_source s
JOIN pg_class c ON c.oid = s.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE s.name = $1 AND scram.audit_source_fits(s.relation, s.subject_column, s.secret_column)";

/// A registered source, as the catalogs have it now.
#[derive(PartialEq)]
pub(super) struct Source {
    relation: pg_sys::Oid,
    owner: pg_sys::Oid,
    query: String,
    filter: String,
    name: Arc<str>,
    system: Option<System>,
}

impl Source {
    pub(super) fn find(name: &str) -> Result<Self, ErrorReport> {
        let argument = ServerText(Text::from_utf8(name));
        let found = rows(SOURCE, &[argument.into()], |row| {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            Ok(Self {
                relation: row.get(1)?.unwrap_or_default(),
                owner: row.get(2)?.unwrap_or_default(),
                system: row.get::<String>(3)?.and_then(|client| System::named(&client)),
                query: text(4)?,
                filter: text(5)?,
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
        let (query, arguments): (_, Vec<DatumWithOid<'_>>) = match subjects {
            Some(subjects) => (format!("{}{}", self.query, self.filter), vec![subjects.into()]),
            None => (self.query.clone(), Vec::new()),
        };
        let cursor = Spi::connect(|client| {
            let owner = Owner::become_one(self.owner);
            let cursor = client.try_open_cursor(query.as_str(), &arguments)?.detach_into_name();
            owner.end();
            Ok(cursor)
        })
        .map_err(internal)?;
        // By its name another relation may have been put into its place meanwhile; from here on its
        // lock keeps it.
        if Self::find(&self.name)? != *self {
            return Err(Error::SourceGone.into());
        }

        while self.batch(&cursor, &mut take).map_err(internal)? {}
        Spi::connect(|client| client.find_cursor(&cursor).map(drop)).map_err(internal)
    }

    /// False at the end. Each batch has an SPI session of its own, as pgrx frees the rows with it.
    fn batch(&self, cursor: &str, take: &mut impl FnMut(Subject)) -> SpiResult<bool> {
        Spi::connect(|client| {
            // Closed when all went well: an error on its way out has other things to do.
            let mut cursor = ManuallyDrop::new(client.find_cursor(cursor)?);
            let owner = Owner::become_one(self.owner);
            let batch = cursor.fetch(BATCH)?;
            owner.end();
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
        let secret = secret.map(|secret| {
            Secret::read(Zeroizing::new(secret.0.name()), |_| {
                served::Secret::read(secret.0.as_bytes())?.decoded()
            })
        });
        let (name, name_bytes) = name.map_or_else(
            || (NO_NAME.to_owned(), Vec::new()),
            |name| (name.0.name(), name.0.as_bytes().to_vec()),
        );
        let origin = Origin::Registered { name: Arc::clone(&self.name), system: self.system };
        Subject { name, name_bytes, origin, secret }
    }
}

/// As long as it lives the current user is a relation's owner, in a security-restricted operation.
struct Owner {
    user: pg_sys::Oid,
    context: c_int,
    settings: c_int,
}

impl Owner {
    fn become_one(owner: pg_sys::Oid) -> Self {
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        let restricted = pg_sys::SECURITY_RESTRICTED_OPERATION.cast_signed();
        // SAFETY: plain reads and writes of the backend's state; the search_path is pinned by the SQL
        // function around this.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
            pg_sys::SetUserIdAndSecContext(owner, context | restricted);
            Self { user, context, settings: pg_sys::NewGUCNestLevel() }
        }
    }

    /// Back to who it was, and every setting that the owner's code has changed to what it was. An
    /// error needs no help with either.
    fn end(self) {
        // SAFETY: what become_one() has saved, in the reverse order.
        unsafe {
            pg_sys::AtEOXact_GUC(false, self.settings);
            pg_sys::SetUserIdAndSecContext(self.user, self.context);
        }
    }
}
