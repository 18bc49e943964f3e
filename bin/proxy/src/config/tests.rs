use std::io::Write as _;

use privatemode_service::parse_config;

use super::*;

fn config(flags: &[&str]) -> Config {
    parse_config("privatemode-proxy", flags).unwrap_or_else(|error| panic!("{flags:?}: {error}"))
}

fn settings(flags: &[&str]) -> Settings {
    config(flags).settings().unwrap_or_else(|faults| panic!("{flags:?}: {faults}"))
}

fn faults(flags: &[&str]) -> Vec<String> {
    config(flags).settings().err().map(|faults| faults.list().to_vec()).unwrap_or_default()
}

#[track_caller]
fn one_fault(flags: &[&str], part: &str) {
    let faults = faults(flags);
    assert!(faults.len() == 1 && faults[0].contains(part), "{flags:?}: {faults:?}");
}

#[test]
fn the_documented_defaults() {
    let settings = settings(&[]);
    assert_eq!(settings.listen, "127.0.0.1:8080".parse().unwrap(), "P13: loopback");
    assert_eq!(settings.api, "https://api.privatemode.ai:443");
    assert_eq!(
        settings.manifest,
        ManifestOrigin::Url("https://cdn.confidential.cloud/privatemode/v2/manifest.json".to_owned())
    );
    assert_eq!(settings.ocsp, OcspSettings { allow_unknown: true, revoked_grace: 48 * 3600 });
    assert_eq!(settings.cache, PromptCache::Off);
    assert_eq!(settings.workspace, PathBuf::from("."));
    assert!(settings.api_key.is_none() && settings.tls.is_none());
    assert!(!settings.dump_requests && !settings.insecure_api && !settings.simulated);
    assert_eq!((settings.protocol, settings.padding), (ProtocolChoice::Auto, Padding::Bucket));
    assert_eq!(settings.receipts, None);
}

#[test]
fn the_documented_spellings() {
    let salt = "0123456789abcdef0123456789abcdef";
    let settings = settings(&[
        "--apiEndpoint=api.example.com:8443",
        "--apiKey",
        "pm-1",
        "--port",
        "9090",
        "--workspace=/data",
        "--manifestPath=/m.json",
        "--nvidiaOCSPAllowUnknown=false",
        "--nvidiaOCSPRevokedGracePeriod=0",
        "--sharedPromptCache",
        "--promptCacheSalt",
        salt,
        "--dumpRequests",
        "--insecureAPIConnection=true",
    ]);
    assert_eq!(settings.api, "https://api.example.com:8443");
    assert_eq!(settings.listen.port(), 9090);
    assert_eq!(settings.manifest, ManifestOrigin::Pinned("/m.json".into()));
    assert_eq!(settings.ocsp, OcspSettings { allow_unknown: false, revoked_grace: 0 });
    assert_eq!(settings.cache, PromptCache::Salt(salt.to_owned()));
    assert!(settings.api_key.is_some() && settings.dump_requests && settings.insecure_api);
}

#[test]
fn contradictions_are_refused_with_the_reason() {
    one_fault(&["--promptCacheSalt", &"s".repeat(32)], "add --sharedPromptCache");
    one_fault(&["--sharedPromptCache", "--promptCacheSalt", &"s".repeat(31)], "has 31 characters");
    one_fault(&["--tlsCertPath=/c.pem"], "without --tlsKeyPath");
    one_fault(&["--tlsKeyPath=/k.pem"], "without --tlsCertPath");
    one_fault(&["--nvidiaOCSPAllowUnknown=false"], "set the grace period to 0");
    one_fault(&["--apiKey=@/nowhere/key"], "cannot read the key's file `/nowhere/key`");
    one_fault(&["--apiKey="], "the API key is empty");
    one_fault(&["--apiEndpoint=https://api.example.com"], "is a URL");
    one_fault(&["--apiEndpoint=api.example.com:0"], "no usable port");
    one_fault(&["--cdnBaseURL=http://cdn.example.com"], "is not HTTPS");
    one_fault(&["--cdnBaseURL=cdn.example.com"], "is not an https:// URL");
    one_fault(&["--allowOrigin=chat.example.com"], "is not an origin");
    one_fault(&["--protocol=compatible", "--receipts=/r"], "only sealed bodies have receipts");
    one_fault(&["--protocol=compatible", "--padding=constant"], "only sealed bodies are padded");
    one_fault(&["--sslCertFile=/nowhere/roots.pem"], "SSL_CERT_FILE: cannot read");
}

#[test]
fn protocols_paddings_and_receipts() {
    for (flag, protocol) in [
        ("auto", ProtocolChoice::Auto),
        ("sealed", ProtocolChoice::Sealed),
        ("compatible", ProtocolChoice::Compatible),
    ] {
        assert_eq!(settings(&["--protocol", flag]).protocol, protocol);
    }
    for (flag, padding) in [
        ("off", "off"),
        ("bucket", "bucket"),
        ("constant", "constant/1024/50"),
        ("constant/2048/20", "constant/2048/20"),
    ] {
        assert_eq!(settings(&["--padding", flag]).padding, padding.parse().unwrap(), "{flag}");
    }
    assert_eq!(settings(&["--receipts=/r"]).receipts, Some("/r".into()));
    let all = settings(&["--protocol=sealed", "--padding=constant", "--receipts=/r"]);
    assert_eq!((all.protocol, all.receipts), (ProtocolChoice::Sealed, Some("/r".into())));
    // The defaults of the two are no contradiction to a downgrade, and neither is asking for no padding.
    for padding in ["off", "bucket"] {
        settings(&["--protocol=compatible", "--padding", padding]);
    }
}

#[test]
fn values_that_are_none() {
    let refused = |flags: &[&str], part: &str| {
        let Err(error) = parse_config::<Config>("privatemode-proxy", flags) else { panic!("{flags:?}") };
        assert!(error.to_string().contains(part), "{flags:?}: {error}");
    };
    refused(&["--protocol=fields"], "the protocol is `auto`, `sealed` or `compatible`");
    refused(&["--protocol="], "the protocol is `auto`, `sealed` or `compatible`");
    refused(&["--padding=wide"], "padding is `off`, `bucket` or `constant/BYTES/MILLISECONDS`");
    refused(&["--padding=constant/1024"], "padding is `off`, `bucket` or `constant/BYTES/MILLISECONDS`");
    refused(&["--padding=constant/255/50"], "records have 256 to 65536 bytes");
    refused(&["--padding=constant/65537/50"], "records have 256 to 65536 bytes");
    refused(&["--padding=constant/1024/4"], "records are sent every 5 to 10000 ms");
    refused(&["--padding=constant/1024/10001"], "records are sent every 5 to 10000 ms");
}

#[test]
fn all_faults_at_once() {
    let faults = faults(&[
        "--promptCacheSalt=short",
        "--tlsCertPath=/c.pem",
        "--nvidiaOCSPAllowUnknown=false",
        "--apiKey=a b",
    ]);
    assert_eq!(faults.len(), 4, "{faults:?}");
}

#[test]
fn no_fault_repeats_a_key() {
    let faults = faults(&["--apiKey=pm secret with spaces"]);
    assert!(faults[0].contains("characters that no key has") && !faults[0].contains("secret"), "{faults:?}");
}

#[test]
fn a_key_from_a_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "pm-from-file").unwrap();
    let settings = settings(&[&format!("--apiKey=@{}", file.path().display())]);
    assert_eq!(settings.api_key.unwrap().authorization(), "Bearer pm-from-file");
}

#[test]
fn both_forms_of_the_manifest_base() {
    for base in ["https://gateway.example:8000", "https://gateway.example:8000/privatemode/v2/"] {
        assert_eq!(
            settings(&["--cdnBaseURL", base]).manifest,
            ManifestOrigin::Url("https://gateway.example:8000/privatemode/v2/manifest.json".to_owned())
        );
    }
    settings(&["--cdnBaseURL=http://127.0.0.1:8000"]);
}

#[test]
fn what_is_accepted_but_told() {
    let warned = |flags: &[&str], part: &str| {
        let warnings = config(flags).warnings();
        assert!(warnings.iter().any(|warning| warning.contains(part)), "{flags:?}: {warnings:?}");
    };
    warned(&["--ssEndpoint=secret.example:443"], "--ssEndpoint is deprecated");
    warned(&["--coordinatorEndpoint=c.example:443"], "--coordinatorEndpoint is deprecated");
    warned(&["--host=0.0.0.0"], "without TLS");
    warned(&["--dumpRequests"], "CLEAR TEXT");
    warned(&["--insecureAPIConnection"], "not checked");
    warned(&["--protocol=compatible"], "sealed bodies are not used");
    warned(&[], "no API key is configured");
    assert!(config(&["--apiKey=k"]).warnings().is_empty());
}
