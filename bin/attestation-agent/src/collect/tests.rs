use super::*;
use crate::fake::FakeGpus;

fn question() -> ReportData {
    ReportData::from([0x5a; 64])
}

#[test]
fn every_gpu_is_asked_with_its_own_nonce() {
    let gpus = FakeGpus::new(8);
    let collected = collect(&gpus, &question(), Some(8)).unwrap();
    assert_eq!(collected.nonces, *gpus.asked.lock().unwrap());
    let expected: Vec<Nonce> = (0..8).map(|index| nonce::derive(&question(), index)).collect();
    assert_eq!(collected.nonces, expected);
    for ((index, device), nonce) in collected.bundle.devices.iter().enumerate().zip(&expected) {
        assert_eq!((&device.report[NONCE], device.report[36]), (&nonce.0[..], index as u8));
        assert_eq!((&device.chain[..], device.architecture.as_str()), (&b"PEM"[..], "HOPPER"));
    }
    assert_eq!(Bundle::parse(collected.bundle.to_json().as_bytes()).unwrap(), collected.bundle);
}

#[test]
fn collecting_sets_nothing_ready() {
    let gpus = FakeGpus::new(1);
    collect(&gpus, &question(), None).unwrap();
    assert!(!*gpus.ready.lock().unwrap());
}

#[test]
fn a_machine_without_all_its_gpus_is_refused() {
    let error = collect(&FakeGpus::new(0), &question(), None).unwrap_err();
    assert!(matches!(error, GpuError::NoGpu), "{error:?}");
    for want in [0, 1, 3] {
        let error = collect(&FakeGpus::new(2), &question(), Some(want)).unwrap_err();
        assert!(matches!(error, GpuError::Count { have: 2, want: wanted } if wanted == want), "{error:?}");
    }
    let mut twice = FakeGpus::new(2);
    twice.devices[1].uuid = "GPU-0".to_owned();
    let error = collect(&twice, &question(), Some(2)).unwrap_err();
    assert!(matches!(&error, GpuError::Twice { uuid } if uuid == "GPU-0"), "{error:?}");
}

#[test]
fn gpus_that_can_be_looked_into_are_not_asked() {
    let mut off = FakeGpus::new(1);
    off.state.feature_on = false;
    let error = collect(&off, &question(), None).unwrap_err();
    assert!(matches!(error, GpuError::Off), "{error:?}");
    assert!(off.asked.lock().unwrap().is_empty());
    // protected PCIe reads as off, and is on
    off.state.multi_gpu = MultiGpu::ProtectedPcie;
    assert_eq!(collect(&off, &question(), None).unwrap().nonces.len(), 1);

    let mut dev_tools = FakeGpus::new(1);
    dev_tools.state.dev_tools = true;
    let error = collect(&dev_tools, &question(), None).unwrap_err();
    assert!(matches!(error, GpuError::DevTools), "{error:?}");
    assert!(dev_tools.asked.lock().unwrap().is_empty());
}

#[test]
fn evidence_that_answers_another_question_is_refused() {
    let changes: [fn(&mut RawEvidence); 3] = [
        |evidence| evidence.report[4] ^= 1,
        |evidence| evidence.report[35] ^= 1,
        |evidence| evidence.report.truncate(35),
    ];
    for change in changes {
        let error = collect(&FakeGpus { change, ..FakeGpus::new(1) }, &question(), None).unwrap_err();
        assert!(matches!(&error, GpuError::OtherNonce { uuid } if uuid == "GPU-0"), "{error:?}");
    }
}

#[test]
fn evidence_of_an_impossible_size_is_refused() {
    type Case = (fn(&mut RawEvidence), &'static str, usize, usize);
    let cases: [Case; 4] = [
        (|e| e.report.clear(), "a report", 0, MAX_REPORT),
        (|e| e.report.resize(MAX_REPORT + 1, 0), "a report", MAX_REPORT + 1, MAX_REPORT),
        (|e| e.certificates.clear(), "certificates", 0, MAX_CERTIFICATES),
        (
            |e| e.certificates.resize(MAX_CERTIFICATES + 1, 0),
            "certificates",
            MAX_CERTIFICATES + 1,
            MAX_CERTIFICATES,
        ),
    ];
    for (change, what, len, max) in cases {
        let error = collect(&FakeGpus { change, ..FakeGpus::new(1) }, &question(), None).unwrap_err();
        let GpuError::Size { what: named, len: had, max: most, .. } = error else { panic!("{error:?}") };
        assert_eq!((named, had, most), (what, len, max));
    }
}

#[test]
fn real_evidence_has_its_nonce_where_it_is_looked_for() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/evidence/nvidia/h100-590.12-eight-ppcie/evidence.json"
    );
    let Ok(json) = std::fs::read(file) else {
        eprintln!("SKIPPED: there is no real evidence at {file}");
        return;
    };
    let bundle = Bundle::from_nvidia_list(&json).unwrap();
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&json).unwrap();
    assert_eq!((bundle.devices.len(), entries.len()), (8, 8));
    for (device, entry) in bundle.devices.into_iter().zip(entries) {
        let nonce = Nonce(hex::decode(entry["nonce"].as_str().unwrap()).unwrap().try_into().unwrap());
        let evidence = RawEvidence { report: device.report, certificates: device.chain };
        check_evidence(&FakeGpus::new(1).devices[0], &nonce, &evidence).unwrap();
    }
}
