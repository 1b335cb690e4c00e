//! Bounds on the JSON of a row, checked before the server parses it.

/// Characters of a number: a bigint has 19 digits and a sign.
const MAX_NUMBER: usize = 20;

/// Whether each number outside of strings is short and has no exponent.
///
/// The server keeps a number of JSON as a numeric, which it prints with all digits: `1e131071` would become 131,072
/// bytes, so that a short row takes gigabytes as text. Text that is no JSON is left to the server, which refuses it.
pub(super) fn has_short_numbers(json: &[u8]) -> bool {
    let (mut in_string, mut is_escaped) = (false, false);
    // Characters of the present number, or of a word such as `true`.
    let mut length = 0;
    let mut is_number = false;
    for byte in json {
        if in_string {
            in_string = *byte != b'"' || is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            continue;
        }
        match byte {
            b'"' => (in_string, length) = (true, 0),
            b'0'..=b'9' | b'+' | b'-' | b'.' | b'a'..=b'z' | b'A'..=b'Z' => {
                if length == 0 {
                    is_number = matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.');
                }
                length += 1;
                if is_number && (length > MAX_NUMBER || matches!(byte, b'e' | b'E')) {
                    return false;
                }
            }
            _ => length = 0,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::has_short_numbers;

    #[test]
    fn numbers_that_a_server_of_the_fleet_may_send() {
        for good in [
            "{\"a\": -9223372036854775808, \"b\": [true, false, null, 1.5]}",
            "{\"a\": \"1e131071 \\\" 1e9 \\\\\", \"b\": 9223372036854775807}",
            "",
        ] {
            assert!(has_short_numbers(good.as_bytes()), "{good}");
        }
        for bad in [
            "{\"a\": 1e131071}",
            "[1E5]",
            "-1e+9",
            "{\"a\": \"\\\\\", \"b\": 1e9}",
            "[true,123456789012345678901]",
            "0.00000000000000000001",
        ] {
            assert!(!has_short_numbers(bad.as_bytes()), "{bad}");
        }
    }
}
