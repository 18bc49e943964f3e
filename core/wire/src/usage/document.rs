//! Finds two top-level members of a JSON object that arrives in pieces.
//!
//! Skips everything else, mostly long strings, without keeping it.

use super::Usage;

const WANTED: [&str; 2] = ["usage", "duration"];
/// A usage object has some hundred bytes; a longer one is not understood.
const MAX_VALUE: usize = 16 * 1024;
/// Longer than any wanted name.
const MAX_NAME: usize = 16;

/// Collects the usage of one JSON document, sealed or opened.
#[derive(Debug, Default)]
pub struct DocumentUsage {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// At the top level, after `{` or `,`: the next string is a name.
    expects_name: bool,
    in_name: bool,
    name: Vec<u8>,
    /// Which wanted member's value is being read.
    reading: Option<usize>,
    value: Vec<u8>,
    found: [Option<Vec<u8>>; WANTED.len()],
}

impl DocumentUsage {
    /// Takes the next bytes of the document.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.in_string && !self.escaped && self.reading.is_none() && !self.in_name {
                // The inside of a string: most of every answer.
                let Some(end) = memchr::memchr2(b'"', b'\\', bytes) else { return };
                let Some((&byte, rest)) = bytes.get(end..).and_then(<[u8]>::split_first) else { return };
                self.byte(byte);
                bytes = rest;
            } else {
                self.byte(byte);
                bytes = rest;
            }
        }
    }

    /// The usage that was found, if any.
    pub fn usage(&self) -> Option<Usage> {
        let members: Vec<String> = WANTED
            .iter()
            .zip(&self.found)
            .filter_map(|(name, value)| {
                Some(format!("\"{name}\":{}", std::str::from_utf8(value.as_deref()?).ok()?))
            })
            .collect();
        super::parse(format!("{{{}}}", members.join(",")).as_bytes())
    }

    fn byte(&mut self, byte: u8) {
        if self.in_string {
            self.string_byte(byte);
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.in_name = self.depth == 1 && self.expects_name;
                if self.in_name {
                    self.name.clear();
                }
                self.keep(byte);
            }
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth == 1 {
                    self.expects_name = byte == b'{';
                }
                self.keep(byte);
            }
            b'}' | b']' => {
                if self.depth == 1 {
                    self.end_value();
                }
                self.depth = self.depth.saturating_sub(1);
                self.keep(byte);
            }
            b',' if self.depth == 1 => {
                self.end_value();
                self.expects_name = true;
            }
            b':' if self.depth == 1 && self.expects_name => {
                self.expects_name = false;
                self.reading = WANTED.iter().position(|wanted| wanted.as_bytes() == self.name);
                self.value.clear();
            }
            _ => self.keep(byte),
        }
    }

    fn string_byte(&mut self, byte: u8) {
        let ends = byte == b'"' && !self.escaped;
        self.escaped = byte == b'\\' && !self.escaped;
        if ends {
            self.in_string = false;
        } else if self.in_name && self.name.len() < MAX_NAME {
            self.name.push(byte);
        }
        if ends && self.in_name {
            self.in_name = false;
        } else {
            self.keep(byte);
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.reading.is_none() {
            return;
        }
        if self.value.len() == MAX_VALUE {
            self.reading = None;
        } else {
            self.value.push(byte);
        }
    }

    fn end_value(&mut self) {
        if let Some(found) = self.reading.take().and_then(|index| self.found.get_mut(index)) {
            *found = Some(std::mem::take(&mut self.value));
        }
    }
}
