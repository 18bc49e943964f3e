//! Messages taken apart and put together with one thing changed, for tests.

use super::wire::{Reader, Value, put_message};

/// One field as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owned {
    Number(u64),
    Bytes(Vec<u8>),
}

/// The fields of a message, in order.
pub(super) type Fields = Vec<(u32, Owned)>;

/// The message with `change` made to the list of fields of the message at `path`, by field numbers from outside in.
pub(super) fn edit(message: &[u8], path: &[u32], change: &mut dyn FnMut(&mut Fields)) -> Vec<u8> {
    let mut fields = fields(message);
    match path.split_first() {
        None => change(&mut fields),
        Some((next, rest)) => {
            let inner = fields.iter_mut().find(|(number, _)| number == next);
            let Some((_, Owned::Bytes(inner))) = inner else { panic!("no message {next}") };
            *inner = edit(inner, rest, change);
        }
    }
    let mut out = Vec::new();
    for (number, value) in &fields {
        put(&mut out, *number, value);
    }
    out
}

/// Without a field.
pub(super) fn without(message: &[u8], path: &[u32], number: u32) -> Vec<u8> {
    edit(message, path, &mut |fields| {
        let before = fields.len();
        fields.retain(|(field, _)| *field != number);
        assert_ne!(fields.len(), before, "field {number} was not there");
    })
}

/// With a field replaced, or added.
pub(super) fn with(message: &[u8], path: &[u32], number: u32, value: &Owned) -> Vec<u8> {
    edit(message, path, &mut |fields| {
        fields.retain(|(field, _)| *field != number);
        fields.push((number, value.clone()));
    })
}

/// With one more field at the end.
pub(super) fn added(message: &[u8], path: &[u32], number: u32, value: &Owned) -> Vec<u8> {
    edit(message, path, &mut |fields| fields.push((number, value.clone())))
}

/// The fields of a message, in order.
pub(super) fn fields(message: &[u8]) -> Fields {
    let mut reader = Reader::new("test", message);
    let mut fields = Vec::new();
    while let Some((number, value)) = reader.next().unwrap() {
        let value = match value {
            Value::Varint(value) => Owned::Number(value),
            Value::Bytes(bytes) => Owned::Bytes(bytes.to_vec()),
        };
        fields.push((number, value));
    }
    fields
}

fn put(out: &mut Vec<u8>, number: u32, value: &Owned) {
    match value {
        Owned::Bytes(bytes) => put_message(out, number, bytes),
        Owned::Number(value) => {
            varint(out, u64::from(number) << 3);
            varint(out, *value);
        }
    }
}

/// Writes a zero too, which the encoder leaves out.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
