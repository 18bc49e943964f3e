//! From the head to the beginning of the engine's answer: steps 9 to 13.

use std::collections::BTreeMap;

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
    admit::{check, with_usage_options},
    json::Object,
    stream::RequestHead,
};

use super::{Exchange, denial::Denial, fields::Fields, form::Form, intake::Intake, upload};
use crate::{failure, handler::off_thread, request::sealed_engine_headers};

/// What answers a request.
pub(super) struct Asked {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<String>,
    pub(super) retry_after: Option<String>,
    pub(super) body: BoxBody,
    pub(super) sampling: BTreeMap<String, String>,
    /// An engine that answered before it had all must not find the connection broken while it speaks.
    pub(super) upload: Option<upload::Sender>,
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
            upload: None,
        }
    }

    fn of_engine(answer: Response<Incoming>, sampling: BTreeMap<String, String>) -> Self {
        let (parts, body) = answer.into_parts();
        let text = |name| parts.headers.get(name)?.to_str().ok().map(str::to_owned);
        let digits = |value: &String| value.len() <= 10 && value.bytes().all(|b| b.is_ascii_digit());
        Self {
            status: parts.status,
            content_type: text(header::CONTENT_TYPE).filter(|value| value.len() <= 256),
            retry_after: text(header::RETRY_AFTER).filter(digits),
            body: boxed(body),
            sampling,
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
        let mut held = self.worker.hold();
        let body = intake.whole(self.max_plain(), &mut held).await?; // step 9
        self.check_whole(intake)?;
        let (body, sampling) = prepare(self.endpoint, self.head.clone(), body).await?;
        let headers = sealed_engine_headers(&self.parts.headers, self.head.content_type.as_deref());
        // gone as soon as the engine has it: the answer may take an hour
        let answer = self.worker.engine().send(Method::POST, self.path, headers, held.keep(body)).await; // step 13
        let answer = answer.map_err(|error| failure::engine(&error))?;
        Ok(Asked::of_engine(answer, sampling))
    }

    /// A form or a document, which the engine gets while it arrives.
    async fn pass_through<B>(&self, intake: &mut Intake<B>) -> Result<Asked, Denial>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let mut form = self.form()?;
        let (sender, body) = upload::channel();
        let headers = sealed_engine_headers(&self.parts.headers, self.head.content_type.as_deref());
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
        Ok(Asked { upload: Some(sender), ..Asked::of_engine(answer, BTreeMap::new()) })
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
        loop {
            let mut piece = Vec::new();
            intake.open(self.max_plain(), &mut |data| piece.extend_from_slice(data))?;
            if let Some(form) = &mut form {
                piece = form.push(&piece).map_err(|error| failure::admit(&error))?; // step 10
            }
            sender.send(piece.into()).await;
            if !intake.more().await? {
                break;
            }
        }
        self.check_whole(intake)?;
        if let Some(form) = form {
            let (fields, rest) = form.finish().map_err(|error| failure::admit(&error))?;
            self.head.check_body(&fields).map_err(|error| failure::head(&error))?; // step 11
            sender.send(Bytes::copy_from_slice(rest)).await;
        }
        sender.end().await;
        Ok(())
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

/// Steps 10 to 12.
async fn prepare(
    endpoint: Endpoint,
    head: RequestHead,
    body: Vec<u8>,
) -> Result<(Vec<u8>, BTreeMap<String, String>), ApiError> {
    let length = body.len();
    let prepare = move || {
        let content_type = head.content_type.as_deref();
        let admitted = check(endpoint, content_type, &body); // step 10
        admitted.map_err(|error| failure::admit(&error))?;
        let object = Object::parse(&body).ok();
        let fields = object.map(|object| Fields::of(endpoint, &object)).unwrap_or_default();
        head.check_body(&fields.body()).map_err(|error| failure::head(&error))?; // step 11
        let body = with_usage_options(endpoint, content_type, &body); // step 12
        Ok((body.map_err(|error| failure::admit(&error))?, fields.sampling))
    };
    off_thread(length, prepare).await?
}
