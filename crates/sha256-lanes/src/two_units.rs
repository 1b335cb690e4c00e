//! The SHA extensions and a vector unit at the same time: the first do the rounds of eight streams, the
//! second does the message schedule of eight others.
//!
//! Rounds by the SHA extensions with their own instructions for the schedule keep one unit busy and leave the
//! vector units idle. The order of the instructions decides how much the two overlap, and the compiler does not
//! keep the order of intrinsics. So both functions are assembly; the files in `two_units/` say what is where.

use std::arch::naked_asm;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::block::K;
use crate::chain::{END, LENGTH, SIGMA1_LENGTH, sigma0};
use crate::lanes::{Lanes, Words};

/// Streams of a group.
const STREAMS: usize = 8;

/// A word of each stream.
type Row = [u32; STREAMS];

/// The states of a group in the order of the SHA instructions: for each stream `f e b a`, then for each
/// stream `h g d c`, from the low end. The streams stand as 0, 4, 1, 5, 2, 6, 3, 7.
type Pairs = [[[u32; 4]; STREAMS]; 2];

/// The words of [`Pairs`], in their order.
const PAIR_WORDS: [[usize; 4]; 2] = [[5, 4, 1, 0], [7, 6, 3, 2]];

/// The memory of the assembly. `rounds.s` has the offsets.
#[derive(Zeroize, ZeroizeOnDrop)]
#[repr(C, align(64))]
struct Scratch {
    ring: [Row; 16],
    table: [TableRow; 4],
    masks: [Row; 2],
    groups: [Group; 2],
}

/// A block of one group: addresses.
#[derive(Clone, Copy, Default, Zeroize)]
#[repr(C)]
struct TableRow {
    rounds: usize,
    schedule: usize,
    first_pairs: usize,
    first_words: usize,
    mask: usize,
    next_row: usize,
}

#[derive(Zeroize)]
#[repr(C, align(64))]
struct Group {
    /// The sums `W + K` of two rounds for each stream: of streams 0, 1, 4, 5, then of 2, 3, 6, 7.
    sums: [[[u32; 2]; STREAMS]; 32],
    /// The states after the last round.
    raw: Pairs,
    key: [Row; 8],
    /// The states that blocks start from, inner and outer, in both orders.
    first_pairs: [Pairs; 2],
    first_words: [[Row; 8]; 2],
}

/// Constants of every call.
#[repr(C, align(64))]
struct Constants {
    k: [Row; 64],
    end: Row,
    length: Row,
    sigma1_length: Row,
    sigma0_end: Row,
    sigma0_length: Row,
    /// The sums of rounds 8 to 15: the padding's words are always the same.
    padding: [[u32; 4]; 4],
}

static CONSTANTS: Constants = {
    let mut k = [[0; STREAMS]; 64];
    let mut t = 0;
    while t < 64 {
        k[t] = [K[t]; STREAMS];
        t += 1;
    }
    Constants {
        k,
        end: [END; STREAMS],
        length: [LENGTH; STREAMS],
        sigma1_length: [SIGMA1_LENGTH; STREAMS],
        sigma0_end: [sigma0(END); STREAMS],
        sigma0_length: [sigma0(LENGTH); STREAMS],
        padding: [
            [K[8].wrapping_add(END), K[9], 0, 0],
            [K[10], K[11], 0, 0],
            [K[12], K[13], 0, 0],
            [K[14], K[15].wrapping_add(LENGTH), 0, 0],
        ],
    }
};

/// Whether this CPU has the instructions that [`advance_avx2`] needs.
pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("avx2")
}

/// Whether this CPU has the instructions that [`advance_avx512`] needs.
pub(crate) fn has_avx512() -> bool {
    has_avx2() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
}

/// Runs `iterations` of all lanes, with the schedule by AVX2.
pub(crate) fn advance_avx2(lanes: &mut Lanes, iterations: u32) {
    assert!(has_avx2(), "SHA extensions and AVX2");
    // SAFETY: the CPU has the SHA extensions and AVX2, as was just asserted.
    advance(lanes, iterations, |scratch, blocks| unsafe {
        blocks_avx2(scratch, blocks, &CONSTANTS)
    });
}

/// Runs `iterations` of all lanes, with the schedule by AVX-512VL.
pub(crate) fn advance_avx512(lanes: &mut Lanes, iterations: u32) {
    assert!(has_avx512(), "SHA extensions and AVX-512VL");
    // SAFETY: the CPU has the SHA extensions and AVX-512VL, as was just asserted.
    advance(lanes, iterations, |scratch, blocks| unsafe {
        blocks_avx512(scratch, blocks, &CONSTANTS);
    });
}

/// Runs the blocks of the table's rows, from the first row on.
///
/// # Safety
///
/// The CPU must have the SHA extensions and AVX2. The table must hold addresses in `scratch`, and `blocks` must
/// be positive.
#[unsafe(naked)]
unsafe extern "sysv64" fn blocks_avx2(
    scratch: *mut Scratch,
    blocks: u64,
    constants: *const Constants,
) {
    naked_asm!(
        include_str!("two_units/rounds.s"),
        include_str!("two_units/avx2.s"),
        include_str!("two_units/blocks.s"),
        include_str!("two_units/purge.s"),
        options(att_syntax, raw),
    )
}

/// Runs the blocks of the table's rows, from the first row on.
///
/// # Safety
///
/// The CPU must have the SHA extensions and AVX-512VL. The table must hold addresses in `scratch`, and `blocks`
/// must be positive.
#[unsafe(naked)]
unsafe extern "sysv64" fn blocks_avx512(
    scratch: *mut Scratch,
    blocks: u64,
    constants: *const Constants,
) {
    naked_asm!(
        include_str!("two_units/rounds.s"),
        include_str!("two_units/avx512.s"),
        include_str!("two_units/blocks.s"),
        include_str!("two_units/purge.s"),
        options(att_syntax, raw),
    )
}

fn advance(lanes: &mut Lanes, iterations: u32, run: impl FnOnce(*mut Scratch, u64)) {
    if iterations == 0 {
        return;
    }
    let mut scratch = Scratch {
        ring: [[0; STREAMS]; 16],
        table: [TableRow::default(); 4],
        masks: [[0; STREAMS], [!0; STREAMS]],
        groups: [Group::load(lanes, 0), Group::load(lanes, STREAMS)],
    };
    // Every access goes through this pointer, so that the addresses in the table stay valid.
    let pointer = &raw mut scratch;
    fill_table(pointer);
    run(pointer, u64::from(iterations) * 4);
    for (group, first) in scratch.groups.iter().zip([0, STREAMS]) {
        group.store(lanes, first);
    }
}

/// The four blocks of an iteration. Each one's schedule is that of the other group's next block, from the block
/// that the other group has just finished.
fn fill_table(scratch: *mut Scratch) {
    let (inner, outer) = (0, 1);
    // The rounds' group and its state, then the schedule's group and the state of the block that it has finished.
    let blocks =
        [(0, inner, 1, outer), (1, inner, 0, inner), (0, outer, 1, inner), (1, outer, 0, outer)];
    for (row, (rounds, state, schedule, finished)) in blocks.into_iter().enumerate() {
        // SAFETY: addresses in the caller's memory, of which no reference is made.
        let addresses = unsafe {
            TableRow {
                rounds: (&raw const (*scratch).groups[rounds]).addr(),
                schedule: (&raw const (*scratch).groups[schedule]).addr(),
                first_pairs: (&raw const (*scratch).groups[rounds].first_pairs[state]).addr(),
                first_words: (&raw const (*scratch).groups[schedule].first_words[finished]).addr(),
                // An outer block ends an iteration, an inner one does not.
                mask: (&raw const (*scratch).masks[finished]).addr(),
                next_row: (&raw const (*scratch).table[(row + 1) % 4]).addr(),
            }
        };
        // SAFETY: a row of the caller's memory.
        unsafe { (*scratch).table[row] = addresses };
    }
}

impl Group {
    fn load(lanes: &Lanes, first: usize) -> Self {
        let rows = |words: &Words| words.map(|row| std::array::from_fn(|s| row[first + s]));
        let (inner, outer, u): ([Row; 8], [Row; 8], [Row; 8]) =
            (rows(&lanes.inner), rows(&lanes.outer), rows(&lanes.u));
        let mut raw = u;
        let mut key = rows(&lanes.key);
        for word in 0..8 {
            for s in 0..STREAMS {
                // The first schedule adds the state again, as after every outer block, and combines `u` with the
                // key, which has it already.
                raw[word][s] = u[word][s].wrapping_sub(outer[word][s]);
                key[word][s] ^= u[word][s];
            }
        }
        Self {
            sums: [[[0; 2]; STREAMS]; 32],
            raw: to_pairs(&raw),
            key,
            first_pairs: [to_pairs(&inner), to_pairs(&outer)],
            first_words: [inner, outer],
        }
    }

    fn store(&self, lanes: &mut Lanes, first: usize) {
        for (pairs, words) in self.raw.iter().zip(PAIR_WORDS) {
            for s in 0..STREAMS {
                for (raw, word) in pairs[place(s)].into_iter().zip(words) {
                    lanes.u[word][first + s] = raw.wrapping_add(self.first_words[1][word][s]);
                    lanes.key[word][first + s] = self.key[word][s];
                }
            }
        }
    }
}

fn to_pairs(rows: &[Row; 8]) -> Pairs {
    let mut pairs = [[[0; 4]; STREAMS]; 2];
    for (pairs, words) in pairs.iter_mut().zip(PAIR_WORDS) {
        for s in 0..STREAMS {
            pairs[place(s)] = words.map(|word| rows[word][s]);
        }
    }
    pairs
}

/// Where a stream stands in [`Pairs`].
const fn place(stream: usize) -> usize {
    stream % 4 * 2 + stream / 4
}

#[cfg(test)]
mod tests;
