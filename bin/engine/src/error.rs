//! Why a model could not be loaded, and the one mapping from failures to HTTP answers.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use privatemode_service::{ApiError, BodyError};
use std::fmt::Display;
use std::path::PathBuf;
use thiserror::Error;

/// Why there is no model to serve.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("cannot read `{}`", path.display())]
    ReadFile { path: PathBuf, source: std::io::Error },
    #[error(
        "there is no model at `{}`: expected a directory with config.json and *.safetensors, or a .gguf file",
        path.display()
    )]
    NoModel { path: PathBuf },
    #[error(
        "`{}` holds several .gguf files ({}); name one of them: --model {}/FILE.gguf",
        path.display(), names.join(", "), path.display()
    )]
    SeveralGguf { path: PathBuf, names: Vec<String> },
    #[error("`{spec}` is neither a file or directory here nor a hub name like `org/name`")]
    UnknownSpec { spec: String },
    #[error("the model lacks its file `{file}`")]
    MissingFile { file: String },
    #[error("cannot understand the model's `{file}`")]
    Json { file: String, source: serde_json::Error },
    #[error(
        "the architecture `{name}` is not supported; supported are llama, mistral, qwen2, qwen3, bert and xlm-roberta"
    )]
    Architecture { name: String },
    #[error("the model needs {what}, which this engine does not support")]
    Unsupported { what: String },
    #[error("the GGUF metadata lacks `{key}`")]
    Metadata { key: String },
    #[error("the weights lack the tensor `{name}`")]
    MissingTensor { name: String },
    #[error("the tensor `{name}` has the shape {got:?} instead of {expected:?}")]
    TensorShape { name: String, got: Vec<usize>, expected: [usize; 2] },
    #[error("cannot read the weights")]
    ReadWeights { source: std::io::Error },
    #[error("not a whole safetensors file: {detail}")]
    Safetensors { detail: String },
    #[error("cannot compute with the weights")]
    Tensor {
        #[from]
        source: candle_core::Error,
    },
    #[error("cannot build the tokenizer: {detail}")]
    Tokenizer { detail: String },
    #[error("cannot parse the chat template")]
    Template { source: minijinja::Error },
    #[error("--max-context {asked} is more than the {limit} tokens the model was made for")]
    Context { asked: usize, limit: usize },
    #[error(transparent)]
    Hub(#[from] crate::source::hub::HubError),
}

/// An error as the HTTP side returns it: always JSON, also where a stream was asked for, as vLLM does. Boxed, because
/// results with it are returned everywhere.
#[derive(Debug)]
pub(crate) struct Refusal(Box<ApiError>);

impl Refusal {
    /// 400: the caller must change the request.
    pub(crate) fn bad_request(code: &'static str, public: impl Into<String>) -> Self {
        ApiError::bad_request(code, public).into()
    }

    /// 404
    pub(crate) fn not_found(code: &'static str, public: impl Into<String>) -> Self {
        ApiError::not_found(code, public).into()
    }

    /// 405
    pub(crate) fn method_not_allowed(public: impl Into<String>) -> Self {
        ApiError::method_not_allowed(public).into()
    }

    /// 500: the caller learns nothing but that.
    pub(crate) fn internal(private: impl Display) -> Self {
        ApiError::internal(private).into()
    }

    /// 503: try again in so many seconds.
    pub(crate) fn busy(public: impl Into<String>, seconds: usize) -> Self {
        let after = HeaderValue::from(seconds);
        ApiError::unavailable("queue_full", public).with_header(header::RETRY_AFTER, after).into()
    }

    /// Names the member at fault.
    pub(crate) fn with_param(mut self, param: &'static str) -> Self {
        self.0.param = Some(param.to_owned());
        self
    }

    /// The document to send where the status is already out.
    pub(crate) fn to_json(&self) -> String {
        self.0.to_json()
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(Box::new(error))
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        ApiError::from(error).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.0.log();
        self.0.response(&HeaderMap::new()).map(axum::body::Body::new)
    }
}
