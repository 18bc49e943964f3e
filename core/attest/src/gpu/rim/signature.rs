//! The RIM's enveloped signature: one fixed set of algorithms, one reference to the whole document.
//!
//! Checks the digest and hands out what the signature covers; the key and its chain are [`super::verify()`]'s. What is not exactly as
//! NVIDIA writes it is refused: other algorithms, more references, transforms or keys, objects, identifiers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha384};

use super::c14n;
use super::xml::{Element, Node};

const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const C14N_11: &str = "http://www.w3.org/2006/12/xml-c14n11";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
const SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";
/// Real RIMs carry four certificates of less than 1 KiB.
const MAX_CERTIFICATES: usize = 6;
const MAX_CERTIFICATE: usize = 16 * 1024;

/// Why a RIM's signature element was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RimSignatureError {
    /// None, or more than one, in the document element.
    #[error("the RIM has {found} signatures, not one")]
    Count {
        /// How many.
        found: usize,
    },
    /// Not the elements and attributes that NVIDIA's signatures have.
    #[error("the RIM's signature is malformed at `{element}`")]
    Structure {
        /// Which element.
        element: &'static str,
    },
    /// Another algorithm than the one that NVIDIA signs with.
    #[error("the RIM's signature uses another algorithm than expected in `{element}`")]
    Algorithm {
        /// Which element.
        element: &'static str,
    },
    /// It does not cover the whole document.
    #[error("the RIM's signature does not refer to the whole document")]
    Reference,
    /// Changed after it was signed.
    #[error("the RIM was changed: its digest differs from the signed one")]
    Digest,
}

/// A signature whose reference holds; whether it is one of NVIDIA's is still open.
#[derive(Debug)]
pub(super) struct Envelope {
    /// `SignedInfo` in canonical form: what is signed.
    pub(super) signed_info: Vec<u8>,
    /// r and s, big-endian.
    pub(super) signature: Vec<u8>,
    /// DER, signer first.
    pub(super) certificates: Vec<Vec<u8>>,
}

impl Envelope {
    /// Finds the signature directly under `root` and checks the digest over all the rest of `root`.
    pub(super) fn open(root: &Element<'_>) -> Result<Self, RimSignatureError> {
        let (position, signature) = find(root)?;
        let [info, value, key_info] =
            children(signature, "Signature", ["SignedInfo", "SignatureValue", "KeyInfo"])?;
        let digest = reference_digest(info)?;
        if Sha384::digest(c14n::document(root, Some(position))).as_slice() != digest {
            return Err(RimSignatureError::Digest);
        }
        Ok(Self {
            signed_info: c14n::subset(info, &[root, signature]),
            signature: base64_text(value, "SignatureValue", 96)?,
            certificates: certificates(key_info)?,
        })
    }
}

/// The only signature there is anywhere in the document must be a child of the document element.
fn find<'e, 'a>(root: &'e Element<'a>) -> Result<(usize, &'e Element<'a>), RimSignatureError> {
    let found = count(root);
    let direct = root.children.iter().enumerate().find_map(|(position, node)| match node {
        Node::Element(element) if element.is(DSIG, "Signature") => Some((position, element)),
        _ => None,
    });
    direct.filter(|_| found == 1).ok_or(RimSignatureError::Count { found })
}

fn count(element: &Element<'_>) -> usize {
    let own = usize::from(element.is(DSIG, "Signature"));
    element.elements().map(count).fold(own, usize::saturating_add)
}

fn reference_digest(info: &Element<'_>) -> Result<Vec<u8>, RimSignatureError> {
    let [method, signature_method, reference] =
        children(info, "SignedInfo", ["CanonicalizationMethod", "SignatureMethod", "Reference"])?;
    algorithm(method, "CanonicalizationMethod", C14N_11)?;
    algorithm(signature_method, "SignatureMethod", ECDSA_SHA384)?;
    if reference.attributes.len() != 1 || reference.attribute("URI") != Some("") {
        return Err(RimSignatureError::Reference);
    }
    let [transforms, digest_method, digest] =
        elements(reference, "Reference", ["Transforms", "DigestMethod", "DigestValue"])?;
    let [enveloped, canonical] = children(transforms, "Transforms", ["Transform", "Transform"])?;
    algorithm(enveloped, "Transform", ENVELOPED)?;
    algorithm(canonical, "Transform", C14N_11)?;
    algorithm(digest_method, "DigestMethod", SHA384)?;
    base64_text(digest, "DigestValue", 48)
}

fn certificates(key_info: &Element<'_>) -> Result<Vec<Vec<u8>>, RimSignatureError> {
    let [data] = children(key_info, "KeyInfo", ["X509Data"])?;
    let malformed = RimSignatureError::Structure { element: "X509Data" };
    let count = data.elements().count();
    if !data.attributes.is_empty() || !data.has_only_elements() || count == 0 || count > MAX_CERTIFICATES {
        return Err(malformed);
    }
    data.elements()
        .map(|certificate| {
            if !certificate.is(DSIG, "X509Certificate") {
                return Err(malformed.clone());
            }
            base64_text(certificate, "X509Certificate", 0)
        })
        .collect()
}

/// Exactly these children, and no attributes.
fn children<'e, 'a, const N: usize>(
    parent: &'e Element<'a>,
    element: &'static str,
    names: [&str; N],
) -> Result<[&'e Element<'a>; N], RimSignatureError> {
    if !parent.attributes.is_empty() {
        return Err(RimSignatureError::Structure { element });
    }
    elements(parent, element, names)
}

/// Exactly these children.
fn elements<'e, 'a, const N: usize>(
    parent: &'e Element<'a>,
    element: &'static str,
    names: [&str; N],
) -> Result<[&'e Element<'a>; N], RimSignatureError> {
    let malformed = RimSignatureError::Structure { element };
    if !parent.has_only_elements() {
        return Err(malformed);
    }
    let found: Vec<&Element<'a>> = parent.elements().collect();
    let found: [&Element<'a>; N] = found.try_into().map_err(|_| malformed.clone())?;
    if found.iter().zip(names).all(|(child, name)| child.is(DSIG, name)) { Ok(found) } else { Err(malformed) }
}

fn algorithm(method: &Element<'_>, element: &'static str, expected: &str) -> Result<(), RimSignatureError> {
    if method.attributes.len() != 1 || !method.children.is_empty() {
        return Err(RimSignatureError::Structure { element });
    }
    match method.attribute("Algorithm") {
        Some(algorithm) if algorithm == expected => Ok(()),
        Some(_) => Err(RimSignatureError::Algorithm { element }),
        None => Err(RimSignatureError::Structure { element }),
    }
}

/// Base64 with line breaks; `len` bytes, or any number up to a certificate's if it is 0.
fn base64_text(
    holder: &Element<'_>,
    element: &'static str,
    len: usize,
) -> Result<Vec<u8>, RimSignatureError> {
    let malformed = || RimSignatureError::Structure { element };
    if !holder.attributes.is_empty() {
        return Err(malformed());
    }
    let text: String = holder.text().ok_or_else(malformed)?.split_ascii_whitespace().collect();
    // strict: no other text decodes to the same bytes
    let bytes = STANDARD.decode(text).map_err(|_| malformed())?;
    if bytes.len() > MAX_CERTIFICATE || (len != 0 && bytes.len() != len) {
        return Err(malformed());
    }
    Ok(bytes)
}
