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
fn members_that_engines_would_convert_are_refused_before_they_leave() {
    for (members, member) in [
        (r#""n":"2""#, "n"),
        (r#""max_tokens":"7""#, "max_tokens"),
        (r#""max_completion_tokens":7.0"#, "max_completion_tokens"),
        (r#""stream":1"#, "stream"),
    ] {
        let body = format!(r#"{{"model":"m",{members}}}"#);
        let failure = prepared(Endpoint::ChatCompletions, &body, &SaltPolicy::Random).err().unwrap();
        assert!(matches!(&failure, Failure::Stated { source } if source.member() == member), "{failure:?}");
        let response = failure.response(&HeaderMap::new());
        assert_eq!(response.status(), 400, "{members}");
    }
    let form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n\
        --b\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\nyes\r\n--b--\r\n";
    let content_type = HeaderValue::from_static("multipart/form-data; boundary=b");
    let failure = read_form(Some(&content_type), form.as_bytes()).unwrap_err();
    assert!(matches!(failure, Failure::Stated { .. }), "{failure:?}");
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
