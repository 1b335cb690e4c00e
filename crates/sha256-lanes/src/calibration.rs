//! Which backends this CPU runs, and which one is the fastest: measured once in a process.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::lanes::{Lanes, MAX_LANES};
use crate::plan::LaneGroup;
use crate::self_test;

/// Iterations of one measurement: a tenth of a millisecond to a third.
const ITERATIONS: u32 = 128;

/// Measurements of each backend, of which the best counts: all else that runs only slows down.
const ROUNDS: usize = 4;

static SPEEDS: OnceLock<Speeds> = OnceLock::new();

/// How long one iteration of a group takes with each backend, however many of its lanes are in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speeds {
    /// In the order of [`Backend::ALL`]; `None` for a backend that this CPU does not have.
    groups: [Option<Duration>; Backend::ALL.len()],
    /// One stream of the SHA extensions.
    one_stream: Option<Duration>,
}

impl Speeds {
    /// The result of the measurement, if there was one in this process.
    pub(crate) fn measured() -> Option<&'static Self> {
        SPEEDS.get()
    }

    /// The time of this many lanes, in groups of this backend.
    fn time(&self, backend: Backend, lanes: usize) -> Option<Duration> {
        let place = Backend::ALL.iter().position(|one| *one == backend)?;
        let group = self.groups[place]?;
        let (whole, rest) = (lanes / backend.lanes(), lanes % backend.lanes());
        let rest = match (backend, rest) {
            (_, 0) => Duration::ZERO,
            (Backend::ShaNi, 1) => self.one_stream?,
            _ => group,
        };
        Some(group * u32::try_from(whole).unwrap_or(u32::MAX) + rest)
    }

    /// The backend that derives this many lanes in the shortest time.
    pub(crate) fn quickest(&self, lanes: usize) -> Backend {
        let times = Backend::ALL.into_iter().filter_map(|one| Some((self.time(one, lanes)?, one)));
        times.min_by_key(|(time, _)| *time).map_or(Backend::Portable, |(_, backend)| backend)
    }

    fn measure() -> Self {
        let mut speeds = Self { groups: [None; Backend::ALL.len()], one_stream: None };
        let mut lanes = self_test::lanes();
        // In turns, so that a slow moment meets all of them.
        for _ in 0..ROUNDS {
            for (place, backend) in Backend::ALL.into_iter().enumerate() {
                if backend.is_available() {
                    keep_best(&mut speeds.groups[place], &mut lanes, backend, backend.lanes());
                }
            }
            if Backend::ShaNi.is_available() {
                keep_best(&mut speeds.one_stream, &mut lanes, Backend::ShaNi, 1);
            }
        }
        speeds
    }
}

fn keep_best(best: &mut Option<Duration>, lanes: &mut Lanes, backend: Backend, count: usize) {
    let start = Instant::now();
    LaneGroup { backend, count }.advance(lanes, ITERATIONS);
    let time = start.elapsed();
    *best = Some(best.map_or(time, |best| best.min(time)));
}

/// Measures the backends of this CPU, if this process has not done so yet. Takes a few milliseconds; batches of
/// all threads then derive with the fastest one. Without a call a batch goes by what was measured on some CPUs.
pub fn calibrate() {
    if Backend::forced().is_none() {
        SPEEDS.get_or_init(Speeds::measure);
    }
}

/// Which backend derives many passwords in this process, and why, in a few words.
pub fn backend_report() -> String {
    if let Some(forced) = Backend::forced() {
        return format!("{forced} (set by SHA256_LANES_BACKEND)");
    }
    let Some(speeds) = Speeds::measured() else {
        let backend = LaneGroup::of(None, MAX_LANES).backend;
        return format!("{backend} (not measured in this session)");
    };
    let mut report =
        format!("{} (passwords a second at 4096 iterations:", speeds.quickest(MAX_LANES));
    let mut separator = ' ';
    for backend in Backend::ALL {
        if let Some(time) = speeds.time(backend, MAX_LANES) {
            let iterations = MAX_LANES as f64 * f64::from(ITERATIONS) / time.as_secs_f64();
            // Writing to a string cannot fail.
            let _ = write!(report, "{separator}{backend} {:.0}", iterations / 4096.0);
            separator = ',';
        }
    }
    report.replace(',', ", ") + ")"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microseconds of a group for each backend.
    fn speeds(times: &[(Backend, u64)], one_stream: Option<u64>) -> Speeds {
        let mut groups = [None; Backend::ALL.len()];
        for (place, backend) in Backend::ALL.into_iter().enumerate() {
            let time = times.iter().find(|(one, _)| *one == backend);
            groups[place] = time.map(|(_, time)| Duration::from_micros(*time));
        }
        Speeds { groups, one_stream: one_stream.map(Duration::from_micros) }
    }

    #[test]
    fn the_quickest_for_each_number_of_lanes() {
        use Backend::*;

        let wide = [(Portable, 200), (Avx2, 290), (ShaNi, 100), (ShaNiAvx2, 370), (Avx512, 380)];
        let wide = speeds(&wide, Some(50));
        let expected =
            [(1, ShaNi), (4, ShaNi), (12, ShaNi), (13, ShaNi), (14, ShaNiAvx2), (16, ShaNiAvx2)];
        for (lanes, backend) in expected {
            assert_eq!(wide.quickest(lanes), backend, "{lanes}");
        }
        let vectors = speeds(&[(Portable, 200), (Avx2, 290), (Avx512, 400)], None);
        for (lanes, backend) in [(1, Portable), (2, Avx2), (8, Avx2), (9, Avx512), (16, Avx512)] {
            assert_eq!(vectors.quickest(lanes), backend, "{lanes}");
        }
        assert_eq!(speeds(&[], None).quickest(16), Portable);
    }

    #[test]
    fn what_this_cpu_has_is_measured() {
        let speeds = Speeds::measure();
        for backend in Backend::ALL {
            assert_eq!(speeds.time(backend, 16).is_some(), backend.is_available(), "{backend}");
        }
        assert!(speeds.quickest(16).is_available());
    }
}
