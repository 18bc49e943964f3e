use super::*;

/// A table with these entries.
pub(in crate::quote) fn table(entries: &[(u128, &[u8])]) -> Vec<u8> {
    let mut offset = (entries.len() + 1) * ENTRY_LEN;
    let mut header = Vec::new();
    let mut data = Vec::new();
    for (guid, bytes) in entries {
        header.extend(guid.to_be_bytes());
        header.extend((offset as u32).to_le_bytes());
        header.extend((bytes.len() as u32).to_le_bytes());
        data.extend_from_slice(bytes);
        offset += bytes.len();
    }
    header.extend([0; ENTRY_LEN]);
    [header, data].concat()
}

pub(in crate::quote) const VCEK_GUID: u128 = u128::from_be_bytes(VCEK);

#[test]
fn guids_are_in_the_order_of_their_text() {
    assert_eq!(VCEK[..6], [0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64]);
}

#[test]
fn certificates_are_found_by_their_guid() {
    assert_eq!(Certificates::parse(b""), Ok(Certificates::default()));
    assert_eq!(Certificates::parse(&table(&[])), Ok(Certificates::default()));
    let all = table(&[
        (u128::from_be_bytes(ARK), b"ark"),
        (7, b"of somebody else"),
        (VCEK_GUID, b"vcek"),
        (u128::from_be_bytes(VLEK), b"vlek"),
        (u128::from_be_bytes(ASK), b"ask"),
        (u128::from_be_bytes(CRL), b"crl"),
    ]);
    let expected = Certificates {
        vcek: Some(b"vcek".to_vec()),
        vlek: Some(b"vlek".to_vec()),
        ask: Some(b"ask".to_vec()),
        ark: Some(b"ark".to_vec()),
        crl: Some(b"crl".to_vec()),
    };
    assert_eq!(Certificates::parse(&all), Ok(expected));
}

#[test]
fn a_table_that_contradicts_itself_is_none() {
    let good = table(&[(VCEK_GUID, b"vcek")]);
    // cut anywhere: in the entry, before the end mark, in the certificate
    for len in 1..good.len() {
        assert_eq!(Certificates::parse(&good[..len]), Err(BadTable), "{len}");
    }
    for (offset, byte) in [(16, 200), (20, 200), (19, 0xff), (23, 0xff)] {
        let mut wrong = good.clone();
        wrong[offset] = byte;
        assert_eq!(Certificates::parse(&wrong), Err(BadTable));
    }
    let twice = table(&[(VCEK_GUID, b"vcek"), (VCEK_GUID, b"other")]);
    assert_eq!(Certificates::parse(&twice), Err(BadTable));
    let many = table(&[(7, &b""[..]); MAX_ENTRIES]);
    assert_eq!(Certificates::parse(&many), Err(BadTable));
}
