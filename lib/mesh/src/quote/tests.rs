use super::*;

#[test]
fn a_platform_that_is_not_here_says_so() {
    for platform in [EvidenceKind::Snp, EvidenceKind::Tdx] {
        // a test machine that is a confidential guest has one
        let Err(error) = quoter(platform, None, None) else { continue };
        let QuoteError::NoHardware { platform: named, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*named, platform);
        assert!(error.to_string().contains("--platform simulated"), "{error}");
    }
}

#[cfg(feature = "simulated")]
#[test]
fn the_simulated_platform_has_to_be_told_its_policy() {
    let Err(error) = quoter(EvidenceKind::Simulated, None, None) else { panic!("a quoter without a policy") };
    assert!(matches!(error, QuoteError::NoHardware { platform: EvidenceKind::Simulated, .. }));
}

#[cfg(not(feature = "simulated"))]
#[test]
fn this_build_makes_no_fake_reports() {
    let policy = Some(PolicyHash::of(b"policy"));
    let Err(error) = quoter(EvidenceKind::Snp, policy, Some(Path::new("/nowhere"))) else {
        panic!("fake reports without the feature")
    };
    let QuoteError::NoHardware { platform: EvidenceKind::Snp, why, .. } = error else { panic!("{error:?}") };
    assert_eq!(why, "this build leaves fake reports out");
}

#[cfg(not(feature = "simulated"))]
#[test]
fn this_build_does_not_simulate() {
    let policy = Some(PolicyHash::of(b"policy"));
    let Err(error) = quoter(EvidenceKind::Simulated, policy, None) else {
        panic!("simulated without the feature")
    };
    assert!(matches!(error, QuoteError::NoHardware { platform: EvidenceKind::Simulated, .. }));
}
