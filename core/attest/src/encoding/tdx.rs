//! TDX evidence: the messages `tdx.QuoteV4` and `tdx.QuoteV5` of go-tdx-guest.
//!
//! Offsets: Intel, TDX DCAP Quoting Library API, appendix A.3. The version in the header says which of the two messages it
//! is; `protocol.md` §8 names version 4, version 5 is what newer hosts issue.

use super::{
    DecodeError, EncodeError,
    layout::{Kind, Layout, Place, little_endian},
    wire::{Field, Schema, Wire, put_bytes, put_message, put_number},
};

/// Longest evidence, and longest quote, that is read.
pub const MAX_EVIDENCE: usize = 64 * 1024;

/// The quote, byte for byte as the quoting enclave signed it, out of its message. Nothing in it is verified.
///
/// # Errors
/// [`DecodeError`] names the message and the field.
pub fn decode(evidence: &[u8]) -> Result<Vec<u8>, DecodeError> {
    if evidence.len() > MAX_EVIDENCE {
        return Err(DecodeError::TooLong { len: evidence.len(), max: MAX_EVIDENCE });
    }
    let [header, body, signed_size, signed, extra] = QUOTE.read(evidence)?;
    let header = HEADER.read(header.message()?)?;
    let mut quote = header.clone();
    match version(&header) {
        4 => quote.extend(BODY.read(body.message()?)?),
        5 => read_body_v5(body.message()?, &mut quote)?,
        version => return Err(DecodeError::QuoteVersion { version: version.into() }),
    }
    let signed = read_signed(signed.message()?)?;
    signed_size.must_be(signed.len())?;
    append_number(&mut quote, &signed_size, 4)?;
    quote.extend(signed);
    quote.extend_from_slice(extra.bytes(MAX_EVIDENCE)?);
    Ok(quote)
}

/// Puts a quote of version 4 or 5 into its message.
///
/// # Errors
/// [`EncodeError`] where the quote's own lengths do not fit it, and for kinds that the messages have no place for.
pub fn encode(quote: &[u8]) -> Result<Vec<u8>, EncodeError> {
    if quote.len() > MAX_QUOTE {
        return Err(EncodeError::TooLong { part: "quote", len: quote.len(), max: MAX_QUOTE });
    }
    let mut cut = Cut(quote);
    let header = cut.take("header", HEADER.size)?;
    let body = match version(header) {
        4 => BODY.write(cut.take("body", BODY.size)?),
        5 => write_body_v5(&mut cut)?,
        version => return Err(EncodeError::QuoteVersion { version }),
    };
    let signed_size = cut.number("signature length", 4)?;
    let signed = cut.take("signature data", signed_size)?;
    let mut out = Vec::new();
    put_message(&mut out, 1, &HEADER.write(header));
    put_message(&mut out, 2, &body);
    put_number(&mut out, 3, signed_size as u64);
    put_message(&mut out, 4, &write_signed(signed)?);
    put_bytes(&mut out, 5, cut.0);
    Ok(out)
}

/// Leaves room for what the message adds to a quote.
const MAX_QUOTE: usize = MAX_EVIDENCE - 1024;
/// The most that a part of free length may have.
const MAX_PART: usize = MAX_EVIDENCE;
/// Certification data that holds a QE report, its signature, and the chain.
const QE_REPORT_DATA: usize = 6;

const QUOTE: Schema<5> = Schema {
    message: "quote",
    fields: [
        (1, "header", Wire::Bytes),
        (2, "td_quote_body", Wire::Bytes),
        (3, "signed_data_size", Wire::Number),
        (4, "signed_data", Wire::Bytes),
        (5, "extra_bytes", Wire::Bytes),
    ],
};

const BODY_DESCRIPTOR: Schema<3> = Schema {
    message: "td_quote_body_descriptor",
    fields: [
        (1, "td_quote_body_type", Wire::Number),
        (2, "td_quote_body_size", Wire::Number),
        (3, "td_quote_body_v5", Wire::Bytes),
    ],
};

const SIGNED_DATA: Schema<3> = Schema {
    message: "signed_data",
    fields: [
        (1, "signature", Wire::Bytes),
        (2, "ecdsa_attestation_key", Wire::Bytes),
        (3, "certification_data", Wire::Bytes),
    ],
};

const CERTIFICATION: Schema<3> = Schema {
    message: "certification_data",
    fields: [
        (1, "certificate_data_type", Wire::Number),
        (2, "size", Wire::Number),
        (3, "qe_report_certification_data", Wire::Bytes),
    ],
};

const QE_CERTIFICATION: Schema<4> = Schema {
    message: "qe_report_certification_data",
    fields: [
        (1, "qe_report", Wire::Bytes),
        (2, "qe_report_signature", Wire::Bytes),
        (3, "qe_auth_data", Wire::Bytes),
        (4, "pck_certificate_chain_data", Wire::Bytes),
    ],
};

const AUTH_DATA: Schema<2> = Schema {
    message: "qe_auth_data",
    fields: [(1, "parsed_data_size", Wire::Number), (2, "data", Wire::Bytes)],
};

const PCK_CHAIN: Schema<3> = Schema {
    message: "pck_certificate_chain_data",
    fields: [
        (1, "certificate_data_type", Wire::Number),
        (2, "size", Wire::Number),
        (3, "pck_cert_chain", Wire::Bytes),
    ],
};

const HEADER: Layout = Layout {
    message: "header",
    size: 48,
    fields: &[
        at(1, "version", 0, Kind::Number(2)),
        at(2, "attestation_key_type", 2, Kind::Number(2)),
        at(3, "tee_type", 4, Kind::Number(4)),
        // go-tdx-guest has the PCE's before the QE's in the quote
        at(4, "qe_svn", 10, Kind::Bytes(2)),
        at(5, "pce_svn", 8, Kind::Bytes(2)),
        at(6, "qe_vendor_id", 12, Kind::Bytes(16)),
        at(7, "user_data", 28, Kind::Bytes(20)),
    ],
};

/// The body of TDX 1.5; that of 1.0 is all but the last two.
const BODY_FIELDS: &[Place] = &[
    at(1, "tee_tcb_svn", 0, Kind::Bytes(16)),
    at(2, "mr_seam", 16, Kind::Bytes(48)),
    at(3, "mr_signer_seam", 64, Kind::Bytes(48)),
    at(4, "seam_attributes", 112, Kind::Bytes(8)),
    at(5, "td_attributes", 120, Kind::Bytes(8)),
    at(6, "xfam", 128, Kind::Bytes(8)),
    at(7, "mr_td", 136, Kind::Bytes(48)),
    at(8, "mr_config_id", 184, Kind::Bytes(48)),
    at(9, "mr_owner", 232, Kind::Bytes(48)),
    at(10, "mr_owner_config", 280, Kind::Bytes(48)),
    at(11, "rtmrs", 328, Kind::List { each: 48, count: 4 }),
    at(12, "report_data", 520, Kind::Bytes(64)),
    at(13, "tee_tcb_svn2", 584, Kind::Bytes(16)),
    at(14, "mr_service_td", 600, Kind::Bytes(48)),
];

const BODY: Layout = Layout { message: "td_quote_body", size: 584, fields: BODY_FIELDS.split_at(12).0 };

/// The bodies of a version 5 quote, by type: 2 is TDX 1.0, 3 is TDX 1.5.
fn body_v5(kind: u64) -> Option<Layout> {
    let message = "td_quote_body_v5";
    match kind {
        2 => Some(Layout { message, ..BODY }),
        3 => Some(Layout { message, size: 648, fields: BODY_FIELDS }),
        _ => None,
    }
}

const QE_REPORT: Layout = Layout {
    message: "qe_report",
    size: 384,
    fields: &[
        at(1, "cpu_svn", 0, Kind::Bytes(16)),
        at(2, "misc_select", 16, Kind::Number(4)),
        at(3, "reserved1", 20, Kind::Bytes(28)),
        at(4, "attributes", 48, Kind::Bytes(16)),
        at(5, "mr_enclave", 64, Kind::Bytes(32)),
        at(6, "reserved2", 96, Kind::Bytes(32)),
        at(7, "mr_signer", 128, Kind::Bytes(32)),
        at(8, "reserved3", 160, Kind::Bytes(96)),
        at(9, "isv_prod_id", 256, Kind::Number(2)),
        at(10, "isv_svn", 258, Kind::Number(2)),
        at(11, "reserved4", 260, Kind::Bytes(60)),
        at(12, "report_data", 320, Kind::Bytes(64)),
    ],
};

const fn at(number: u32, name: &'static str, offset: usize, kind: Kind) -> Place {
    Place { number, name, offset, kind }
}

fn version(header: &[u8]) -> u16 {
    // two bytes always fit
    little_endian(header.get(..2).unwrap_or_default()) as u16
}

fn read_body_v5(bytes: &[u8], quote: &mut Vec<u8>) -> Result<(), DecodeError> {
    let [kind, size, body] = BODY_DESCRIPTOR.read(bytes)?;
    let layout = body_v5(kind.number()).ok_or(DecodeError::BodyType { kind: kind.number() })?;
    append_number(quote, &kind, 2)?;
    append_sized(quote, &size, 4, &layout.read(body.message()?)?)
}

fn write_body_v5(cut: &mut Cut<'_>) -> Result<Vec<u8>, EncodeError> {
    let kind = cut.number("body type", 2)?;
    let size = cut.number("body size", 4)?;
    let layout = body_v5(kind as u64)
        .filter(|layout| layout.size == size)
        .ok_or(EncodeError::BodyType { kind, size })?;
    let mut out = Vec::new();
    put_number(&mut out, 1, kind as u64);
    put_number(&mut out, 2, size as u64);
    put_message(&mut out, 3, &layout.write(cut.take("body", size)?));
    Ok(out)
}

fn read_signed(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let [signature, key, certification] = SIGNED_DATA.read(bytes)?;
    let [kind, size, data] = CERTIFICATION.read(certification.message()?)?;
    let [report, report_signature, auth, chain] = QE_CERTIFICATION.read(data.message()?)?;
    let mut inner = QE_REPORT.read(report.message()?)?;
    inner.extend_from_slice(report_signature.exactly(64)?);
    let [auth_size, auth] = AUTH_DATA.read(auth.message()?)?;
    append_sized(&mut inner, &auth_size, 2, auth.bytes(MAX_PART)?)?;
    let [chain_kind, chain_size, chain] = PCK_CHAIN.read(chain.message()?)?;
    append_number(&mut inner, &chain_kind, 2)?;
    append_sized(&mut inner, &chain_size, 4, chain.bytes(MAX_PART)?)?;

    let mut out = signature.exactly(64)?.to_vec();
    out.extend_from_slice(key.exactly(64)?);
    append_number(&mut out, &kind, 2)?;
    append_sized(&mut out, &size, 4, &inner)?;
    Ok(out)
}

fn write_signed(signed: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut cut = Cut(signed);
    let signature = cut.take("signature", 64)?;
    let key = cut.take("attestation key", 64)?;
    let kind = cut.number("certification data type", 2)?;
    if kind != QE_REPORT_DATA {
        return Err(EncodeError::CertificationType { kind });
    }
    let size = cut.rest_after_length("certification data")?;
    let report = cut.take("QE report", QE_REPORT.size)?;
    let report_signature = cut.take("QE report signature", 64)?;
    let auth_size = cut.number("QE authentication data", 2)?;
    let mut auth = Vec::new();
    put_number(&mut auth, 1, auth_size as u64);
    put_bytes(&mut auth, 2, cut.take("QE authentication data", auth_size)?);
    let mut chain = Vec::new();
    put_number(&mut chain, 1, cut.number("PCK chain type", 2)? as u64);
    put_number(&mut chain, 2, cut.rest_after_length("PCK chain")? as u64);
    put_bytes(&mut chain, 3, cut.0);

    let mut inner = Vec::new();
    put_message(&mut inner, 1, &QE_REPORT.write(report));
    put_bytes(&mut inner, 2, report_signature);
    put_message(&mut inner, 3, &auth);
    put_message(&mut inner, 4, &chain);
    let mut certification = Vec::new();
    put_number(&mut certification, 1, kind as u64);
    put_number(&mut certification, 2, size as u64);
    put_message(&mut certification, 3, &inner);
    let mut out = Vec::new();
    put_bytes(&mut out, 1, signature);
    put_bytes(&mut out, 2, key);
    put_message(&mut out, 3, &certification);
    Ok(out)
}

fn append_number(out: &mut Vec<u8>, field: &Field<'_>, bytes: usize) -> Result<(), DecodeError> {
    out.extend(field.number_in(bytes)?.iter().take(bytes));
    Ok(())
}

/// The length of `data` as `size` has it, which must be right, and `data`.
fn append_sized(out: &mut Vec<u8>, size: &Field<'_>, bytes: usize, data: &[u8]) -> Result<(), DecodeError> {
    size.must_be(data.len())?;
    append_number(out, size, bytes)?;
    out.extend_from_slice(data);
    Ok(())
}

/// What is left of a quote.
struct Cut<'a>(&'a [u8]);

impl<'a> Cut<'a> {
    fn take(&mut self, part: &'static str, len: usize) -> Result<&'a [u8], EncodeError> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(EncodeError::Truncated { part })?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self, part: &'static str, bytes: usize) -> Result<usize, EncodeError> {
        // at most four bytes
        Ok(little_endian(self.take(part, bytes)?) as usize)
    }

    /// A length of four bytes, which must be that of all that follows.
    fn rest_after_length(&mut self, part: &'static str) -> Result<usize, EncodeError> {
        let declared = self.number(part, 4)?;
        let actual = self.0.len();
        if declared != actual {
            return Err(EncodeError::Size { part, declared, actual });
        }
        Ok(declared)
    }
}

#[cfg(test)]
mod tests;
