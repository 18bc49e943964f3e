use super::*;
use crate::key::{AmdSigner, ChipId, Fmspc, PckCa, RimId};

fn address(key: &Key) -> String {
    Endpoints::default().request(key).1.to_string()
}

#[test]
fn the_documented_paths() {
    let tcb = AmdTcb { fmc: None, bootloader: 3, tee: 0, snp: 8, microcode: 115 };
    let chip_id = ChipId([0xab; 64]);
    assert_eq!(
        address(&Key::AmdVcek { product: AmdProduct::Milan, chip_id, tcb }),
        format!(
            "https://kdsintf.amd.com/vcek/v1/Milan/{}?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115",
            "ab".repeat(64)
        )
    );
    let tcb = AmdTcb { fmc: Some(1), ..tcb };
    assert_eq!(
        address(&Key::AmdVcek { product: AmdProduct::Turin, chip_id, tcb }),
        "https://kdsintf.amd.com/vcek/v1/Turin/abababababababab?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115&fmcSPL=01"
    );
    for (key, expected) in [
        (
            Key::AmdCertChain { product: AmdProduct::Genoa, signer: AmdSigner::Vcek },
            "https://kdsintf.amd.com/vcek/v1/Genoa/cert_chain",
        ),
        (
            Key::AmdCertChain { product: AmdProduct::Genoa, signer: AmdSigner::Vlek },
            "https://kdsintf.amd.com/vlek/v1/Genoa/cert_chain",
        ),
        (
            Key::AmdCrl { product: AmdProduct::Turin, signer: AmdSigner::Vlek },
            "https://kdsintf.amd.com/vlek/v1/Turin/crl",
        ),
        (
            Key::IntelTcbInfo { fmspc: Fmspc([0xb0, 0xc0, 0x6f, 0, 0, 0]) },
            "https://api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=B0C06F000000",
        ),
        (Key::IntelQeIdentity, "https://api.trustedservices.intel.com/tdx/certification/v4/qe/identity"),
        (
            Key::IntelPckCrl { ca: PckCa::Platform },
            "https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
        ),
        (Key::IntelRootCrl, INTEL_ROOT_CRL),
        (
            Key::NvidiaRim { id: RimId::new("NV_GPU_DRIVER_GH100_550.90.07").unwrap() },
            "https://rim.attestation.nvidia.com/v1/rim/NV_GPU_DRIVER_GH100_550.90.07",
        ),
        (Key::NvidiaOcsp { request: [0; 32] }, NVIDIA_OCSP),
    ] {
        assert_eq!(address(&key), expected);
    }
    assert_eq!(Endpoints::default().request(&Key::NvidiaOcsp { request: [0; 32] }).0, Method::POST);
}

#[test]
fn a_mirror_may_have_a_path() {
    let endpoints = Endpoints::default().amd_kds("https://mirror.example:8443/amd/").unwrap();
    let key = Key::AmdCrl { product: AmdProduct::Milan, signer: AmdSigner::Vcek };
    assert_eq!(endpoints.request(&key).1.as_str(), "https://mirror.example:8443/amd/vcek/v1/Milan/crl");
    assert_eq!(endpoints.host(&key), "mirror.example:8443");

    let endpoints = Endpoints::default().intel_pccs("https://pccs.example").unwrap();
    let url = endpoints.request(&Key::IntelRootCrl).1;
    assert_eq!(url.as_str(), "https://pccs.example/sgx/certification/v4/rootcacrl");
}

#[test]
fn addresses_that_are_refused() {
    let vendor = "AMD KDS";
    let refused = |base: &str| Endpoints::default().amd_kds(base).unwrap_err();
    assert_eq!(refused("kds.example"), EndpointError::Malformed { vendor });
    assert_eq!(refused("https://"), EndpointError::Malformed { vendor });
    assert_eq!(refused("http://kds.example/"), EndpointError::Insecure { vendor });
    assert_eq!(refused("http://127.0.0.1.example/"), EndpointError::Insecure { vendor });
    assert_eq!(refused("ftp://127.0.0.1/"), EndpointError::Insecure { vendor });
    assert_eq!(refused("https://user:secret@kds.example/"), EndpointError::Decorated { vendor });
    assert_eq!(refused("https://kds.example/?a=b"), EndpointError::Decorated { vendor });
    for base in ["http://127.0.0.1:80/", "http://localhost:8080", "http://[::1]:9/", "https://kds.example"] {
        assert!(Endpoints::default().amd_kds(base).is_ok(), "{base}");
    }
}
