//! The faults of a message, and the error values that the other side is sent for them.

use std::fmt;

/// `server-error-value` (RFC 5802 section 7): the value of `e=`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorValue {
    /// The client asked for channel binding; the server offers none.
    ChannelBindingNotSupported,
    /// `c=` differs from the header of client-first or from the channel's data.
    ChannelBindingsDontMatch,
    /// A mandatory extension (`m=`).
    ExtensionsNotSupported,
    /// Any fault of syntax, UTF-8 or Base64.
    InvalidEncoding,
    /// The proof is wrong. Also sent for unknown users and for users that may not log in, so that
    /// the answer does not tell them apart.
    InvalidProof,
    /// The user name cannot be decoded or prepared.
    InvalidUsernameEncoding,
    /// The server lacks resources.
    NoResources,
    /// Anything else.
    OtherError,
    /// The client says that the server offers no channel binding, but the server did: an attacker
    /// may have removed the offer.
    ServerDoesSupportChannelBinding,
    /// Never sent, because it would reveal which users exist.
    UnknownUser,
    /// The client asked for another type of channel binding.
    UnsupportedChannelBindingType,
}

impl ErrorValue {
    /// Every value, as RFC 5802 section 7 lists them.
    pub const ALL: [Self; 11] = [
        Self::InvalidEncoding,
        Self::ExtensionsNotSupported,
        Self::InvalidProof,
        Self::ChannelBindingsDontMatch,
        Self::ServerDoesSupportChannelBinding,
        Self::ChannelBindingNotSupported,
        Self::UnsupportedChannelBindingType,
        Self::UnknownUser,
        Self::InvalidUsernameEncoding,
        Self::NoResources,
        Self::OtherError,
    ];

    /// The value as sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChannelBindingNotSupported => "channel-binding-not-supported",
            Self::ChannelBindingsDontMatch => "channel-bindings-dont-match",
            Self::ExtensionsNotSupported => "extensions-not-supported",
            Self::InvalidEncoding => "invalid-encoding",
            Self::InvalidProof => "invalid-proof",
            Self::InvalidUsernameEncoding => "invalid-username-encoding",
            Self::NoResources => "no-resources",
            Self::OtherError => "other-error",
            Self::ServerDoesSupportChannelBinding => "server-does-support-channel-binding",
            Self::UnknownUser => "unknown-user",
            Self::UnsupportedChannelBindingType => "unsupported-channel-binding-type",
        }
    }

    /// Reads a value. An unknown one counts as `other-error`, as the RFC demands.
    pub fn from_wire(value: &str) -> Self {
        Self::ALL.into_iter().find(|e| e.as_str() == value).unwrap_or(Self::OtherError)
    }
}

impl fmt::Display for ErrorValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a message is refused. Names the part, never its content.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// This attribute is missing, out of its place, empty or there twice.
    #[error("attribute {0} is missing or not in its place")]
    Attribute(char),
    /// `a=` is not `=2C` and `=3D` escaped UTF-8.
    #[error("the authorization identity has a bad escape")]
    AuthzidEscape,
    /// `a=` names a different user.
    #[error("the authorization identity is not the user")]
    AuthzidNotUser,
    /// `c=` is not canonical Base64.
    #[error("the channel binding is not canonical Base64")]
    BindingEncoding,
    /// `c=` is not the GS2 header and channel-binding data of this exchange.
    #[error("the channel binding is not that of this exchange")]
    BindingMismatch,
    /// Flag `p` where the server offers no channel binding.
    #[error("the client requires channel binding and the server offers none")]
    BindingNotOffered,
    /// Flag `n` or `y` inside a `-PLUS` mechanism, or `y` although `-PLUS` was offered.
    #[error("the client says that it found no channel binding, but it was offered")]
    BindingOffered,
    /// Flag `p` with a type the front end has no data for.
    #[error("the type of channel binding is not the one offered")]
    BindingType,
    /// Flag `p` inside a mechanism without `-PLUS`.
    #[error("the client requires channel binding but selected a mechanism without it")]
    BindingUnselected,
    /// NUL, or no UTF-8.
    #[error("the message is not UTF-8 without NUL")]
    Encoding,
    /// An attribute after the known ones is not a letter, `=` and a value.
    #[error("an extension is not a letter with a value")]
    Extension,
    /// The start is no GS2 header.
    #[error("the message does not start with a GS2 header")]
    Gs2Header,
    /// The iteration count is not a plain decimal number that fits.
    #[error("the iteration count is not a plain decimal number from 1 to 2147483647")]
    Iterations,
    /// Over [`MAX_MESSAGE_LEN`](super::MAX_MESSAGE_LEN), [`MAX_SERVER_MESSAGE_LEN`](super::MAX_SERVER_MESSAGE_LEN) or
    /// [`MAX_NONCE_LEN`](super::MAX_NONCE_LEN).
    #[error("the message or its nonce is too long")]
    Length,
    /// `m=`: an extension that must be understood.
    #[error("the message has a mandatory extension")]
    MandatoryExtension,
    /// The nonce is not that of this exchange.
    #[error("the nonce is not that of this exchange")]
    Nonce,
    /// The proof or signature is not canonical Base64 of a key's length.
    #[error("the proof or signature is not a key of the mechanism's length in canonical Base64")]
    Proof,
    /// The salt is not canonical Base64 of at least a byte.
    #[error("the salt is not canonical Base64")]
    Salt,
    /// `n=` is empty where the user's name is asked from it.
    #[error("the user name is empty")]
    UsernameEmpty,
    /// `n=` is not UTF-8, has a bad escape (only `=2C` and `=3D` exist), or cannot be prepared.
    #[error("the user name has a bad escape or a prohibited character")]
    UsernameEncoding,
}

impl Fault {
    /// The error value for the other side.
    pub fn value(self) -> ErrorValue {
        match self {
            Self::BindingMismatch => ErrorValue::ChannelBindingsDontMatch,
            Self::BindingNotOffered => ErrorValue::ChannelBindingNotSupported,
            Self::BindingOffered => ErrorValue::ServerDoesSupportChannelBinding,
            Self::BindingType => ErrorValue::UnsupportedChannelBindingType,
            Self::MandatoryExtension => ErrorValue::ExtensionsNotSupported,
            Self::AuthzidNotUser | Self::BindingUnselected | Self::Length | Self::Nonce => {
                ErrorValue::OtherError
            }
            Self::AuthzidEscape | Self::UsernameEmpty | Self::UsernameEncoding => {
                ErrorValue::InvalidUsernameEncoding
            }
            Self::Attribute(_)
            | Self::BindingEncoding
            | Self::Encoding
            | Self::Extension
            | Self::Gs2Header
            | Self::Iterations
            | Self::Proof
            | Self::Salt => ErrorValue::InvalidEncoding,
        }
    }
}
