//! JSON of MongoDB, Prosody and ejabberd.

use std::borrow::Cow;
use std::num::NonZeroU32;

use serde::Deserialize;

use super::{Format, Parts, ejabberd, mongodb, prosody};
use crate::verifier::posit_number;

/// A member that only one of the systems has decides on the form.
pub(super) fn read(text: &str) -> Option<(Format, Parts)> {
    // Spares JSON's reader each password that begins otherwise.
    if !text.trim_start().starts_with('{') {
        return None;
    }
    if text.contains("\"iteration_count\"") {
        return Some((Format::Prosody, prosody::read_json(text)?));
    }
    if text.contains("\"iterationcount\"") {
        return Some((Format::Ejabberd, ejabberd::read_json(text)?));
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
