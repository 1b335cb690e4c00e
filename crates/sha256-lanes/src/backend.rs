//! Which code derives.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::block::Compress;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512, sha_ni, two_units};
use crate::{portable, self_test};

/// The environment variable that forces a backend where the caller doesn't.
const VARIABLE: &str = "SHA256_LANES_BACKEND";

/// Code for one kind of CPU.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Backend {
    /// Eight passwords in 256-bit vectors.
    Avx2,
    /// Sixteen passwords in 512-bit vectors.
    Avx512,
    /// One password in plain Rust.
    Portable,
    /// Four interleaved streams of the SHA extensions.
    ShaNi,
    /// Two groups of eight streams: rounds by the SHA extensions, message schedule by AVX2.
    ShaNiAvx2,
    /// Two groups of eight streams: rounds by the SHA extensions, message schedule by AVX-512VL.
    ShaNiAvx512,
}

impl Backend {
    /// Every backend of this library, whether this CPU supports it or not.
    pub const ALL: [Self; 6] =
        [Self::Portable, Self::Avx2, Self::ShaNi, Self::ShaNiAvx2, Self::Avx512, Self::ShaNiAvx512];

    /// The backends that this CPU supports.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|backend| backend.is_available())
    }

    /// Whether this CPU has the instructions, and the backend derives with them what the portable one does.
    /// The first call in a process compares them, which takes some ten microseconds.
    pub fn is_available(self) -> bool {
        static RESULTS: [OnceLock<bool>; Backend::ALL.len()] =
            [const { OnceLock::new() }; Backend::ALL.len()];

        match Self::ALL.iter().position(|backend| *backend == self) {
            Some(place) => {
                *RESULTS[place].get_or_init(|| self.is_supported() && self_test::passes(self))
            }
            None => false,
        }
    }

    /// Whether this CPU has the instructions.
    fn is_supported(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi => sha_ni::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::ShaNiAvx2 => two_units::has_avx2(),
            #[cfg(target_arch = "x86_64")]
            Self::ShaNiAvx512 => two_units::has_avx512(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// How many passwords it derives at once.
    pub const fn lanes(self) -> usize {
        match self {
            Self::Avx2 => 8,
            Self::Avx512 | Self::ShaNiAvx2 | Self::ShaNiAvx512 => 16,
            Self::Portable => portable::LANES,
            Self::ShaNi => 4,
        }
    }

    /// The name that [`FromStr`] takes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Portable => "portable",
            Self::ShaNi => "sha_ni",
            Self::ShaNiAvx2 => "sha_ni_avx2",
            Self::ShaNiAvx512 => "sha_ni_avx512",
        }
    }

    /// The backend that the environment names, if this CPU has it. Read once in a process.
    pub(crate) fn forced() -> Option<Self> {
        static FORCED: OnceLock<Option<Backend>> = OnceLock::new();
        *FORCED.get_or_init(|| {
            let name = std::env::var(VARIABLE).ok()?;
            name.parse().ok().filter(|backend: &Self| backend.is_available())
        })
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        Self::ALL.into_iter().find(|backend| backend.as_str() == name).ok_or(UnknownBackend)
    }
}

/// The compression function for the work that is done once per password.
pub(crate) fn block_function(forced: Option<Backend>) -> Compress {
    #[cfg(target_arch = "x86_64")]
    if !matches!(forced, Some(Backend::Portable | Backend::Avx2)) && sha_ni::is_available() {
        return sha_ni::block;
    }
    let _ = forced;
    portable::block
}

/// No backend has this name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownBackend;

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the backends are avx2, avx512, portable and sha_ni")
    }
}

impl std::error::Error for UnknownBackend {}

/// This CPU lacks instructions that the backend needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unavailable(pub Backend);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this CPU lacks what the backend {} needs", self.0)
    }
}

impl std::error::Error for Unavailable {}
