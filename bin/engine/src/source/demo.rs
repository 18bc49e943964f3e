//! The demonstration model, compiled into the binary so that the first command needs no network.
//! What it is and is not: `models/demo/MODEL_CARD.md`.

use super::Bundle;

/// What the demonstration model is called in requests.
pub const SERVED_NAME: &str = "privatemode-demo";

const FILES: &[(&str, &[u8])] = &[
    ("model.gguf", include_bytes!("../../models/demo/model.gguf")),
    ("config.json", include_bytes!("../../models/demo/config.json")),
    ("tokenizer.json", include_bytes!("../../models/demo/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../../models/demo/tokenizer_config.json")),
];

pub(crate) fn bundle() -> Bundle {
    Bundle::embedded(SERVED_NAME, "model.gguf", FILES)
}
