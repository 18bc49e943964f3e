//! Changes to JSON members as a bad gateway makes them: in place, all other bytes kept.
//!
//! [`Members`] is the top level of an object in document order, duplicates and all; [`in_events`] does the same to the
//! `data:` lines of server-sent events.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of one JSON object, values as raw text.
#[derive(Debug, Clone)]
pub struct Members(Vec<(String, String)>);

impl Members {
    /// Reads an object.
    ///
    /// # Panics
    /// When it is none: a test that tampers with something else tests nothing.
    #[must_use]
    pub fn parse(json: &[u8]) -> Self {
        serde_json::from_slice(json).expect("a JSON object")
    }

    /// The object again.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name.as_str())))
            .collect();
        Bytes::from(format!("{{{}}}", members.join(",")))
    }

    /// The names in document order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The raw value of the first member of that name.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Sets or adds a member.
    pub fn set(&mut self, name: &str, raw: impl Into<String>) {
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, value)) => *value = raw.into(),
            None => self.0.push((name.to_owned(), raw.into())),
        }
    }

    /// Drops a member.
    ///
    /// # Panics
    /// When it is not there.
    pub fn drop_member(&mut self, name: &str) {
        let place = self.place(name);
        self.0.remove(place);
    }

    /// Gives a member another name.
    ///
    /// # Panics
    /// When it is not there.
    pub fn rename(&mut self, from: &str, to: &str) {
        let place = self.place(from);
        self.0[place].0 = to.to_owned();
    }

    /// Appends a member again, under the same name.
    ///
    /// # Panics
    /// When it is not there.
    pub fn repeat(&mut self, name: &str) {
        let again = self.0[self.place(name)].clone();
        self.0.push(again);
    }

    /// Exchanges the values of two members, and leaves their names where they are.
    ///
    /// # Panics
    /// When one of them is not there.
    pub fn swap(&mut self, one: &str, other: &str) {
        let (one, other) = (self.place(one), self.place(other));
        let value = self.0[one].1.clone();
        self.0[one].1 = std::mem::replace(&mut self.0[other].1, value);
    }

    /// Flips one bit of a sealed value's ciphertext (its last but one character, a digit of the tag).
    ///
    /// # Panics
    /// When the member is not there, or is not sealed.
    pub fn flip(&mut self, name: &str) {
        let place = self.place(name);
        let value = &mut self.0[place].1;
        assert!(is_sealed(value), "{name} is not sealed: {value}");
        let at = value.len() - 2;
        let flipped = if value.as_bytes()[at] == b'0' { "1" } else { "0" };
        value.replace_range(at..=at, flipped);
    }

    /// The names of the members that look sealed.
    #[must_use]
    pub fn sealed(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, value)| is_sealed(value)).map(|(name, _)| name.as_str()).collect()
    }

    fn place(&self, name: &str) -> usize {
        let place = self.0.iter().position(|(other, _)| other == name);
        place.unwrap_or_else(|| panic!("no member {name} in {:?}", self.names()))
    }
}

/// Whether a raw value has the form of a sealed field: `"id:nonce:iv:ct"`.
#[must_use]
pub fn is_sealed(raw: &str) -> bool {
    let Some(text) = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) else { return false };
    let parts: Vec<&str> = text.split(':').collect();
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(parts[..], [id, nonce, iv, ct] if !id.is_empty() && nonce.len() == 24 && iv.len() == 24 && hex(ct))
}

/// Splits server-sent events at their blank lines, each with its end.
#[must_use]
pub fn events(stream: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(stream).split_inclusive("\n\n").map(str::to_owned).collect()
}

/// Applies `change` to the JSON object of each event that has one; the number counts those events.
#[must_use]
pub fn in_events(stream: &[u8], mut change: impl FnMut(usize, &mut Members)) -> Bytes {
    let mut out = String::new();
    let mut number = 0;
    for line in String::from_utf8_lossy(stream).split_inclusive('\n') {
        match line.strip_prefix("data: ").filter(|data| data.starts_with('{')) {
            None => out.push_str(line),
            Some(data) => {
                let mut members = Members::parse(data.trim_end().as_bytes());
                change(number, &mut members);
                number += 1;
                out.push_str("data: ");
                out.push_str(&String::from_utf8_lossy(&members.to_bytes()));
                out.push('\n');
            }
        }
    }
    Bytes::from(out)
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ordered;
        impl<'de> Visitor<'de> for Ordered {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.push((name, value.get().to_owned()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Ordered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEALED: &str = r#""aWQ=:000102030405060708090a0b:000102030405060708090a0b:ff00""#;

    fn members() -> Members {
        Members::parse(format!(r#"{{"b": {SEALED}, "a": 1.50, "b": "x:y"}}"#).as_bytes())
    }

    #[test]
    fn order_raw_text_and_duplicates_survive() {
        let members = members();
        assert_eq!(members.names(), ["b", "a", "b"]);
        assert_eq!(members.raw("a"), Some("1.50"));
        assert_eq!(members.sealed(), ["b"]);
        assert_eq!(members.to_bytes(), format!(r#"{{"b":{SEALED},"a":1.50,"b":"x:y"}}"#));
    }

    #[test]
    fn each_change_does_what_it_says() {
        let mut changed = members();
        changed.flip("b");
        assert_eq!(changed.raw("b"), Some(SEALED.replace("ff00", "ff01").as_str()));
        changed.rename("a", "z");
        changed.swap("b", "z");
        changed.repeat("z");
        changed.drop_member("b");
        changed.set("new", "null");
        assert_eq!(changed.names(), ["z", "b", "z", "new"]);
    }

    #[test]
    fn events_keep_everything_but_the_changed_data() {
        let stream = b"event: a\ndata: {\"x\":1}\n\n: comment\n\ndata: {\"x\":2}\n\ndata: [DONE]\n\n";
        let changed = in_events(stream, |number, members| {
            if number == 1 {
                members.set("x", "3");
            }
        });
        assert_eq!(
            changed,
            &b"event: a\ndata: {\"x\":1}\n\n: comment\n\ndata: {\"x\":3}\n\ndata: [DONE]\n\n"[..]
        );
        assert_eq!(events(stream).len(), 4);
    }
}
