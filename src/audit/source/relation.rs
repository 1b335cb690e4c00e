//! A relation that is open under its lock: only an open relation is certain to be the one that was
//! asked for.

use core::ffi::{CStr, c_char};
use std::time::Instant;

use pgrx::list::List;
use pgrx::pg_sys;

use crate::error::Error;
use crate::pg::interrupt;
use crate::pg::text::ServerText;

// src/include/catalog/pg_inherits.h, which pgrx does not bind. The server's binary exports it.
unsafe extern "C-unwind" {
    fn find_all_inheritors(
        parent: pg_sys::Oid,
        lock: pg_sys::LOCKMODE,
        parents: *mut *mut pg_sys::List,
    ) -> *mut pg_sys::List;
}

/// A relation with rows of a source.
pub(super) enum Member {
    /// A partition or child that is a foreign table, and is not read.
    Foreign {
        oid: pg_sys::Oid,
        name: ServerText,
    },
    Table(Relation),
}

impl Member {
    pub(super) fn oid(&self) -> pg_sys::Oid {
        match self {
            Self::Foreign { oid, .. } => *oid,
            Self::Table(table) => table.oid(),
        }
    }

    /// Raises 55000 for a materialized view without data.
    pub(super) fn require_populated(&self) -> Result<(), Error> {
        match self {
            Self::Table(table) if !table.class().relispopulated => {
                Err(Error::SourceNotPopulated { relation: table.name() })
            }
            Self::Foreign { .. } | Self::Table(_) => Ok(()),
        }
    }
}

/// The lock of a reader.
const LOCK: pg_sys::LOCKMODE = pg_sys::AccessShareLock as pg_sys::LOCKMODE;

/// Milliseconds between two attempts at a lock.
const LOCK_RETRY: i64 = 20;

/// An open relation. Its lock stays until the transaction ends.
pub(super) struct Relation {
    relation: pg_sys::Relation,
    /// The lock that is given up together with the relation.
    close_with: pg_sys::LOCKMODE,
}

impl Relation {
    /// Waits for the lock until the given time, then opens what has this OID.
    ///
    /// The lock is never queued for: a queued request would make every later one wait behind it, and
    /// the wait could not be bounded by the run's time.
    ///
    /// Raises 42P01 for a relation that is gone, 55P03 where the lock could not be had.
    pub(super) fn open(oid: pg_sys::Oid, until: Instant) -> Result<Self, Error> {
        // SAFETY: takes and reads locks; an unknown OID can be locked too.
        while !unsafe { pg_sys::ConditionalLockRelationOid(oid, LOCK) } {
            if Instant::now() >= until {
                return Err(Error::SourceLocked { relation: shown_name(oid) });
            }
            interrupt::wait_for_latch(LOCK_RETRY);
        }
        // SAFETY: the lock is held; NULL is a relation that does not exist.
        let relation = unsafe { pg_sys::try_relation_open(oid, NO_LOCK) };
        if relation.is_null() {
            return Err(Error::SourceGone);
        }
        Ok(Self { relation, close_with: NO_LOCK })
    }

    /// Gives the lock back when the relation is closed.
    pub(super) fn for_this_call(mut self) -> Self {
        self.close_with = LOCK;
        self
    }

    pub(super) fn as_ptr(&self) -> pg_sys::Relation {
        self.relation
    }

    pub(super) fn oid(&self) -> pg_sys::Oid {
        // SAFETY: the relation is open.
        unsafe { (*self.relation).rd_id }
    }

    pub(super) fn class(&self) -> &pg_sys::FormData_pg_class {
        // SAFETY: the relation is open, and its entry stays where it is while it is locked.
        unsafe { &*(*self.relation).rd_rel }
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        shown_name(self.oid())
    }

    fn kind(&self) -> u8 {
        self.class().relkind.cast_unsigned()
    }

    /// Raises 42809 unless the audit reads relations of this kind.
    pub(super) fn require_kind(&self) -> Result<(), Error> {
        let class = self.class();
        let what = match self.kind() {
            _ if class.relpersistence.cast_unsigned() == pg_sys::RELPERSISTENCE_TEMP => {
                "a temporary table"
            }
            _ if self.belongs_to_the_server() => "a system catalog",
            _ if self.belongs_to_this_extension() => "a relation of scram_ext itself",
            pg_sys::RELKIND_RELATION
            | pg_sys::RELKIND_PARTITIONED_TABLE
            | pg_sys::RELKIND_MATVIEW => return Ok(()),
            pg_sys::RELKIND_VIEW => "a view",
            pg_sys::RELKIND_FOREIGN_TABLE => "a foreign table",
            pg_sys::RELKIND_SEQUENCE => "a sequence",
            pg_sys::RELKIND_INDEX | pg_sys::RELKIND_PARTITIONED_INDEX => "an index",
            pg_sys::RELKIND_COMPOSITE_TYPE => "a composite type",
            _ => "a relation of another kind",
        };
        Err(Error::SourceKind { relation: self.name(), what })
    }

    /// Catalogs, their TOAST tables, and everything else that initdb made.
    fn belongs_to_the_server(&self) -> bool {
        // SAFETY: the relation is open.
        let is_toast = unsafe { pg_sys::IsToastRelation(self.relation) };
        is_toast || self.oid().to_u32() < pg_sys::FirstNormalObjectId
    }

    fn belongs_to_this_extension(&self) -> bool {
        // SAFETY: reads the catalogs; the names are NUL-terminated, and what is missing is InvalidOid.
        unsafe {
            let extension = pg_sys::get_extension_oid(c"scram_ext".as_ptr(), true);
            let owner = pg_sys::getExtensionOfObject(pg_sys::RelationRelationId, self.oid());
            let is_inside = [c"scram", c"scram_internal"].iter().any(|schema| {
                self.class().relnamespace == pg_sys::get_namespace_oid(schema.as_ptr(), true)
            });
            is_inside || (owner != pg_sys::InvalidOid && owner == extension)
        }
    }

    /// Raises 42809 where a partition is a foreign table.
    pub(super) fn require_readable_partitions(&self) -> Result<(), Error> {
        let is_foreign = |oid: &pg_sys::Oid| {
            // SAFETY: reads the catalogs.
            let kind = unsafe { pg_sys::get_rel_relkind(*oid) };
            kind.cast_unsigned() == pg_sys::RELKIND_FOREIGN_TABLE
        };
        match self.inheritors().iter().find(|oid| is_foreign(oid)) {
            Some(partition) => Err(Error::SourceKind {
                relation: shown_name(*partition),
                what: "a foreign table, and a partition or child of the relation",
            }),
            None => Ok(()),
        }
    }

    /// This relation and all that inherits from it, locked and open, by OID. Temporary children belong to one
    /// session, and are left out.
    pub(super) fn members(self, until: Instant) -> Result<Vec<Member>, Error> {
        let children = self.inheritors();
        let mut members = Vec::with_capacity(children.len());
        let root = self.oid();
        members.push(Member::Table(self));
        for oid in children.into_iter().filter(|oid| *oid != root) {
            let child = match Self::open(oid, until) {
                Ok(child) => child,
                // Dropped since the list was made.
                Err(Error::SourceGone) => continue,
                Err(error) => return Err(error),
            };
            let is_temporary =
                child.class().relpersistence.cast_unsigned() == pg_sys::RELPERSISTENCE_TEMP;
            if is_temporary {
                continue;
            }
            members.push(match child.kind() {
                pg_sys::RELKIND_RELATION | pg_sys::RELKIND_PARTITIONED_TABLE => {
                    Member::Table(child)
                }
                _ => Member::Foreign { oid, name: qualified_name(oid) },
            });
        }
        members.sort_by_key(|member| member.oid().to_u32());
        Ok(members)
    }

    /// Blocks of the relation now; 0 for a partitioned table, which has no rows of its own.
    pub(super) fn blocks(&self) -> u32 {
        if self.kind() == pg_sys::RELKIND_PARTITIONED_TABLE {
            return 0;
        }
        // SAFETY: the relation is open and has storage.
        unsafe {
            pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM)
        }
    }

    /// Whether the relation is of PostgreSQL's own kind of table, whose blocks can be read in part.
    pub(super) fn is_heap(&self) -> bool {
        self.class().relam == pg_sys::HEAP_TABLE_AM_OID
    }

    /// The OIDs of this relation and all that inherits from it. Takes no lock.
    fn inheritors(&self) -> Vec<pg_sys::Oid> {
        if !self.class().relhassubclass {
            return vec![self.oid()];
        }
        // SAFETY: reads pg_inherits under the lock on this relation. The list is of OIDs and is copied.
        unsafe {
            let list = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                find_all_inheritors(self.oid(), NO_LOCK, core::ptr::null_mut())
            });
            pgrx::memcx::current_context(|context| {
                List::<pg_sys::Oid>::downcast_ptr_in_memcx(list, context)
                    .map(|oids| oids.iter().copied().collect())
                    .unwrap_or_default()
            })
        }
    }
}

impl Drop for Relation {
    fn drop(&mut self) {
        // SAFETY: open since this was made; after an error the abort has closed it already.
        unsafe {
            if !std::thread::panicking() {
                pg_sys::relation_close(self.relation, self.close_with);
            }
        }
    }
}

const NO_LOCK: pg_sys::LOCKMODE = pg_sys::NoLock as pg_sys::LOCKMODE;

/// A relation's name for messages; its OID where it is gone.
fn shown_name(oid: pg_sys::Oid) -> String {
    // SAFETY: reads the catalogs; NULL is a relation that does not exist.
    unsafe {
        let name = pg_sys::get_rel_name(oid);
        if name.is_null() { oid.to_u32().to_string() } else { text_of(name).in_message() }
    }
}

/// Schema and name, quoted where that is needed.
fn qualified_name(oid: pg_sys::Oid) -> ServerText {
    // SAFETY: reads the catalogs; NULL is a relation that does not exist.
    unsafe {
        let name = pg_sys::get_rel_name(oid);
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(oid));
        if name.is_null() || schema.is_null() {
            return ServerText::from_bytes(oid.to_u32().to_string().as_bytes());
        }
        text_of(pg_sys::quote_qualified_identifier(schema, name))
    }
}

/// # Safety
///
/// `name` is a C string.
unsafe fn text_of(name: *const c_char) -> ServerText {
    // SAFETY: as the caller vouches.
    ServerText::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes())
}
