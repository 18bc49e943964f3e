//! Escapes of JSON strings, both ways.

use std::borrow::Cow;

/// The text of a raw JSON string, quotes included; `None` if it is not one. Escapes are undone; a lone surrogate (legal in
/// JSON, not in UTF-8) becomes U+FFFD.
pub fn string_value(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let text = std::str::from_utf8(inner).ok()?;
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    unescape(text).map(Cow::Owned)
}

/// The name of a member whose raw text the scanner has validated.
pub(super) fn name_value(raw: &[u8]) -> Cow<'_, str> {
    string_value(raw).expect("the scanner has validated this string")
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at)?);
        rest = rest.get(at + 1..)?;
        let escape = rest.chars().next()?;
        rest = rest.get(escape.len_utf8()..)?;
        let plain = match escape {
            '"' | '\\' | '/' => escape,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (character, after) = unicode(rest)?;
                rest = after;
                character
            }
            _ => return None,
        };
        out.push(plain);
    }
    out.push_str(rest);
    Some(out)
}

/// The character behind `\u`, joining a surrogate pair.
fn unicode(rest: &str) -> Option<(char, &str)> {
    let unit = |text: &str| {
        let digits = text.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let high = unit(rest)?;
    let after = rest.get(4..)?;
    if (0xd800..0xdc00).contains(&high)
        && let Some(low) = after.strip_prefix("\\u").and_then(unit)
        && (0xdc00..0xe000).contains(&low)
    {
        let joined = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return Some((char::from_u32(joined)?, after.get(6..)?));
    }
    Some((char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), after))
}

/// A text as a JSON string, with quotes.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
