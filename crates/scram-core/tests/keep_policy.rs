//! When a stored verifier need not be replaced.

use std::num::NonZeroU32;

use scram_core::verifier::{KeepPolicy, Minimum};
use scram_core::{Mechanism, Parameters, Password, Verifier};

#[test]
fn a_verifier_that_is_no_worse_stays() {
    let count = |count| NonZeroU32::new(count).expect("positive");
    let verifier = |iterations, salt_len| {
        let parameters =
            Parameters::new(Mechanism::ScramSha256, count(iterations), vec![7; salt_len]);
        let parameters = parameters.expect("parameters that can be stored");
        Verifier::derive(parameters, &Password::prepare(b"pencil"), || ())
    };
    let at_least =
        KeepPolicy { iterations: count(50), is_exact: false, max_iterations: 90, salt_len: 16 };
    let exactly = KeepPolicy { is_exact: true, ..at_least };
    for (iterations, salt_len, by_at_least, by_exactly) in [
        (50, 16, true, true),
        (49, 16, false, false),
        (51, 16, true, false),
        (90, 16, true, false),
        (91, 16, false, false),
        (50, 15, false, false),
        (50, 17, true, true),
    ] {
        let verifier = verifier(iterations, salt_len);
        let found = (at_least.accepts(&verifier), exactly.accepts(&verifier));
        assert_eq!(found, (by_at_least, by_exactly), "{iterations} iterations, salt of {salt_len}");
    }
}

/// The server may read a stored count as 0 or less.
#[test]
fn the_minimum_itself_is_enough() {
    let minimum = Minimum { iterations: NonZeroU32::new(4096).expect("positive"), salt_len: 16 };
    for (count, too_few) in [(i64::MIN, true), (0, true), (4095, true), (4096, false)] {
        assert_eq!(minimum.is_above_iterations(count), too_few, "{count}");
    }
    for (bytes, too_short) in [(0, true), (15, true), (16, false), (17, false)] {
        assert_eq!(minimum.is_above_salt(bytes), too_short, "{bytes}");
    }
}
