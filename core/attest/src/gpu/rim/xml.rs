//! A reader for the small part of XML that RIMs are written in: elements, attributes, namespaces, text.
//!
//! No declarations, comments, CDATA, processing instructions, document types, character references or entities but the five: each is
//! refused, not skipped. Comments in particular: canonicalisation drops them, so that a comment could change the text that a reader
//! sees without changing the digest. Depth and counts are bounded.

use std::borrow::Cow;

/// Largest document.
pub(super) const MAX_DOCUMENT: usize = 1024 * 1024;
/// RIMs have six levels.
const MAX_DEPTH: usize = 12;
/// RIMs have 68 elements without the signature.
const MAX_ELEMENTS: usize = 8192;
/// RIMs have 13 on one element.
const MAX_ATTRIBUTES: usize = 64;

/// Why a document was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// More than 1 MiB.
    #[error("the document has {len} bytes, more than {MAX_DOCUMENT}")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// Not UTF-8.
    #[error("the document is not UTF-8")]
    Encoding,
    /// Not XML.
    #[error("malformed XML at byte {at}")]
    Malformed {
        /// Where.
        at: usize,
    },
    /// XML, but a part of it that no RIM needs: comments, DTDs, processing instructions, CDATA, character references.
    #[error("XML of a kind that is not allowed in a RIM at byte {at}")]
    NotAllowed {
        /// Where.
        at: usize,
    },
    /// A prefix without a declaration, a prefix declared twice or to nothing.
    #[error("bad XML namespace at byte {at}")]
    Namespace {
        /// Where.
        at: usize,
    },
    /// The same attribute twice.
    #[error("an XML attribute is there twice at byte {at}")]
    DuplicateAttribute {
        /// Where.
        at: usize,
    },
    /// Too deep, or too many elements or attributes.
    #[error("the XML document is too complex at byte {at}")]
    TooComplex {
        /// Where.
        at: usize,
    },
}

/// `xmlns:prefix="uri"`; the empty prefix is the default namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Declaration<'a> {
    pub(super) prefix: &'a str,
    pub(super) uri: &'a str,
}

#[derive(Debug)]
pub(super) struct Attribute<'a> {
    pub(super) prefix: &'a str,
    pub(super) local: &'a str,
    /// Empty without a prefix: the default namespace is not for attributes.
    pub(super) namespace: &'a str,
    pub(super) value: Cow<'a, str>,
}

#[derive(Debug)]
pub(super) struct Element<'a> {
    pub(super) prefix: &'a str,
    pub(super) local: &'a str,
    pub(super) namespace: &'a str,
    pub(super) declarations: Vec<Declaration<'a>>,
    pub(super) attributes: Vec<Attribute<'a>>,
    pub(super) children: Vec<Node<'a>>,
}

#[derive(Debug)]
pub(super) enum Node<'a> {
    Element(Element<'a>),
    Text(Cow<'a, str>),
}

impl<'a> Element<'a> {
    pub(super) fn is(&self, namespace: &str, local: &str) -> bool {
        self.namespace == namespace && self.local == local
    }

    /// The value of an attribute without a namespace.
    pub(super) fn attribute(&self, local: &str) -> Option<&str> {
        self.attribute_in("", local)
    }

    pub(super) fn attribute_in(&self, namespace: &str, local: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.namespace == namespace && attribute.local == local)
            .map(|attribute| attribute.value.as_ref())
    }

    pub(super) fn elements(&self) -> impl Iterator<Item = &Element<'a>> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// Whether there is nothing but white space between the child elements.
    pub(super) fn has_only_elements(&self) -> bool {
        self.children.iter().all(|node| match node {
            Node::Element(_) => true,
            Node::Text(text) => text.bytes().all(is_space),
        })
    }

    /// The text of an element without child elements.
    pub(super) fn text(&self) -> Option<&str> {
        match self.children.as_slice() {
            [] => Some(""),
            [Node::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// Reads a document: one element, with white space around it.
pub(super) fn parse(document: &[u8]) -> Result<Element<'_>, XmlError> {
    if document.len() > MAX_DOCUMENT {
        return Err(XmlError::TooLong { len: document.len() });
    }
    let text = std::str::from_utf8(document).map_err(|_| XmlError::Encoding)?;
    let mut parser = Parser { text, at: 0, elements: 0, scope: Vec::new() };
    parser.skip_space();
    parser.refuse_special()?;
    let root = parser.element(0)?;
    parser.skip_space();
    parser.refuse_special()?;
    if parser.at != text.len() {
        return Err(XmlError::Malformed { at: parser.at });
    }
    Ok(root)
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    elements: usize,
    scope: Vec<Declaration<'a>>,
}

/// A start tag's attribute before namespaces are known.
struct RawAttribute<'a> {
    prefix: &'a str,
    local: &'a str,
    value: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn malformed<T>(&self) -> Result<T, XmlError> {
        Err(XmlError::Malformed { at: self.at })
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at = self.at.saturating_add(token.len());
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), XmlError> {
        if self.eat(token) { Ok(()) } else { self.malformed() }
    }

    fn skip_space(&mut self) -> bool {
        let space = self.rest().bytes().take_while(|byte| is_space(*byte)).count();
        self.at = self.at.saturating_add(space);
        space > 0
    }

    /// Takes the text up to `stop`, which stays.
    fn until(&mut self, stop: char) -> Result<&'a str, XmlError> {
        let Some(len) = self.rest().find(stop) else { return self.malformed() };
        let taken = self.rest().get(..len).unwrap_or_default();
        self.at = self.at.saturating_add(len);
        Ok(taken)
    }

    fn refuse_special(&self) -> Result<(), XmlError> {
        let rest = self.rest();
        if rest.starts_with("<!") || rest.starts_with("<?") {
            return Err(XmlError::NotAllowed { at: self.at });
        }
        Ok(())
    }

    fn element(&mut self, depth: usize) -> Result<Element<'a>, XmlError> {
        let start = self.at;
        self.elements = self.elements.saturating_add(1);
        if depth >= MAX_DEPTH || self.elements > MAX_ELEMENTS {
            return Err(XmlError::TooComplex { at: start });
        }
        self.expect("<")?;
        let (prefix, local) = self.name()?;
        let (declarations, raw) = self.attributes()?;
        let outer = self.scope.len();
        self.scope.extend(&declarations);
        let mut element = Element {
            prefix,
            local,
            namespace: self.resolve(prefix, start)?,
            attributes: self.resolve_all(&raw)?,
            declarations,
            children: Vec::new(),
        };
        if !self.eat("/>") {
            self.expect(">")?;
            element.children = self.content(depth)?;
            self.expect("</")?;
            if self.name()? != (prefix, local) {
                return self.malformed();
            }
            self.skip_space();
            self.expect(">")?;
        }
        self.scope.truncate(outer);
        Ok(element)
    }

    /// Children up to the end tag, which stays.
    fn content(&mut self, depth: usize) -> Result<Vec<Node<'a>>, XmlError> {
        let mut children = Vec::new();
        loop {
            let start = self.at;
            let text = self.until('<')?;
            if !text.is_empty() {
                children.push(Node::Text(unescape(text, start, false)?));
            }
            self.refuse_special()?;
            if self.rest().starts_with("</") {
                return Ok(children);
            }
            children.push(Node::Element(self.element(depth.saturating_add(1))?));
        }
    }

    fn attributes(&mut self) -> Result<(Vec<Declaration<'a>>, Vec<RawAttribute<'a>>), XmlError> {
        let mut declarations: Vec<Declaration<'a>> = Vec::new();
        let mut attributes: Vec<RawAttribute<'a>> = Vec::new();
        loop {
            let space = self.skip_space();
            if self.rest().starts_with('>') || self.rest().starts_with("/>") {
                return Ok((declarations, attributes));
            }
            let at = self.at;
            if !space {
                return self.malformed();
            }
            if declarations.len().saturating_add(attributes.len()) >= MAX_ATTRIBUTES {
                return Err(XmlError::TooComplex { at });
            }
            let (prefix, local) = self.name()?;
            self.skip_space();
            self.expect("=")?;
            self.skip_space();
            let value = self.quoted()?;
            match (prefix, local) {
                ("", "xmlns") => declare(&mut declarations, "", value, at)?,
                ("xmlns", prefix) => declare(&mut declarations, prefix, value, at)?,
                _ => attributes.push(RawAttribute { prefix, local, value, at }),
            }
        }
    }

    fn quoted(&mut self) -> Result<&'a str, XmlError> {
        let quote = if self.eat("\"") {
            '"'
        } else {
            self.expect("'")?;
            '\''
        };
        let value = self.until(quote)?;
        self.at = self.at.saturating_add(1);
        Ok(value)
    }

    /// `prefix:local` or `local`, in ASCII.
    fn name(&mut self) -> Result<(&'a str, &'a str), XmlError> {
        let first = self.name_part()?;
        if self.eat(":") { Ok((first, self.name_part()?)) } else { Ok(("", first)) }
    }

    fn name_part(&mut self) -> Result<&'a str, XmlError> {
        let name_byte = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let len = self.rest().bytes().take_while(|byte| name_byte(byte)).count();
        let name = self.rest().get(..len).unwrap_or_default();
        if !name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_') {
            return self.malformed();
        }
        self.at = self.at.saturating_add(len);
        Ok(name)
    }

    fn resolve(&self, prefix: &str, at: usize) -> Result<&'a str, XmlError> {
        let found = self.scope.iter().rev().find(|declaration| declaration.prefix == prefix);
        match found {
            Some(declaration) => Ok(declaration.uri),
            None if prefix.is_empty() => Ok(""),
            // `xml:` too: C14N inherits its attributes, and no RIM has one
            None => Err(XmlError::Namespace { at }),
        }
    }

    fn resolve_all(&self, raw: &[RawAttribute<'a>]) -> Result<Vec<Attribute<'a>>, XmlError> {
        let mut attributes: Vec<Attribute<'a>> = Vec::with_capacity(raw.len());
        for RawAttribute { prefix, local, value, at } in raw {
            let namespace = if prefix.is_empty() { "" } else { self.resolve(prefix, *at)? };
            if attributes.iter().any(|other| other.namespace == namespace && other.local == *local) {
                return Err(XmlError::DuplicateAttribute { at: *at });
            }
            attributes.push(Attribute { prefix, local, namespace, value: unescape(value, *at, true)? });
        }
        Ok(attributes)
    }
}

fn declare<'a>(
    declarations: &mut Vec<Declaration<'a>>,
    prefix: &'a str,
    uri: &'a str,
    at: usize,
) -> Result<(), XmlError> {
    let known = declarations.iter().any(|declaration| declaration.prefix == prefix);
    let plain = uri.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'&' | b'<' | b'>'));
    if known || uri.is_empty() || !plain || prefix.starts_with("xml") {
        return Err(XmlError::Namespace { at });
    }
    declarations.push(Declaration { prefix, uri });
    Ok(())
}

/// Replaces the five entities. Refuses characters that XML forbids, and those that an XML reader would normalise.
fn unescape(text: &str, at: usize, in_attribute: bool) -> Result<Cow<'_, str>, XmlError> {
    let forbidden = |c: char| match c {
        '\t' | '\n' => in_attribute,
        '<' | '\u{FFFE}' | '\u{FFFF}' | '\r' => true,
        c => c.is_control(),
    };
    if text.contains(forbidden) || (!in_attribute && text.contains("]]>")) {
        return Err(XmlError::NotAllowed { at });
    }
    if !text.contains('&') {
        return Ok(Cow::Borrowed(text));
    }
    let mut pieces = text.split('&');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (entity, rest) = piece.split_once(';').ok_or(XmlError::Malformed { at })?;
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => return Err(XmlError::NotAllowed { at }),
        });
        plain.push_str(rest);
    }
    Ok(Cow::Owned(plain))
}

#[cfg(test)]
mod tests;
