use super::*;

const SALT: &str = "0123456789abcdef0123456789abcdef";

fn chat(members: &str) -> Result<(), AdmitError> {
    let body = format!("{{\"cache_salt\":\"{SALT}\"{members}}}");
    check(Endpoint::ChatCompletions, None, body.as_bytes())
}

fn content(part: &str) -> Result<(), AdmitError> {
    chat(&format!(r#","messages":[{{"role":"user","content":[{{"type":"text","text":"x"}},{part}]}}]"#))
}

#[test]
fn salts() {
    let salted = |body: &str| check(Endpoint::Responses, None, body.as_bytes());
    assert_eq!(salted(&format!("{{\"cache_salt\":\"{SALT}\"}}")), Ok(()));
    assert_eq!(salted("{}"), Err(AdmitError::SaltMissing));
    assert_eq!(salted(""), Err(AdmitError::SaltMissing));
    assert_eq!(salted("{\"cache_salt\":null}"), Err(AdmitError::SaltMissing));
    assert_eq!(salted("{\"cache_salt\":1}"), Err(AdmitError::SaltNotAString));
    assert_eq!(
        salted(&format!("{{\"cache_salt\":\"{}\"}}", &SALT[1..])),
        Err(AdmitError::SaltTooShort { length: 31 })
    );
    assert!(matches!(salted("[]"), Err(AdmitError::Json(_))));
    assert_eq!(check(Endpoint::Embeddings, None, b"{}"), Ok(()));
    assert_eq!(check(Endpoint::Unstructured, None, b"anything"), Ok(()));
}

#[test]
fn media_that_passes() {
    for part in [
        r#"{"type":"image_url","image_url":{"url":"https://example.org/a.png","detail":"low"}}"#,
        r#"{"type":"image_url","image_url":"data:image/png;base64,AAAA"}"#,
        r#"{"type":"image_url","image_url":{"url":"HTTPS://example.org"}}"#,
        r#"{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}"#,
        r#"{"type":"image","source":{"type":"base64","data":"AAAA"}}"#,
        r#"{"type":"image","image_url":null}"#,
        // Arguments of tools are the caller's own words.
        r#"{"type":"tool_use","input":{"video_url":"file:///x","image_url":7}}"#,
        r#"{"type":"text","text":"see file:///etc/passwd and video_url"}"#,
    ] {
        assert_eq!(content(part), Ok(()), "{part}");
    }
    assert_eq!(chat(r#","messages":"text","prompt":["a",[1,2]],"tools":[{"image_url":"http://x"}]"#), Ok(()));
}

#[test]
fn media_urls_that_do_not() {
    for url in [
        "http://169.254.169.254/",
        "file:///etc/passwd",
        " https://x",
        "\\u0068ttp://x",
        "",
        "ftp:x",
        "https",
        "/a",
    ] {
        for (member, part) in [
            ("image_url", format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#)),
            ("image_url", format!(r#"{{"image\u005furl":"{url}"}}"#)),
            ("source", format!(r#"{{"type":"image","source":{{"type":"url","url":"{url}"}}}}"#)),
            ("file_url", format!(r#"{{"type":"input_file","file_url":"{url}"}}"#)),
            ("source", format!(r#"{{"source":{{"content":[{{"source":{{"url":"{url}"}}}}]}}}}"#)),
            ("image_url", format!(r#"{{"content":[{{"image_url":{{"url":"{url}"}}}}]}}"#)),
        ] {
            assert_eq!(content(&part), Err(AdmitError::MediaUrl { member }), "{part}");
        }
    }
    let output = r#","input":[{"type":"function_call_output","output":[{"type":"input_image","image_url":"http://x"}]}]"#;
    assert_eq!(chat(output), Err(AdmitError::MediaUrl { member: "image_url" }));
}

#[test]
fn kinds_and_shapes_that_do_not() {
    for kind in ["audio_url", "video_url"] {
        let refused = Err(AdmitError::MediaKind { member: kind });
        assert_eq!(content(&format!(r#"{{"type":"{kind}"}}"#)), refused);
        assert_eq!(content(&format!(r#"{{"{kind}":{{"url":"https://x"}}}}"#)), refused);
    }
    for value in ["7", "[\"http://x\"]", "{}", "{\"url\":[\"http://x\"]}"] {
        let refused = Err(AdmitError::MediaShape { member: "image_url" });
        assert_eq!(content(&format!("{{\"image_url\":{value}}}")), refused, "{value}");
    }
    // Two readers might pick different ones.
    assert!(matches!(content(r#"{"image_url":"https:x","image_url":"http:x"}"#), Err(AdmitError::Json(_))));
    let nested = "{\"content\":[".repeat(9) + &"]}".repeat(9);
    assert_eq!(chat(&format!(",\"messages\":{nested}")), Err(AdmitError::TooDeep));
}

fn options(endpoint: Endpoint, body: &str) -> Result<String, AdmitError> {
    with_usage_options(endpoint, None, body.as_bytes()).map(|body| String::from_utf8(body).unwrap())
}

#[test]
fn usage_options_of_streams() {
    let chat = |body: &str| options(Endpoint::ChatCompletions, body);
    let both = r#"{"include_usage":true,"continuous_usage_stats":true}"#;
    assert_eq!(chat(r#"{"stream":false,"n":1.0}"#).unwrap(), r#"{"stream":false,"n":1.0}"#);
    assert_eq!(
        chat(r#"{ "stream": true }"#).unwrap(),
        format!(r#"{{ "stream": true,"stream_options":{both} }}"#)
    );
    assert_eq!(
        chat(r#"{"stream_options":null,"stream":true}"#).unwrap(),
        format!(r#"{{"stream_options":{both},"stream":true}}"#)
    );
    assert_eq!(
        chat(r#"{"stream":true,"stream_options":{"x":1, "include_usage" : false}}"#).unwrap(),
        r#"{"stream":true,"stream_options":{"x":1, "include_usage" : true,"continuous_usage_stats":true}}"#
    );
    assert_eq!(chat(r#"{"stream":true,"stream_options":[]}"#), Err(AdmitError::StreamOptions));
    let messages = r#"{"stream":true}"#;
    assert_eq!(options(Endpoint::Messages, messages).unwrap(), messages);
}

#[test]
fn usage_options_of_forms() {
    const TYPE: &str = "multipart/form-data; boundary=XX";
    let kind = Some(TYPE);
    let body = "--XX\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n--XX--\r\n";
    let edited = with_usage_options(Endpoint::Transcriptions, kind, body.as_bytes()).unwrap();
    let form = Form::parse(TYPE, &edited).unwrap();
    assert_eq!(form.text("stream_include_usage"), Some(b"true".as_slice()));
    assert_eq!(form.text("stream_continuous_usage_stats"), Some(b"true".as_slice()));
    let quiet = body.replace("true", "false");
    assert_eq!(
        with_usage_options(Endpoint::Transcriptions, kind, quiet.as_bytes()).unwrap(),
        quiet.as_bytes()
    );
    assert_eq!(
        check(Endpoint::Transcriptions, None, body.as_bytes()),
        Err(AdmitError::Multipart(MultipartError::NotMultipart))
    );
    assert_eq!(check(Endpoint::Transcriptions, kind, body.as_bytes()), Ok(()));
}

#[test]
fn what_engines_might_read_as_true_is_no_stream() {
    for stream in ["true", "false", "null"] {
        assert_eq!(chat(&format!(",\"stream\":{stream}")), Ok(()));
    }
    for stream in ["1", "\"true\"", "\"on\"", "[]", "1.0"] {
        assert_eq!(chat(&format!(",\"stream\":{stream}")), Err(AdmitError::Stated(StatedError::Stream)));
    }
}
