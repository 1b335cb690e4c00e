//! `<scram-credentials>` of XEP-0227, which newer versions of ejabberd export.
//!
//! Source: XEP-0227 1.1, section "SCRAM credentials", and ejabberd's `ejabberd_piefxis.erl`, which
//! encodes salt and keys twice.

use crate::formats::{Part, Parts, Verifier};

/// The elements of one user, alone or inside of its `<user>`; each is of another mechanism.
pub(super) fn read(text: &str) -> Parts {
    let elements = text.split("<scram-credentials").skip(1);
    let mut verifiers = elements.map(verifier).collect::<Result<Vec<_>, _>>()?;
    verifiers.sort_by_key(|verifier| verifier.mechanism().key_len());
    // Two of one mechanism belong to two users of a whole export.
    if verifiers.windows(2).any(|pair| pair[0].mechanism() == pair[1].mechanism()) {
        return Err(Part::Fields);
    }
    Ok(verifiers)
}

/// What follows the name of the element.
fn verifier(text: &str) -> Result<Verifier, Part> {
    let (attributes, rest) = text.split_once('>').ok_or(Part::Fields)?;
    let (content, _) = rest.split_once("</scram-credentials>").ok_or(Part::Fields)?;
    let mechanism = attributes.split_once("mechanism=").and_then(|(_, value)| {
        let quote = value.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        value[1..].split_once(quote)
    });
    let (mechanism, _) = mechanism.ok_or(Part::Mechanism)?;
    let mechanism = mechanism.parse().map_err(|_| Part::Mechanism)?;
    let field = |name: &str| {
        let (_, rest) = content.split_once(&format!("<{name}>"))?;
        rest.split_once('<').map(|(value, _)| value.trim())
    };
    let part = |name, part| field(name).ok_or(part);
    super::encoded(
        mechanism,
        [
            part("stored-key", Part::StoredKey)?,
            part("server-key", Part::ServerKey)?,
            part("salt", Part::Salt)?,
        ],
        part("iter-count", Part::Iterations)?,
    )
}
