use super::*;

fn manifest(protocols: &str) -> Manifest {
    let text = String::from_utf8(crate::testing::Deployment::speaking("1", &[FIELDS]).manifest).unwrap();
    let replaced = text.replace(r#","Protocols":["fields/1"]"#, protocols);
    let replaced =
        replaced.replace(r#""Protocols":["fields/1"],"#, &format!("{},", protocols.trim_start_matches(',')));
    let replaced = replaced.replacen("{,", "{", 1);
    assert!(protocols == FIELDS_ONLY || replaced != text, "{text}");
    Manifest::parse(replaced.as_bytes()).unwrap()
}

fn picked(choice: ProtocolChoice, protocols: &str) -> Result<(Protocol, Why), ProtocolError> {
    negotiate(choice, &manifest(protocols)).map(|negotiated| (negotiated.protocol, negotiated.why))
}

const BOTH: &str = r#","Protocols":["fields/1","sealed-body/1"]"#;
const FIELDS_ONLY: &str = r#","Protocols":["fields/1"]"#;
const SEALED_ONLY: &str = r#","Protocols":["sealed-body/1"]"#;
const NEITHER: &str = r#","Protocols":["quantum/9"]"#;

#[test]
fn every_choice_on_every_manifest() {
    use ProtocolChoice::{Auto, Compatible, Sealed};
    assert_eq!(picked(Auto, BOTH), Ok((Protocol::SealedBody, Why::Best)));
    assert_eq!(picked(Auto, SEALED_ONLY), Ok((Protocol::SealedBody, Why::Best)));
    assert_eq!(picked(Auto, FIELDS_ONLY), Ok((Protocol::Fields, Why::NothingBetter)));
    assert_eq!(picked(Auto, ""), Ok((Protocol::Fields, Why::NothingBetter)));
    assert_eq!(picked(Sealed, BOTH), Ok((Protocol::SealedBody, Why::Best)));
    let offered = || "fields/1".to_owned();
    assert_eq!(picked(Sealed, ""), Err(ProtocolError::NoSealedBodies { offered: offered() }));
    assert_eq!(picked(Sealed, FIELDS_ONLY), Err(ProtocolError::NoSealedBodies { offered: offered() }));
    assert_eq!(picked(Compatible, ""), Ok((Protocol::Fields, Why::NothingBetter)));
    assert_eq!(picked(Compatible, BOTH), Ok((Protocol::Fields, Why::Downgraded)));
    let offered = || "sealed-body/1".to_owned();
    assert_eq!(picked(Compatible, SEALED_ONLY), Err(ProtocolError::NoFields { offered: offered() }));
    for choice in [Auto, Sealed, Compatible] {
        let error = ProtocolError::Unknown { offered: "quantum/9".to_owned() };
        assert_eq!(picked(choice, NEITHER), Err(error));
    }
}

#[test]
fn a_downgrade_is_told_and_the_best_is_none() {
    let text = |choice, protocols| negotiate(choice, &manifest(protocols)).unwrap().downgrade();
    assert_eq!(text(ProtocolChoice::Auto, BOTH), None);
    assert!(text(ProtocolChoice::Auto, "").unwrap().starts_with("protocol fields/1:"));
    assert!(text(ProtocolChoice::Compatible, BOTH).unwrap().starts_with("DOWNGRADE: "));
}

#[test]
fn choices_have_one_spelling() {
    assert_eq!("auto".parse(), Ok(ProtocolChoice::Auto));
    assert_eq!("sealed".parse(), Ok(ProtocolChoice::Sealed));
    assert_eq!("compatible".parse(), Ok(ProtocolChoice::Compatible));
    assert_eq!("Sealed".parse::<ProtocolChoice>(), Err(ChoiceError));
}
