//! Which endpoint keeps which top-level members readable for the gateway; everything else is sealed.
//!
//! Knows names only, seals nothing. protocol.md, sections 2 and 3.

/// A client-facing endpoint whose bodies are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`
    ChatCompletions,
    /// `POST /v1/completions`
    Completions,
    /// `POST /v1/embeddings`
    Embeddings,
    /// `POST /v1/audio/transcriptions` (multipart)
    Transcriptions,
    /// `POST /v1/audio/translations` (multipart)
    Translations,
    /// `POST /v1/messages` (Anthropic)
    Messages,
    /// `POST /v1/responses` (OpenAI Responses)
    Responses,
    /// `POST /unstructured/…`: documents to text; the whole body is one sealed value.
    Unstructured,
}

impl Endpoint {
    /// All endpoints.
    pub const ALL: [Endpoint; 8] = [
        Endpoint::ChatCompletions,
        Endpoint::Completions,
        Endpoint::Embeddings,
        Endpoint::Transcriptions,
        Endpoint::Translations,
        Endpoint::Messages,
        Endpoint::Responses,
        Endpoint::Unstructured,
    ];

    /// The endpoint behind a request path (without query).
    pub fn from_path(path: &str) -> Option<Endpoint> {
        if path.starts_with("/unstructured/") {
            return Some(Endpoint::Unstructured);
        }
        Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }

    /// The canonical path.
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::ChatCompletions => "/v1/chat/completions",
            Endpoint::Completions => "/v1/completions",
            Endpoint::Embeddings => "/v1/embeddings",
            Endpoint::Transcriptions => "/v1/audio/transcriptions",
            Endpoint::Translations => "/v1/audio/translations",
            Endpoint::Messages => "/v1/messages",
            Endpoint::Responses => "/v1/responses",
            Endpoint::Unstructured => "/unstructured/general/v0/general",
        }
    }

    /// Whether requests are multipart forms whose parts are sealed one by one. Unstructured requests are multipart too, but
    /// sealed as a whole.
    pub fn is_multipart(self) -> bool {
        matches!(self, Endpoint::Transcriptions | Endpoint::Translations)
    }

    /// Request members (or form fields) that stay readable.
    pub fn request_plain(self) -> &'static [&'static str] {
        match self {
            Endpoint::ChatCompletions | Endpoint::Completions => {
                &["model", "stream_options", "max_tokens", "max_completion_tokens", "n", "stream"]
            }
            Endpoint::Responses => &["model", "stream", "max_output_tokens"],
            Endpoint::Embeddings => &["model"],
            Endpoint::Transcriptions | Endpoint::Translations => {
                &["model", "stream", "stream_include_usage", "stream_continuous_usage_stats"]
            }
            Endpoint::Messages => &["model", "stream"],
            Endpoint::Unstructured => &[],
        }
    }

    /// Response members that stay readable.
    pub fn response_plain(self) -> &'static [&'static str] {
        match self {
            Endpoint::ChatCompletions
            | Endpoint::Completions
            | Endpoint::Embeddings
            | Endpoint::Responses => &["id", "usage"],
            Endpoint::Transcriptions | Endpoint::Translations => &["duration", "usage"],
            Endpoint::Messages => &["id", "type", "usage"],
            Endpoint::Unstructured => &[],
        }
    }

    /// Whether requests must carry a `cache_salt`, so that no tenant learns another's prompts from cache timing.
    pub fn requires_cache_salt(self) -> bool {
        matches!(
            self,
            Endpoint::ChatCompletions | Endpoint::Completions | Endpoint::Messages | Endpoint::Responses
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_leads_back() {
        for endpoint in Endpoint::ALL {
            assert_eq!(Endpoint::from_path(endpoint.path()), Some(endpoint));
        }
        assert_eq!(Endpoint::from_path("/unstructured/other"), Some(Endpoint::Unstructured));
        assert_eq!(Endpoint::from_path("/unstructured"), None);
        assert_eq!(Endpoint::from_path("/v1/chat/completions/"), None);
    }
}
