//! What somebody between proxy and worker does, and what the caller sees of it: an error, never a wrong answer.

use super::{gateway::Answer, *};

async fn refused(answer: Answer) -> (u16, String) {
    let world = World::new().await;
    world.gateway.answers(answer);
    let answer = world.chat().await;
    let (status, code, _) = fault(&answer);
    (status, code.to_owned())
}

#[tokio::test]
async fn an_answer_that_is_not_sealed_is_refused() {
    assert_eq!(refused(Answer::PlainSuccess).await, (502, "answer_not_encrypted".to_owned()));
    assert_eq!(refused(Answer::UnmarkedSuccess).await, (502, "answer_not_trusted".to_owned()));
}

#[tokio::test]
async fn an_answer_that_was_changed_is_refused() {
    assert_eq!(refused(Answer::Tampered).await, (502, "answer_not_trusted".to_owned()));
}

#[tokio::test]
async fn a_plain_error_passes_as_it_is() {
    let world = World::new().await;
    world.gateway.answers(Answer::PlainError);
    let answer = world.chat().await;
    assert_eq!(fault(&answer), (404, "unknown_model", "there is no model `demo`"));
    world.gateway.answers(Answer::HtmlError);
    let answer = world.chat().await;
    assert_eq!((fault(&answer).0, fault(&answer).1), (502, "upstream_error"));
}

/// What came, and whether the body ended as a whole one does.
async fn stream(answer: Answer) -> (String, bool) {
    let world = World::new().await;
    world.gateway.answers(answer);
    let mut response = world.tool.post(world.url(CHAT)).body(PROMPT).send().await.unwrap();
    let mut text = String::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
            Ok(None) => return (text, true),
            Err(_) => return (text, false),
        }
    }
}

#[tokio::test]
async fn a_stream_that_was_cut_ends_as_an_error() {
    let (text, whole) = stream(Answer::StreamCut).await;
    assert!(!whole, "{text}");
    assert!(text.contains("[2]") && text.contains("event: error\ndata: {\"error\":"), "{text}");
    assert!(text.contains("answer_broken") && text.contains("ended before its end mark"), "{text}");
}

#[tokio::test]
async fn a_stream_whose_connection_broke_ends_as_an_error() {
    let (text, whole) = stream(Answer::StreamBroken).await;
    assert!(
        !whole && text.contains("[1]") && text.contains("the connection to the API endpoint broke"),
        "{text}"
    );
}

#[tokio::test]
async fn a_deployment_that_is_not_the_expected_one_gets_nothing() {
    let deployment = Arc::new(Deployment::new("real"));
    let folder = tempfile::tempdir().unwrap();
    let pinned = folder.path().join("manifest.json");
    std::fs::write(&pinned, &Deployment::new("expected").manifest).unwrap();
    let flag = format!("--manifestPath={}", pinned.display());
    let world = World::with(deployment, &["--apiKey", KEY, "--danger-simulated", &flag]).await;
    let answer = world.chat().await;
    let (status, code, message) = fault(&answer);
    assert_eq!((status, code), (503, "deployment_not_verified"));
    assert!(message.starts_with("Nothing was sent") && message.contains("another manifest"), "{message}");
    assert!(world.gateway.seen().is_empty());
    assert!(!world.workspace.path().join("manifests").exists(), "nothing was enforced");
}

#[tokio::test]
async fn simulated_evidence_needs_the_switch() {
    let world = World::with(Arc::new(Deployment::new("1")), &["--apiKey", KEY]).await;
    let answer = world.chat().await;
    let (status, _, message) = fault(&answer);
    assert!(status == 503 && message.contains("SIMULATED"), "{message}");
    assert!(world.gateway.seen().is_empty());
}

#[tokio::test]
async fn a_gateway_cannot_send_the_prompt_elsewhere() {
    let world = World::new().await;
    world.gateway.answers(Answer::Redirect);
    for path in [CHAT, "/v1/models"] {
        // The tool follows redirections, as the usual SDKs do: it would post its prompt there.
        let request = if path == CHAT {
            world.tool.post(world.url(path)).body(PROMPT)
        } else {
            world.tool.get(world.url(path))
        };
        let response = request.send().await.unwrap();
        assert!(!response.headers().contains_key("location"));
        let answer = (response.status(), response.json().await.unwrap());
        let (status, code, message) = fault(&answer);
        assert_eq!((status, code), (502, "unexpected_status"), "{path}");
        assert!(message.contains("redirection"), "{message}");
    }
}

#[tokio::test]
async fn an_answer_that_was_emptied_is_refused() {
    assert_eq!(refused(Answer::Empty).await, (502, "answer_not_trusted".to_owned()));
    assert_eq!(refused(Answer::PlainMembers).await, (502, "answer_not_trusted".to_owned()));
}

#[tokio::test]
async fn a_stream_cannot_become_a_document() {
    let world = World::new().await; // the gateway echoes one document
    let answer = world.post(CHAT, PROMPT.replacen('{', r#"{"stream":true,"#, 1)).await;
    let (status, code, message) = fault(&answer);
    assert_eq!((status, code), (502, "answer_not_trusted"));
    assert!(message.contains("cut off"), "{message}");
}

#[tokio::test]
async fn no_browser_runs_what_a_gateway_wrote() {
    let world = World::new().await;
    world.gateway.answers(Answer::ScriptError);
    let response = world.tool.post(world.url(CHAT)).body(PROMPT).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
}
