use serde_json::{Value, json};

use super::*;

const KEY: StateKey = StateKey::Latest;

fn variables<'a>(host: &'a str, port: &'a str) -> impl Fn(&str) -> Option<String> + use<'a> {
    move |name| match name {
        "KUBERNETES_SERVICE_HOST" => Some(host.to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some(port.to_owned()),
        _ => None,
    }
}

fn account(namespace: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("namespace"), namespace).unwrap();
    folder
}

#[test]
fn settings_of_a_pod() {
    let folder = account("hospital\n");
    let with = |host, port| ConfigMapSettings::with_account(variables(host, port), folder.path());
    let settings = with("10.96.0.1", "443").unwrap();
    assert_eq!((settings.host.as_str(), settings.port), ("10.96.0.1", 443));
    assert_eq!(settings.namespace, "hospital");
    assert_eq!(settings.token, folder.path().join("token"));
    assert_eq!(settings.authority, folder.path().join("ca.crt"));
    assert_eq!(settings.authority_part(), "10.96.0.1:443");
    assert_eq!(with("fd00::1", "6443").unwrap().authority_part(), "[fd00::1]:6443");
    assert_eq!(with("kubernetes.default.svc", "443").unwrap().authority_part(), "kubernetes.default.svc:443");

    let port = with("10.96.0.1", "https").unwrap_err();
    assert!(matches!(port, ConfigMapError::Setting { name: "KUBERNETES_SERVICE_PORT", .. }), "{port}");
    let host = with("a host", "443").unwrap_err();
    assert!(matches!(host, ConfigMapError::Setting { name: "KUBERNETES_SERVICE_HOST", .. }), "{host}");
}

#[test]
fn outside_of_a_cluster() {
    let outside = ConfigMapSettings::in_cluster(|_| None).unwrap_err();
    assert!(matches!(outside, ConfigMapError::NotInCluster { name: "KUBERNETES_SERVICE_HOST" }));
    let outside = ConfigMapSettings::in_cluster(variables("10.96.0.1", "")).unwrap_err();
    assert!(matches!(outside, ConfigMapError::NotInCluster { name: "KUBERNETES_SERVICE_PORT" }));
    let empty = tempfile::tempdir().unwrap();
    let no_file = ConfigMapSettings::with_account(variables("10.96.0.1", "443"), empty.path());
    assert!(matches!(no_file, Err(ConfigMapError::File { what: "namespace", .. })));
}

#[test]
fn a_namespace_cannot_lead_elsewhere() {
    for namespace in ["", "../../secrets", "a/b", "Upper", "a?b", &"a".repeat(64)] {
        let folder = account(namespace);
        let settings = ConfigMapSettings::with_account(variables("10.96.0.1", "443"), folder.path());
        assert!(
            matches!(settings, Err(ConfigMapError::Setting { name: "namespace", .. })),
            "{namespace}: {settings:?}"
        );
    }
}

#[test]
fn the_form_of_the_existing_service() {
    let key = StateKey::Manifest([0xab; 32]);
    let hex = "ab".repeat(32);
    assert_eq!(object::name(&key), format!("contrast-store-manifests-{hex}"));
    assert_eq!(object::name(&KEY), "contrast-store-transitions-latest");
    let expected = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": format!("contrast-store-manifests-{hex}"),
            "namespace": "hospital",
            "labels": {"app.kubernetes.io/managed-by": "contrast.edgeless.systems"},
        },
        "binaryData": { hex: "e30K" },
    });
    assert_eq!(object::fresh("hospital", &key, b"{}\n"), expected);
}

fn stored() -> Value {
    let mut object = object::fresh("hospital", &KEY, b"old");
    object["metadata"]["resourceVersion"] = json!("17");
    object["metadata"]["annotations"] = json!({"somebody": "else"});
    object
}

fn read(object: &Value) -> Result<Entry, StateError> {
    object::read(&KEY, object.to_string().as_bytes(), MAX)
}

#[test]
fn an_update_keeps_what_others_wrote() {
    let entry = read(&stored()).unwrap();
    assert_eq!((entry.value.as_slice(), entry.version.as_str()), (&b"old"[..], "17"));
    let mut expected = stored();
    expected["binaryData"] = json!({"latest": "bmV3"});
    assert_eq!(entry.with(&KEY, b"new"), expected);
}

#[test]
fn what_is_no_entry_is_named() {
    let foreign = |change: fn(&mut Value)| {
        let mut object = stored();
        change(&mut object);
        match read(&object).unwrap_err() {
            StateError::Foreign { key: KEY, source } => source.to_string(),
            other => panic!("{other}"),
        }
    };
    assert!(foreign(|object| object["metadata"]["name"] = json!("x")).contains("not `contrast-store-tr"));
    assert!(foreign(|object| object["metadata"]["resourceVersion"] = json!(17)).contains("version"));
    assert!(foreign(|object| object["binaryData"] = json!({"earliest": "b2xk"})).contains("no binary value"));
    assert!(foreign(|object| object["binaryData"] = json!(null)).contains("no binary value"));
    assert!(foreign(|object| object["binaryData"]["latest"] = json!("!")).contains("not base64"));
    assert!(foreign(|object| *object = json!([1])).contains("not `contrast-store-tr"));
    let garbage = object::read(&KEY, b"<html>", MAX).unwrap_err();
    assert!(matches!(garbage, StateError::Foreign { .. }), "{garbage}");
    let mut long = stored();
    long["binaryData"]["latest"] = json!("AAAA".repeat(10));
    let refused = object::read(&KEY, long.to_string().as_bytes(), 29).unwrap_err();
    assert!(matches!(refused, StateError::TooLong { len: 30, max: 29, .. }), "{refused}");
}

#[test]
fn a_version_cannot_add_parameters() {
    let path = watch::path("/all", &KEY, Some("1&watch=false"));
    assert_eq!(
        path,
        "/all?watch=true&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dcontrast-store-transitions-latest\
         &timeoutSeconds=240&resourceVersion=1%26watch%3Dfalse"
    );
    assert!(!watch::path("/all", &KEY, None).contains("resourceVersion"));
}
