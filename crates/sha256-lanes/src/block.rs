//! SHA-256 of one message, for the work that is done once per password: hashing long keys, HMAC's
//! two key blocks, the first iteration.

use zeroize::{Zeroize, Zeroizing};

pub(crate) const BLOCK_LEN: usize = 64;

/// The state that SHA-256 starts from (FIPS 180-4 section 5.3.3).
pub(crate) const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The constants of the rounds (FIPS 180-4 section 4.2.2).
#[rustfmt::skip]
pub(crate) const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// Runs the compression function over one block.
pub(crate) type Compress = fn(&mut [u32; 8], &[u8; BLOCK_LEN]);

/// The two states that HMAC with this key starts from, inner and outer (RFC 2104 section 2).
pub(crate) fn hmac_key(compress: Compress, key: &[u8]) -> Zeroizing<([u32; 8], [u32; 8])> {
    let mut block = Zeroizing::new([0; BLOCK_LEN]);
    if key.len() > BLOCK_LEN {
        let mut state = INITIAL;
        finish(compress, &mut state, 0, [key]);
        block[..32].copy_from_slice(&*bytes(&state));
        state.zeroize();
    } else {
        block[..key.len()].copy_from_slice(key);
    }

    let mut states = Zeroizing::new((INITIAL, INITIAL));
    xor(&mut block, 0x36);
    compress(&mut states.0, &block);
    xor(&mut block, 0x36 ^ 0x5c);
    compress(&mut states.1, &block);
    states
}

/// `HMAC(key, salt ‖ INT(1))`: the first iteration (RFC 8018 section 5.2).
pub(crate) fn first(
    compress: Compress,
    (inner, outer): &([u32; 8], [u32; 8]),
    salt: &[u8],
) -> Zeroizing<[u32; 8]> {
    let mut state = Zeroizing::new(*inner);
    finish(compress, &mut state, BLOCK_LEN, [salt, &[0, 0, 0, 1]]);
    let digest = bytes(&state);
    *state = *outer;
    finish(compress, &mut state, BLOCK_LEN, [&*digest]);
    state
}

/// Words in the order of a digest's bytes.
pub(crate) fn bytes(state: &[u32; 8]) -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    for (four, word) in bytes.chunks_exact_mut(4).zip(state) {
        four.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// Hashes the rest of a message of which `before` bytes, whole blocks, are in the state already, and
/// pads it (FIPS 180-4 section 5.1.1).
fn finish<const N: usize>(
    compress: Compress,
    state: &mut [u32; 8],
    before: usize,
    parts: [&[u8]; N],
) {
    let length = before + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut block = Zeroizing::new([0; BLOCK_LEN]);
    let mut filled = 0;
    for mut part in parts {
        while !part.is_empty() {
            let taken = part.len().min(BLOCK_LEN - filled);
            let (now, later) = part.split_at(taken);
            block[filled..filled + taken].copy_from_slice(now);
            (filled, part) = (filled + taken, later);
            if filled == BLOCK_LEN {
                compress(state, &block);
                filled = 0;
            }
        }
    }

    block[filled] = 0x80;
    block[filled + 1..].fill(0);
    if filled + 1 > BLOCK_LEN - 8 {
        compress(state, &block);
        block.fill(0);
    }
    block[BLOCK_LEN - 8..].copy_from_slice(&(length as u64 * 8).to_be_bytes());
    compress(state, &block);
}

fn xor(block: &mut [u8; BLOCK_LEN], mask: u8) {
    for byte in block {
        *byte ^= mask;
    }
}
