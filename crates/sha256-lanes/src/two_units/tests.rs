//! What the assembly must leave alone: other memory, callee-saved registers, and no key in a vector register.

use std::arch::naked_asm;

use super::*;

type Blocks = unsafe extern "sysv64" fn(*mut Scratch, u64, *const Constants);

/// Callee-saved registers that a call has changed, and vector registers that it has left with contents.
#[derive(Debug, Default, Eq, PartialEq)]
#[repr(C, align(64))]
struct Left {
    /// For rbx, rbp, r12, r13, r14 and r15 the bits that differ.
    changed: [u64; 8],
    vectors: [[u64; 4]; 16],
}

/// Calls `blocks` with ones in all vector registers up to ymm15, and with known values in callee-saved registers.
#[unsafe(naked)]
unsafe extern "sysv64" fn probe(
    scratch: *mut Scratch,
    count: u64,
    constants: *const Constants,
    blocks: Blocks,
    left: *mut Left,
) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push r8",
        ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
        "vpcmpeqd ymm\\i, ymm\\i, ymm\\i",
        ".endr",
        "mov rbx, 0x1111",
        "mov rbp, 0x2222",
        "mov r12, 0x3333",
        "mov r13, 0x4444",
        "mov r14, 0x5555",
        "mov r15, 0x6666",
        "call rcx",
        "pop r8",
        "xor rbx, 0x1111",
        "xor rbp, 0x2222",
        "xor r12, 0x3333",
        "xor r13, 0x4444",
        "xor r14, 0x5555",
        "xor r15, 0x6666",
        "mov [r8], rbx",
        "mov [r8 + 8], rbp",
        "mov [r8 + 16], r12",
        "mov [r8 + 24], r13",
        "mov [r8 + 32], r14",
        "mov [r8 + 40], r15",
        ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
        "vmovdqa [r8 + 64 + 32 * \\i], ymm\\i",
        ".endr",
        "vzeroupper",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

fn available() -> Vec<(&'static str, Blocks)> {
    let mut available: Vec<(_, Blocks)> = Vec::new();
    if has_avx2() {
        available.push(("avx2", blocks_avx2));
    }
    if has_avx512() {
        available.push(("avx512", blocks_avx512));
    }
    available
}

/// Lanes with different contents, of no meaning.
fn lanes() -> Lanes {
    let mut lanes = Lanes::new();
    let mut word = 1_u32;
    for words in [&mut lanes.inner, &mut lanes.outer, &mut lanes.u, &mut lanes.key] {
        for row in words.iter_mut().flatten() {
            word = word.wrapping_mul(0x9e37_79b1).rotate_left(7) ^ 0x5bd1_e995;
            *row = word;
        }
    }
    lanes
}

fn by_portable(mut lanes: Lanes, iterations: u32) -> Vec<[u32; 8]> {
    let mut keys = Vec::new();
    for lane in 0..crate::MAX_LANES {
        keys.push(*lanes.key(0));
        crate::portable::advance(&mut lanes, iterations);
        keys[lane] = *lanes.key(0);
        lanes.swap_remove(0, crate::MAX_LANES - 1 - lane);
    }
    // Removing the first lane moves the last one to its place.
    keys[1..].reverse();
    keys
}

#[test]
fn registers_are_kept_or_wiped() {
    for (name, blocks) in available() {
        for iterations in [1, 5] {
            let mut left = Left::default();
            let mut result = lanes();
            advance(&mut result, iterations, |scratch, count| {
                // SAFETY: the CPU has what `blocks` needs, and `left` is writable.
                unsafe { probe(scratch, count, &CONSTANTS, blocks, &raw mut left) };
            });
            assert_eq!(left, Left::default(), "{name}");
            let keys: Vec<_> = (0..crate::MAX_LANES).map(|lane| *result.key(lane)).collect();
            assert_eq!(keys, by_portable(lanes(), iterations), "{name}, {iterations}");
        }
    }
}

/// The scratch memory right before a page without access, and right after one.
#[test]
#[cfg(target_os = "linux")]
fn no_access_outside_of_the_scratch_memory() {
    let size = size_of::<Scratch>();
    let pages = size.next_multiple_of(PAGE);
    for (name, blocks) in available() {
        let memory = Guarded::new(pages);
        for offset in [0, pages - size] {
            advance(&mut lanes(), 3, |scratch, count| {
                let inside = memory.start().wrapping_add(offset).cast::<Scratch>();
                // SAFETY: both places have the size and the alignment of `Scratch`, and do not overlap.
                unsafe {
                    inside.copy_from_nonoverlapping(scratch, 1);
                    fill_table(inside);
                    blocks(inside, count, &CONSTANTS);
                    let (there, here) = (&(*inside).groups, &mut (*scratch).groups);
                    for (there, here) in there.iter().zip(here) {
                        (here.raw, here.key) = (there.raw, there.key);
                    }
                }
            });
            assert_eq!(offset % align_of::<Scratch>(), 0, "{name}");
        }
    }
}

const PAGE: usize = 4096;

/// Pages with one page without access before and after them.
#[cfg(target_os = "linux")]
struct Guarded {
    mapping: *mut libc::c_void,
    len: usize,
}

#[cfg(target_os = "linux")]
impl Guarded {
    fn new(pages: usize) -> Self {
        let len = pages + 2 * PAGE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, at a place that the system chooses.
        let mapping =
            unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(mapping, libc::MAP_FAILED);
        let guarded = Self { mapping, len };
        // SAFETY: the pages between the first and the last one of the mapping.
        let result = unsafe {
            libc::mprotect(guarded.start().cast(), pages, libc::PROT_READ | libc::PROT_WRITE)
        };
        assert_eq!(result, 0);
        guarded
    }

    fn start(&self) -> *mut u8 {
        self.mapping.cast::<u8>().wrapping_add(PAGE)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, which nothing refers to any more.
        unsafe { libc::munmap(self.mapping, self.len) };
    }
}
