//! The loop of PBKDF2 in vectors of lanes, written once for every vector type.
//!
//! A module that says `kernel!` has a type `V` of [`LANES`] words, functions on it (`add`, `xor`,
//! `xor3`, `choose`, `majority`, the four sigmas, `splat`) and `load` and `store`. The functions of
//! SHA-256 have the names of FIPS 180-4 section 4.1.2.

/// One round. The variables change their roles instead of their values.
macro_rules! round {
    ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $kw:expr) => {
        let t = add(add(add($h, $kw), choose($e, $f, $g)), big_sigma1($e));
        $d = add($d, t);
        $h = add(add(t, majority($a, $b, $c)), big_sigma0($a));
    };
}

/// Eight rounds, after which each variable has its first role again.
macro_rules! rounds {
    ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident,
     $kw0:expr, $kw1:expr, $kw2:expr, $kw3:expr, $kw4:expr, $kw5:expr, $kw6:expr, $kw7:expr) => {
        round!($a $b $c $d $e $f $g $h, $kw0);
        round!($h $a $b $c $d $e $f $g, $kw1);
        round!($g $h $a $b $c $d $e $f, $kw2);
        round!($f $g $h $a $b $c $d $e, $kw3);
        round!($e $f $g $h $a $b $c $d, $kw4);
        round!($d $e $f $g $h $a $b $c, $kw5);
        round!($c $d $e $f $g $h $a $b, $kw6);
        round!($b $c $d $e $f $g $h $a, $kw7);
    };
}

/// `W` of a round from 32 on; takes the place of the one 16 rounds before. Plus the round's constant.
macro_rules! next {
    ($w:ident, $t:expr) => {{
        const T: usize = $t;
        $w[T % 16] = add(
            add($w[T % 16], small_sigma0($w[(T + 1) % 16])),
            add($w[(T + 9) % 16], small_sigma1($w[(T + 14) % 16])),
        );
        add($w[T % 16], splat(K[T]))
    }};
}

/// Eight rounds from 32 on.
macro_rules! scheduled {
    ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $w:ident, $t:expr) => {
        rounds!($a $b $c $d $e $f $g $h,
            next!($w, $t), next!($w, $t + 1), next!($w, $t + 2), next!($w, $t + 3),
            next!($w, $t + 4), next!($w, $t + 5), next!($w, $t + 6), next!($w, $t + 7));
    };
}

macro_rules! kernel {
    ($(#[$attribute:meta])*) => {
        /// A state that every iteration starts from, with what the first four rounds do to it before
        /// they look at the message.
        struct PrecomputedState {
            state: [V; 8],
            /// `d` and `h` after round 0, without the first word of the message.
            d: V,
            h: V,
            /// `h` of rounds 1, 2 and 3, with the constant of the round.
            g: V,
            f: V,
            e: V,
        }

        $(#[$attribute])*
        #[inline]
        fn precompute(state: [V; 8]) -> PrecomputedState {
            let [a, b, c, d, e, f, g, h] = state;
            let t = add(add(add(h, splat(K[0])), choose(e, f, g)), big_sigma1(e));
            PrecomputedState {
                state,
                d: add(d, t),
                h: add(add(t, majority(a, b, c)), big_sigma0(a)),
                g: add(g, splat(K[1])),
                f: add(f, splat(K[2])),
                e: add(e, splat(K[3])),
            }
        }

        /// Hashes the block that follows a block of key: 32 bytes of message, then padding that is
        /// always the same. Its words 8 to 15 are constants, and with them a part of the schedule.
        $(#[$attribute])*
        #[inline]
        fn compress(from: &PrecomputedState, message: [V; 8]) -> [V; 8] {
            use crate::chain::{END, LENGTH, SIGMA1_LENGTH, sigma0};

            let [mut a, mut b, mut c, _, _, _, _, _] = from.state;
            let mut w = [splat(0); 16];
            w[..8].copy_from_slice(&message);

            let (mut d, mut h) = (add(from.d, w[0]), add(from.h, w[0]));
            let (mut e, mut f) = (from.state[4], from.state[5]);
            let mut g = from.g;
            round!(h a b c d e f g, w[1]);
            f = from.f;
            round!(g h a b c d e f, w[2]);
            e = from.e;
            round!(f g h a b c d e, w[3]);
            round!(e f g h a b c d, add(w[4], splat(K[4])));
            round!(d e f g h a b c, add(w[5], splat(K[5])));
            round!(c d e f g h a b, add(w[6], splat(K[6])));
            round!(b c d e f g h a, add(w[7], splat(K[7])));

            rounds!(a b c d e f g h,
                splat(K[8].wrapping_add(END)), splat(K[9]), splat(K[10]), splat(K[11]),
                splat(K[12]), splat(K[13]), splat(K[14]), splat(K[15].wrapping_add(LENGTH)));

            w[0] = add(w[0], small_sigma0(w[1]));
            w[1] = add(add(w[1], small_sigma0(w[2])), splat(SIGMA1_LENGTH));
            w[2] = add(add(w[2], small_sigma0(w[3])), small_sigma1(w[0]));
            w[3] = add(add(w[3], small_sigma0(w[4])), small_sigma1(w[1]));
            w[4] = add(add(w[4], small_sigma0(w[5])), small_sigma1(w[2]));
            w[5] = add(add(w[5], small_sigma0(w[6])), small_sigma1(w[3]));
            w[6] = add(add(w[6], small_sigma0(w[7])), add(small_sigma1(w[4]), splat(LENGTH)));
            w[7] = add(add(w[7], splat(sigma0(END))), add(w[0], small_sigma1(w[5])));
            rounds!(a b c d e f g h,
                add(w[0], splat(K[16])), add(w[1], splat(K[17])), add(w[2], splat(K[18])),
                add(w[3], splat(K[19])), add(w[4], splat(K[20])), add(w[5], splat(K[21])),
                add(w[6], splat(K[22])), add(w[7], splat(K[23])));

            w[8] = add(add(w[1], small_sigma1(w[6])), splat(END));
            w[9] = add(w[2], small_sigma1(w[7]));
            w[10] = add(w[3], small_sigma1(w[8]));
            w[11] = add(w[4], small_sigma1(w[9]));
            w[12] = add(w[5], small_sigma1(w[10]));
            w[13] = add(w[6], small_sigma1(w[11]));
            w[14] = add(add(w[7], small_sigma1(w[12])), splat(sigma0(LENGTH)));
            w[15] = add(add(w[8], small_sigma1(w[13])), add(small_sigma0(w[0]), splat(LENGTH)));
            rounds!(a b c d e f g h,
                add(w[8], splat(K[24])), add(w[9], splat(K[25])), add(w[10], splat(K[26])),
                add(w[11], splat(K[27])), add(w[12], splat(K[28])), add(w[13], splat(K[29])),
                add(w[14], splat(K[30])), add(w[15], splat(K[31])));

            scheduled!(a b c d e f g h, w, 32);
            scheduled!(a b c d e f g h, w, 40);
            scheduled!(a b c d e f g h, w, 48);
            scheduled!(a b c d e f g h, w, 56);

            let s = &from.state;
            [
                add(a, s[0]), add(b, s[1]), add(c, s[2]), add(d, s[3]),
                add(e, s[4]), add(f, s[5]), add(g, s[6]), add(h, s[7]),
            ]
        }

        /// Runs `iterations` of the first lanes.
        $(#[$attribute])*
        fn run(lanes: &mut Lanes, iterations: u32) {
            let mut halves = [splat(0); 8];
            for (v, row) in halves.iter_mut().zip(&lanes.inner) {
                *v = load(row);
            }
            let inner = precompute(halves);
            for (v, row) in halves.iter_mut().zip(&lanes.outer) {
                *v = load(row);
            }
            let outer = precompute(halves);
            let (mut u, mut key) = ([splat(0); 8], [splat(0); 8]);
            for i in 0..8 {
                u[i] = load(&lanes.u[i]);
                key[i] = load(&lanes.key[i]);
            }

            for _ in 0..iterations {
                u = compress(&outer, compress(&inner, u));
                for i in 0..8 {
                    key[i] = xor(key[i], u[i]);
                }
            }

            for i in 0..8 {
                store(&mut lanes.u[i], u[i]);
                store(&mut lanes.key[i], key[i]);
            }
        }
    };
}

/// Word 8 of the block: the bit after the message.
pub(crate) const END: u32 = 0x8000_0000;

/// Word 15: the length in bits of one block of key and 32 bytes.
pub(crate) const LENGTH: u32 = (64 + 32) * 8;

/// `σ₁` of word 15.
pub(crate) const SIGMA1_LENGTH: u32 =
    LENGTH.rotate_right(17) ^ LENGTH.rotate_right(19) ^ (LENGTH >> 10);

/// `σ₀` of a constant.
pub(crate) const fn sigma0(x: u32) -> u32 {
    x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3)
}
