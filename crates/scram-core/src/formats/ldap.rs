//! LDAP: `authPassword` of [RFC 5803](https://www.rfc-editor.org/rfc/rfc5803), and its value behind
//! the mechanism in braces, as `userPassword` has it.

use super::encoding::Fields;
use super::{Part, Parts};
use crate::Mechanism;

/// `MECHANISM $ iterations:salt $ StoredKey:ServerKey` with spaces around each `$` and at both ends
/// (RFC 3112 section 3.1), or `{MECHANISM}iterations:salt$StoredKey:ServerKey`. An LDIF line may
/// have the name of the attribute in front.
pub(super) fn read(text: &str) -> Option<Parts> {
    let (has_attribute, value) = match without_attribute(text) {
        Some(value) => (true, value.trim_matches(' ')),
        None => (false, text.trim_matches(' ')),
    };
    let (mechanism, rest) = match value.strip_prefix('{') {
        Some(rest) => {
            let (scheme, value) = rest.split_once('}')?;
            let scheme = scheme.to_ascii_uppercase();
            let repeated = value.strip_prefix(&*scheme).and_then(|value| value.strip_prefix('$'));
            (scheme, repeated.unwrap_or(value))
        }
        // Without one of these it is the text form of a verifier, in which spaces are an error.
        None if !has_attribute && !value.contains(' ') => return None,
        None => {
            let (scheme, rest) = value.split_once('$')?;
            (scheme.trim_end_matches(' ').to_owned(), rest)
        }
    };
    let mechanism = mechanism.parse::<Mechanism>().ok()?;
    Some(read_value(mechanism, rest))
}

fn read_value(mechanism: Mechanism, value: &str) -> Parts {
    let (parameters, keys) = value.split_once('$').ok_or(Part::Fields)?;
    let parameters = parameters.trim_matches(' ').split_once(':').ok_or(Part::Fields)?;
    let keys = keys.trim_start_matches(' ').split_once(':').ok_or(Part::Fields)?;
    let fields = Fields::base64(parameters.0, parameters.1, keys.0, keys.1);
    fields.verifier(mechanism).map(|verifier| vec![verifier])
}

/// The value of a line of LDIF.
fn without_attribute(text: &str) -> Option<&str> {
    let (name, value) = text.split_once(':')?;
    let is_known = |known: &str| name.eq_ignore_ascii_case(known);
    (is_known("authPassword") || is_known("userPassword")).then_some(value)
}
