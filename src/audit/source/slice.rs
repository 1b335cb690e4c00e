//! Slices of a source: a run of the audit reads a large source part by part, so that its time is bounded, and
//! leaves out parts that have not changed.

use std::collections::HashSet;
use std::ops::{ControlFlow, Range};

use password_audit::{Subject, text_digest};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use scram_core::keys::{HmacKey, Key};
use zeroize::Zeroizing;

use super::column::Value;
use super::relation::{Member, Relation};
use super::{OpenSource, Snapshot, scan};
use crate::audit::scan::first_bytes;
use crate::limits::MAX_SECRET_LEN;
use crate::pg::text::ServerText;

/// Blocks of a slice, at most; slices begin at multiples of it, so that the end of one slice moves no other.
const BLOCKS_PER_SLICE: u32 = 1024;

/// Bytes of names and secrets after which a slice ends early: values outside of the blocks can be many times as
/// long as the blocks.
const BYTES_PER_SLICE: usize = 16 * 1024 * 1024;

/// Bytes that go into one step of a fingerprint.
const BYTES_PER_HASH: usize = 64 * 1024;

/// A block of a relation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::audit) struct Position {
    pub(in crate::audit) relation: pg_sys::Oid,
    pub(in crate::audit) block: u32,
}

/// A slice that is to be read.
pub(in crate::audit) enum Slice<'a> {
    Blocks(Blocks),
    /// A partition that is not read, and its name.
    Unread(Position, &'a ServerText),
}

/// Blocks of a table, up to the next multiple of [`BLOCKS_PER_SLICE`].
pub(in crate::audit) struct Blocks {
    member: usize,
    start: Position,
    end: u32,
}

/// The result of a slice.
pub(in crate::audit) struct Seen {
    /// Changes with the rows and the settings.
    pub(in crate::audit) fingerprint: Vec<u8>,
    pub(in crate::audit) rows: i64,
    /// The block after the last one that was read.
    pub(in crate::audit) end: u32,
}

impl Slice<'_> {
    pub(in crate::audit) fn position(&self) -> Position {
        match self {
            Self::Blocks(blocks) => blocks.start,
            Self::Unread(position, _) => *position,
        }
    }
}

impl OpenSource {
    pub(in crate::audit) fn snapshot(&self) -> Snapshot {
        Snapshot::latest()
    }

    /// The first slice that begins here or later; `None` where no rows follow. `position`: `None` for the first.
    pub(in crate::audit) fn slice_at(&self, position: Option<Position>) -> Option<Slice<'_>> {
        self.members.iter().enumerate().find_map(|(number, member)| {
            let relation = member.oid();
            let block = match position {
                Some(wanted) if wanted.relation.to_u32() > relation.to_u32() => return None,
                Some(wanted) if wanted.relation == relation => wanted.block,
                _ => 0,
            };
            let start = Position { relation, block };
            match member {
                Member::Foreign { name, .. } => (block == 0).then_some(Slice::Unread(start, name)),
                Member::Table(table) => {
                    let end = slice_end(table, block);
                    (block < end).then_some(Slice::Blocks(Blocks { member: number, start, end }))
                }
            }
        })
    }

    /// Where the slice after this one begins, of which the blocks before `end` were read.
    pub(in crate::audit) fn next(&self, start: Position, end: u32) -> Option<Position> {
        let after = Position { block: end, ..start };
        self.slice_at(Some(after)).map(|slice| slice.position())
    }

    /// The fingerprint of these blocks. Parses nothing.
    pub(in crate::audit) fn fingerprint(
        &self,
        blocks: &Blocks,
        snapshot: &Snapshot,
        key: &HmacKey,
        settings: &[u8],
    ) -> Result<Seen, ErrorReport> {
        self.walk(blocks, snapshot, key, settings, |_, _| ())
    }

    /// Hands the subjects of these blocks to `take`, and returns the fingerprint.
    pub(in crate::audit) fn read(
        &self,
        blocks: &Blocks,
        snapshot: &Snapshot,
        key: &HmacKey,
        settings: &[u8],
        mut take: impl FnMut(Subject),
    ) -> Result<Seen, ErrorReport> {
        self.walk(blocks, snapshot, key, settings, |name, secret| {
            take(self.source.subject(name, secret));
        })
    }

    /// The subjects with these digests in the slice that begins there.
    pub(in crate::audit) fn subjects(
        &self,
        relation: pg_sys::Oid,
        block: i64,
        wanted: &HashSet<i64>,
        key: &HmacKey,
    ) -> Result<Vec<(i64, Subject)>, ErrorReport> {
        let mut found = Vec::new();
        let position = u32::try_from(block).ok().map(|block| Position { relation, block });
        let Some(Slice::Blocks(blocks)) = self.slice_at(position) else { return Ok(found) };
        let snapshot = self.snapshot();
        self.rows_of_slice(&blocks, &snapshot, |name, secret| {
            let digest = self.digest(key, &name, &secret);
            if let Some(digest) = digest.filter(|digest| wanted.contains(digest)) {
                found.push((digest, self.source.subject(name, secret)));
            }
        })?;
        Ok(found)
    }

    /// The digest of [`crate::audit::catalog::digest`] without parsing the secret.
    fn digest(&self, key: &HmacKey, name: &Value, secret: &Value) -> Option<i64> {
        let text;
        let secret = match secret {
            Value::Null => return None,
            Value::TooLong { bytes } => Err(*bytes),
            Value::Text(value) if value.len() > MAX_SECRET_LEN => Err(value.len()),
            Value::Text(value) => {
                text = Zeroizing::new(value.to_display());
                Ok(text.as_str())
            }
        };
        let source = &self.source;
        let digest = text_digest(key, &source.name, source.client, bytes_of(name), secret);
        Some(first_bytes(digest.as_bytes()))
    }

    fn walk(
        &self,
        blocks: &Blocks,
        snapshot: &Snapshot,
        key: &HmacKey,
        settings: &[u8],
        mut take: impl FnMut(Value, Value),
    ) -> Result<Seen, ErrorReport> {
        let mut hash = Fingerprint::new(key, settings);
        let mut rows = 0;
        let end = self.rows_of_slice(blocks, snapshot, |name, secret| {
            hash.add(&name);
            hash.add(&secret);
            rows += 1;
            take(name, secret);
        })?;
        Ok(Seen { fingerprint: hash.finish(end), rows, end })
    }

    /// Hands the rows up to the end of the slice to `take`; returns the block after the last one.
    fn rows_of_slice(
        &self,
        blocks: &Blocks,
        snapshot: &Snapshot,
        mut take: impl FnMut(Value, Value),
    ) -> Result<u32, ErrorReport> {
        let (mut bytes, mut last, mut end) = (0, blocks.start.block, blocks.end);
        self.rows(blocks, snapshot, |block, name, secret| {
            if block != last && bytes > BYTES_PER_SLICE {
                end = block;
                return ControlFlow::Break(());
            }
            last = block;
            bytes += bytes_of(&name).len() + bytes_of(&secret).len();
            take(name, secret);
            ControlFlow::Continue(())
        })?;
        Ok(end)
    }

    fn rows(
        &self,
        blocks: &Blocks,
        snapshot: &Snapshot,
        take: impl FnMut(u32, Value, Value) -> ControlFlow<()>,
    ) -> Result<(), ErrorReport> {
        if let Some(Member::Table(table)) = self.members.get(blocks.member) {
            let columns = self.columns.in_child(table)?;
            let range = table.is_heap().then_some(blocks.range());
            scan::rows(table, &columns, snapshot, range, take);
        }
        Ok(())
    }
}

impl Blocks {
    fn range(&self) -> Range<u32> {
        self.start.block..self.end
    }
}

/// Where a slice of this table ends that begins at this block. Another kind of table than PostgreSQL's own has
/// one slice.
fn slice_end(table: &Relation, block: u32) -> u32 {
    let blocks = table.blocks();
    if !table.is_heap() {
        return blocks.max(1);
    }
    (block / BLOCKS_PER_SLICE).saturating_add(1).saturating_mul(BLOCKS_PER_SLICE).min(blocks)
}

/// A keyed hash of names and secrets, in their order.
struct Fingerprint<'a> {
    key: &'a HmacKey,
    hash: Key,
    pending: Zeroizing<Vec<u8>>,
}

impl<'a> Fingerprint<'a> {
    fn new(key: &'a HmacKey, settings: &[u8]) -> Self {
        let hash = key.hmac(&[b"fingerprint\0", settings]);
        // With room for a value more than a step, so that no part of a secret stays in memory that was given back.
        let pending = Zeroizing::new(Vec::with_capacity(BYTES_PER_HASH + 2 * MAX_SECRET_LEN));
        Self { key, hash, pending }
    }

    fn add(&mut self, value: &Value) {
        let (tag, len) = match value {
            Value::Null => (0, 0),
            Value::Text(text) => (1, text.len()),
            Value::TooLong { bytes } => (2, *bytes),
        };
        let bytes = bytes_of(value);
        self.pending.push(tag);
        self.pending.extend_from_slice(&len.to_be_bytes());
        self.pending.extend_from_slice(bytes);
        if self.pending.len() > BYTES_PER_HASH {
            self.step();
        }
    }

    fn step(&mut self) {
        let parts = [self.hash.as_bytes(), &self.pending];
        self.hash = self.key.hmac(&parts);
        self.pending.clear();
    }

    /// Half of the hash: enough to tell two states of a slice apart.
    fn finish(mut self, end: u32) -> Vec<u8> {
        self.pending.extend_from_slice(&end.to_be_bytes());
        self.step();
        self.hash.as_bytes().iter().take(16).copied().collect()
    }
}

fn bytes_of(value: &Value) -> &[u8] {
    match value {
        Value::Null | Value::TooLong { .. } => &[],
        Value::Text(text) => text.as_bytes(),
    }
}
