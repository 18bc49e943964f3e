//! The head of a sealed request, and the outer headers that repeat what the gateway needs of it.

use http::{HeaderMap, HeaderValue, header as names};
use privatemode_wire::stream::{RequestHead, RequestId, outer};

use crate::forward::Call;

/// Head and headers of one attempt. What depends on the cipher (salt, lengths) is added where it is known.
pub(super) fn of(call: &Call<'_>) -> (RequestHead, HeaderMap) {
    let (app, prepared) = (call.app, call.prepared);
    let mut headers = call.headers();
    let ocsp_policy = call.ocsp_policy(&mut headers);
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let head = RequestHead {
        method: "POST".to_owned(),
        path: call.caller.path.clone(),
        content_type: prepared.content_type.as_ref().and_then(text),
        accept: call.caller.accept(),
        model: prepared.model.as_ref().and_then(text),
        stream: prepared.stated.stream,
        max_tokens: prepared.stated.max_tokens,
        n: prepared.stated.n,
        shard_key: prepared.shard_key.as_ref().and_then(text),
        ocsp_policy: Some(ocsp_policy),
        request_id: RequestId::random(&mut *app.entropy.rng()),
        sent: call.send_as.unwrap_or_else(|| app.sending_time.at(app.clock.now())),
        manifest: call.credential.verification().manifest,
        padding: app.padding,
        receipt: app.receipts.wanted(call.caller),
    };
    headers.insert(names::CONTENT_TYPE, HeaderValue::from_static(outer::CONTENT_TYPE));
    // RFC 9110 §10.1.4: the usage comes behind the body.
    headers.insert(names::TE, HeaderValue::from_static("trailers"));
    if let Some(tokens) = head.max_tokens {
        headers.insert(outer::MAX_TOKENS, HeaderValue::from(tokens));
    }
    (head, headers)
}
