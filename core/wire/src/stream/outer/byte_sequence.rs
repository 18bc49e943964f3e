//! Salts as RFC 8941 byte sequences, `:base64:`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Length of either salt in bytes.
const LENGTH: usize = 32;
/// 44 characters of base64 between two colons.
const TEXT_LENGTH: usize = 46;

/// Not a salt of 32 bytes as an RFC 8941 byte sequence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaltError {
    /// Not between colons.
    #[error("a salt stands between colons")]
    Colons,
    /// Not 46 characters.
    #[error("a salt has {TEXT_LENGTH} characters, this one has {length}")]
    Length {
        /// The length given.
        length: usize,
    },
    /// Not the one spelling in base64.
    #[error("the salt is not base64")]
    Base64,
}

macro_rules! salt {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name([u8; LENGTH]);

        impl $name {
            /// From bytes; they must be fresh and random.
            pub fn from_bytes(bytes: [u8; LENGTH]) -> $name {
                $name(bytes)
            }

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; LENGTH] {
                &self.0
            }

            /// Parses the header's value. One spelling only: padded, no white space, no parameters.
            pub fn parse_header(value: &str) -> Result<$name, SaltError> {
                parse(value).map($name)
            }

            /// The header's value.
            pub fn to_header(&self) -> String {
                format!(":{}:", STANDARD.encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.to_header())
            }
        }
    };
}

salt!(
    /// 32 random bytes that make the keys of one exchange its own. Not secret.
    RequestSalt
);
salt!(
    /// 32 random bytes from the server, in the response's key. Not secret.
    ResponseSalt
);

fn parse(value: &str) -> Result<[u8; LENGTH], SaltError> {
    if value.len() != TEXT_LENGTH {
        return Err(SaltError::Length { length: value.len() });
    }
    let inner = value.strip_prefix(':').and_then(|v| v.strip_suffix(':')).ok_or(SaltError::Colons)?;
    // The engine refuses missing padding and bits behind the end.
    let bytes = STANDARD.decode(inner).map_err(|_| SaltError::Base64)?;
    bytes.try_into().map_err(|_| SaltError::Base64)
}
