//! Makes the engine report usage in every event of a stream, so that metering does not depend on the caller.

use super::{AdmitError, Stated};
use crate::json::{Editor, Object};
use crate::multipart::Form;
use crate::profile::Endpoint;

const BOTH: [(&str, &[u8]); 2] = [("include_usage", b"true"), ("continuous_usage_stats", b"true")];

/// The request as the engine gets it. For streams of chat and text completions `stream_options.include_usage` and
/// `.continuous_usage_stats` are set to true by editing the text in place; audio forms get `stream_include_usage` and
/// `stream_continuous_usage_stats`. Everything else stays byte for byte.
pub fn with_usage_options(
    endpoint: Endpoint,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Vec<u8>, AdmitError> {
    match endpoint {
        _ if body.is_empty() => Ok(Vec::new()),
        Endpoint::ChatCompletions | Endpoint::Completions => json_options(body),
        Endpoint::Transcriptions | Endpoint::Translations => form_options(content_type, body),
        Endpoint::Embeddings | Endpoint::Messages | Endpoint::Responses | Endpoint::Unstructured => {
            Ok(body.to_vec())
        }
    }
}

fn json_options(body: &[u8]) -> Result<Vec<u8>, AdmitError> {
    let object = Object::parse(body).map_err(AdmitError::Json)?;
    if !object.is_true("stream") {
        return Ok(body.to_vec());
    }
    let mut editor = Editor::new(body);
    match object.get("stream_options") {
        Some(options) if options.raw.first() == Some(&b'{') => {
            let inner = Object::parse(options.raw).map_err(AdmitError::Json)?;
            editor.set(&inner, options.span.start, &BOTH);
        }
        Some(options) if options.raw != b"null" => return Err(AdmitError::StreamOptions),
        _ => {
            let options: &[u8] = br#"{"include_usage":true,"continuous_usage_stats":true}"#;
            editor.set(&object, 0, &[("stream_options", options)]);
        }
    }
    Ok(editor.finish())
}

fn form_options(content_type: Option<&str>, body: &[u8]) -> Result<Vec<u8>, AdmitError> {
    let mut form = Form::parse(content_type.unwrap_or_default(), body).map_err(AdmitError::Multipart)?;
    if !Stated::form_stream(form.text("stream")).map_err(AdmitError::Stated)? {
        return Ok(body.to_vec());
    }
    form.set(&[("stream_include_usage", b"true"), ("stream_continuous_usage_stats", b"true")]);
    Ok(form.to_bytes())
}
