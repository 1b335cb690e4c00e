//! Verifiers and iteration counts that a caller gives, within the limits of the settings.

use std::num::NonZeroU32;

use scram_core::Verifier;

use super::text::ServerText;
use crate::error::Error;
use crate::guc;

/// Reads a verifier of any count, for what derives nothing.
pub(crate) fn parse(text: &ServerText) -> Result<Verifier, Error> {
    Ok(text.as_ascii().parse()?)
}

/// Reads a verifier that keys are going to be derived for.
pub(crate) fn parse_bounded(text: &ServerText) -> Result<Verifier, Error> {
    let verifier = parse(text)?;
    let (got, max) = (verifier.iterations().get(), guc::max_iterations());
    if got > max {
        return Err(Error::TooManyIterations { got, max });
    }
    Ok(verifier)
}

/// A count that a new verifier may have.
pub(crate) fn bounded_iterations(got: i32) -> Result<NonZeroU32, Error> {
    let (min, max) = guc::iteration_bounds();
    u32::try_from(got)
        .ok()
        .and_then(NonZeroU32::new)
        .filter(|_| (min..=max).contains(&got))
        .ok_or(Error::Iterations { got, min, max })
}
