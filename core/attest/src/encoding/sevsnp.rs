//! SNP evidence: the message `sevsnp.Attestation` of go-sev-guest.
//!
//! The certificates in it are hints: whoever verifies pins AMD's roots. Offsets in the report: AMD 56860, table
//! ATTESTATION_REPORT.

use super::{
    DecodeError, EncodeError,
    layout::{Kind, Layout, Place, little_endian},
    wire::{Reader, Schema, Value, Wire, put_bytes, put_message, put_number},
};

/// Bytes of a report.
pub const REPORT_LEN: usize = 1184;
/// Longest evidence that is read.
pub const MAX_EVIDENCE: usize = 256 * 1024;
/// Longest certificate that is read.
pub const MAX_CERTIFICATE: usize = 16 * 1024;
/// Longest revocation list that is read.
pub const MAX_CRL: usize = 128 * 1024;
/// The most members of `extras`.
const MAX_EXTRAS: usize = 16;
/// The member of `extras` in which Contrast's issuer puts AMD's revocation list.
const CRL_KEY: &[u8] = b"00569ee4-e480-4fba-bbf4-45b629901180";

/// SNP evidence, taken apart; nothing in it is verified. An empty certificate counts as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpEvidence {
    /// The report, byte for byte as the hardware signed it.
    pub report: Box<[u8; REPORT_LEN]>,
    /// The chip's certificate (VCEK), if the evidence brings it.
    pub vcek: Option<Vec<u8>>,
    /// The cloud's certificate (VLEK), if the evidence brings it.
    pub vlek: Option<Vec<u8>>,
    /// AMD's intermediate (ASK or ASVK).
    pub ask: Option<Vec<u8>>,
    /// AMD's root (ARK).
    pub ark: Option<Vec<u8>>,
    /// AMD's revocation list, DER.
    pub crl: Option<Vec<u8>>,
}

impl SnpEvidence {
    /// A report alone.
    pub fn of_report(report: [u8; REPORT_LEN]) -> Self {
        Self { report: Box::new(report), vcek: None, vlek: None, ask: None, ark: None, crl: None }
    }
}

/// Takes evidence apart and puts the signed report together.
///
/// Members that prove nothing here are read over: the product (the verifier takes it from the certificate) and certificates
/// under other names.
///
/// # Errors
/// [`DecodeError`] names the message and the field.
pub fn decode(evidence: &[u8]) -> Result<SnpEvidence, DecodeError> {
    if evidence.len() > MAX_EVIDENCE {
        return Err(DecodeError::TooLong { len: evidence.len(), max: MAX_EVIDENCE });
    }
    let [report, chain, _product] = ATTESTATION.read(evidence)?;
    let report = REPORT.read(report.message()?)?;
    check_version(&report)?;
    let report: Box<[u8; REPORT_LEN]> = report.try_into().map_err(|bytes: Vec<u8>| DecodeError::Length {
        message: ATTESTATION.message,
        field: "report",
        have: bytes.len(),
        want: REPORT_LEN,
    })?;
    let mut evidence = SnpEvidence::of_report(*report);
    read_chain(chain.bytes(MAX_EVIDENCE)?, &mut evidence)?;
    Ok(evidence)
}

/// Puts evidence into its message.
///
/// # Errors
/// [`EncodeError::NotCarried`] for a report with a member that the message has no field for, since the reader could not
/// put the signed bytes together; [`EncodeError::TooLong`].
pub fn encode(evidence: &SnpEvidence) -> Result<Vec<u8>, EncodeError> {
    let SnpEvidence { report, vcek, vlek, ask, ark, crl } = evidence;
    let message = REPORT.write(&report[..]);
    check_carried(&report[..], &message)?;
    let mut chain = Vec::new();
    for (number, part, certificate) in
        [(1, "VCEK", vcek), (2, "ASK", ask), (3, "ARK", ark), (6, "VLEK", vlek)]
    {
        let der = within(part, certificate.as_deref().unwrap_or_default(), MAX_CERTIFICATE)?;
        put_bytes(&mut chain, number, der);
    }
    if let Some(crl) = crl {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, CRL_KEY);
        put_bytes(&mut entry, 2, within("revocation list", crl, MAX_CRL)?);
        put_message(&mut chain, 7, &entry);
    }
    let mut out = Vec::new();
    put_message(&mut out, 1, &message);
    put_message(&mut out, 2, &chain);
    put_bytes(&mut out, 3, &product(&report[..]));
    Ok(out)
}

const ATTESTATION: Schema<3> = Schema {
    message: "attestation",
    fields: [(1, "report", Wire::Bytes), (2, "certificate_chain", Wire::Bytes), (3, "product", Wire::Bytes)],
};

const EXTRA: Schema<2> =
    Schema { message: "extras", fields: [(1, "key", Wire::Bytes), (2, "value", Wire::Bytes)] };

/// Names and numbers of the message, offsets of the report.
const REPORT: Layout = Layout {
    message: "report",
    size: REPORT_LEN,
    fields: &[
        at(1, "version", 0x000, Kind::Number(4)),
        at(2, "guest_svn", 0x004, Kind::Number(4)),
        at(3, "policy", 0x008, Kind::Number(8)),
        at(4, "family_id", 0x010, Kind::Bytes(16)),
        at(5, "image_id", 0x020, Kind::Bytes(16)),
        at(6, "vmpl", 0x030, Kind::Number(4)),
        at(7, "signature_algo", 0x034, Kind::Number(4)),
        at(8, "current_tcb", 0x038, Kind::Number(8)),
        at(9, "platform_info", 0x040, Kind::Number(8)),
        at(10, "signer_info", 0x048, Kind::Number(4)),
        at(11, "report_data", 0x050, Kind::Bytes(64)),
        at(12, "measurement", 0x090, Kind::Bytes(48)),
        at(13, "host_data", 0x0c0, Kind::Bytes(32)),
        at(14, "id_key_digest", 0x0e0, Kind::Bytes(48)),
        at(15, "author_key_digest", 0x110, Kind::Bytes(48)),
        at(16, "report_id", 0x140, Kind::Bytes(32)),
        at(17, "report_id_ma", 0x160, Kind::Bytes(32)),
        at(18, "reported_tcb", 0x180, Kind::Number(8)),
        at(19, "chip_id", 0x1a0, Kind::Bytes(64)),
        at(20, "committed_tcb", 0x1e0, Kind::Number(8)),
        at(21, "current_build", 0x1e8, Kind::Number(1)),
        at(22, "current_minor", 0x1e9, Kind::Number(1)),
        at(23, "current_major", 0x1ea, Kind::Number(1)),
        at(24, "committed_build", 0x1ec, Kind::Number(1)),
        at(25, "committed_minor", 0x1ed, Kind::Number(1)),
        at(26, "committed_major", 0x1ee, Kind::Number(1)),
        at(27, "launch_tcb", 0x1f0, Kind::Number(8)),
        at(28, "signature", 0x2a0, Kind::Bytes(512)),
        at(29, "cpuid1eax_fms", 0x188, Kind::Processor),
        at(30, "launch_mit_vector", 0x1f8, Kind::Number(8)),
        at(31, "current_mit_vector", 0x200, Kind::Number(8)),
    ],
};

const fn at(number: u32, name: &'static str, offset: usize, kind: Kind) -> Place {
    Place { number, name, offset, kind }
}

/// Members that came with later versions: name, offset, bytes, first version.
const LATER: [(&str, usize, usize, u32); 3] =
    [("cpuid1eax_fms", 0x188, 3, 3), ("launch_mit_vector", 0x1f8, 8, 5), ("current_mit_vector", 0x200, 8, 5)];

fn version(report: &[u8]) -> u32 {
    // four bytes always fit
    little_endian(report.get(..4).unwrap_or_default()) as u32
}

/// Other readers leave the place of a member empty in a version without it, and would see another report than we do.
fn check_version(report: &[u8]) -> Result<(), DecodeError> {
    let version = version(report);
    for (field, offset, len, since) in LATER {
        if version < since && report.iter().skip(offset).take(len).any(|&byte| byte != 0) {
            return Err(DecodeError::NotInVersion { field, version });
        }
    }
    Ok(())
}

fn read_chain(bytes: &[u8], evidence: &mut SnpEvidence) -> Result<(), DecodeError> {
    let message = "certificate_chain";
    let mut reader = Reader::new(message, bytes);
    let mut extras = 0_usize;
    let mut firmware = None;
    while let Some((number, value)) = reader.next()? {
        let (field, slot) = match number {
            1 => ("vcek_cert", &mut evidence.vcek),
            2 => ("ask_cert", &mut evidence.ask),
            3 => ("ark_cert", &mut evidence.ark),
            // deprecated, and never used by a verifier
            4 => ("firmware_cert", &mut firmware),
            6 => ("vlek_cert", &mut evidence.vlek),
            7 => ("extras", &mut evidence.crl),
            number => return Err(DecodeError::UnknownField { message, number }),
        };
        let Value::Bytes(bytes) = value else {
            return Err(DecodeError::WireType { message, field, wire_type: value.wire_type() });
        };
        let (bytes, max) = if field == "extras" {
            extras = extras.saturating_add(1);
            if extras > MAX_EXTRAS {
                return Err(DecodeError::TooMany { message, field, max: MAX_EXTRAS });
            }
            let [key, value] = EXTRA.read(bytes)?;
            if key.bytes(MAX_EVIDENCE)? != CRL_KEY {
                continue;
            }
            (value.bytes(MAX_EVIDENCE)?, MAX_CRL)
        } else {
            (bytes, MAX_CERTIFICATE)
        };
        if bytes.len() > max {
            return Err(DecodeError::FieldTooLong { message, field, len: bytes.len(), max });
        }
        if slot.replace(bytes.to_vec()).is_some() {
            return Err(DecodeError::Repeated { message, field });
        }
    }
    for slot in
        [&mut evidence.vcek, &mut evidence.vlek, &mut evidence.ask, &mut evidence.ark, &mut evidence.crl]
    {
        *slot = slot.take().filter(|bytes| !bytes.is_empty());
    }
    Ok(())
}

/// What a reader would put together must be the report itself.
fn check_carried(report: &[u8], message: &[u8]) -> Result<(), EncodeError> {
    let again = REPORT.read(message).unwrap_or_default();
    let version = version(report);
    let lost = |offset: usize| {
        LATER.iter().any(|(_, start, len, since)| {
            version < *since && (*start..start.saturating_add(*len)).contains(&offset)
        })
    };
    let different = (0..REPORT_LEN).find(|&offset| {
        report.get(offset) != again.get(offset) || report.get(offset) != Some(&0) && lost(offset)
    });
    different.map_or(Ok(()), |offset| Err(EncodeError::NotCarried { offset }))
}

fn within<'a>(part: &'static str, bytes: &'a [u8], max: usize) -> Result<&'a [u8], EncodeError> {
    if bytes.len() > max {
        return Err(EncodeError::TooLong { part, len: bytes.len(), max });
    }
    Ok(bytes)
}

/// The message `SevProduct`, for verifiers that want it; empty where the report does not say.
fn product(report: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let Some(&[family, model, stepping]) = report.get(0x188..0x18b) else { return out };
    let name = match (family, model >> 4) {
        (0x19, 0x0) => 1,
        (0x19, 0x1 | 0xa) => 2,
        (0x1a, 0x0 | 0x1) => 3,
        _ => return out,
    };
    put_number(&mut out, 1, name);
    let mut wrapped = Vec::new();
    put_number(&mut wrapped, 1, u64::from(stepping));
    put_message(&mut out, 3, &wrapped);
    out
}

#[cfg(test)]
mod tests;
