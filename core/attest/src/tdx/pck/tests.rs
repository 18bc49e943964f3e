use super::*;

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(value.len()) {
        Ok(len) if len < 0x80 => out.push(len),
        Ok(len) => out.extend([0x81, len]),
        Err(_) => {
            out.push(0x82);
            out.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        }
    }
    out.extend(value);
    out
}

fn pair(arcs: &[u8], value: &[u8]) -> Vec<u8> {
    let oid = [SGX_EXTENSION.as_bytes(), arcs].concat();
    tlv(0x30, &[tlv(0x06, &oid), value.to_vec()].concat())
}

fn octets_of(len: usize) -> Vec<u8> {
    tlv(0x04, &vec![7; len])
}

fn tcb() -> Vec<Vec<u8>> {
    let mut pairs: Vec<_> = (1..=16).map(|arc| pair(&[2, arc], &tlv(0x02, &[arc]))).collect();
    pairs.push(pair(&[2, 17], &tlv(0x02, &[1, 2])));
    pairs.push(pair(&[2, 18], &octets_of(16)));
    pairs
}

fn fields() -> Vec<Vec<u8>> {
    vec![
        pair(&[1], &octets_of(16)),
        pair(&[2], &tlv(0x30, &tcb().concat())),
        pair(&[3], &octets_of(2)),
        pair(&[4], &octets_of(6)),
        pair(&[5], &tlv(0x0a, &[1])),
    ]
}

fn parse(fields: &[Vec<u8>]) -> Result<Pck, PckExtensionError> {
    Pck::parse_extension(&tlv(0x30, &fields.concat()))
}

#[test]
fn a_processor_certificate() {
    let pck = parse(&fields()).unwrap();
    assert_eq!(pck.components.to_vec(), (1..=16).collect::<Vec<u8>>());
    assert_eq!((pck.pce_svn, pck.cpu_svn, pck.pce_id, pck.fmspc), (0x102, [7; 16], [7; 2], [7; 6]));
    assert_eq!((pck.sgx_type, pck.memory_integrity()), (SgxType::Scalable, false));
    assert_eq!((pck.platform_instance, pck.dynamic_platform, pck.smt_enabled), (None, None, None));
}

#[test]
fn a_platform_certificate() {
    let flag = |arc, value| pair(&[7, arc], &tlv(0x01, &[value]));
    let mut fields = fields();
    fields.push(pair(&[6], &octets_of(16)));
    fields.push(pair(&[7], &tlv(0x30, &[flag(1, 0xff), flag(2, 0), flag(3, 0xff)].concat())));
    let pck = parse(&fields).unwrap();
    assert_eq!(pck.platform_instance, Some([7; 16]));
    assert_eq!(
        (pck.dynamic_platform, pck.cached_keys, pck.smt_enabled),
        (Some(true), Some(false), Some(true))
    );
}

#[test]
fn each_field_is_needed() {
    for (place, field) in [(0, "PPID"), (1, "TCB component"), (2, "PCE ID"), (3, "FMSPC"), (4, "SGX type")] {
        let mut fields = fields();
        fields.remove(place);
        assert_eq!(parse(&fields), Err(PckExtensionError::Missing { field }));
    }
    for (place, field) in [(3, "TCB component"), (16, "PCE SVN"), (17, "CPU SVN")] {
        let mut tcb = tcb();
        tcb.remove(place);
        let mut fields = fields();
        fields[1] = pair(&[2], &tlv(0x30, &tcb.concat()));
        assert_eq!(parse(&fields), Err(PckExtensionError::Missing { field }));
    }
}

#[test]
fn no_field_comes_twice() {
    for (place, field) in [(0, "PPID"), (1, "TCB"), (2, "PCE ID"), (3, "FMSPC"), (4, "SGX type")] {
        let mut fields = fields();
        fields.push(fields[place].clone());
        assert_eq!(parse(&fields), Err(PckExtensionError::Duplicate { field }));
    }
}

#[test]
fn values_are_in_range() {
    for (place, value, field) in [
        (0, pair(&[1], &octets_of(15)), "PPID"),
        (2, pair(&[3], &octets_of(3)), "PCE ID"),
        (3, pair(&[4], &tlv(0x0c, &[7; 6])), "FMSPC"),
        (4, pair(&[5], &tlv(0x0a, &[3])), "SGX type"),
        (4, pair(&[5], &tlv(0x02, &[1])), "SGX type"),
        (1, pair(&[2], &tlv(0x30, &pair(&[2, 1], &tlv(0x02, &[1, 0])))), "TCB component"),
        (1, pair(&[2], &tlv(0x30, &pair(&[2, 1], &tlv(0x02, &[0xff])))), "TCB component"),
        (1, pair(&[7], &tlv(0x30, &pair(&[7, 1], &tlv(0x01, &[1])))), "configuration flag"),
    ] {
        let mut fields = fields();
        fields[place] = value;
        assert_eq!(parse(&fields), Err(PckExtensionError::OutOfRange { field }));
    }
}

#[test]
fn other_bytes_are_malformed() {
    let unknown = [fields(), vec![pair(&[8], &octets_of(1))]].concat();
    let component = [fields(), vec![pair(&[2], &tlv(0x30, &pair(&[2, 19], &tlv(0x02, &[1]))))]].concat();
    assert_eq!(parse(&unknown), Err(PckExtensionError::Malformed));
    assert_eq!(parse(&component[5..]), Err(PckExtensionError::Malformed));
    let whole = tlv(0x30, &fields().concat());
    for len in 0..whole.len() {
        assert_eq!(Pck::parse_extension(&whole[..len]), Err(PckExtensionError::Malformed), "{len}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(Pck::parse_extension(&longer), Err(PckExtensionError::Malformed));
    let len = MAX_EXTENSION + 1;
    assert_eq!(
        Pck::parse_extension(&vec![0; len]),
        Err(PckExtensionError::TooLong { len, max: MAX_EXTENSION })
    );
}
