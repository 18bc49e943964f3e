//! What a JSON body says of itself: the members that the head repeats, and the sampling parameters for the receipt.

use std::{borrow::Cow, collections::BTreeMap};

use privatemode_wire::{
    Endpoint,
    admit::{Stated, StatedError},
    json::Object,
    stream::BodyFields,
};

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
    stated: Stated,
    /// By name, as raw JSON text.
    pub(super) sampling: BTreeMap<String, String>,
}

impl Fields {
    /// Of a body that was admitted.
    pub(super) fn of(endpoint: Endpoint, object: &Object<'_>) -> Result<Self, StatedError> {
        Ok(Self {
            model: object.string("model").map(Cow::into_owned),
            stated: Stated::of(endpoint, object)?,
            sampling: sampling(object),
        })
    }

    /// For the comparison with the head.
    pub(super) fn body(&self) -> BodyFields<'_> {
        let Stated { stream, max_tokens, n } = self.stated;
        BodyFields { model: self.model.as_deref(), stream, max_tokens, n }
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
        Fields::of(endpoint, &Object::parse(body.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn what_the_head_repeats() {
        let body = r#"{"model":"m\u002f1","stream":true,"max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3,"n":4}"#;
        let found = fields(Endpoint::ChatCompletions, body);
        let expected = BodyFields { model: Some("m/1"), stream: true, max_tokens: Some(2), n: Some(4) };
        assert_eq!(found.body(), expected);
        let odd = fields(Endpoint::ChatCompletions, r#"{"model":1,"max_tokens":null,"n":null}"#);
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
