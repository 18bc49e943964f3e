//! A salted key of a prompt's prefixes: lets a gateway that sees only ciphertext send equal prefixes to one worker.
//!
//! Reveals to the gateway, per salt, how far two prompts agree; nothing without the salt. protocol.md, section 7.

use sha2::{Digest, Sha256};

use crate::json::{JsonError, Object, string_value};
use crate::profile::Endpoint;

const BYTES_PER_TOKEN: usize = 4;
const MAX_TOKENS: usize = 1_000_000;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Why there is no shard key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardKeyError {
    /// More than 1,000,000 tokens of 4 bytes.
    #[error("the prompt has {tokens} tokens of 4 bytes, more than {MAX_TOKENS}")]
    TooLong {
        /// How many.
        tokens: usize,
    },
    /// The body is not JSON.
    #[error("the body is not valid JSON")]
    Json(#[source] JsonError),
}

/// The shard key of a content under a salt.
pub fn shard_key(salt: &str, content: &[u8]) -> Result<String, ShardKeyError> {
    let mut chain: [u8; 32] = Sha256::digest(salt).into();
    let mut key = hex::encode(chain.get(..8).unwrap_or_default());
    let tokens = content.len() / BYTES_PER_TOKEN;
    if tokens > MAX_TOKENS {
        return Err(ShardKeyError::TooLong { tokens });
    }
    let (mut done, mut block) = (0, 16);
    if tokens >= block {
        key.push('-');
    }
    while done + block <= tokens {
        let text = content.get(done * BYTES_PER_TOKEN..(done + block) * BYTES_PER_TOKEN).unwrap_or_default();
        chain = Sha256::new().chain_update(chain).chain_update(text).finalize().into();
        let [.., last] = chain;
        key.push(ALPHABET.get(usize::from(last & 0x3f)).copied().map_or('A', char::from));
        done += block;
        block = match done {
            1024 => 128,
            100_096 => 512,
            _ => block,
        };
    }
    Ok(key)
}

/// The shard key of a request. The prompt's members count in a fixed order, whatever theirs is in the document; endpoints
/// without any of them have the key of an empty content.
pub fn of_request(endpoint: Endpoint, body: &[u8], salt: &str) -> Result<String, ShardKeyError> {
    if endpoint.is_multipart() || endpoint == Endpoint::Unstructured {
        return shard_key(salt, b"");
    }
    let object = Object::parse(body).map_err(ShardKeyError::Json)?;
    let mut content = Vec::new();
    for name in ["system", "tools", "messages", "prompt", "suffix"] {
        let Some(member) = object.get(name) else { continue };
        match string_value(member.raw) {
            Some(text) => content.extend_from_slice(text.as_bytes()),
            None => content.extend_from_slice(member.raw),
        }
    }
    shard_key(salt, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/shard_key.json");
        let vectors: Vec<serde_json::Value> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(!vectors.is_empty());
        for vector in vectors {
            let length = usize::try_from(vector["content_length"].as_u64().unwrap()).unwrap();
            let word = vector["content_word"].as_str().unwrap().as_bytes();
            let content: Vec<u8> = word.iter().copied().cycle().take(length).collect();
            let key = shard_key(vector["salt"].as_str().unwrap(), &content);
            match vector["shard_key"].as_str() {
                Some(expected) => assert_eq!(key.unwrap(), expected),
                None => assert_eq!(key.unwrap_err(), ShardKeyError::TooLong { tokens: length / 4 }),
            }
        }
    }

    #[test]
    fn members_count_in_a_fixed_order() {
        let a = br#"{"messages":[1],"system":"s\u0079s","tools":[2],"model":"m"}"#;
        let expected = shard_key("salt", b"sys[2][1]").unwrap();
        assert_eq!(of_request(Endpoint::Messages, a, "salt").unwrap(), expected);
        assert!(matches!(of_request(Endpoint::ChatCompletions, b"[", "s"), Err(ShardKeyError::Json(_))));
    }
}
