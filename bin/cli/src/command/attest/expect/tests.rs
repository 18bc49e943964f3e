use super::*;

struct Fake {
    data: [u8; 64],
    policy: u64,
    version: u64,
    svn: [u8; 4],
    driver: Option<String>,
}

static TABLE: &[Field<Fake>] = &[
    Field {
        name: "report_data",
        step: "report_data",
        rule: Rule::Bytes { len: 64, found: |fake| Some(fake.data.to_vec()) },
    },
    Field {
        name: "policy",
        step: "policy",
        rule: Rule::Number { bits: 64, found: |fake| Some(fake.policy) },
    },
    Field { name: "vmpl", step: "vmpl", rule: Rule::Number { bits: 32, found: |_| None } },
    Field { name: "word", step: "policy", rule: Rule::Word { found: |fake| fake.policy } },
    Field { name: "driver", step: "versions", rule: Rule::Text { found: |fake| fake.driver.clone() } },
    Field {
        name: "min_tcb.snp",
        step: "tcb",
        rule: Rule::Lowest { bits: 8, found: |fake| vec![("one", Some(200)), ("two", Some(fake.version))] },
    },
    Field {
        name: "min_svn",
        step: "tcb",
        rule: Rule::LowestBytes { len: 4, found: |fake| fake.svn.to_vec() },
    },
    Field {
        name: "min_bits",
        step: "tcb",
        rule: Rule::Bits { found: |fake| vec![("now", Some(fake.policy)), ("then", Some(0xff))] },
    },
];

fn fake() -> Fake {
    Fake {
        data: [0xd0; 64],
        policy: 0x3_001f,
        version: 24,
        svn: [3, 0, 5, 1],
        driver: Some("550.90.07".to_owned()),
    }
}

fn parse(given: &[&str]) -> Result<Expectations<Fake>, Unusable> {
    Expectations::parse(&given.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), TABLE)
}

fn check(given: &str) -> Result<(), String> {
    let expectations = parse(&[given]).map_err(|error| error.to_string())?;
    expectations.0.iter().try_for_each(|each| each.check(&fake())).map_err(|error| error.to_string())
}

#[test]
fn what_holds_passes() {
    let data = format!("report_data={}", "d0".repeat(64));
    for given in [
        data.as_str(),
        "policy=3001f",
        "policy=0x3001F",
        "policy=000000000003001f",
        "word=1f00030000000000",
        "word=0x3001f",
        "driver=550.90.07",
        "min_tcb.snp=18",
        "min_tcb.snp=0",
        "min_svn=03000501",
        "min_svn=00000000",
        "min_bits=1f",
    ] {
        assert_eq!(check(given), Ok(()), "{given}");
    }
}

#[test]
fn what_does_not_hold_is_named_with_both_values() {
    for (given, message) in [
        (
            "policy=30000",
            "policy: expected 196608 (0x30000), got 196639 (0x3001f); numbers are hexadecimal: for decimal 30000 write 0x7530",
        ),
        ("policy=0x1f", "policy: expected 31 (0x1f), got 196639 (0x3001f)"),
        ("word=0x1f", "word: expected 1f00000000000000 (0x1f), got 1f00030000000000 (0x3001f)"),
        ("driver=550.90", "driver: expected 550.90, got 550.90.07"),
        ("vmpl=0", "vmpl: expected 0 (0x0), but this evidence has no such field"),
        ("min_tcb.snp=0x19", "min_tcb.snp: two is 24 (0x18), expected at least 25 (0x19)"),
        (
            "min_tcb.snp=24",
            "min_tcb.snp: two is 24 (0x18), expected at least 36 (0x24); numbers are hexadecimal: for decimal 24 write 0x18",
        ),
        // the sum is higher, one component is not
        ("min_svn=0301ff01", "min_svn: byte 1 is 03000501, expected at least 0301ff01"),
        ("min_bits=0x100", "min_bits: now is 0x3001f, which lacks bits of the expected 0x100"),
        ("min_bits=0x30000", "min_bits: then is 0xff, which lacks bits of the expected 0x30000"),
    ] {
        assert_eq!(check(given), Err(message.to_owned()), "{given}");
    }
    let mut other = "d0".repeat(63);
    other.push_str("d1");
    assert!(check(&format!("report_data={other}")).unwrap_err().contains("got d0d0"));
}

#[test]
fn what_is_no_expectation_is_unusable() {
    for given in ["policy", "policy=", "=1", "colour=1"] {
        assert!(parse(&[given]).is_err(), "{given}");
    }
    assert!(matches!(parse(&["policy"]), Err(Unusable::NotNameValue { .. })));
    assert!(matches!(parse(&["policy="]), Err(Unusable::NotNameValue { .. })));
    assert!(matches!(
        parse(&["reportdata=00"]),
        Err(Unusable::UnknownName { nearest: Some("report_data"), .. })
    ));
    assert!(matches!(parse(&["policy=1", "policy=1"]), Err(Unusable::NameTwice { name: "policy" })));
    for given in [
        "report_data=00",
        "report_data=zz",
        "policy=+1",
        "policy=0x",
        "policy=10000000000000000",
        "vmpl=100000000",
        "min_tcb.snp=100",
        "word=1f",
        "word=0x",
        "min_svn=0000000000",
    ] {
        assert!(matches!(parse(&[given]), Err(Unusable::Expected { .. })), "{given}");
    }
    // decimal 115 fits, hexadecimal 115 does not
    let error = parse(&["min_tcb.snp=115"]).err().map(|error| error.to_string()).unwrap();
    assert!(error.contains("decimal 115 is 0x73"), "{error}");
}

#[test]
fn expectations_are_found_by_name_and_by_step() {
    let expectations = parse(&["policy=1"]).ok().unwrap();
    assert!(expectations.names("policy") && !expectations.names("vmpl"));
    assert_eq!(expectations.of_step("policy").count(), 1);
    assert_eq!(expectations.of_step("tcb").count(), 0);
}
