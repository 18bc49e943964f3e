//! DER of single values (X.690): what the certificate library leaves to its caller.

/// OCTET STRING.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// BIT STRING.
pub(crate) const BIT_STRING: u8 = 0x03;
/// SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;

/// Tag, length, content.
pub(crate) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.iter().skip_while(|byte| **byte == 0).copied().collect();
    let mut out = vec![tag];
    match significant.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            // at most eight bytes of length
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend(long);
        }
    }
    out.extend(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_lengths() {
        assert_eq!(value(OCTET_STRING, &[]), [4, 0]);
        assert_eq!(value(OCTET_STRING, &[9]), [4, 1, 9]);
        assert_eq!(value(OCTET_STRING, &[0; 127])[..2], [4, 127]);
        assert_eq!(value(OCTET_STRING, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(value(SEQUENCE, &[0; 256])[..4], [0x30, 0x82, 1, 0]);
    }
}
