//! `privatemode up` as a new user meets it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Guard, PRIVATEMODE, Up, children_of, logs, refusal};

async fn stream(up: &Up, prompt: &str) -> (String, Vec<Value>) {
    let body = json!({"model": "privatemode-demo", "stream": true, "temperature": 0, "max_tokens": 60,
        "messages": [{"role": "user", "content": prompt}]});
    let response = up.post("/chat/completions", body.to_string()).send().await.unwrap();
    assert_eq!(response.status(), 200, "{}", logs(up.directory()));
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let text = response.text().await.unwrap();
    assert!(text.trim_end().ends_with("data: [DONE]"), "{text}");
    let chunks: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let words = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    (words, chunks)
}

#[tokio::test]
async fn the_demonstration_model_answers_through_the_whole_path() {
    let up = Up::start(&[]);
    assert_eq!(up.ready["simulated"], true);
    let (words, chunks) = stream(&up, "Hello! Who are you?").await;
    assert!(
        words.to_lowercase().contains("demonstration") || words.to_lowercase().contains("privatemode"),
        "{words}"
    );
    assert!(chunks.len() > 3, "the answer came in {} pieces", chunks.len());
    assert!(
        chunks.iter().any(|chunk| chunk["usage"]["total_tokens"].as_u64().is_some_and(|tokens| tokens > 0))
    );

    let status: Value = Up::client()
        .get(format!("{}/status", up.ready["status_url"].as_str().unwrap()))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(status.to_string().contains("SIMULATED"), "{status}");
    let huge = json!({"model": "privatemode-demo", "messages": [{"role": "user", "content": "x ".repeat(10_000_000)}]});
    let (code, message) = refusal(up.post("/chat/completions", huge.to_string()).send().await.unwrap()).await;
    assert!(code == 400 || code == 413, "{code}: {message}");
    assert!(message.contains("context") || message.contains("large"), "{message}");

    let page = Up::client()
        .get(up.ready["status_url"].as_str().unwrap())
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(page.contains("SIMULATED"), "{page}");
    assert!(up.interrupt());
}

#[tokio::test]
async fn a_second_start_keeps_keys_and_history_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let up = Up::start_in(directory.path(), &[]);
    let key = up.api_key().to_owned();
    let children = children_of(up.pid());
    assert_eq!(children.len(), 6, "coordinator, secret service, engine, inference proxy, gateway, proxy");

    // The directory is taken, and a second start says so.
    let second = Command::new(PRIVATEMODE)
        .args(["up", "--json", "--port", "0", "--dir"])
        .arg(directory.path())
        .output();
    let second = second.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another `privatemode up` runs in"));

    assert!(up.interrupt());
    for child in children {
        assert!(!Path::new(&format!("/proc/{child}")).exists(), "process {child} was left behind");
    }
    let manifests =
        |directory: &Path| std::fs::read_to_string(directory.join("proxy/manifests/log.txt")).unwrap();
    let history = manifests(directory.path());
    assert_eq!(history.lines().count(), 1);

    let up = Up::start_in(directory.path(), &[]);
    assert_eq!(up.api_key(), key);
    assert!(manifests(directory.path()).starts_with(&history));
    assert!(up.interrupt());
}

#[tokio::test]
async fn nothing_outlives_a_killed_supervisor() {
    let mut up = Up::start(&[]);
    let children = children_of(up.pid());
    up.kill();
    let gone = || children.iter().all(|child| !alive(*child));
    for _ in 0..600 {
        if gone() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("left behind: {children:?}");
}

#[tokio::test]
async fn keys_are_created_listed_and_revoked_beside_a_running_gateway() {
    let up = Up::start(&[]);
    let run = |arguments: &[&str]| {
        let output = Command::new(PRIVATEMODE)
            .args(arguments)
            .arg("--dir")
            .arg(up.directory())
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let created: Value = serde_json::from_str(&run(&["keys", "create", "ward 7", "--json"])).unwrap();
    let key = created["key"].as_str().unwrap();
    let models = |key: &str| Up::client().get(format!("{}/models", up.endpoint())).bearer_auth(key).send();
    assert_eq!(models(key).await.unwrap().status(), 200);

    let listed: Vec<Value> = serde_json::from_str(&run(&["keys", "list", "--json"])).unwrap();
    assert!(listed.iter().any(|entry| entry["name"] == "ward 7" && entry["revoked"].is_null()));
    assert!(!serde_json::to_string(&listed).unwrap().contains(key), "a key is shown once");

    run(&["keys", "revoke", created["id"].as_str().unwrap()]);
    let mut status = 200;
    for _ in 0..100 {
        status = models(key).await.unwrap().status().as_u16();
        if status == 401 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status, 401);
    assert_eq!(models(up.api_key()).await.unwrap().status(), 200);
    assert!(run(&["models"]).contains("privatemode-demo"));
}

#[test]
fn a_taken_port_and_a_missing_model_are_explained() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(PRIVATEMODE);
        command.args(["up", "--json", "--dir"]).arg(directory.path()).args(arguments);
        let mut child = Guard::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let status = child.wait(Duration::from_secs(120)).expect("it ends");
        (status.code(), child.stderr())
    };
    let (code, text) = run(&["--port", &port]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains(&format!("port {port} on loopback cannot be used")) && text.contains("--port"),
        "{text}"
    );

    let (code, text) = run(&["--port", "0", "--model", "/no/such/model.gguf"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("/no/such/model.gguf"), "{text}");
}

fn alive(pid: u32) -> bool {
    // A zombie has no command line left.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}
