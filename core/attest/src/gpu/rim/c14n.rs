//! Canonical XML 1.1 without comments, for the XML that [`super::xml`] reads.
//!
//! There are no comments, processing instructions, carriage returns or `xml:` attributes in it, which leaves: namespace declarations
//! where they change something, sorted; attributes, sorted; text, escaped. <https://www.w3.org/TR/xml-c14n11/>

use super::xml::{Attribute, Declaration, Element, Node};

/// The document under `root` without its child number `without`, if any: what the enveloped-signature transform leaves.
pub(super) fn document(root: &Element<'_>, without: Option<usize>) -> Vec<u8> {
    let mut writer = Writer { out: String::with_capacity(32 * 1024), scope: Vec::new() };
    writer.element(root, without);
    writer.out.into_bytes()
}

/// One element out of a document: it carries the declarations of its ancestors, outermost first.
pub(super) fn subset(element: &Element<'_>, ancestors: &[&Element<'_>]) -> Vec<u8> {
    let mut inherited = Vec::new();
    for declaration in ancestors.iter().flat_map(|ancestor| &ancestor.declarations) {
        set(&mut inherited, *declaration);
    }
    for declaration in &element.declarations {
        set(&mut inherited, *declaration);
    }
    let mut writer = Writer { out: String::with_capacity(2048), scope: Vec::new() };
    writer.tag(element, &inherited, None);
    writer.out.into_bytes()
}

fn set<'a>(scope: &mut Vec<Declaration<'a>>, declaration: Declaration<'a>) {
    scope.retain(|known| known.prefix != declaration.prefix);
    scope.push(declaration);
}

struct Writer<'a> {
    out: String,
    /// What the written ancestors declare, innermost last.
    scope: Vec<Declaration<'a>>,
}

impl<'a> Writer<'a> {
    fn element(&mut self, element: &Element<'a>, without: Option<usize>) {
        self.tag(element, &element.declarations, without);
    }

    fn tag(&mut self, element: &Element<'a>, declarations: &[Declaration<'a>], without: Option<usize>) {
        let outer = self.scope.len();
        self.out.push('<');
        self.name(element.prefix, element.local);
        self.declarations(declarations);
        self.attributes(&element.attributes);
        self.out.push('>');
        for (number, child) in element.children.iter().enumerate() {
            match child {
                _ if without == Some(number) => {}
                Node::Element(child) => self.element(child, None),
                Node::Text(text) => self.text(text),
            }
        }
        self.out.push_str("</");
        self.name(element.prefix, element.local);
        self.out.push('>');
        self.scope.truncate(outer);
    }

    /// Only those that change what is in force, by prefix.
    fn declarations(&mut self, declarations: &[Declaration<'a>]) {
        let mut new: Vec<Declaration<'a>> = declarations
            .iter()
            .copied()
            .filter(|declaration| {
                let in_force = self.scope.iter().rev().find(|known| known.prefix == declaration.prefix);
                in_force.is_none_or(|known| known.uri != declaration.uri)
            })
            .collect();
        new.sort_unstable_by_key(|declaration| declaration.prefix);
        for declaration in &new {
            self.out.push_str(if declaration.prefix.is_empty() { " xmlns" } else { " xmlns:" });
            self.out.push_str(declaration.prefix);
            self.value(declaration.uri);
        }
        self.scope.append(&mut new);
    }

    /// By namespace, then by name.
    fn attributes(&mut self, attributes: &[Attribute<'a>]) {
        let mut sorted: Vec<&Attribute<'a>> = attributes.iter().collect();
        sorted.sort_unstable_by_key(|attribute| (attribute.namespace, attribute.local));
        for attribute in sorted {
            self.out.push(' ');
            self.name(attribute.prefix, attribute.local);
            self.value(&attribute.value);
        }
    }

    fn name(&mut self, prefix: &str, local: &str) {
        if !prefix.is_empty() {
            self.out.push_str(prefix);
            self.out.push(':');
        }
        self.out.push_str(local);
    }

    fn value(&mut self, value: &str) {
        self.out.push_str("=\"");
        for c in value.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '"' => self.out.push_str("&quot;"),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                c => self.out.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests;
