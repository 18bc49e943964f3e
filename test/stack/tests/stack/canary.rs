//! A marker in prompts, tool definitions, files and answers is found in no log, database, workspace or process memory
//! outside the trusted parts, and in nothing that passes the gateway's door.

use std::path::Path;

use privatemode_test_kit::{Message, Reply, StubUpstream, Verdict};
use serde_json::json;

use crate::harness::{Up, skipped};
use crate::rogue::Rogue;

/// Never the whole marker in this program's text: a core of the test itself must not count.
fn marker() -> String {
    ["canary", "7f3a", "Zx91", "patient"].join("-")
}

/// The encodings in which a leak would most likely show.
fn forms(marker: &str) -> Vec<Vec<u8>> {
    let hex: String = marker.bytes().map(|byte| format!("{byte:02x}")).collect();
    let utf16: Vec<u8> = marker.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![marker.as_bytes().to_vec(), hex.into_bytes(), utf16]
}

fn assert_clean(place: &str, bytes: &[u8]) {
    for form in forms(&marker()) {
        assert!(!bytes.windows(form.len()).any(|window| window == form), "the canary is in {place}");
    }
}

fn assert_clean_folder(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            assert_clean_folder(&entry.path());
        } else {
            assert_clean(&entry.path().display().to_string(), &std::fs::read(entry.path()).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_canary_is_nowhere_outside_the_trusted_parts() {
    let upstream = StubUpstream::start().await;
    upstream.on("/v1/models", Reply::models(&["stub"]));
    let up = Up::start(&["--upstream", &upstream.url(), "--log-level", "debug"]);
    let rogue = Rogue::start(&up, |_: Message<'_>| Verdict::Forward).await;
    rogue.settled().await;
    let marker = marker();

    let tool =
        json!({"type": "function", "function": {"name": marker, "description": marker, "parameters": {}}});
    let chat = json!({"model": "stub", "messages": [{"role": "user", "content": marker}], "tools": [tool], "user": marker});
    upstream.once("/v1/chat/completions", Reply::chat(&marker));
    let answer =
        rogue.post("/chat/completions", chat.to_string()).send().await.unwrap().text().await.unwrap();
    assert!(answer.contains(&marker));

    let mut stream = chat.clone();
    stream["stream"] = json!(true);
    upstream.once("/v1/chat/completions", Reply::chat_stream(&["a ", &marker, " b"], true));
    let answer =
        rogue.post("/chat/completions", stream.to_string()).send().await.unwrap().text().await.unwrap();
    assert!(answer.contains(&marker));

    // Twice what goes wrong: the engine's own words are content too.
    upstream.once("/v1/chat/completions", Reply::error(400, &format!("cannot digest {marker}")));
    let answer =
        rogue.post("/chat/completions", chat.to_string()).send().await.unwrap().text().await.unwrap();
    assert!(answer.contains(&marker));
    let short =
        json!({"model": "stub", "cache_salt": "short", "messages": [{"role": "user", "content": marker}]});
    assert_eq!(rogue.post("/chat/completions", short.to_string()).send().await.unwrap().status(), 400);
    let broken = format!("{{\"model\": \"stub\", \"messages\": \"{marker}\", !}}");
    assert_eq!(rogue.post("/chat/completions", broken).send().await.unwrap().status(), 400);

    upstream.once("/v1/audio/transcriptions", Reply::transcription(&marker));
    let boundary = "boundary0123456789";
    let form = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nstub\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n{marker}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{marker}.wav\"\r\n\
         Content-Type: audio/wav\r\n\r\nRIFF{marker}\r\n--{boundary}--\r\n"
    );
    let request = rogue.post("/audio/transcriptions", form);
    let mut request = request.build().unwrap();
    let form_type = format!("multipart/form-data; boundary={boundary}");
    request.headers_mut().insert("content-type", form_type.parse().unwrap());
    let response = Up::client().execute(request).await.unwrap();
    let (status, answer) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains(&marker));
    let got =
        upstream.requests().into_iter().rfind(|request| request.path == "/v1/audio/transcriptions").unwrap();
    assert!(String::from_utf8_lossy(&got.body).contains(&marker), "the trusted side did see it");

    assert_clean("what passed the gateway's door", &rogue.seen());
    assert_clean_folder(up.directory());
    assert_clean_folder(rogue.workspace());
    assert_clean("the rogue proxy's log", rogue.log().as_bytes());
    for part in ["gateway", "coordinator", "secret-service"] {
        match up.memory_of(part) {
            Ok(memory) => assert_clean(&format!("the memory of the {part}"), &memory),
            Err(why) => skipped("memory scan of the canary test", &format!("{part}: {why}")),
        }
    }
    // The scan itself can find what is there: the inference proxy held the answers a moment ago or holds its own name.
    if let Ok(memory) = up.memory_of("inference-proxy") {
        assert!(memory.windows(15).any(|window| window == b"inference-proxy"), "the scan reads nothing");
    }
    assert!(up.interrupt());
}
