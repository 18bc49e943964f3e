//! Edits of a document by spans.

use std::ops::Range;

use super::{Object, quote};

/// Collects edits of one text and applies them at once; every byte outside the edited spans stays.
#[derive(Debug)]
pub struct Editor<'a> {
    text: &'a [u8],
    edits: Vec<(Range<usize>, Vec<u8>)>,
}

impl<'a> Editor<'a> {
    /// An editor without edits.
    pub fn new(text: &'a [u8]) -> Editor<'a> {
        Editor { text, edits: Vec::new() }
    }

    /// Replaces a span. Spans must not overlap; of two that do, the first in the text wins.
    pub fn replace(&mut self, span: Range<usize>, with: impl Into<Vec<u8>>) {
        self.edits.push((span, with.into()));
    }

    /// Inserts at an offset. Several insertions at one offset keep their order.
    pub fn insert(&mut self, offset: usize, text: impl Into<Vec<u8>>) {
        self.edits.push((offset..offset, text.into()));
    }

    /// Appends members (name and raw value) to an object of this text. `base` is where the object's own text begins in this
    /// text (0 for the document itself). To be called once per object.
    pub fn append(&mut self, object: &Object<'_>, base: usize, members: &[(&str, &[u8])]) {
        let mut text = Vec::new();
        for (index, (name, value)) in members.iter().enumerate() {
            if index > 0 || !object.members().is_empty() {
                text.push(b',');
            }
            text.extend_from_slice(quote(name).as_bytes());
            text.push(b':');
            text.extend_from_slice(value);
        }
        // Behind the last value, not before the brace: the white space before the brace stays where it is.
        let offset = object.members().last().map_or(object.close, |member| member.span.end);
        self.insert(base + offset, text);
    }

    /// Sets members of an object: replaces the values of those that exist, appends the others. To be called once per object.
    pub fn set(&mut self, object: &Object<'_>, base: usize, members: &[(&str, &[u8])]) {
        let mut missing = Vec::new();
        for (name, value) in members {
            match object.get(name) {
                Some(member) => self.replace(base + member.span.start..base + member.span.end, *value),
                None => missing.push((*name, *value)),
            }
        }
        if !missing.is_empty() {
            self.append(object, base, &missing);
        }
    }

    /// The edited text.
    pub fn finish(mut self) -> Vec<u8> {
        self.edits.sort_by_key(|(span, _)| (span.start, span.end));
        let grown: usize = self.edits.iter().map(|(_, text)| text.len()).sum();
        let mut out = Vec::with_capacity(self.text.len() + grown);
        let mut done = 0;
        for (span, text) in &self.edits {
            if span.start < done {
                continue;
            }
            out.extend_from_slice(self.text.get(done..span.start).unwrap_or_default());
            out.extend_from_slice(text);
            done = span.end;
        }
        out.extend_from_slice(self.text.get(done..).unwrap_or_default());
        out
    }
}
