use super::*;

fn faults(args: &CollateralArgs) -> Vec<String> {
    args.plan(None).err().map(|faults| faults.list().to_vec()).unwrap_or_default()
}

#[test]
fn the_defaults_ask_the_vendors_and_tolerate_nothing() {
    let plan = CollateralArgs::default().plan(Some(Path::new("/workspace/collateral"))).unwrap();
    assert_eq!(plan.settings.folder.as_deref(), Some(Path::new("/workspace/collateral")));
    assert_eq!(plan.settings.endpoints, Endpoints::default());
    assert!(!plan.settings.offline && plan.settings.grace.is_zero() && plan.grace == 0);
    assert_eq!(CollateralArgs::default().downgrade(), None);
}

#[test]
fn the_flags_reach_the_collector_and_a_grace_shows() {
    let args = CollateralArgs {
        collateral_dir: Some("/cache".into()),
        amd_kds_url: Some("https://kds.example.com/".to_owned()),
        offline_collateral: true,
        crl_grace: 24,
        ..CollateralArgs::default()
    };
    let plan = args.plan(Some(Path::new("/workspace"))).unwrap();
    assert_eq!(
        plan.settings.folder.as_deref(),
        Some(Path::new("/cache")),
        "the flag goes before the default"
    );
    let mirrored = Endpoints::default().amd_kds("https://kds.example.com/").unwrap();
    assert_eq!(plan.settings.endpoints, mirrored);
    assert!(plan.settings.offline);
    assert_eq!(plan.grace, 24 * 3600);
    assert!(args.downgrade().is_some_and(|text| text.contains("24 h") && text.contains("--crl-grace")));
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let args = CollateralArgs {
        amd_kds_url: Some("http://kds.example.com/".to_owned()),
        intel_pcs_url: Some("nonsense".to_owned()),
        collateral_bundle: Some("/nowhere/bundle.json".into()),
        crl_grace: u64::MAX,
        ..CollateralArgs::default()
    };
    let faults = faults(&args);
    assert_eq!(faults.len(), 4, "{faults:?}");
    for (fault, flag) in
        faults.iter().zip(["--amd-kds-url", "--intel-pcs-url", "--collateral-bundle", "--crl-grace"])
    {
        assert!(fault.contains(flag), "{fault}");
    }
}

#[cfg(feature = "simulated")]
#[test]
fn a_test_root_is_read_and_changes_what_is_verified_and_fetched() {
    use privatemode_test_pki::amd;

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let with = |path: PathBuf| CollateralArgs { danger_amd_root: Some(path), ..CollateralArgs::default() };
    let pki = amd::Evidence::new(amd::Product::Genoa, amd::Signer::Vcek).encode();

    let plan = with(file("ark.der", &pki.ark)).plan(None).unwrap();
    assert!(!plan.options().roots.is_production());
    assert!(plan.settings.amd_signing_key, "none is built in for it");
    assert_eq!(plan.danger(), Some(TEST_ROOT));

    let plan = CollateralArgs::default().plan(None).unwrap();
    assert!(plan.options().roots.is_production() && !plan.settings.amd_signing_key);
    assert_eq!(plan.danger(), None);

    for (path, what) in [
        (folder.path().join("missing.der"), "cannot read"),
        (file("text.der", b"text"), "is not a certificate in DER"),
        (file("long.der", &[0x30; 16 * 1024 + 1]), "has more than 16384 bytes"),
        (file("ask.der", &pki.ask), "is not named ARK-Milan, ARK-Genoa or ARK-Turin"),
    ] {
        let faults = faults(&with(path));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("--danger-amd-root: ") && faults[0].contains(what), "{faults:?}");
    }
}
