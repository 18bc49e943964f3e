//! The engine as a process runs it: bind, load the demonstration model, announce, answer, end on shutdown.

use privatemode_service::parse_config;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use super::*;
use crate::DEMO_MODEL;

struct Running {
    address: String,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

async fn start(arguments: &[&str]) -> Running {
    let config: Config = parse_config("engine", arguments.iter().copied()).unwrap();
    let shutdown = Shutdown::new();
    let (process, announced) = Process::embedded("engine", shutdown.clone());
    let task = tokio::spawn(run(config, process));
    let address = announced.await.unwrap().addresses["http"].clone();
    Running { address, shutdown, task }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn chat() -> String {
    let body =
        r#"{"messages":[{"role":"user","content":"Hello"}],"temperature":0,"max_tokens":8,"stream":true}"#;
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn over_tcp() {
    let running = start(&["--listen", "127.0.0.1:0"]).await;
    let answer = exchange(TcpStream::connect(&running.address).await.unwrap(), &chat()).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("data: [DONE]"), "{answer}");
    assert!(answer.contains(DEMO_MODEL), "{answer}");
    running.shutdown.trigger();
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn over_a_unix_socket_that_only_its_owner_opens() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("engine.sock");
    // A leftover of a killed process is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let running = start(&["--unix", path.to_str().unwrap()]).await;
    assert_eq!(running.address, path.to_str().unwrap());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let answer = exchange(UnixStream::connect(&path).await.unwrap(), &chat()).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("data: [DONE]"), "{answer}");
    let config: Config = parse_config("engine", ["--unix", path.to_str().unwrap()]).unwrap();
    let error = run(config, Process::new("engine", Shutdown::new())).await.unwrap_err();
    assert!(error.to_string().contains("another engine"), "{error}");
    running.shutdown.trigger();
    running.task.await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_model_that_is_not_there_ends_it() {
    let config: Config = parse_config("engine", ["--listen", "127.0.0.1:0", "--model", "./no/such"]).unwrap();
    let error = run(config, Process::new("engine", Shutdown::new())).await.unwrap_err();
    assert!(error.to_string().contains("no model at `./no/such`"), "{error}");
}
