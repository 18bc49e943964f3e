//! The JSON of request and reply.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{ENCAPSULATED_KEY_LENGTH, PUBLIC_KEY_LENGTH};

const MAX_MESSAGE: usize = 64 * 1024;
const MAX_SIGNATURE: usize = 256;
const MAX_CERTIFICATE: usize = 16 * 1024;

/// Why a message of the exchange is refused.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeMessageError {
    /// Longer than any message is.
    #[error("the message has {length} bytes, more than {MAX_MESSAGE}")]
    TooLong {
        /// The length given.
        length: usize,
    },
    /// Not the JSON expected.
    #[error("the message is not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// A member is not base64.
    #[error("`{member}` is not base64")]
    Base64 {
        /// Which.
        member: &'static str,
        /// Why.
        source: base64::DecodeError,
    },
    /// A member has the wrong length.
    #[error("`{member}` has the wrong length: {length} bytes")]
    Length {
        /// Which.
        member: &'static str,
        /// The length given.
        length: usize,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireRequest {
    public_key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireReply {
    encapsulated_key: String,
    signature: String,
    mesh_cert: String,
}

pub(super) fn request_json(public_key: &[u8]) -> String {
    to_json(&WireRequest { public_key: STANDARD.encode(public_key) })
}

/// The public key from the body of `POST /privatemode/v1/secret`.
pub fn parse_request(json: &[u8]) -> Result<Box<[u8; PUBLIC_KEY_LENGTH]>, ExchangeMessageError> {
    let WireRequest { public_key } = from_json(json)?;
    decode("PublicKey", &public_key, |length| length == PUBLIC_KEY_LENGTH)?
        .into_boxed_slice()
        .try_into()
        .map_err(|other: Box<[u8]>| ExchangeMessageError::Length { member: "PublicKey", length: other.len() })
}

/// The secret service's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeReply {
    /// 1120 bytes.
    pub encapsulated_key: Vec<u8>,
    /// ECDSA, ASN.1.
    pub signature: Vec<u8>,
    /// DER.
    pub mesh_cert: Vec<u8>,
}

impl ExchangeReply {
    /// The reply as JSON.
    pub fn to_json(&self) -> String {
        let ExchangeReply { encapsulated_key, signature, mesh_cert } = self;
        to_json(&WireReply {
            encapsulated_key: STANDARD.encode(encapsulated_key),
            signature: STANDARD.encode(signature),
            mesh_cert: STANDARD.encode(mesh_cert),
        })
    }

    /// Parses the reply's JSON; members that we do not know are ignored.
    pub fn parse(json: &[u8]) -> Result<ExchangeReply, ExchangeMessageError> {
        let WireReply { encapsulated_key, signature, mesh_cert } = from_json(json)?;
        Ok(ExchangeReply {
            encapsulated_key: decode("EncapsulatedKey", &encapsulated_key, |l| l == ENCAPSULATED_KEY_LENGTH)?,
            signature: decode("Signature", &signature, |l| (1..=MAX_SIGNATURE).contains(&l))?,
            mesh_cert: decode("MeshCert", &mesh_cert, |l| (1..=MAX_CERTIFICATE).contains(&l))?,
        })
    }
}

fn to_json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("strings serialise")
}

fn from_json<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ExchangeMessageError> {
    if json.len() > MAX_MESSAGE {
        return Err(ExchangeMessageError::TooLong { length: json.len() });
    }
    serde_json::from_slice(json).map_err(ExchangeMessageError::Json)
}

fn decode(
    member: &'static str,
    text: &str,
    fits: impl Fn(usize) -> bool,
) -> Result<Vec<u8>, ExchangeMessageError> {
    let bytes = STANDARD.decode(text).map_err(|source| ExchangeMessageError::Base64 { member, source })?;
    let length = bytes.len();
    if fits(length) { Ok(bytes) } else { Err(ExchangeMessageError::Length { member, length }) }
}
