use super::*;

const BASE: Tcb = Tcb { fmc: Some(2), bootloader: 4, tee: 1, snp: 24, microcode: 219 };

#[test]
fn layouts() {
    assert_eq!(Tcb::parse([4, 1, 0, 0, 0, 0, 24, 219], TcbLayout::Classic), Some(Tcb { fmc: None, ..BASE }));
    assert_eq!(Tcb::parse([2, 4, 1, 24, 0, 0, 0, 219], TcbLayout::Turin), Some(BASE));
}

#[test]
fn reserved_bytes_are_zero() {
    for (layout, places) in [(TcbLayout::Classic, 2..6), (TcbLayout::Turin, 4..7)] {
        for place in places {
            let mut bytes = [0; 8];
            bytes[place] = 1;
            assert_eq!(Tcb::parse(bytes, layout), None, "{layout:?} byte {place}");
        }
    }
}

#[test]
fn every_component_counts_and_is_named() {
    assert_eq!(BASE.check_at_least(&BASE), Ok(()));
    let cases = [
        (Tcb { fmc: Some(3), ..BASE }, TcbPart::Fmc, 2, 3),
        (Tcb { bootloader: 5, ..BASE }, TcbPart::Bootloader, 4, 5),
        (Tcb { tee: 2, ..BASE }, TcbPart::Tee, 1, 2),
        (Tcb { snp: 25, ..BASE }, TcbPart::Snp, 24, 25),
        (Tcb { microcode: 220, ..BASE }, TcbPart::Microcode, 219, 220),
    ];
    for (minimum, part, have, need) in cases {
        assert_eq!(BASE.check_at_least(&minimum), Err(TcbBelow { part, have, need }));
        assert_eq!(minimum.check_at_least(&BASE), Ok(()));
    }
}

#[test]
fn a_higher_component_makes_up_for_nothing() {
    let minimum = Tcb { bootloader: 5, microcode: 0, ..BASE };
    assert_eq!(
        Tcb { microcode: 255, ..BASE }.check_at_least(&minimum),
        Err(TcbBelow { part: TcbPart::Bootloader, have: 4, need: 5 })
    );
}

#[test]
fn a_missing_component_is_version_zero() {
    let without = Tcb { fmc: None, ..BASE };
    assert_eq!(BASE.check_at_least(&without), Ok(()));
    assert_eq!(without.check_at_least(&BASE), Err(TcbBelow { part: TcbPart::Fmc, have: 0, need: 2 }));
}

#[test]
fn people_can_read_it() {
    assert_eq!(BASE.to_string(), "FMC 2, bootloader 4, TEE 1, SNP 24, microcode 219");
}
