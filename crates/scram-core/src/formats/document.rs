//! JSON of MongoDB, Prosody and ejabberd.

use std::borrow::Cow;
use std::num::NonZeroU32;

use serde::Deserialize;

use super::{Format, Parts, ejabberd, mongodb, prosody};
use crate::verifier::posit_number;

/// A member that only one of the systems has tells the form. Users of MongoDB can have members of any name.
pub(super) fn read(text: &str) -> Option<(Format, Parts)> {
    // Spares JSON's reader each password that begins otherwise.
    if !text.trim_start().starts_with('{') {
        return None;
    }
    if text.contains("\"iteration_count\"")
        && let Some(parts) = prosody::read_json(text)
    {
        return Some((Format::Prosody, parts));
    }
    if text.contains("\"iterationcount\"")
        && let Some(parts) = ejabberd::read_json(text)
    {
        return Some((Format::Ejabberd, parts));
    }
    Some((Format::Mongodb, mongodb::read(text)?))
}

/// A number in JSON, or in canonical Extended JSON.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Number<'a> {
    Canonical {
        #[serde(borrow, rename = "$numberInt", alias = "$numberLong")]
        digits: Cow<'a, str>,
    },
    Plain(u32),
}

impl Number<'_> {
    pub(super) fn value(&self) -> Option<NonZeroU32> {
        match self {
            Self::Canonical { digits } => posit_number(digits),
            Self::Plain(number) => NonZeroU32::new(*number),
        }
    }
}
