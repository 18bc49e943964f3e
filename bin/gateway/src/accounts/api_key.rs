//! The text of an API key: `pm-` and 43 characters of base 62, a little more than 256 random bits.
//!
//! Held boxed and wiped when dropped; its `Debug` shows nothing.

use std::fmt;

use zeroize::Zeroizing;

const MARK: &str = "pm-";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 > 2^256.
const SECRET_CHARS: usize = 43;
/// Bytes from here on are thrown away: 248 = 4 × 62, so that every character is equally likely.
const FAIR_BELOW: u8 = 248;
/// What lists show of a key: its mark and six characters. More than 220 bits stay unknown.
const SHOWN_CHARS: usize = MARK.len() + 6;

/// An API key. Not comparable, not copyable, not serialisable: [`ApiKey::reveal`] is the only way out.
pub struct ApiKey(Zeroizing<Box<str>>);

/// The text is not an API key of this service.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an API key is `pm-` followed by {SECRET_CHARS} letters and digits")]
pub struct MalformedKey;

impl ApiKey {
    /// A new random key.
    pub fn generate() -> Result<ApiKey, getrandom::Error> {
        let mut text = String::with_capacity(MARK.len() + SECRET_CHARS);
        text.push_str(MARK);
        let mut random = Zeroizing::new([0_u8; SECRET_CHARS]);
        while text.len() < MARK.len() + SECRET_CHARS {
            getrandom::fill(random.as_mut_slice())?;
            let missing = MARK.len() + SECRET_CHARS - text.len();
            let fair = random.iter().filter(|byte| **byte < FAIR_BELOW).take(missing);
            text.extend(fair.map(|byte| char::from(ALPHABET[usize::from(byte % 62)])));
        }
        Ok(ApiKey(Zeroizing::new(text.into_boxed_str())))
    }

    /// Takes a key that was made before.
    pub fn parse(text: &str) -> Result<ApiKey, MalformedKey> {
        let secret = text.strip_prefix(MARK).ok_or(MalformedKey)?;
        if secret.len() != SECRET_CHARS || !secret.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(MalformedKey);
        }
        Ok(ApiKey(Zeroizing::new(text.into())))
    }

    /// The key's text: for showing it once to its owner, or keeping it in a file of theirs.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn shown_prefix(&self) -> &str {
        &self.0[..SHOWN_CHARS]
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}
