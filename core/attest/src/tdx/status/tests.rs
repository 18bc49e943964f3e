use super::*;
use TcbStatus::*;

fn listed(advisories: &[&str]) -> Advisories {
    Advisories::Listed(owned(advisories))
}

fn owned(advisories: &[&str]) -> Vec<String> {
    advisories.iter().map(ToString::to_string).collect()
}

#[test]
fn names_are_those_of_intel() {
    for status in TcbStatus::ALL {
        assert_eq!(TcbStatus::from_name(status.name()), Some(status));
    }
    for unknown in ["", "uptodate", "UpToDate ", "TDRelaunchAdvised"] {
        assert_eq!(TcbStatus::from_name(unknown), None, "{unknown}");
    }
}

#[test]
fn merging_is_commutative_and_never_better() {
    for one in TcbStatus::ALL {
        assert_eq!(one.worst(one), one);
        assert_eq!(one.worst(UpToDate), one);
        assert_eq!(one.worst(Revoked), Revoked);
        for other in TcbStatus::ALL {
            assert_eq!(one.worst(other), other.worst(one));
            assert!(one.worst(other) >= one, "{one} with {other}");
        }
    }
}

#[test]
fn a_module_that_is_out_of_date_makes_the_platform_so() {
    for (platform, expected) in [
        (UpToDate, OutOfDate),
        (SwHardeningNeeded, OutOfDate),
        (ConfigurationNeeded, OutOfDateConfigurationNeeded),
        (ConfigurationAndSwHardeningNeeded, OutOfDateConfigurationNeeded),
        (OutOfDateConfigurationNeeded, OutOfDateConfigurationNeeded),
    ] {
        assert_eq!(platform.worst(OutOfDate), expected);
    }
    assert_eq!(SwHardeningNeeded.worst(ConfigurationNeeded), ConfigurationAndSwHardeningNeeded);
}

#[test]
fn strict_accepts_up_to_date_only() {
    let strict = Tolerance::strict();
    assert!(strict.is_strict());
    assert_eq!(strict, Tolerance::default());
    for status in TcbStatus::ALL {
        let expected = if status == UpToDate { Judgement::UpToDate } else { Judgement::Refused };
        assert_eq!(strict.judge(status, &[]), expected, "{status}");
    }
}

#[test]
fn revoked_cannot_be_tolerated() {
    assert_eq!(Tolerance::strict().and(Revoked, Advisories::Any), Err(NotTolerable { status: Revoked }));
}

#[test]
fn a_tolerance_names_exactly_one_status() {
    let tolerance = Tolerance::strict().and(OutOfDate, Advisories::Any).unwrap();
    assert!(!tolerance.is_strict());
    assert_eq!(tolerance.judge(OutOfDate, &owned(&["INTEL-SA-1"])), Judgement::Tolerated);
    for other in [SwHardeningNeeded, ConfigurationNeeded, OutOfDateConfigurationNeeded, Revoked] {
        assert_eq!(tolerance.judge(other, &[]), Judgement::Refused, "{other}");
    }
}

#[test]
fn one_advisory_more_is_refused() {
    let tolerance = Tolerance::strict().and(OutOfDate, listed(&["A", "B"])).unwrap();
    assert_eq!(tolerance.judge(OutOfDate, &owned(&["B"])), Judgement::Tolerated);
    assert_eq!(
        tolerance.judge(OutOfDate, &owned(&["A", "C", "B"])),
        Judgement::AdvisoryNotListed("C".to_owned())
    );
    let tolerance = tolerance.and(OutOfDate, listed(&["C"])).unwrap();
    assert_eq!(tolerance.judge(OutOfDate, &owned(&["A", "C", "B"])), Judgement::Tolerated);
    let tolerance = tolerance.and(OutOfDate, Advisories::Any).unwrap().and(OutOfDate, listed(&[])).unwrap();
    assert_eq!(tolerance.judge(OutOfDate, &owned(&["D"])), Judgement::Tolerated);
}
