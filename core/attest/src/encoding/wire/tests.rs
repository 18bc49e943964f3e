use super::*;

const MESSAGE: &str = "test";

fn read(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, DecodeError> {
    let mut reader = Reader::new(MESSAGE, bytes);
    let mut fields = Vec::new();
    while let Some(field) = reader.next()? {
        fields.push(field);
    }
    Ok(fields)
}

#[test]
fn numbers_come_back() {
    for value in [1, 127, 128, 300, u64::from(u32::MAX), 1 << 63, u64::MAX] {
        let mut out = Vec::new();
        put_number(&mut out, 29, value);
        assert_eq!(read(&out), Ok(vec![(29, Value::Varint(value))]));
    }
}

#[test]
fn protobufs_own_example_is_read() {
    // from the encoding guide: field 1 = 150, field 2 = "testing"
    let bytes = b"\x08\x96\x01\x12\x07testing";
    assert_eq!(read(bytes), Ok(vec![(1, Value::Varint(150)), (2, Value::Bytes(b"testing"))]));
    let mut out = Vec::new();
    put_number(&mut out, 1, 150);
    put_bytes(&mut out, 2, b"testing");
    assert_eq!(out, bytes);
}

#[test]
fn other_spellings_of_numbers_are_refused() {
    let varint = DecodeError::Varint { message: MESSAGE };
    // one in two bytes, zero in two bytes, 65 bits, eleven bytes, a key of more than 32 bits
    for bytes in [
        &b"\x08\x81\x00"[..],
        b"\x08\x80\x00",
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00",
        b"\x88\x00\x01",
        b"\x80\x80\x80\x80\x80\x01\x01",
    ] {
        assert_eq!(read(bytes), Err(varint.clone()), "{bytes:x?}");
    }
}

#[test]
fn what_is_cut_off_is_refused() {
    let whole = b"\x08\x96\x01\x12\x07testing";
    // at 3 the message ends between two fields
    for len in (1..whole.len()).filter(|len| *len != 3) {
        assert_eq!(read(&whole[..len]), Err(DecodeError::Truncated { message: MESSAGE }), "{len}");
    }
    // a length that no memory has is compared with what is there, not allocated
    let huge = b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01abc";
    assert_eq!(read(huge), Err(DecodeError::Truncated { message: MESSAGE }));
}

#[test]
fn fixed_numbers_and_groups_are_refused() {
    for wire_type in [1, 3, 4, 5, 6, 7] {
        let bytes = [8 | wire_type, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(&bytes), Err(DecodeError::WireType { message: MESSAGE, field: "(any)", wire_type }));
    }
}

#[test]
fn a_schema_takes_each_of_its_fields_once() {
    let schema =
        Schema { message: MESSAGE, fields: [(1, "number", Wire::Number), (2, "bytes", Wire::Bytes)] };
    let [number, bytes] = schema.read(b"\x08\x07\x12\x01x").unwrap();
    assert_eq!((number.number(), bytes.exactly(1)), (7, Ok(&b"x"[..])));
    let [number, bytes] = schema.read(b"").unwrap();
    assert_eq!((number.number(), bytes.bytes(1)), (0, Ok(&b""[..])));
    assert_eq!(bytes.message(), Err(DecodeError::Missing { message: MESSAGE, field: "bytes" }));

    for (wrong, error) in [
        (&b"\x08\x07\x08\x07"[..], DecodeError::Repeated { message: MESSAGE, field: "number" }),
        (b"\x12\x00\x12\x00", DecodeError::Repeated { message: MESSAGE, field: "bytes" }),
        (b"\x0a\x00", DecodeError::WireType { message: MESSAGE, field: "number", wire_type: 2 }),
        (b"\x10\x00", DecodeError::WireType { message: MESSAGE, field: "bytes", wire_type: 0 }),
        (b"\x18\x01", DecodeError::UnknownField { message: MESSAGE, number: 3 }),
        (b"\x00\x01", DecodeError::UnknownField { message: MESSAGE, number: 0 }),
    ] {
        assert_eq!(schema.read(wrong).err(), Some(error), "{wrong:x?}");
    }
}

#[test]
fn lengths_are_held_to() {
    let schema = Schema { message: MESSAGE, fields: [(2, "bytes", Wire::Bytes)] };
    let [bytes] = schema.read(b"\x12\x03abc").unwrap();
    assert_eq!(bytes.bytes(3), Ok(&b"abc"[..]));
    let too_long = DecodeError::FieldTooLong { message: MESSAGE, field: "bytes", len: 3, max: 2 };
    assert_eq!(bytes.bytes(2), Err(too_long));
    for want in [2, 4] {
        let length = DecodeError::Length { message: MESSAGE, field: "bytes", have: 3, want };
        assert_eq!(bytes.exactly(want), Err(length));
    }
}

#[test]
fn a_number_has_to_fit_its_place() {
    assert_eq!(fit(MESSAGE, "n", 0xffff, 2), Ok([0xff, 0xff, 0, 0, 0, 0, 0, 0]));
    assert_eq!(
        fit(MESSAGE, "n", 0x1_0000, 2),
        Err(DecodeError::TooLarge { message: MESSAGE, field: "n", value: 0x1_0000, bytes: 2 })
    );
    assert_eq!(fit(MESSAGE, "n", u64::MAX, 8), Ok([0xff; 8]));
}
