//! The firmware identifier in the device's leaf certificate, in the two forms that NVIDIA's chips use.
//!
//! Hopper and LS10: TCG DICE composite device identifier (2.23.133.5.4.1). Blackwell: TCG DICE TcbInfo (2.23.133.5.4.1.1), first
//! of its firmware identifiers. Specification: `attestation.md` §5 step 3.

use super::der::{BIT_STRING, Fields, INTEGER, OCTET_STRING, OID, SEQUENCE, SHA384, context};
use super::spdm::DIGEST_LEN;
use crate::x509::{Certificate, ObjectIdentifier};

/// Version, device key, firmware identifier.
pub(super) const COMPOSITE_DEVICE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1");
/// Vendor, model, version, firmware identifiers, flags and more, all optional.
pub(super) const TCB_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1.1");

/// Number of the field of TcbInfo with the firmware identifiers.
const TCB_INFO_FWIDS: u8 = 6;

/// Whether a leaf has a firmware identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeafFwid {
    /// It has neither extension.
    None,
    /// It has one that cannot be read, or both.
    Malformed,
    Sha384([u8; DIGEST_LEN]),
}

pub(super) fn of_leaf(leaf: &Certificate) -> LeafFwid {
    let found = match (leaf.extension(COMPOSITE_DEVICE_ID), leaf.extension(TCB_INFO)) {
        (None, None) => return LeafFwid::None,
        (Some(device), None) => composite_device_id(device),
        (None, Some(info)) => tcb_info(info),
        (Some(_), Some(_)) => None,
    };
    found.map_or(LeafFwid::Malformed, LeafFwid::Sha384)
}

fn composite_device_id(der: &[u8]) -> Option<[u8; DIGEST_LEN]> {
    let mut fields = Fields::of_sequence(der)?;
    if fields.take(INTEGER)? != [1] {
        return None;
    }
    let mut key = fields.sequence()?;
    key.take(SEQUENCE)?;
    key.take(BIT_STRING)?;
    let fwid = fwid(fields.sequence()?)?;
    (key.is_empty() && fields.is_empty()).then_some(fwid)
}

fn tcb_info(der: &[u8]) -> Option<[u8; DIGEST_LEN]> {
    let mut fields = Fields::of_sequence(der)?;
    let mut found = None;
    while !fields.is_empty() {
        let (tag, content) = fields.any()?;
        if tag == context(TCB_INFO_FWIDS) {
            if found.is_some() {
                return None;
            }
            found = Some(fwid(Fields::new(content).sequence()?)?);
        }
    }
    found
}

fn fwid(mut fields: Fields<'_>) -> Option<[u8; DIGEST_LEN]> {
    if fields.take(OID)? != SHA384 {
        return None;
    }
    let digest = fields.take(OCTET_STRING)?.try_into().ok()?;
    fields.is_empty().then_some(digest)
}
