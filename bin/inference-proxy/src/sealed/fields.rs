//! What a JSON body says of itself: the members that the head repeats, and the sampling parameters for the receipt.

use std::{borrow::Cow, collections::BTreeMap};

use privatemode_wire::{Endpoint, json::Object, stream::BodyFields};

/// Numbers and switches only: `stop` and its like hold words of the prompt.
const SAMPLING: [&str; 16] = [
    "best_of",
    "dimensions",
    "frequency_penalty",
    "length_penalty",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "min_p",
    "min_tokens",
    "n",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "temperature",
    "top_k",
    "top_p",
];
/// Longer than any number that means something.
const MAX_NUMBER: usize = 64;

/// The members of one body.
#[derive(Default)]
pub(super) struct Fields {
    model: Option<String>,
    stream: bool,
    max_tokens: Option<u64>,
    n: Option<u64>,
    /// By name, as raw JSON text.
    pub(super) sampling: BTreeMap<String, String>,
}

impl Fields {
    /// `object` is a body that was admitted: its `stream`, if any, is true, false or null.
    pub(super) fn of(endpoint: Endpoint, object: &Object<'_>) -> Self {
        let limits: &[&str] = match endpoint {
            // As engines read them: the newer name wins.
            Endpoint::ChatCompletions => &["max_completion_tokens", "max_tokens"],
            Endpoint::Completions | Endpoint::Messages => &["max_tokens"],
            Endpoint::Responses => &["max_output_tokens"],
            Endpoint::Embeddings
            | Endpoint::Transcriptions
            | Endpoint::Translations
            | Endpoint::Unstructured => &[],
        };
        let number = |name: &str| std::str::from_utf8(object.get(name)?.raw).ok()?.parse().ok();
        let has_n = matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
        Self {
            model: object.string("model").map(Cow::into_owned),
            stream: object.is_true("stream"),
            max_tokens: limits.iter().find_map(|name| number(name)),
            n: number("n").filter(|_| has_n),
            sampling: sampling(object),
        }
    }

    /// For the comparison with the head.
    pub(super) fn body(&self) -> BodyFields<'_> {
        BodyFields {
            model: self.model.as_deref(),
            stream: self.stream,
            max_tokens: self.max_tokens,
            n: self.n,
        }
    }
}

fn sampling(object: &Object<'_>) -> BTreeMap<String, String> {
    let number = |raw: &[u8]| {
        let plain = raw.first().is_some_and(|b| *b == b'-' || b.is_ascii_digit());
        let text = std::str::from_utf8(raw).ok().filter(|text| text.len() <= MAX_NUMBER)?;
        plain.then(|| text.to_owned())
    };
    let found = SAMPLING.iter().filter_map(|name| Some(((*name).to_owned(), number(object.get(name)?.raw)?)));
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(endpoint: Endpoint, body: &str) -> Fields {
        Fields::of(endpoint, &Object::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn each_endpoint_has_its_limit() {
        let body = r#"{"model":"m\u002f1","stream":true,"max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3,"n":4}"#;
        let of = |endpoint| {
            let found = fields(endpoint, body);
            let BodyFields { model, stream, max_tokens, n } = found.body();
            assert_eq!((model, stream), (Some("m/1"), true));
            (max_tokens, n)
        };
        assert_eq!(of(Endpoint::ChatCompletions), (Some(2), Some(4)));
        assert_eq!(of(Endpoint::Completions), (Some(1), Some(4)));
        assert_eq!(of(Endpoint::Messages), (Some(1), None));
        assert_eq!(of(Endpoint::Responses), (Some(3), None));
        assert_eq!(of(Endpoint::Embeddings), (None, None));
        let odd = fields(Endpoint::ChatCompletions, r#"{"model":1,"max_tokens":1.5,"n":null}"#);
        assert_eq!(odd.body(), BodyFields::default());
    }

    #[test]
    fn sampling_holds_numbers_and_no_words() {
        let body = r#"{"temperature":0.70,"top_p":"word","seed":-1,"stop":["word"],"top_k":{"word":1},"min_p":null}"#;
        let found = fields(Endpoint::ChatCompletions, body).sampling;
        let expected = [("seed", "-1"), ("temperature", "0.70")];
        assert!(found.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected), "{found:?}");
    }
}
