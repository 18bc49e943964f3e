//! A document as bytes, and what is obviously none. Decides nothing about genuineness: that is `privatemode-attest`.
//!
//! A mirror's error page, a cut download or a captive portal must not be cached in place of a certificate, so lengths,
//! media types and the outermost structure are checked before a document is kept.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::key::{Key, Kind};

mod freshness;

pub use freshness::{Freshness, declared_next_update};

/// What a vendor published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The body: DER, PEM, JSON or XML by its kind; byte for byte as signed.
    pub bytes: Vec<u8>,
    /// The issuers' certificates as PEM, where they came beside the body (Intel).
    pub issuer_chain: Option<String>,
}

/// Why bytes cannot be the document that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Over the cap of its kind.
    #[error("it is longer than the {max} bytes allowed for its kind")]
    TooLong {
        /// The cap in bytes.
        max: usize,
    },
    /// A web page or the like.
    #[error("it is labelled as {found}, where {expected} is expected; a proxy or mirror may have answered")]
    ContentType {
        /// The label, cut.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// Not one DER value.
    #[error("it is not one complete DER value; the download may have been cut")]
    NotDer,
    /// Not certificates in PEM.
    #[error("it is not a list of certificates in PEM")]
    NotPem,
    /// Not JSON, or without the members that its kind has.
    #[error("it is not the JSON that its kind has; the download may have been cut")]
    NotJson,
    /// Not an XML document.
    #[error("it is not an XML document; the download may have been cut")]
    NotXml,
    /// The issuers are missing.
    #[error("the answer lacks the header with the issuers' certificates; a mirror must pass it on")]
    NoIssuerChain,
    /// It names something else than what was asked for.
    #[error("it is another document: it names `{found}`")]
    Other {
        /// What it names, cut.
        found: String,
    },
}

/// Longest certificate or chain, in bytes.
pub const MAX_CERTIFICATE: usize = 64 << 10;
/// Longest revocation list, in bytes.
pub const MAX_CRL: usize = 1 << 20;
/// Longest JSON or XML, in bytes.
pub const MAX_TEXT: usize = 4 << 20;

/// The outermost structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// DER; a certificate handed in may be PEM too.
    Certificate,
    PemChain,
    Crl,
    Json,
    Xml,
    Ocsp,
}

impl Kind {
    pub(crate) fn form(self) -> Form {
        match self {
            Self::AmdVcek => Form::Certificate,
            Self::AmdCertChain => Form::PemChain,
            Self::AmdCrl | Self::IntelPckCrl | Self::IntelRootCrl => Form::Crl,
            Self::IntelTcbInfo | Self::IntelQeIdentity => Form::Json,
            Self::NvidiaRim => Form::Xml,
            Self::NvidiaOcsp => Form::Ocsp,
        }
    }

    /// Longest document of this kind, in bytes.
    #[must_use]
    pub fn max_len(self) -> usize {
        match self.form() {
            Form::Certificate | Form::PemChain | Form::Ocsp => MAX_CERTIFICATE,
            Form::Crl => MAX_CRL,
            Form::Json | Form::Xml => MAX_TEXT,
        }
    }

    /// Whether the issuers' certificates come beside the body.
    #[must_use]
    pub fn has_issuer_chain(self) -> bool {
        matches!(self, Self::IntelTcbInfo | Self::IntelQeIdentity | Self::IntelPckCrl)
    }
}

/// Whether `document` can be what `key` names.
///
/// # Errors
/// [`Unusable`]
pub fn check(key: &Key, document: &Document) -> Result<(), Unusable> {
    let kind = key.kind();
    let bytes = document.bytes.as_slice();
    if bytes.is_empty() {
        return Err(Unusable::Empty);
    }
    if bytes.len() > kind.max_len() {
        return Err(Unusable::TooLong { max: kind.max_len() });
    }
    match kind.form() {
        Form::Certificate if bytes.starts_with(b"-----") => check_pem(bytes)?,
        Form::Certificate | Form::Crl | Form::Ocsp => check_der(bytes)?,
        Form::PemChain => check_pem(bytes)?,
        Form::Json => check_json(key, bytes)?,
        Form::Xml => check_xml(bytes)?,
    }
    match &document.issuer_chain {
        None if kind.has_issuer_chain() => Err(Unusable::NoIssuerChain),
        Some(chain) if chain.len() > MAX_CERTIFICATE => Err(Unusable::TooLong { max: MAX_CERTIFICATE }),
        Some(chain) => check_pem(chain.as_bytes()),
        None => Ok(()),
    }
}

/// Whether a media type says that the body is something else. Unknown types pass: mirrors are often plain file servers,
/// and the structure is checked anyway.
pub(crate) fn check_content_type(form: Form, found: &str) -> Result<(), Unusable> {
    let essence = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let page = essence == "text/html" || essence == "application/xhtml+xml";
    let media = essence.starts_with("image/") || essence.starts_with("video/");
    let json = essence == "application/json" || essence.ends_with("+json");
    let (wrong, expected) = match form {
        Form::Certificate => (json || essence == "text/xml", "a certificate"),
        Form::PemChain => (json || essence == "text/xml", "PEM"),
        Form::Crl => (json || essence == "text/xml", "a revocation list"),
        Form::Ocsp => (json || essence.starts_with("text/"), "an OCSP response"),
        Form::Json => (essence.starts_with("application/pkix"), "JSON"),
        // NVIDIA wraps the manifest in JSON
        Form::Xml => (essence.starts_with("application/pkix"), "JSON"),
    };
    if page || media || wrong {
        return Err(Unusable::ContentType { found: excerpt(&essence), expected });
    }
    Ok(())
}

/// Text from elsewhere, cut and without control characters: it goes into messages.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// One SEQUENCE whose stated length is the number of bytes there are.
fn check_der(bytes: &[u8]) -> Result<(), Unusable> {
    let [0x30, first, rest @ ..] = bytes else { return Err(Unusable::NotDer) };
    let (length, content) = match first {
        short @ 0..=0x7f => (usize::from(*short), rest.len()),
        long @ 0x81..=0x84 => {
            let (length, content) =
                rest.split_at_checked(usize::from(long & 0x7f)).ok_or(Unusable::NotDer)?;
            let length = length.iter().try_fold(0_usize, |sum, byte| {
                sum.checked_mul(256).and_then(|sum| sum.checked_add(usize::from(*byte)))
            });
            (length.ok_or(Unusable::NotDer)?, content.len())
        }
        _ => return Err(Unusable::NotDer),
    };
    if length == content { Ok(()) } else { Err(Unusable::NotDer) }
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

fn check_pem(bytes: &[u8]) -> Result<(), Unusable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unusable::NotPem)?.trim();
    let begins = text.matches(BEGIN).count();
    let complete = text.starts_with(BEGIN) && text.ends_with(END) && text.matches(END).count() == begins;
    if complete { Ok(()) } else { Err(Unusable::NotPem) }
}

/// The certificates of a PEM list, one text each, in their order.
pub(crate) fn split_pem(bytes: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    text.split_inclusive(END)
        .filter_map(|part| part.find(BEGIN).and_then(|start| part.get(start..)))
        .map(|certificate| format!("{certificate}\n").into_bytes())
        .collect()
}

#[derive(Deserialize)]
struct SignedTcbInfo<'a> {
    #[serde(rename = "tcbInfo", borrow)]
    tcb_info: TcbInfoName<'a>,
    #[serde(rename = "signature")]
    _signature: IgnoredAny,
}

#[derive(Deserialize)]
struct TcbInfoName<'a> {
    #[serde(borrow)]
    fmspc: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct SignedIdentity<'a> {
    #[serde(rename = "enclaveIdentity", borrow)]
    identity: IdentityName<'a>,
    #[serde(rename = "signature")]
    _signature: IgnoredAny,
}

#[derive(Deserialize)]
struct IdentityName<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

fn check_json(key: &Key, bytes: &[u8]) -> Result<(), Unusable> {
    let (matches, found) = match key {
        Key::IntelTcbInfo { fmspc } => {
            let signed: SignedTcbInfo<'_> = serde_json::from_slice(bytes).map_err(|_| Unusable::NotJson)?;
            let found = signed.tcb_info.fmspc;
            (found.eq_ignore_ascii_case(&hex::encode(fmspc.0)), found.into_owned())
        }
        _ => {
            let signed: SignedIdentity<'_> = serde_json::from_slice(bytes).map_err(|_| Unusable::NotJson)?;
            (signed.identity.id == "TD_QE", signed.identity.id.into_owned())
        }
    };
    if matches { Ok(()) } else { Err(Unusable::Other { found: excerpt(&found) }) }
}

fn check_xml(bytes: &[u8]) -> Result<(), Unusable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unusable::NotXml)?;
    let text = text.trim_start_matches('\u{feff}').trim();
    let page = text.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype html"));
    if text.starts_with('<') && text.ends_with('>') && !page { Ok(()) } else { Err(Unusable::NotXml) }
}

#[cfg(test)]
mod tests;
