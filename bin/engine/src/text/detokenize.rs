//! Tokens to text, one at a time. A token may hold a part of a character: text comes out in whole characters only.

use tokenizers::Tokenizer;

/// Decodes the tokens of one generation.
///
/// Tokens do not decode independently (spaces, byte sequences), so each step decodes a short window twice, without
/// and with what is new, and gives the difference.
pub(crate) struct Detokenizer {
    window: Vec<u32>,
    /// Tokens of the window whose text is out already.
    shown: usize,
}

/// A character has at most four bytes, so no valid text leaves more tokens than this undecided.
const MAX_PENDING: usize = 4;

impl Detokenizer {
    pub(crate) fn new() -> Self {
        Self { window: Vec::new(), shown: 0 }
    }

    /// The text that `token` completes; empty while a character is incomplete.
    pub(crate) fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> tokenizers::Result<String> {
        self.window.push(token);
        let pending = self.window.len() - self.shown;
        self.advance(tokenizer, pending > MAX_PENDING)
    }

    /// The generation is over: an incomplete character comes out as U+FFFD.
    pub(crate) fn finish(&mut self, tokenizer: &Tokenizer) -> tokenizers::Result<String> {
        self.advance(tokenizer, true)
    }

    fn advance(&mut self, tokenizer: &Tokenizer, force: bool) -> tokenizers::Result<String> {
        let before = tokenizer.decode(&self.window[..self.shown], true)?;
        let after = tokenizer.decode(&self.window, true)?;
        if after.ends_with(char::REPLACEMENT_CHARACTER) && !force {
            return Ok(String::new());
        }
        // Decoders may rewrite the end of the window; then the common start is what was shown.
        let common = before.char_indices().zip(after.chars()).find(|((_, a), b)| a != b);
        let start = common.map_or(before.len().min(after.len()), |((at, _), _)| at);
        let text = after.get(start..).unwrap_or_default().to_owned();
        if !text.is_empty() {
            self.window.drain(..self.shown);
            self.shown = self.window.len();
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::byte_tokenizer;

    #[test]
    fn characters_come_out_whole() {
        let tokenizer = byte_tokenizer();
        let mut detokenizer = Detokenizer::new();
        let text = "aé€😀!";
        let pieces: Vec<String> =
            text.bytes().map(|byte| detokenizer.push(&tokenizer, u32::from(byte)).unwrap()).collect();
        assert_eq!(pieces, ["a", "", "é", "", "", "€", "", "", "", "😀", "!"]);
        assert_eq!(detokenizer.finish(&tokenizer).unwrap(), "");
    }

    #[test]
    fn broken_bytes_become_replacement_characters_and_do_not_block() {
        let tokenizer = byte_tokenizer();
        let mut detokenizer = Detokenizer::new();
        let mut shown = String::new();
        for byte in [0xff, 0xff, 0xff, 0xff, 0xff, b'o', b'k', 0xe2, 0x82] {
            shown += &detokenizer.push(&tokenizer, u32::from(byte)).unwrap();
        }
        shown += &detokenizer.finish(&tokenizer).unwrap();
        assert!(shown.contains("ok"), "{shown}");
        assert!(shown.ends_with(char::REPLACEMENT_CHARACTER), "{shown}");
    }
}
