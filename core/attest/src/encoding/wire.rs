//! The protobuf wire format, read strictly: varints and length-delimited fields only, since these messages have no others.

use super::DecodeError;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// The number that names this type on the wire.
    pub(super) fn wire_type(&self) -> u8 {
        match self {
            Self::Varint(_) => VARINT,
            Self::Bytes(_) => BYTES,
        }
    }
}

const VARINT: u8 = 0;
const BYTES: u8 = 2;

/// The fields of one message, in the order of the wire.
pub(super) struct Reader<'a> {
    message: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'static str, bytes: &'a [u8]) -> Self {
        Self { message, rest: bytes }
    }

    /// The next field, or `None` at the end of the message.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| DecodeError::Varint { message: self.message })?;
        let value = match (key & 7) as u8 {
            VARINT => Value::Varint(self.varint()?),
            BYTES => Value::Bytes(self.delimited()?),
            wire_type => {
                return Err(DecodeError::WireType { message: self.message, field: "(any)", wire_type });
            }
        };
        Ok(Some((number, value)))
    }

    fn delimited(&mut self) -> Result<&'a [u8], DecodeError> {
        let truncated = DecodeError::Truncated { message: self.message };
        let len = usize::try_from(self.varint()?).map_err(|_| truncated.clone())?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let invalid = DecodeError::Varint { message: self.message };
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) =
                self.rest.split_first().ok_or(DecodeError::Truncated { message: self.message })?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            // the tenth byte holds the 64th bit only
            if shift == 63 && bits > 1 {
                return Err(invalid);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                // a last byte of zero says nothing: the same number has a shorter spelling
                return if byte == 0 && shift > 0 { Err(invalid) } else { Ok(value) };
            }
        }
        Err(invalid)
    }
}

/// What a field of a [`Schema`] must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire {
    Number,
    Bytes,
}

/// A message whose fields each come once at most: number, name and type of each.
pub(super) struct Schema<const N: usize> {
    pub(super) message: &'static str,
    pub(super) fields: [(u32, &'static str, Wire); N],
}

impl<const N: usize> Schema<N> {
    /// The fields' values, in the order of the schema.
    pub(super) fn read<'a>(&self, bytes: &'a [u8]) -> Result<[Field<'a>; N], DecodeError> {
        let message = self.message;
        let mut found = self.fields.map(|(_, name, _)| Field { message, name, value: None });
        let mut reader = Reader::new(message, bytes);
        while let Some((number, value)) = reader.next()? {
            let (slot, (_, field, wire)) = found
                .iter_mut()
                .zip(self.fields)
                .find(|(_, (known, ..))| *known == number)
                .ok_or(DecodeError::UnknownField { message, number })?;
            match (wire, value) {
                (Wire::Number, Value::Varint(_)) | (Wire::Bytes, Value::Bytes(_)) => {}
                _ => return Err(DecodeError::WireType { message, field, wire_type: value.wire_type() }),
            }
            if slot.value.replace(value).is_some() {
                return Err(DecodeError::Repeated { message, field });
            }
        }
        Ok(found)
    }
}

/// A field of a message: what it is called, and its value if there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    message: &'static str,
    name: &'static str,
    value: Option<Value<'a>>,
}

impl<'a> Field<'a> {
    /// The number; protobuf leaves a zero out.
    pub(super) fn number(&self) -> u64 {
        match self.value {
            Some(Value::Varint(number)) => number,
            _ => 0,
        }
    }

    /// Bytes of free length, at most `max`; protobuf leaves empty ones out.
    pub(super) fn bytes(&self, max: usize) -> Result<&'a [u8], DecodeError> {
        let bytes = match self.value {
            Some(Value::Bytes(bytes)) => bytes,
            _ => &[],
        };
        if bytes.len() > max {
            let (message, field, len) = (self.message, self.name, bytes.len());
            return Err(DecodeError::FieldTooLong { message, field, len, max });
        }
        Ok(bytes)
    }

    /// A message, which must be there even if it is empty.
    pub(super) fn message(&self) -> Result<&'a [u8], DecodeError> {
        match self.value {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ => Err(DecodeError::Missing { message: self.message, field: self.name }),
        }
    }

    /// Bytes of exactly this length.
    pub(super) fn exactly(&self, want: usize) -> Result<&'a [u8], DecodeError> {
        let bytes = self.message()?;
        if bytes.len() != want {
            let (message, field, have) = (self.message, self.name, bytes.len());
            return Err(DecodeError::Length { message, field, have, want });
        }
        Ok(bytes)
    }

    /// The number, little-endian in `bytes` bytes.
    pub(super) fn number_in(&self, bytes: usize) -> Result<[u8; 8], DecodeError> {
        fit(self.message, self.name, self.number(), bytes)
    }

    /// Demands that this number is the length of what it stands beside.
    pub(super) fn must_be(&self, actual: usize) -> Result<(), DecodeError> {
        let declared = self.number();
        if u64::try_from(actual) == Ok(declared) {
            return Ok(());
        }
        Err(DecodeError::Size { message: self.message, field: self.name, declared, actual })
    }
}

/// `value`, little-endian, if it fits `bytes` bytes.
pub(super) fn fit(
    message: &'static str,
    field: &'static str,
    value: u64,
    bytes: usize,
) -> Result<[u8; 8], DecodeError> {
    let little = value.to_le_bytes();
    if little.iter().skip(bytes).any(|&byte| byte != 0) {
        return Err(DecodeError::TooLarge { message, field, value, bytes });
    }
    Ok(little)
}

/// Appends a number, unless it is zero: protobuf leaves zeros out.
pub(super) fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3 | u64::from(VARINT));
        put_varint(out, value);
    }
}

/// Appends bytes, unless there are none.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_message(out, number, bytes);
    }
}

/// Appends a message, empty or not.
pub(super) fn put_message(out: &mut Vec<u8>, number: u32, message: &[u8]) {
    put_varint(out, u64::from(number) << 3 | u64::from(BYTES));
    put_varint(out, message.len() as u64);
    out.extend_from_slice(message);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests;
