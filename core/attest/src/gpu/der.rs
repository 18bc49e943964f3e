//! A strict reader for the little DER that is not X.509: firmware identifiers and OCSP.
//!
//! Definite, shortest lengths and one-byte tags only; whoever reads a structure reads all of it.

pub(in crate::gpu) const INTEGER: u8 = 0x02;
pub(in crate::gpu) const BIT_STRING: u8 = 0x03;
pub(in crate::gpu) const OCTET_STRING: u8 = 0x04;
pub(in crate::gpu) const OID: u8 = 0x06;
pub(in crate::gpu) const ENUMERATED: u8 = 0x0A;
pub(in crate::gpu) const GENERALIZED_TIME: u8 = 0x18;
pub(in crate::gpu) const SEQUENCE: u8 = 0x30;
/// id-sha384, 2.16.840.1.101.3.4.2.2.
pub(in crate::gpu) const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];

/// `[number]`, constructed.
pub(in crate::gpu) const fn context(number: u8) -> u8 {
    0xA0 | number
}

/// `[number]`, primitive.
pub(in crate::gpu) const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// The unread fields of a structure.
#[derive(Clone)]
pub(in crate::gpu) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(in crate::gpu) fn new(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// The fields of `der`, which must be one SEQUENCE and nothing else.
    pub(in crate::gpu) fn of_sequence(der: &'a [u8]) -> Option<Self> {
        let mut outer = Self(der);
        let content = outer.take(SEQUENCE)?;
        outer.is_empty().then_some(Self(content))
    }

    pub(in crate::gpu) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(in crate::gpu) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next field's content; `None` if there is none or it has another tag.
    pub(in crate::gpu) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let Field { tag: found, content, rest, .. } = split(self.0)?;
        if found != tag {
            return None;
        }
        self.0 = rest;
        Some(content)
    }

    /// The next field with its tag and length.
    pub(in crate::gpu) fn take_whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let Field { tag: found, whole, rest, .. } = split(self.0)?;
        if found != tag {
            return None;
        }
        self.0 = rest;
        Some(whole)
    }

    /// The next field's tag and content, whatever it is.
    pub(in crate::gpu) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let Field { tag, content, rest, .. } = split(self.0)?;
        self.0 = rest;
        Some((tag, content))
    }

    pub(in crate::gpu) fn sequence(&mut self) -> Option<Self> {
        self.take(SEQUENCE).map(Self)
    }

    /// A field that may be absent: `Some(None)`. `None` if it is malformed.
    pub(in crate::gpu) fn optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.0.first() == Some(&tag) { self.take(tag).map(Some) } else { Some(None) }
    }
}

/// One field and what follows it.
struct Field<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
    rest: &'a [u8],
}

fn split(input: &[u8]) -> Option<Field<'_>> {
    let (&tag, after_tag) = input.split_first()?;
    // tag numbers above 30 take more bytes, and nothing here has one
    if tag & 0x1F == 0x1F {
        return None;
    }
    let (&first, after_first) = after_tag.split_first()?;
    let (len, body) = if first < 0x80 {
        (usize::from(first), after_first)
    } else {
        let count = usize::from(first & 0x7F);
        let (bytes, body) = after_first.split_at_checked(count)?;
        let shortest = match bytes {
            [byte] => *byte >= 0x80,
            [0, ..] | [] => false,
            _ => true,
        };
        if !shortest || count > 3 {
            return None;
        }
        (bytes.iter().fold(0_usize, |len, byte| (len << 8) | usize::from(*byte)), body)
    };
    let (content, rest) = body.split_at_checked(len)?;
    let whole = input.get(..input.len().checked_sub(rest.len())?)?;
    Some(Field { tag, content, whole, rest })
}

/// Writes one field.
pub(in crate::gpu) fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let len = content.len().to_be_bytes();
    let significant =
        len.iter().position(|byte| *byte != 0).and_then(|first| len.get(first..)).unwrap_or(&[0]);
    match significant {
        [len] if *len < 0x80 => out.push(*len),
        len => {
            out.push(0x80 | u8::try_from(len.len()).unwrap_or(8));
            out.extend_from_slice(len);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_must_be_the_shortest() {
        assert_eq!(Fields::new(&[4, 1, 9]).take(OCTET_STRING), Some(&[9][..]));
        assert_eq!(Fields::new(&[4, 0x81, 1, 9]).take(OCTET_STRING), None);
        assert_eq!(Fields::new(&[4, 0x82, 0, 1, 9]).take(OCTET_STRING), None);
        assert_eq!(Fields::new(&[4, 0x80, 9, 0, 0]).take(OCTET_STRING), None);
        assert_eq!(Fields::new(&[4, 2, 9]).take(OCTET_STRING), None);
        assert_eq!(Fields::new(&[0x1F, 1, 9]).any(), None);
    }

    #[test]
    fn what_is_written_is_read() {
        for len in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; len];
            let written = field(OCTET_STRING, &content);
            let mut fields = Fields::new(&written);
            assert_eq!(fields.take(OCTET_STRING), Some(&content[..]), "{len}");
            assert!(fields.is_empty());
        }
    }
}
