//! Health, readiness, status, start and stop.

use super::*;

#[tokio::test]
async fn the_status_of_a_simulated_deployment_says_so_everywhere() {
    let world = World::new().await;
    assert_eq!(world.chat().await.0, 200);
    assert_eq!(world.get("/healthz").await.0, 200);
    let (status, text) = world.get("/readyz").await;
    assert!(status == 200 && text.contains("SIMULATED"), "{text}");
    let (_, text) = world.get("/privatemode/status").await;
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status["state"].as_str(), status["simulated"].as_bool()), (Some("verified"), Some(true)));
    assert_eq!(status["platform"], "SIMULATED");
    assert!(
        status["downgrades"].as_array().unwrap().iter().any(|text| text.as_str().unwrap().contains("OCSP"))
    );
    assert!(!text.contains(KEY), "no key on any page");
    for path in ["/", "/privatemode"] {
        let (status, page) = world.get(path).await;
        assert!(status == 200 && page.contains("role=\"alert\">SIMULATED"), "{path}");
    }
    world.stop().await;
}

#[tokio::test]
async fn the_log_has_the_enforced_manifest() {
    let world = World::new().await;
    assert_eq!(world.chat().await.0, 200);
    let folder = world.workspace.path().join("manifests");
    let log = std::fs::read_to_string(folder.join("log.txt")).unwrap();
    let (time, path) = log.trim_end().split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.len() == 20, "{log}");
    assert_eq!(Path::new(path), folder.join("1.json"));
    assert_eq!(std::fs::read(folder.join("1.json")).unwrap(), world.gateway.deployment().manifest);
}

/// Starts a proxy that must not start.
async fn start_fault(prepare: impl FnOnce(&Path) -> Vec<String>) -> String {
    let workspace = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(Arc::new(Deployment::new("1")), workspace.path()).await;
    let flags = prepare(workspace.path());
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let config = config(&gateway, workspace.path(), &flags);
    let error = crate::run(config, Process::new("proxy", Shutdown::new())).await.unwrap_err();
    format!("{error:#}")
}

#[tokio::test]
async fn it_does_not_start_with_a_damaged_log() {
    let error = start_fault(|workspace| {
        std::fs::create_dir(workspace.join("manifests")).unwrap();
        std::fs::write(workspace.join("manifests/1.json"), "{}").unwrap();
        Vec::new()
    })
    .await;
    assert!(error.contains("holds recorded manifests but no log.txt"), "{error}");
}

#[tokio::test]
async fn it_does_not_start_with_a_wrong_pinned_manifest() {
    let error =
        start_fault(|workspace| vec![format!("--manifestPath={}/none.json", workspace.display())]).await;
    assert!(error.contains("cannot read the manifest"), "{error}");
    let error = start_fault(|workspace| {
        std::fs::write(workspace.join("m.json"), "{").unwrap();
        vec![format!("--manifestPath={}/m.json", workspace.display())]
    })
    .await;
    assert!(error.contains("is no manifest that this version understands"), "{error}");
    let error = start_fault(|workspace| {
        std::fs::write(workspace.join("m.json"), &Deployment::new("1").manifest).unwrap();
        vec![format!("--manifestPath={}/m.json", workspace.display())]
    })
    .await;
    assert!(error.contains("--danger-simulated"), "{error}");
}

#[tokio::test]
async fn it_serves_https_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&certificate, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let (certificate_flag, key_flag) =
        (format!("--tlsCertPath={}", certificate.display()), format!("--tlsKeyPath={}", key.display()));
    let flags = ["--apiKey", KEY, "--danger-simulated", &certificate_flag, &key_flag];
    let world = World::with(Arc::new(Deployment::new("1")), &flags).await;
    let tool = crate::upstream::client(Some(&certificate), false).unwrap();
    let url = format!("https://localhost:{}{CHAT}", world.proxy.port());
    let (status, _) = answer(tool.post(url).body(PROMPT)).await;
    assert_eq!(status, 200);
}
