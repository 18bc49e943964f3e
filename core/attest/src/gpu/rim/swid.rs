//! What a RIM says: for which product and version, and the golden measurements.
//!
//! Reads the elements that the digest was computed over. Specification: `attestation.md` §5 steps 6 and 7.

use super::xml::Element;
use crate::gpu::spdm::DIGEST_LEN;

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const SHA384: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
/// Real RIMs have four at most.
const MAX_ALTERNATIVES: usize = 16;
const MAX_TEXT: usize = 128;

/// What kind of device a RIM is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RimKind {
    /// A GPU: its driver or its VBIOS.
    Gpu,
    /// An NVSwitch.
    Switch,
}

/// The values that one measurement may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Golden {
    /// Index of the RIM, from 0; the report's block is one higher.
    pub index: u8,
    /// Inactive ones are not compared.
    pub active: bool,
    /// For example `HashedMeasurement_2_FSP`.
    pub name: String,
    /// Any of them is right. At least one.
    pub alternatives: Vec<[u8; DIGEST_LEN]>,
}

/// A RIM's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rim {
    /// NVIDIA's identifier of the document.
    pub tag_id: String,
    /// For example `GH100`.
    pub product: String,
    /// GPU or switch.
    pub kind: RimKind,
    /// Of the driver or of the VBIOS: nothing else in the document says which of them it is for.
    pub version: String,
    /// All measurements, also inactive ones, in the document's order; each index once.
    pub golden: Vec<Golden>,
}

/// Why a signed document is not a RIM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwidError {
    /// Not exactly the elements of a RIM.
    #[error("the RIM's element `{element}` is missing, repeated or in the wrong place")]
    Element {
        /// Which.
        element: &'static str,
    },
    /// An attribute is missing or has another form.
    #[error("the RIM's attribute `{attribute}` is missing or malformed")]
    Attribute {
        /// Which.
        attribute: &'static str,
    },
    /// A measurement that cannot be read.
    #[error("measurement number {position} of the RIM is malformed at `{attribute}`")]
    Measurement {
        /// Position in the payload, from 0.
        position: usize,
        /// Which attribute.
        attribute: &'static str,
    },
    /// It would be open which one counts.
    #[error("the RIM has measurement {index} twice")]
    DuplicateIndex {
        /// Its index.
        index: u8,
    },
}

impl Rim {
    pub(super) fn read(root: &Element<'_>) -> Result<Self, SwidError> {
        if !root.is(SWID, "SoftwareIdentity") {
            return Err(SwidError::Element { element: "SoftwareIdentity" });
        }
        only_known_children(root)?;
        let meta = only_child(root, "Meta")?;
        let payload = only_child(root, "Payload")?;
        let product = text(meta, "product")?;
        let named = text(root, "name")?;
        if named != product {
            return Err(SwidError::Attribute { attribute: "name" });
        }
        let kind = match meta.attribute("edition") {
            Some("GPU") => RimKind::Gpu,
            Some("SWITCH") => RimKind::Switch,
            _ => return Err(SwidError::Attribute { attribute: "edition" }),
        };
        Ok(Self {
            tag_id: text(root, "tagId")?,
            product,
            kind,
            version: text(meta, "colloquialVersion")?,
            golden: golden(payload)?,
        })
    }

    /// The active measurement at this index.
    pub fn active(&self, index: u8) -> Option<&Golden> {
        self.golden.iter().find(|golden| golden.index == index && golden.active)
    }
}

fn only_known_children(root: &Element<'_>) -> Result<(), SwidError> {
    let known = |child: &Element<'_>| {
        child.is(DSIG, "Signature")
            || (child.namespace == SWID && matches!(child.local, "Entity" | "Meta" | "Payload"))
    };
    if root.has_only_elements() && root.elements().all(known) {
        Ok(())
    } else {
        Err(SwidError::Element { element: "SoftwareIdentity" })
    }
}

fn only_child<'e, 'a>(root: &'e Element<'a>, local: &'static str) -> Result<&'e Element<'a>, SwidError> {
    let mut found = root.elements().filter(|child| child.is(SWID, local));
    match (found.next(), found.next()) {
        (Some(child), None) => Ok(child),
        _ => Err(SwidError::Element { element: local }),
    }
}

fn text(element: &Element<'_>, attribute: &'static str) -> Result<String, SwidError> {
    let value = element.attribute(attribute).filter(|value| !value.is_empty() && value.len() <= MAX_TEXT);
    value.map(str::to_owned).ok_or(SwidError::Attribute { attribute })
}

fn golden(payload: &Element<'_>) -> Result<Vec<Golden>, SwidError> {
    let mut all: Vec<Golden> = Vec::new();
    let mut seen = [false; 256];
    for (position, resource) in payload.elements().enumerate() {
        if !resource.is(SWID, "Resource") || !resource.children.is_empty() {
            return Err(SwidError::Element { element: "Resource" });
        }
        let golden =
            measurement(resource).map_err(|attribute| SwidError::Measurement { position, attribute })?;
        let taken = seen.get_mut(usize::from(golden.index));
        if taken.is_none_or(|taken| std::mem::replace(taken, true)) {
            return Err(SwidError::DuplicateIndex { index: golden.index });
        }
        all.push(golden);
    }
    Ok(all)
}

/// The error names the attribute.
fn measurement(resource: &Element<'_>) -> Result<Golden, &'static str> {
    let attribute = |name: &'static str| resource.attribute(name).ok_or(name);
    if attribute("type")? != "Measurement" {
        return Err("type");
    }
    if attribute("size")? != "48" {
        return Err("size");
    }
    // the report's block is one higher, which must still be a byte
    let index = number(attribute("index")?).filter(|index| *index < u8::MAX).ok_or("index")?;
    let active = match attribute("active")? {
        "True" => true,
        "False" => false,
        _ => return Err("active"),
    };
    let count = usize::from(number(attribute("alternatives")?).ok_or("alternatives")?);
    let hashes = resource.attributes.iter().filter(|attribute| attribute.namespace == SHA384).count();
    if count == 0 || count > MAX_ALTERNATIVES || hashes != count {
        return Err("alternatives");
    }
    let alternatives: Option<Vec<[u8; DIGEST_LEN]>> = (0..count)
        .map(|number| {
            let text = resource.attribute_in(SHA384, &format!("Hash{number}"))?;
            let mut digest = [0; DIGEST_LEN];
            hex::decode_to_slice(text, &mut digest).ok()?;
            Some(digest)
        })
        .collect();
    let name = attribute("name")?.to_owned();
    Ok(Golden { index, active, name, alternatives: alternatives.ok_or("Hash")? })
}

/// Digits without sign or leading zero.
fn number(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests;
