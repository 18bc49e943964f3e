//! From the head to the beginning of the engine's answer: steps 9 to 13.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body::Body;
use hyper::body::Incoming;
use privatemode_service::{
    ApiError, BoxBody, BoxError,
    body::{boxed, full},
};
use privatemode_wire::{
    Endpoint,
    admit::{AdmitError, check, with_usage_options},
    json::Object,
    stream::RequestHead,
    usage::estimate_prompt,
};

use super::{Exchange, denial::Denial, fields::Fields, form::Form, intake::Intake, upload};
use crate::{
    EngineError,
    budget::Buffer,
    failure,
    handler::{off_thread, with_a_copy},
    request::sealed_engine_headers,
    running::Entered,
};

/// Audio is billed in units of so many bytes, about a second of it: the gateway learns no more of its length than from the
/// seconds that engines report, where the exact one could name a recording.
const AUDIO_UNIT: u64 = 16 * 1024;

/// What answers a request.
pub(super) struct Asked {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<String>,
    pub(super) retry_after: Option<String>,
    pub(super) body: BoxBody,
    pub(super) sampling: BTreeMap<String, String>,
    /// What is known of the cost before the answer: the audio of an upload, about the prompt of a stream.
    pub(super) known: Known,
    /// Under which the gateway can end it.
    pub(super) entered: Option<Entered>,
    /// An engine that answered before it had all must not find the connection broken while it speaks.
    pub(super) upload: Option<upload::Sender>,
}

/// What a request costs by what it is.
#[derive(Default, Clone, Copy)]
pub(super) struct Known {
    /// Bytes of audio, in whole units.
    pub(super) audio_bytes: u64,
    /// Tokens of the prompt, about; for an answer that is given up before the engine has said them.
    pub(super) prompt_tokens: u64,
}

impl Asked {
    /// JSON of our own.
    pub(super) fn own(json: String) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: None,
            retry_after: None,
            body: full(json),
            sampling: BTreeMap::new(),
            known: Known::default(),
            entered: None,
            upload: None,
        }
    }

    fn of_engine(answer: Response<Incoming>, sampling: BTreeMap<String, String>, known: Known) -> Self {
        let (parts, body) = answer.into_parts();
        let text = |name| parts.headers.get(name)?.to_str().ok().map(str::to_owned);
        let digits = |value: &String| value.len() <= 10 && value.bytes().all(|b| b.is_ascii_digit());
        Self {
            status: parts.status,
            content_type: text(header::CONTENT_TYPE).filter(|value| value.len() <= 256),
            retry_after: text(header::RETRY_AFTER).filter(digits),
            body: boxed(body),
            sampling,
            known,
            entered: None,
            upload: None,
        }
    }
}

impl Exchange<'_> {
    pub(super) async fn work<B>(&self, intake: &mut Intake<B>) -> Result<Asked, Denial>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        if self.endpoint.is_multipart() || self.endpoint == Endpoint::Unstructured {
            self.pass_through(intake).await
        } else {
            self.document(intake).await
        }
    }

    /// A JSON body, which is read whole.
    async fn document<B>(&self, intake: &mut Intake<B>) -> Result<Asked, Denial>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let mut buffer = Buffer::new(self.worker.hold(), self.max_plain());
        intake.whole(self.max_plain(), &mut buffer).await?; // step 9
        self.check_whole(intake)?;
        let (body, mut held) = buffer.into_parts();
        held.set(with_a_copy(&body)).map_err(failure::busy)?;
        let Prepared { body, sampling, known } = prepare(self.endpoint, self.head.clone(), body).await?;
        let headers = sealed_engine_headers(&self.head);
        // gone as soon as the engine has it: the answer may take an hour
        let body = held.keep(body).map_err(failure::busy)?;
        let answer = self.worker.engine().send(Method::POST, self.path, headers, body).await; // step 13
        let answer = answer.map_err(|error| failure::engine(&error))?;
        Ok(Asked::of_engine(answer, sampling, known))
    }

    /// A form or a document, which the engine gets while it arrives.
    async fn pass_through<B>(&self, intake: &mut Intake<B>) -> Result<Asked, Denial>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let mut form = self.form()?;
        let (sender, body) = upload::channel();
        let headers = sealed_engine_headers(&self.head);
        let mut asking = Box::pin(self.worker.engine().send_stream(Method::POST, self.path, headers, body)); // step 13
        let mut feeding = Box::pin(self.feed(intake, form.as_mut(), &sender));
        let answer = tokio::select! {
            fed = &mut feeding => {
                fed?;
                (&mut asking).await
            }
            answer = &mut asking => {
                if answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
                    (&mut feeding).await?; // only what arrived whole is answered
                }
                answer
            }
        };
        drop(feeding);
        let answer = answer.map_err(|error| failure::engine(&error))?;
        let audio_bytes = form.as_ref().map_or(0, Form::file_bytes).next_multiple_of(AUDIO_UNIT);
        let known = Known { audio_bytes, ..Known::default() };
        Ok(Asked { upload: Some(sender), ..Asked::of_engine(answer, BTreeMap::new(), known) })
    }

    /// What looks at an audio form as it passes; nothing looks into documents.
    fn form(&self) -> Result<Option<Form>, ApiError> {
        if !self.endpoint.is_multipart() {
            return Ok(None);
        }
        let content_type = self.head.content_type.as_deref().unwrap_or_default();
        let form = Form::new(content_type, self.head.stream); // step 12
        form.map(Some).map_err(|error| failure::admit(&error))
    }

    async fn feed<B>(
        &self,
        intake: &mut Intake<B>,
        mut form: Option<&mut Form>,
        sender: &upload::Sender,
    ) -> Result<(), Denial>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let mut tail = Tail::default();
        loop {
            let mut piece = Vec::new();
            intake.open(self.max_plain(), &mut |data| {
                piece.extend_from_slice(data);
                Ok(())
            })?;
            if let Some(form) = &mut form {
                piece = form.push(&piece).map_err(|error| failure::admit(&error))?; // step 10
            }
            let piece = tail.hold_back(&piece);
            self.send_on(intake.remaining(), sender.send(piece.into())).await?;
            if !intake.more().await? {
                break;
            }
        }
        self.check_whole(intake)?;
        let mut last = tail.0;
        if let Some(form) = form {
            let (fields, rest) = form.finish().map_err(|error| failure::admit(&error))?;
            self.head.check_body(&fields).map_err(|error| failure::head(&error))?; // step 11
            last.extend_from_slice(rest);
        }
        self.send_on(intake.remaining(), sender.send(last.into())).await?;
        self.send_on(intake.remaining(), sender.end()).await
    }

    /// An engine that takes nothing for as long as the whole upload may last has broken off.
    async fn send_on(&self, within: Duration, sending: impl Future<Output = ()>) -> Result<(), Denial> {
        let sent = tokio::time::timeout(within, sending).await;
        let after = self.worker.limits().upload;
        Ok(sent.map_err(|_| failure::engine(&EngineError::Timeout { after }))?)
    }

    /// The end of step 9.
    fn check_whole<B>(&self, intake: &mut Intake<B>) -> Result<(), ApiError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let whole = intake.finish().map_err(failure::intake)?;
        whole.check_length_tokens(self.outer.length_tokens).map_err(|error| failure::head(&error))
    }

    /// The cap of a body that nothing doubles. It is set for bodies whose fields are sealed, as hex.
    fn max_plain(&self) -> usize {
        self.worker.limits().body / 2
    }
}

/// The end of an upload, which the engine gets when all of it was checked: a document may be a form, too, and what closes it
/// stands there.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    /// More than a closing boundary has.
    const LENGTH: usize = 256;

    /// What can go on now.
    fn hold_back(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.0);
        all.extend_from_slice(piece);
        self.0 = all.split_off(all.len().saturating_sub(Self::LENGTH));
        all
    }
}

/// A JSON body that the engine may have.
struct Prepared {
    body: Vec<u8>,
    sampling: BTreeMap<String, String>,
    known: Known,
}

/// Steps 10 to 12.
async fn prepare(endpoint: Endpoint, head: RequestHead, body: Vec<u8>) -> Result<Prepared, ApiError> {
    let length = body.len();
    let prepare = move || {
        let content_type = head.content_type.as_deref();
        let admitted = check(endpoint, content_type, &body); // step 10
        admitted.map_err(|error| failure::admit(&error))?;
        let fields = match Object::parse(&body) {
            Ok(object) => {
                Fields::of(endpoint, &object).map_err(|error| failure::admit(&AdmitError::Stated(error)))?
            }
            // An empty body: all others were admitted as objects.
            Err(_) => Fields::default(),
        };
        head.check_body(&fields.body()).map_err(|error| failure::head(&error))?; // step 11
        // Only of a stream may a part be left unread and be worth something.
        let prompt_tokens = if head.stream { estimate_prompt(&body) } else { 0 };
        let body = with_usage_options(endpoint, content_type, &body); // step 12
        let body = body.map_err(|error| failure::admit(&error))?;
        Ok(Prepared { body, sampling: fields.sampling, known: Known { audio_bytes: 0, prompt_tokens } })
    };
    off_thread(length, prepare).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_upload_stays_until_it_is_checked() {
        let upload: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for piece in [1, 100, 256, 300, 1000] {
            let mut tail = Tail::default();
            let passed: Vec<u8> = upload.chunks(piece).flat_map(|piece| tail.hold_back(piece)).collect();
            assert_eq!((passed.len(), [passed, tail.0].concat()), (1000 - Tail::LENGTH, upload.clone()));
        }
        let mut short = Tail::default();
        assert_eq!((short.hold_back(b"ab"), short.0), (Vec::new(), b"ab".to_vec()));
    }
}
