//! Severities of findings.

use std::fmt;

use serde::Serialize;

/// Severity of a finding, the worst first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The password is as good as known.
    Critical,
    /// Weaker than it has to be, or about to fail.
    Warning,
    /// Worth knowing.
    Notice,
}

impl Severity {
    /// All severities, the worst first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Warning, Self::Notice];

    /// The severity with this label; `None` for any other text.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == label)
    }

    /// One step more severe; critical stays so.
    #[must_use]
    pub const fn raised(self) -> Self {
        match self {
            Self::Critical | Self::Warning => Self::Critical,
            Self::Notice => Self::Warning,
        }
    }

    /// One step less severe; a notice stays one.
    #[must_use]
    pub const fn lowered(self) -> Self {
        match self {
            Self::Critical => Self::Warning,
            Self::Notice | Self::Warning => Self::Notice,
        }
    }

    /// The label that SQL shows. Part of the interface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Notice => "notice",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
