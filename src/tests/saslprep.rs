//! The core's SASLprep against the running server's own, for every code point.

use pgrx::prelude::*;

#[pg_schema]
mod tests {
    use std::ffi::{CStr, CString, c_char, c_int};

    use pgrx::prelude::*;
    use pgrx::{PgMemoryContexts, check_for_interrupts};
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};
    use scram_core::Password;
    use scram_core::saslprep::{Error, saslprep};

    // src/include/common/saslprep.h, which pgrx does not bind. The server's binary exports it.
    unsafe extern "C-unwind" {
        fn pg_saslprep(input: *const c_char, output: *mut *mut c_char) -> c_int;
    }

    const SUCCESS: c_int = 0;
    const INVALID_UTF8: c_int = -2;
    const PROHIBITED: c_int = -3;

    /// Alone, and where a neighbour decides: directions, composition, Hangul.
    #[pg_test]
    fn saslprep_of_every_code_point() {
        let contexts = [
            ("", ""),
            ("a", "b"),
            ("\u{5D0}", "\u{5D0}"),
            ("", "1"),
            ("a", ""),
            ("", "\u{301}"),
            ("\u{1100}", "\u{11A8}"),
        ];
        let mut server = Server::new();
        let mut cases = 0;
        for c in '\u{1}'..=char::MAX {
            if u32::from(c) % 1024 == 0 {
                check_for_interrupts!();
            }
            for (before, after) in contexts {
                server.compare(format!("{before}{c}{after}").as_bytes());
                cases += 1;
            }
        }
        // Every scalar value but NUL, which no C string holds.
        assert_eq!(cases, (0x11_0000 - 0x800 - 1) * contexts.len());
    }

    /// Mixtures of what the rules look at, broken UTF-8 among them.
    #[pg_test]
    fn saslprep_of_random_strings() {
        let special = [
            '\u{20}'..='\u{7E}',
            '\u{A0}'..='\u{FF}',
            '\u{300}'..='\u{345}',
            '\u{590}'..='\u{6FF}',
            '\u{1100}'..='\u{11FF}',
            '\u{1800}'..='\u{180F}',
            '\u{1D2C}'..='\u{1D6A}',
            '\u{2000}'..='\u{206F}',
            '\u{2100}'..='\u{2189}',
            '\u{2F00}'..='\u{2FFB}',
            '\u{AC00}'..='\u{AC20}',
            '\u{FB1D}'..='\u{FDFF}',
            '\u{FE00}'..='\u{FE7E}',
            '\u{FF00}'..='\u{FFEF}',
            '\u{1D100}'..='\u{1D1FF}',
            '\u{1F300}'..='\u{1F6FF}',
            '\u{2F800}'..='\u{2FA1D}',
            '\u{1}'..=char::MAX,
        ];
        let mut rng = StdRng::seed_from_u64(4013);
        let mut server = Server::new();
        for i in 0..300_000 {
            if i % 1024 == 0 {
                check_for_interrupts!();
            }
            // Two ranges at most: a mixture of all is nearly always prohibited.
            let ranges = [0; 2].map(|_| &special[rng.random_range(0..special.len())]);
            let length = rng.random_range(1..12);
            let mut any = || {
                let range = ranges[rng.random_range(0..2)];
                rng.random_range(range.clone())
            };
            let text: String = (0..length).map(|_| any()).collect();
            let mut bytes = text.into_bytes();
            if i % 8 == 0 {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random_range(1..=u8::MAX);
            }
            server.compare(&bytes);
        }
    }

    /// Calls the server's function in a memory context that is emptied after each call.
    struct Server {
        memory: PgMemoryContexts,
    }

    impl Server {
        fn new() -> Self {
            Self { memory: PgMemoryContexts::new("saslprep test") }
        }

        /// Fails if the core prepares these bytes in another way, or for another reason not at all.
        fn compare(&mut self, raw: &[u8]) {
            let input = CString::new(raw).expect("no NUL");
            // SAFETY: `input` is a C string; `output` is read only on success, when it is one.
            let (code, output) = unsafe {
                self.memory.switch_to(|_| {
                    let mut output = std::ptr::null_mut();
                    // Guarded: running out of memory is an ERROR, which must not jump over us.
                    let code = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                        pg_saslprep(input.as_ptr(), &mut output)
                    });
                    let prepared = (code == SUCCESS).then(|| CStr::from_ptr(output).to_owned());
                    (code, prepared)
                })
            };
            // SAFETY: nothing of the context is used any more.
            unsafe { self.memory.reset() };

            let ours = match saslprep(raw) {
                Ok(_) => SUCCESS,
                Err(Error::InvalidUtf8) => INVALID_UTF8,
                Err(Error::Prohibited) => PROHIBITED,
                Err(other) => panic!("{other}"),
            };
            assert_eq!(ours, code, "{input:?}");
            let expected = output.as_deref().map_or(raw, CStr::to_bytes);
            assert_eq!(Password::prepare(raw).as_bytes(), expected, "{input:?}");
        }
    }
}
