use privatemode_test_pki::amd;

use super::*;

fn needs(product: amd::Product, signer: amd::Signer, change: impl FnOnce(&mut Vec<u8>)) -> Vec<Needs> {
    let mut report = amd::Evidence::new(product, signer).report.to_vec();
    change(&mut report);
    Needs::of(&Report::parse(&report).unwrap())
}

#[test]
fn the_chip_and_its_tcb_are_the_address() {
    let [needs] = &needs(amd::Product::Genoa, amd::Signer::Vcek, |_| {})[..] else { panic!("one line") };
    let chip = "c5".repeat(64);
    assert_eq!(
        needs.kds_vcek_path(),
        Some(format!("/vcek/v1/Genoa/{chip}?blSPL=04&teeSPL=01&snpSPL=24&ucodeSPL=219"))
    );
    assert_eq!(needs.kds_chain_path(), "/vcek/v1/Genoa/cert_chain");
    assert_eq!(needs.kds_crl_path(), "/vcek/v1/Genoa/crl");
}

#[test]
fn turin_has_a_short_chip_id_and_one_more_level() {
    let [needs] = &needs(amd::Product::Turin, amd::Signer::Vcek, |_| {})[..] else { panic!("one line") };
    assert_eq!(
        needs.kds_vcek_path().unwrap(),
        "/vcek/v1/Turin/c5c5c5c5c5c5c5c5?blSPL=04&teeSPL=01&snpSPL=24&ucodeSPL=219&fmcSPL=02"
    );
}

#[test]
fn the_service_has_no_vlek() {
    let [needs] = &needs(amd::Product::Milan, amd::Signer::Vlek, |_| {})[..] else { panic!("one line") };
    assert_eq!(needs.kds_vcek_path(), None);
    assert_eq!(needs.kds_chain_path(), "/vlek/v1/Milan/cert_chain");
    assert_eq!(needs.kds_crl_path(), "/vlek/v1/Milan/crl");
}

#[test]
fn a_hidden_chip_has_no_address() {
    let [needs] = &needs(amd::Product::Milan, amd::Signer::Vcek, |report| report[0x1a0..0x1e0].fill(0))[..]
    else {
        panic!("one line")
    };
    assert_eq!(needs.kds_vcek_path(), None);
}

#[test]
fn version_2_may_be_of_two_lines() {
    let both = needs(amd::Product::Milan, amd::Signer::Vcek, |report| {
        report[0] = 2;
        report[0x188..0x18b].fill(0);
    });
    let products: Vec<Product> = both.iter().map(|needs| needs.product).collect();
    assert_eq!(products, [Product::Milan, Product::Genoa]);
}
