use axum::Router;
use axum::body::Body;
use axum::extract::{Path as UrlPath, State};
use axum::response::Response;
use axum::routing::get;
use http::HeaderMap;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::source::Bundle;

/// A hub with one model; what it does wrong, and what it was asked.
#[derive(Default)]
struct FakeHub {
    files: HashMap<String, Vec<u8>>,
    /// Break off after this many bytes, once per file.
    break_after: Option<usize>,
    broken: Vec<String>,
    wrong_digest: bool,
    asked: Vec<String>,
}

type Fake = Arc<Mutex<FakeHub>>;

async fn list(State(fake): State<Fake>) -> axum::Json<serde_json::Value> {
    let mut fake = fake.lock().unwrap();
    fake.asked.push("list".to_owned());
    let siblings: Vec<_> = fake
        .files
        .iter()
        .map(|(name, bytes)| {
            let digest = if fake.wrong_digest { "00".repeat(32) } else { hex::encode(Sha256::digest(bytes)) };
            json!({"rfilename": name, "size": bytes.len(), "lfs": {"sha256": digest, "size": bytes.len()}})
        })
        .collect();
    axum::Json(json!({"id": "acme/tiny", "sha": "c0ffee", "siblings": siblings}))
}

async fn resolve(State(fake): State<Fake>, UrlPath(file): UrlPath<String>, headers: HeaderMap) -> Response {
    let mut fake = fake.lock().unwrap();
    let bytes = fake.files[&file].clone();
    let range = headers.get(header::RANGE).map(|range| range.to_str().unwrap().to_owned());
    fake.asked.push(format!("{file} {}", range.as_deref().unwrap_or("-")));
    let start: usize =
        range.map_or(0, |range| range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap());
    let status = if start > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let rest = bytes[start..].to_vec();
    let body = match fake.break_after {
        Some(after) if after < rest.len() && !fake.broken.contains(&file) => {
            fake.broken.push(file);
            let first = bytes::Bytes::copy_from_slice(&rest[..after]);
            let broken = Err(std::io::Error::other("as planned"));
            Body::from_stream(futures_util::stream::iter([Ok(first), broken]))
        }
        _ => Body::from(rest),
    };
    Response::builder().status(status).body(body).unwrap()
}

async fn start(fake: FakeHub) -> (Hub, Fake, tempfile::TempDir) {
    // Another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let fake = Arc::new(Mutex::new(fake));
    let router = Router::new()
        .route("/api/models/acme/tiny/revision/main", get(list))
        .route("/acme/tiny/resolve/c0ffee/{*file}", get(resolve))
        .with_state(Arc::clone(&fake));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let cache = tempfile::tempdir().unwrap();
    (Hub { url, token: None, cache: cache.path().to_owned() }, fake, cache)
}

fn files(names: &[&str]) -> HashMap<String, Vec<u8>> {
    names.iter().map(|name| ((*name).to_owned(), name.repeat(100).into_bytes())).collect()
}

fn tiny() -> HubName {
    HubName::parse("acme/tiny").unwrap()
}

#[tokio::test]
async fn what_is_needed_is_fetched_once() {
    let names =
        ["config.json", "tokenizer.json", "1_Pooling/config.json", "README.md", "model.safetensors", "x.bin"];
    let (hub, fake, _cache) = start(FakeHub { files: files(&names), ..FakeHub::default() }).await;
    let path = hub.fetch(&tiny()).await.unwrap();
    let bundle = Bundle::at_path(&path).unwrap();
    assert_eq!(bundle.read("config.json").unwrap().unwrap(), "config.json".repeat(100).into_bytes());
    assert!(path.join("1_Pooling/config.json").is_file());
    assert!(!path.join("README.md").exists() && !path.join("x.bin").exists());
    let asked = fake.lock().unwrap().asked.len();
    assert_eq!(hub.fetch(&tiny()).await.unwrap(), path);
    assert_eq!(fake.lock().unwrap().asked.len(), asked, "the second time, the hub is not asked");
}

#[tokio::test]
async fn a_broken_download_is_tried_again() {
    let (hub, fake, _cache) = start(FakeHub { files: files(&["m-Q8_0.gguf"]), ..FakeHub::default() }).await;
    fake.lock().unwrap().break_after = Some(300);
    let path = hub.fetch(&tiny()).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), "m-Q8_0.gguf".repeat(100).into_bytes());
    assert_eq!(fake.lock().unwrap().asked.len(), 3);
}

#[tokio::test]
async fn a_partial_file_is_completed() {
    let (hub, fake, cache) = start(FakeHub { files: files(&["m.gguf"]), ..FakeHub::default() }).await;
    let directory = cache.path().join("acme--tiny/c0ffee");
    std::fs::create_dir_all(&directory).unwrap();
    let whole = "m.gguf".repeat(100).into_bytes();
    std::fs::write(directory.join("m.gguf.part"), &whole[..250]).unwrap();
    let path = hub.fetch(&tiny()).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    assert_eq!(fake.lock().unwrap().asked, ["list", "m.gguf bytes=250-"]);
}

#[tokio::test]
async fn a_wrong_digest_is_named_and_nothing_is_kept() {
    let fake = FakeHub { files: files(&["m.gguf"]), wrong_digest: true, ..FakeHub::default() };
    let (hub, _fake, cache) = start(fake).await;
    let error = hub.fetch(&tiny()).await.unwrap_err();
    assert!(matches!(&error, HubError::Digest { file, .. } if file == "m.gguf"), "{error}");
    let left: Vec<_> = std::fs::read_dir(cache.path().join("acme--tiny/c0ffee")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn one_of_several_gguf_files_is_chosen_or_asked_for() {
    let names = ["m-Q2_K.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf"];
    let (hub, _fake, _cache) = start(FakeHub { files: files(&names), ..FakeHub::default() }).await;
    assert!(hub.fetch(&tiny()).await.unwrap().ends_with("m-Q8_0.gguf"));
    let named = HubName::parse("acme/tiny:m-Q2_K.gguf").unwrap();
    assert!(hub.fetch(&named).await.unwrap().ends_with("m-Q2_K.gguf"));
    let error = hub.fetch(&HubName::parse("acme/tiny:none.gguf").unwrap()).await.unwrap_err();
    assert!(matches!(&error, HubError::NoSuchFile { file, .. } if file == "none.gguf"), "{error}");

    let (hub, _fake, _cache) =
        start(FakeHub { files: files(&["a.gguf", "b.gguf"]), ..FakeHub::default() }).await;
    let error = hub.fetch(&tiny()).await.unwrap_err();
    assert!(matches!(error, HubError::ChooseGguf { .. }), "{error}");
    let (hub, _fake, _cache) = start(FakeHub { files: files(&["x.bin"]), ..FakeHub::default() }).await;
    assert!(matches!(hub.fetch(&tiny()).await.unwrap_err(), HubError::NoWeights { .. }));
}

#[tokio::test]
async fn unknown_models_missing_networks_and_unsafe_names() {
    let (mut hub, _fake, _cache) =
        start(FakeHub { files: files(&["../../m.gguf"]), ..FakeHub::default() }).await;
    let error = hub.fetch(&HubName::parse("acme/other").unwrap()).await.unwrap_err();
    assert!(matches!(&error, HubError::NotFound { model, .. } if model == "acme/other"), "{error}");
    let error = hub.fetch(&tiny()).await.unwrap_err();
    assert!(matches!(&error, HubError::UnsafeName { name, .. } if name == "../../m.gguf"), "{error}");
    // A port that was just free: nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    hub.url = format!("http://{free}");
    let error = hub.fetch(&tiny()).await.unwrap_err();
    assert!(matches!(&error, HubError::Connect { .. }), "{error}");
    assert!(error.to_string().contains("Without a network"), "{error}");
}

#[test]
fn names() {
    let name = HubName::parse("acme/tiny@v1:sub/m.gguf").unwrap();
    assert_eq!((name.revision.as_str(), name.file.as_deref()), ("v1", Some("sub/m.gguf")));
    for bad in ["acme", "a/b/c", "../x", "a/..", "a/b:../c", "a/b@..", "a b/c", "a/b:/etc/x"] {
        assert_eq!(HubName::parse(bad), None, "{bad}");
    }
}
