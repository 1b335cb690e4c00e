//! Channel binding: it ties an exchange to the TLS connection that carries it.

use std::fmt;
use std::str::FromStr;

/// The registered types that a front end may offer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BindingType {
    /// `tls-exporter`: 32 bytes of keying material (RFC 9266), the type for TLS 1.3.
    TlsExporter,
    /// `tls-server-end-point`: a hash of the server's certificate (RFC 5929 section 4), the type
    /// that PostgreSQL knows.
    TlsServerEndPoint,
    /// `tls-unique`: the first Finished message (RFC 5929 section 3); not for TLS 1.3.
    TlsUnique,
}

impl BindingType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::TlsExporter, Self::TlsServerEndPoint, Self::TlsUnique];

    /// The registered name; compared exactly.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TlsExporter => "tls-exporter",
            Self::TlsServerEndPoint => "tls-server-end-point",
            Self::TlsUnique => "tls-unique",
        }
    }
}

impl fmt::Display for BindingType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BindingType {
    type Err = UnknownBindingType;

    fn from_str(name: &str) -> Result<Self, UnknownBindingType> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(UnknownBindingType)
    }
}

/// The name is not one of [`BindingType::ALL`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the type of channel binding is not tls-server-end-point, tls-exporter or tls-unique")]
pub struct UnknownBindingType;

/// The channel binding of the client's TLS connection, as the front end sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChannelBinding {
    /// The type of the data.
    pub kind: BindingType,
    /// The data of this connection.
    pub data: Vec<u8>,
}
