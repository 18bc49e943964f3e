//! Messages that spell out a structure of fixed size: a table says where each field lies in it, for both directions.

use super::{
    DecodeError,
    wire::{self, Reader, Value},
};

/// A structure and the message that spells it out. Bytes without a field are reserved and zero.
pub(super) struct Layout {
    /// The message, in its own words.
    pub(super) message: &'static str,
    /// Bytes of the structure.
    pub(super) size: usize,
    /// Its fields.
    pub(super) fields: &'static [Place],
}

/// Where one field lies.
pub(super) struct Place {
    /// The field's number in the message.
    pub(super) number: u32,
    /// Its name there.
    pub(super) name: &'static str,
    /// Its offset in the structure.
    pub(super) offset: usize,
    /// Its type.
    pub(super) kind: Kind,
}

/// Types of fields.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// An unsigned number, little-endian, of so many bytes.
    Number(usize),
    /// So many bytes.
    Bytes(usize),
    /// `count` members of `each` bytes, one after the other.
    List { each: usize, count: usize },
    /// Family, model and stepping, a byte each; in the message they are what CPUID leaf 1 has in EAX.
    Processor,
}

impl Kind {
    /// Bytes in the structure.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Number(size) | Self::Bytes(size) => size,
            Self::List { each, count } => each.saturating_mul(count),
            Self::Processor => 3,
        }
    }

    /// How often the message must have the field. Protobuf leaves zeros out.
    fn required(self) -> usize {
        match self {
            Self::Number(_) | Self::Processor => 0,
            Self::Bytes(_) => 1,
            Self::List { count, .. } => count,
        }
    }
}

impl Layout {
    /// The structure that `bytes` spell out.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let message = self.message;
        let mut structure = vec![0; self.size];
        let mut seen = vec![0_usize; self.fields.len()];
        let mut reader = Reader::new(message, bytes);
        while let Some((number, value)) = reader.next()? {
            let (place, seen) = self
                .fields
                .iter()
                .zip(&mut seen)
                .find(|(place, _)| place.number == number)
                .ok_or(DecodeError::UnknownField { message, number })?;
            self.store(place, *seen, value, &mut structure)?;
            *seen = seen.saturating_add(1);
        }
        for (place, seen) in self.fields.iter().zip(seen) {
            if seen < place.kind.required() {
                return Err(DecodeError::Missing { message, field: place.name });
            }
        }
        Ok(structure)
    }

    /// Puts the value of a field, of which `seen` came before, into its place.
    fn store(
        &self,
        place: &Place,
        seen: usize,
        value: Value<'_>,
        structure: &mut [u8],
    ) -> Result<(), DecodeError> {
        let (message, field) = (self.message, place.name);
        match (place.kind, seen) {
            (Kind::List { count, .. }, seen) if seen < count => {}
            (Kind::List { count, .. }, _) => return Err(DecodeError::TooMany { message, field, max: count }),
            (_, 0) => {}
            _ => return Err(DecodeError::Repeated { message, field }),
        }
        match (place.kind, value) {
            (Kind::Number(size), Value::Varint(number)) => {
                copy(structure, place.offset, size, &wire::fit(message, field, number, size)?);
            }
            (Kind::Processor, Value::Varint(eax)) => {
                copy(structure, place.offset, place.kind.size(), &processor_from_eax(eax)?);
            }
            (Kind::Bytes(each) | Kind::List { each, .. }, Value::Bytes(bytes)) => {
                if bytes.len() != each {
                    return Err(DecodeError::Length { message, field, have: bytes.len(), want: each });
                }
                copy(structure, place.offset.saturating_add(each.saturating_mul(seen)), each, bytes);
            }
            (_, value) => return Err(DecodeError::WireType { message, field, wire_type: value.wire_type() }),
        }
        Ok(())
    }

    /// The message that spells `structure` out. It leaves out bytes that no field covers.
    pub(super) fn write(&self, structure: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size.saturating_mul(2));
        for place in self.fields {
            let end = place.offset.saturating_add(place.kind.size());
            let bytes = structure.get(place.offset..end).unwrap_or_default();
            match place.kind {
                Kind::Number(_) => wire::put_number(&mut out, place.number, little_endian(bytes)),
                Kind::Bytes(_) => wire::put_bytes(&mut out, place.number, bytes),
                Kind::List { each, .. } => {
                    bytes.chunks_exact(each).for_each(|one| wire::put_bytes(&mut out, place.number, one));
                }
                Kind::Processor => wire::put_number(&mut out, place.number, eax_of_processor(bytes)),
            }
        }
        out
    }
}

/// Copies the first `len` of `bytes` to `offset`. The tables lie within their structures, which a test says.
fn copy(structure: &mut [u8], offset: usize, len: usize, bytes: &[u8]) {
    let place = structure.iter_mut().skip(offset).take(len);
    place.zip(bytes).for_each(|(to, from)| *to = *from);
}

pub(super) fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// Family, model and stepping out of CPUID leaf 1 EAX: stepping in bits 0..4, model in 4..8 and 16..20, family in 8..12, to
/// which 20..28 is added if it is 15.
fn processor_from_eax(eax: u64) -> Result<[u8; 3], DecodeError> {
    let invalid = DecodeError::Processor { value: eax };
    let nibble = |shift: u32| (eax >> shift & 0xf) as u8;
    let extended = (eax >> 20 & 0xff) as u8;
    let family = match (nibble(8), extended) {
        (0xf, extended) => extended.checked_add(0xf).ok_or(invalid.clone())?,
        (family, 0) => family,
        _ => return Err(invalid),
    };
    let processor = [family, nibble(16) << 4 | nibble(4), nibble(0)];
    // bits that the three do not hold would be lost without a word
    if eax_of_processor(&processor) == eax { Ok(processor) } else { Err(invalid) }
}

fn eax_of_processor(processor: &[u8]) -> u64 {
    let &[family, model, stepping] = processor else { return 0 };
    let (base, extended) = match family.checked_sub(0xf) {
        Some(extended) => (0xf, extended),
        None => (family, 0),
    };
    u64::from(extended) << 20
        | u64::from(model >> 4) << 16
        | u64::from(base) << 8
        | u64::from(model & 0xf) << 4
        | u64::from(stepping & 0xf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_come_back() {
        // Genoa, Siena, Milan, Turin, an old one, and nothing
        for (eax, processor) in [
            (0x00a1_0f11, [0x19, 0x11, 1]),
            (0x00aa_0f02, [0x19, 0xa0, 2]),
            (0x00a0_0f11, [0x19, 0x01, 1]),
            (0x00b0_0f21, [0x1a, 0x02, 1]),
            (0x0000_0623, [6, 2, 3]),
            (0, [0, 0, 0]),
        ] {
            assert_eq!(processor_from_eax(eax), Ok(processor));
            assert_eq!(eax_of_processor(&processor), eax);
        }
    }

    #[test]
    fn bits_that_no_processor_has_are_refused() {
        for eax in [0x1000_0000, 0x0000_1000, 0x0010_0623, 0x0ff0_0f00, u64::MAX] {
            assert_eq!(processor_from_eax(eax), Err(DecodeError::Processor { value: eax }), "{eax:#x}");
        }
    }
}
