//! Random passwords that people can read out and type.

use zeroize::Zeroizing;

/// Letters and digits without those that some typeface makes look like another one: no `0` and `O`,
/// no `1`, `I` and `l`, no `2` and `Z`, no `5` and `S`, no `6`, `b` and `G`, no `8` and `B`, no `9`,
/// `g` and `q`.
pub const ALPHABET: &[u8; 42] = b"347ACDEFHJKLMNPQRTUVWXYacdefhijkmnprtuvwxy";

/// The default number of characters: 129 bits.
pub const DEFAULT_LEN: usize = 24;

/// The most characters.
pub const MAX_LEN: usize = 256;

/// The fewest characters: 64 bits.
pub const MIN_LEN: usize = 12;

/// A password of `len` characters of [`ALPHABET`], each as likely as any other.
///
/// `fill` fills its argument with random bytes.
///
/// # Errors
///
/// Those of `fill`.
pub fn generate<E>(
    len: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<Zeroizing<String>, E> {
    // With room from the start: a string that grows leaves copies behind.
    let mut password = Zeroizing::new(String::with_capacity(len));
    let mut random = Zeroizing::new([0; 64]);
    while password.len() < len {
        fill(&mut *random)?;
        let characters = random.iter().filter_map(|byte| character(*byte));
        for character in characters.take(len - password.len()) {
            password.push(character);
        }
    }
    Ok(password)
}

/// The character for a random byte. `None` for the last few values, because they would make the
/// first characters more likely.
fn character(byte: u8) -> Option<char> {
    let index = usize::from(byte);
    let even = 256 - 256 % ALPHABET.len();
    (index < even).then(|| char::from(ALPHABET[index % ALPHABET.len()]))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn the_default_has_128_bits() {
        let bits = (ALPHABET.len() as f64).log2() * DEFAULT_LEN as f64;
        assert!(bits >= 128.0, "{bits}");
    }

    #[test]
    fn nothing_looks_like_something_else() {
        for character in "0Oo1Il|2Zz5Ss6bG8B9gq".bytes() {
            assert!(!ALPHABET.contains(&character), "{}", char::from(character));
        }
        assert!(ALPHABET.windows(2).all(|two| two[0] < two[1]), "no character twice");
        assert!(ALPHABET.iter().all(u8::is_ascii_alphanumeric));
    }

    #[test]
    fn every_character_is_as_likely() {
        let mut counts = [0; 256];
        for byte in 0..=255 {
            if let Some(character) = character(byte) {
                counts[usize::from(u8::try_from(character).expect("ASCII"))] += 1;
            }
        }
        assert!(ALPHABET.iter().all(|c| counts[usize::from(*c)] == 256 / ALPHABET.len()));
    }

    #[test]
    fn bytes_that_fit_no_character_are_drawn_again() {
        let mut calls = 0_u8;
        let password = generate(MAX_LEN, |bytes| {
            calls += 1;
            bytes.fill(if calls % 2 == 1 { 255 } else { calls });
            Ok::<_, Infallible>(())
        });
        let Ok(password) = password;
        assert_eq!(password.len(), MAX_LEN);
        assert!(calls > 4);
        assert!(password.bytes().all(|c| ALPHABET.contains(&c)));
    }

    #[test]
    fn no_randomness_is_no_password() {
        assert_eq!(generate(DEFAULT_LEN, |_| Err("none")).err(), Some("none"));
    }
}
