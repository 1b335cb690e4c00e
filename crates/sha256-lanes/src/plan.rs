//! Which lanes of a batch are derived together, and by which code.

use crate::backend::Backend;
use crate::calibration::Speeds;
use crate::lanes::Lanes;
use crate::portable;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512, sha_ni, two_units};

/// Lanes that are derived together: the first ones of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LaneGroup {
    pub(crate) backend: Backend,
    pub(crate) count: usize,
}

impl LaneGroup {
    /// The group of a batch with so many lanes in use.
    ///
    /// Unless a backend is forced, it is the fastest one for so many. Lanes of a vector that would stay
    /// empty count as a cost.
    pub(crate) fn of(forced: Option<Backend>, lanes: usize) -> Self {
        let backend = forced.unwrap_or_else(|| match Speeds::measured() {
            Some(speeds) => speeds.quickest(lanes),
            None => quickest(lanes, Backend::is_available),
        });
        Self { backend, count: lanes.min(backend.lanes()) }
    }

    /// Runs `iterations` of the group.
    pub(crate) fn advance(self, lanes: &mut Lanes, iterations: u32) {
        match self.backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => avx2::advance(lanes, iterations),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 => avx512::advance(lanes, iterations),
            #[cfg(target_arch = "x86_64")]
            Backend::ShaNi => sha_ni::advance(lanes, self.count, iterations),
            #[cfg(target_arch = "x86_64")]
            Backend::ShaNiAvx2 => two_units::advance_avx2(lanes, iterations),
            #[cfg(target_arch = "x86_64")]
            Backend::ShaNiAvx512 => two_units::advance_avx512(lanes, iterations),
            _ => portable::advance(lanes, iterations),
        }
    }
}

/// How many lanes of a batch are worth filling: those of the fastest backend for many.
pub(crate) fn width(forced: Option<Backend>) -> usize {
    LaneGroup::of(forced, crate::MAX_LANES).count
}

/// The backend for the first group of this many lanes, where none was measured: one that needs no
/// calibration to be a good choice.
///
/// The limits come from the benchmark: on an EPYC 9004 a group of AVX-512 takes as long as 15 lanes
/// of SHA-NI; a group of AVX2 less than two lanes of portable code.
fn quickest(lanes: usize, has: impl Fn(Backend) -> bool) -> Backend {
    if has(Backend::ShaNi) {
        if has(Backend::Avx512) && lanes >= 15 { Backend::Avx512 } else { Backend::ShaNi }
    } else if has(Backend::Avx512) && lanes > 8 {
        Backend::Avx512
    } else if has(Backend::Avx2) && lanes >= 2 {
        Backend::Avx2
    } else {
        Backend::Portable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_lanes_of_its_backend() {
        for forced in Backend::available().map(Some).chain([None]) {
            for lanes in 1..=crate::MAX_LANES {
                let group = LaneGroup::of(forced, lanes);
                let most = group.backend.lanes().min(lanes);
                assert!((1..=most).contains(&group.count), "{group:?}");
            }
        }
    }

    #[test]
    fn the_quickest_on_each_kind_of_cpu() {
        use Backend::*;

        let cases: &[(&[Backend], usize, Backend)] = &[
            (&[Portable, Avx2, ShaNi, Avx512], 16, Avx512),
            (&[Portable, Avx2, ShaNi, Avx512], 15, Avx512),
            (&[Portable, Avx2, ShaNi, Avx512], 14, ShaNi),
            (&[Portable, Avx2, ShaNi, Avx512], 1, ShaNi),
            (&[Portable, Avx2, Avx512], 16, Avx512),
            (&[Portable, Avx2, Avx512], 9, Avx512),
            (&[Portable, Avx2, Avx512], 8, Avx2),
            (&[Portable, Avx2, Avx512], 2, Avx2),
            (&[Portable, Avx2, ShaNi], 16, ShaNi),
            (&[Portable, Avx2], 16, Avx2),
            (&[Portable, Avx2], 1, Portable),
            (&[Portable], 16, Portable),
        ];
        for (cpu, lanes, backend) in cases {
            assert_eq!(quickest(*lanes, |b| cpu.contains(&b)), *backend, "{cpu:?}, {lanes}");
        }
    }
}
