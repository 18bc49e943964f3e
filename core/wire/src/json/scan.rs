//! The validating scanner behind the span editor: one pass, a bit per open bracket instead of recursion.

use super::string::name_value;
use super::{
    Array, Document, Element, JsonError, JsonErrorKind as Kind, MAX_DEPTH, MAX_ELEMENTS, MAX_MEMBERS, Member,
    Object,
};

/// Offset and reason; the position is turned into line and column once, at the edge.
type Fault = (usize, Kind);

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

pub(super) fn document(text: &[u8]) -> Result<Document<'_>, JsonError> {
    parse_document(text).map_err(|(offset, kind)| JsonError::new(text, offset, kind))
}

pub(super) fn single_value(text: &[u8]) -> Result<(), JsonError> {
    let check = || {
        check_utf8(text)?;
        let end = Scanner { text, depth: 0 }.value(0)?;
        if end == text.len() { Ok(()) } else { Err((end, Kind::TrailingText)) }
    };
    check().map_err(|(offset, kind)| JsonError::new(text, offset, kind))
}

fn check_utf8(text: &[u8]) -> Result<(), Fault> {
    // RFC 8259 §8.1: JSON text exchanged between systems MUST be encoded using UTF-8.
    std::str::from_utf8(text).map(drop).map_err(|error| (error.valid_up_to(), Kind::NotUtf8))
}

fn parse_document(text: &[u8]) -> Result<Document<'_>, Fault> {
    check_utf8(text)?;
    let scanner = Scanner { text, depth: 1 };
    let start = scanner.skip_space(0);
    let (document, end) = match scanner.at(start) {
        Some(b'{') => {
            let (object, end) = scanner.object(start + 1)?;
            (Document::Object(object), end)
        }
        Some(b'[') => {
            let (array, end) = scanner.array(start + 1)?;
            (Document::Array(array), end)
        }
        Some(_) => return Err((start, Kind::NotADocument)),
        None => return Err((start, Kind::UnexpectedEnd)),
    };
    match scanner.skip_space(end) {
        end if end == text.len() => Ok(document),
        end => Err((end, Kind::TrailingText)),
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    /// How deep the values that are scanned stand already.
    depth: usize,
}

impl<'a> Scanner<'a> {
    fn at(&self, offset: usize) -> Option<u8> {
        self.text.get(offset).copied()
    }

    fn skip_space(&self, mut offset: usize) -> usize {
        while self.at(offset).is_some_and(is_space) {
            offset += 1;
        }
        offset
    }

    fn fault<T>(&self, offset: usize, expected: &'static str) -> Result<T, Fault> {
        match self.at(offset) {
            Some(_) => Err((offset, Kind::Expected { expected })),
            None => Err((self.text.len(), Kind::UnexpectedEnd)),
        }
    }

    /// The members from behind the opening brace; also the offset behind the closing one.
    fn object(&self, mut offset: usize) -> Result<(Object<'a>, usize), Fault> {
        let mut members: Vec<Member<'a>> = Vec::new();
        offset = self.skip_space(offset);
        if self.at(offset) != Some(b'}') {
            loop {
                if members.len() == MAX_MEMBERS {
                    return Err((offset, Kind::TooMany { most: MAX_MEMBERS }));
                }
                let (member, end) = self.member(offset)?;
                members.push(member);
                offset = self.skip_space(end);
                match self.at(offset) {
                    Some(b',') => offset = self.skip_space(offset + 1),
                    Some(b'}') => break,
                    _ => return self.fault(offset, "`,` or `}`"),
                }
            }
        }
        refuse_duplicates(&members)?;
        Ok((Object { text: self.text, members, close: offset }, offset + 1))
    }

    fn member(&self, start: usize) -> Result<(Member<'a>, usize), Fault> {
        if self.at(start) != Some(b'"') {
            return self.fault(start, "a member name in quotes");
        }
        let name_end = self.string(start)?;
        let colon = self.skip_space(name_end);
        if self.at(colon) != Some(b':') {
            return self.fault(colon, "`:`");
        }
        let value = self.skip_space(colon + 1);
        let end = self.value(value)?;
        let name = name_value(self.slice(start, name_end));
        Ok((Member { name, name_span: start..name_end, span: value..end, raw: self.slice(value, end) }, end))
    }

    fn array(&self, mut offset: usize) -> Result<(Array<'a>, usize), Fault> {
        let mut elements = Vec::new();
        offset = self.skip_space(offset);
        if self.at(offset) != Some(b']') {
            loop {
                if elements.len() == MAX_ELEMENTS {
                    return Err((offset, Kind::TooMany { most: MAX_ELEMENTS }));
                }
                let end = self.value(offset)?;
                elements.push(Element { span: offset..end, raw: self.slice(offset, end) });
                offset = self.skip_space(end);
                match self.at(offset) {
                    Some(b',') => offset = self.skip_space(offset + 1),
                    Some(b']') => break,
                    _ => return self.fault(offset, "`,` or `]`"),
                }
            }
        }
        Ok((Array { text: self.text, elements }, offset + 1))
    }

    fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// Validates one value of any kind and returns where it ends.
    fn value(&self, mut offset: usize) -> Result<usize, Fault> {
        let mut open = Brackets::new(self.depth);
        loop {
            offset = match self.at(offset) {
                Some(b'{') => {
                    open.push(true, offset)?;
                    let inside = self.skip_space(offset + 1);
                    match self.at(inside) {
                        Some(b'}') => inside,
                        _ => {
                            offset = self.name_and_colon(inside)?;
                            continue;
                        }
                    }
                }
                Some(b'[') => {
                    open.push(false, offset)?;
                    let inside = self.skip_space(offset + 1);
                    match self.at(inside) {
                        Some(b']') => inside,
                        _ => {
                            offset = inside;
                            continue;
                        }
                    }
                }
                _ => self.scalar(offset)?,
            };
            // A value has just ended (or an empty bracket is about to): close what closes.
            loop {
                let Some(in_object) = open.top() else { return Ok(offset) };
                let next = self.skip_space(offset);
                match (self.at(next), in_object) {
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        open.pop();
                        offset = next + 1;
                    }
                    (Some(b','), true) => {
                        offset = self.name_and_colon(self.skip_space(next + 1))?;
                        break;
                    }
                    (Some(b','), false) => {
                        offset = self.skip_space(next + 1);
                        break;
                    }
                    (_, true) => return self.fault(next, "`,` or `}`"),
                    (_, false) => return self.fault(next, "`,` or `]`"),
                }
            }
        }
    }

    fn name_and_colon(&self, start: usize) -> Result<usize, Fault> {
        if self.at(start) != Some(b'"') {
            return self.fault(start, "a member name in quotes");
        }
        let colon = self.skip_space(self.string(start)?);
        if self.at(colon) != Some(b':') {
            return self.fault(colon, "`:`");
        }
        Ok(self.skip_space(colon + 1))
    }

    fn scalar(&self, offset: usize) -> Result<usize, Fault> {
        match self.at(offset) {
            Some(b'"') => self.string(offset),
            Some(b'-' | b'0'..=b'9') => self.number(offset),
            Some(b't') => self.literal(offset, b"true"),
            Some(b'f') => self.literal(offset, b"false"),
            Some(b'n') => self.literal(offset, b"null"),
            _ => self.fault(offset, "a value"),
        }
    }

    fn literal(&self, offset: usize, literal: &[u8]) -> Result<usize, Fault> {
        let end = offset + literal.len();
        if self.text.get(offset..end) == Some(literal) { Ok(end) } else { self.fault(offset, "a value") }
    }

    fn number(&self, start: usize) -> Result<usize, Fault> {
        let digits = |mut offset: usize| {
            let first = offset;
            while self.at(offset).is_some_and(|b| b.is_ascii_digit()) {
                offset += 1;
            }
            if offset == first { Err((offset, Kind::BadNumber)) } else { Ok(offset) }
        };
        let whole = start + usize::from(self.at(start) == Some(b'-'));
        let mut offset = digits(whole)?;
        // RFC 8259 §6: leading zeros are not allowed.
        if self.at(whole) == Some(b'0') && offset > whole + 1 {
            return Err((whole, Kind::BadNumber));
        }
        if self.at(offset) == Some(b'.') {
            offset = digits(offset + 1)?;
        }
        if matches!(self.at(offset), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.at(offset + 1), Some(b'+' | b'-')));
            offset = digits(offset + 1 + sign)?;
        }
        Ok(offset)
    }

    /// Validates the string that begins at `start` and returns the offset behind its closing quote.
    fn string(&self, start: usize) -> Result<usize, Fault> {
        let mut offset = start + 1;
        loop {
            let rest = self.text.get(offset..).unwrap_or_default();
            let Some(length) = memchr::memchr2(b'"', b'\\', rest) else {
                return Err((self.text.len(), Kind::UnexpectedEnd));
            };
            let run = rest.get(..length).unwrap_or_default();
            // No early exit: this way the loop over a long base64 string is vectorised.
            if run.iter().fold(false, |bad, b| bad | (*b < 0x20)) {
                let at = run.iter().position(|b| *b < 0x20).unwrap_or(0);
                return Err((offset + at, Kind::ControlCharacter));
            }
            offset += length;
            if self.at(offset) == Some(b'"') {
                return Ok(offset + 1);
            }
            offset = self.escape(offset)?;
        }
    }

    fn escape(&self, backslash: usize) -> Result<usize, Fault> {
        match self.at(backslash + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(backslash + 2),
            Some(b'u') => match self.text.get(backslash + 2..backslash + 6) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(backslash + 6),
                _ => Err((backslash, Kind::BadEscape)),
            },
            _ => Err((backslash, Kind::BadEscape)),
        }
    }
}

/// Open brackets as bits: 1 for an object, 0 for an array.
struct Brackets {
    bits: [u64; MAX_DEPTH / 64],
    length: usize,
    limit: usize,
}

impl Brackets {
    fn new(depth: usize) -> Brackets {
        Brackets { bits: [0; MAX_DEPTH / 64], length: 0, limit: MAX_DEPTH.saturating_sub(depth) }
    }

    fn push(&mut self, object: bool, offset: usize) -> Result<(), Fault> {
        if self.length >= self.limit {
            return Err((offset, Kind::TooDeep));
        }
        let (word, bit) = (self.length / 64, self.length % 64);
        if let Some(word) = self.bits.get_mut(word) {
            *word = (*word & !(1 << bit)) | (u64::from(object) << bit);
        }
        self.length += 1;
        Ok(())
    }

    fn top(&self) -> Option<bool> {
        let last = self.length.checked_sub(1)?;
        self.bits.get(last / 64).map(|word| word >> (last % 64) & 1 == 1)
    }

    fn pop(&mut self) {
        self.length = self.length.saturating_sub(1);
    }
}

fn refuse_duplicates(members: &[Member<'_>]) -> Result<(), Fault> {
    // Sorting instead of hashing or comparing pairs: a hostile document costs n log n, whatever its names.
    let mut order: Vec<&Member<'_>> = members.iter().collect();
    order.sort_by(|a, b| a.name.cmp(&b.name).then(a.span.start.cmp(&b.span.start)));
    let twin = order.windows(2).find_map(|pair| match pair {
        [first, second] if first.name == second.name => Some(second.name_span.start),
        _ => None,
    });
    twin.map_or(Ok(()), |offset| Err((offset, Kind::DuplicateName)))
}
