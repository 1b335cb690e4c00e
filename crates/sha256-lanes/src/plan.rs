//! Which lanes of a batch are derived together, and by which code.

use crate::backend::Backend;
use crate::lanes::Lanes;
use crate::portable;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512, sha_ni};

/// Lanes that are derived together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LaneGroup {
    pub(crate) backend: Backend,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl LaneGroup {
    /// The next group of a batch of `lanes`; the lanes below `first` are done.
    ///
    /// Unless a backend is forced, it is the fastest one for the remaining lanes. Lanes of a vector
    /// that would stay empty count as a cost.
    pub(crate) fn next(forced: Option<Backend>, first: usize, lanes: usize) -> Self {
        let rest = lanes - first;
        let backend = forced.unwrap_or_else(|| quickest(rest, Backend::is_available));
        // A vector group starts at a multiple of its own width: only whole groups go before it.
        Self { backend, first, count: rest.min(backend.lanes()) }
    }

    /// Runs `iterations` of the group.
    pub(crate) fn advance(self, lanes: &mut Lanes, iterations: u32) {
        match self.backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => avx2::advance(lanes, self.first, iterations),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 => avx512::advance(lanes, iterations),
            #[cfg(target_arch = "x86_64")]
            Backend::ShaNi => sha_ni::advance(lanes, self.first, self.count, iterations),
            _ => portable::advance(lanes, self.first, iterations),
        }
    }
}

/// The backend for the first group of this many lanes.
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
    fn groups_cover_every_lane_once() {
        for forced in Backend::ALL.into_iter().map(Some).chain([None]) {
            for lanes in 1..=crate::MAX_LANES {
                let mut first = 0;
                while first < lanes {
                    let group = LaneGroup::next(forced, first, lanes);
                    assert_eq!(group.first, first);
                    assert!((1..=group.backend.lanes()).contains(&group.count), "{group:?}");
                    first += group.count;
                }
                assert_eq!(first, lanes);
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
