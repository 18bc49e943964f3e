use privatemode_client::{Entropy as _, SystemEntropy};

use super::*;

fn prepared(endpoint: Endpoint, body: &str, policy: &SaltPolicy) -> Result<Prepared, Failure> {
    prepare(endpoint, None, Bytes::copy_from_slice(body.as_bytes()), policy, &mut *SystemEntropy.rng())
}

fn text(prepared: &Prepared) -> &str {
    let Payload::Whole(body) = &prepared.body else { panic!("prepared from a whole body") };
    std::str::from_utf8(body).unwrap()
}

#[test]
fn a_random_salt_has_no_shard_key_and_an_own_one_has() {
    let own = format!(r#"{{"model":"m","cache_salt":"{}"}}"#, "s".repeat(32));
    let with_own = prepared(Endpoint::ChatCompletions, &own, &SaltPolicy::Random).ok().unwrap();
    assert_eq!(text(&with_own), own);
    assert!(with_own.shard_key.is_some());
    let random = prepared(Endpoint::ChatCompletions, r#"{"model":"m"}"#, &SaltPolicy::Random).ok().unwrap();
    assert!(random.shard_key.is_none());
    let embeddings = prepared(Endpoint::Embeddings, r#"{"model":"m"}"#, &SaltPolicy::Random).ok().unwrap();
    assert_eq!(text(&embeddings), r#"{"model":"m"}"#, "no salt where nothing is cached");
}

#[test]
fn a_model_name_cannot_break_out_of_its_header() {
    for model in ["a\\r\\nx: y", "ä", " ", "", "a b"] {
        let body = format!(r#"{{"model":"{model}"}}"#);
        let failure = prepared(Endpoint::ChatCompletions, &body, &SaltPolicy::Random).err().unwrap();
        assert!(matches!(failure, Failure::ModelName | Failure::NoModel), "{model}: {failure:?}");
    }
}

#[test]
fn an_empty_body_is_refused_everywhere() {
    for endpoint in Endpoint::ALL {
        let failure = prepared(endpoint, "", &SaltPolicy::Random).err().unwrap();
        assert!(matches!(failure, Failure::Empty { .. }), "{failure:?}");
    }
}

#[test]
fn heads_repeat_what_workers_read() {
    let stated = |endpoint, body: &str| Stated::of(endpoint, &Object::parse(body.as_bytes()).unwrap());
    let body = r#"{"stream":true,"max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3,"n":4}"#;
    let both = |max_tokens, n| Stated { stream: true, max_tokens, n };
    assert_eq!(stated(Endpoint::ChatCompletions, body), both(Some(2), Some(4)));
    assert_eq!(stated(Endpoint::Completions, body), both(Some(1), Some(4)));
    assert_eq!(stated(Endpoint::Messages, body), both(Some(1), None));
    assert_eq!(stated(Endpoint::Responses, body), both(Some(3), None));
    assert_eq!(stated(Endpoint::Embeddings, body), both(None, None));
    let odd = stated(Endpoint::ChatCompletions, r#"{"max_tokens":1.5,"n":null,"stream":null}"#);
    assert_eq!(odd, Stated::default());
}

#[test]
fn a_form_is_known_by_the_fields_before_its_file() {
    let content_type = HeaderValue::from_static("multipart/form-data; boundary=b");
    let ahead = |text: &str| {
        let mut ahead = Ahead::default();
        ahead.push(text.as_bytes());
        read_form_ahead(Some(&content_type), &ahead)
    };
    let field = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let file = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nRIFF";
    let known = ahead(&format!("{}{}{file}", field("model", "m"), field("stream", "true"))).unwrap();
    assert_eq!(known, Some((HeaderValue::from_static("m"), true)));
    assert_eq!(ahead(file).unwrap(), None, "the fields may follow");
    assert_eq!(ahead(&format!("{}{file}", field("language", "de"))).unwrap(), None);
    // Half a field is no field.
    assert_eq!(ahead("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm").unwrap(), None);
    let error = ahead(&format!("xx{}{file}", field("model", "m"))).unwrap_err();
    assert!(matches!(error, Failure::Multipart { .. }), "{error:?}");
}
