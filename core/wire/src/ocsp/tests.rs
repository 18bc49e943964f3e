use super::*;

const SECRET: [u8; 32] = [3; 32];

#[test]
fn vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ocsp.json");
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let secret = Secret::from_slice(&hex::decode(vector["secret"].as_str().unwrap()).unwrap()).unwrap();
        let rule = |name: &str| vector["rules"].as_array().unwrap().iter().any(|rule| rule == name);
        let policy = OcspPolicy {
            allow_unknown: rule("allow-unknown"),
            allow_revoked: rule("allow-revoked"),
            revoked_not_before: vector["not_before"].as_u64().unwrap(),
        };
        let text = vector["policy"].as_str().unwrap();
        assert_eq!(policy.to_header(), text);
        assert_eq!(OcspPolicy::parse(text), Ok(policy));
        assert_eq!(mac(&secret, text), vector["mac"].as_str().unwrap());
        assert!(verify_mac(&secret, text, vector["mac"].as_str().unwrap()));
    }
}

#[test]
fn the_mac_covers_every_byte() {
    let secret = Secret::from_slice(&SECRET).unwrap();
    let policy = OcspPolicy::new(true, 3600, 1_700_000_000).to_header();
    let tag = mac(&secret, &policy);
    for index in 0..tag.len() {
        let mut changed = tag.clone().into_bytes();
        changed[index] = if changed[index] == b'0' { b'1' } else { b'0' };
        assert!(!verify_mac(&secret, &policy, std::str::from_utf8(&changed).unwrap()));
    }
    assert!(!verify_mac(&secret, &policy.replace("allow-unknown", "allow-revoked"), &tag));
    assert!(!verify_mac(&Secret::from_slice(&[4; 32]).unwrap(), &policy, &tag));
    for bad in ["", "zz", &tag[..62], &format!("{tag}00"), &"é".repeat(32)] {
        assert!(!verify_mac(&secret, &policy, bad));
    }
}

#[test]
fn malformed_policies() {
    use OcspPolicyError::*;
    let cases = [
        ("", Malformed),
        ("rules=allow-good", Malformed),
        ("rules=allow-good; revocation-time-not-before=", Malformed),
        ("rules=allow-good; revocation-time-not-before=+1", Malformed),
        ("rules=allow-good; revocation-time-not-before=99999999999999999999", Malformed),
        ("allow-good; revocation-time-not-before=1", Malformed),
        ("rules=allow-good,allow-all; revocation-time-not-before=1", UnknownRule),
        ("rules=; revocation-time-not-before=1", UnknownRule),
        ("rules=allow-unknown; revocation-time-not-before=1", GoodNotAllowed),
    ];
    for (text, expected) in cases {
        assert_eq!(OcspPolicy::parse(text), Err(expected), "{text}");
    }
    assert_eq!(OcspPolicy::parse(&"x".repeat(257)), Err(TooLong));
}

#[test]
fn coverage_names_the_component() {
    use CertificateState::*;
    let good = GpuStates { gpu: Good, vbios: Good, driver: Good };
    let policy = OcspPolicy::new(false, 100, 1000);
    assert_eq!(policy.covers(&[good, good]), Ok(()));
    assert_eq!(OcspPolicy::GOOD_ONLY.covers(&[good]), Ok(()));
    let unknown = GpuStates { driver: Unknown, ..good };
    let refusal = Refusal { gpu: 1, component: Component::Driver, state: Unknown };
    assert_eq!(policy.covers(&[good, unknown]), Err(refusal));
    assert_eq!(OcspPolicy::new(true, 0, 1000).covers(&[unknown]), Ok(()));
    let revoked = |at| [GpuStates { vbios: Revoked { at }, ..good }];
    assert_eq!(policy.covers(&revoked(900)), Ok(()));
    let refusal = |at| Err(Refusal { gpu: 0, component: Component::Vbios, state: Revoked { at } });
    assert_eq!(policy.covers(&revoked(899)), refusal(899));
    assert_eq!(OcspPolicy::new(true, 0, 1000).covers(&revoked(2000)), refusal(2000));
    assert_eq!(OcspPolicy::GOOD_ONLY.covers(&revoked(u64::MAX)), refusal(u64::MAX));
    let text = Refusal { gpu: 0, component: Component::Vbios, state: Revoked { at: 5 } }.to_string();
    assert_eq!(
        text,
        "the OCSP policy does not accept the state of the VBIOS certificate of GPU 0: revoked at 5"
    );
}
