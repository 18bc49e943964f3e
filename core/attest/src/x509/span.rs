//! DER by spans: the elements of a SEQUENCE as the bytes that they came in.

use std::ops::Range;

use x509_cert::der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use x509_cert::der::{self, Decode as _, Reader as _, SliceReader, Tag, Tagged as _};

use crate::UnixTime;

/// The elements of the one SEQUENCE that `der` is, each with its tag and length.
pub(super) fn elements(der: &[u8]) -> Result<Vec<&[u8]>, der::Error> {
    let mut reader = SliceReader::new(der)?;
    let list = reader.sequence(|inner| {
        let mut list = Vec::new();
        while !inner.is_finished() {
            list.push(inner.tlv_bytes()?);
        }
        Ok::<_, der::Error>(list)
    })?;
    reader.finish()?;
    Ok(list)
}

/// Tag and content of one element.
pub(super) fn element(tlv: &[u8]) -> Result<(Tag, &[u8]), der::Error> {
    let any = AnyRef::from_der(tlv)?;
    Ok((any.tag(), any.value()))
}

/// A `Time`: UTCTime or GeneralizedTime, in whole seconds of UTC.
pub(super) fn time(tlv: &[u8]) -> Result<UnixTime, der::Error> {
    let (tag, _) = element(tlv)?;
    let since_epoch = match tag {
        Tag::UtcTime => UtcTime::from_der(tlv)?.to_unix_duration(),
        _ => GeneralizedTime::from_der(tlv)?.to_unix_duration(),
    };
    Ok(UnixTime(since_epoch.as_secs()))
}

/// Where `inner`, a part of `outer`, lies in it.
pub(super) fn range(outer: &[u8], inner: &[u8]) -> Range<usize> {
    let start = (inner.as_ptr() as usize).saturating_sub(outer.as_ptr() as usize);
    start..start.saturating_add(inner.len())
}
