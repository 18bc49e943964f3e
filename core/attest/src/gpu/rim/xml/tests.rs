use super::*;

fn refused(document: &str) -> XmlError {
    parse(document.as_bytes()).unwrap_err()
}

#[test]
fn namespaces_are_resolved() {
    let root = parse(br#"<a xmlns="u:1" xmlns:p="u:2" p:x="1" x="2"><p:b/><b xmlns="u:3"/></a>"#).unwrap();
    assert!(root.is("u:1", "a"));
    assert_eq!(root.attribute_in("u:2", "x"), Some("1"));
    assert_eq!(root.attribute("x"), Some("2"));
    let names: Vec<_> = root.elements().map(|child| child.namespace).collect();
    assert_eq!(names, ["u:2", "u:3"]);
}

#[test]
fn the_five_entities_are_read_and_no_other() {
    let root = parse(b"<a x='&quot;&apos;'>&lt;&gt;&amp;amp;</a>").unwrap();
    assert_eq!(root.text(), Some("<>&amp;"));
    assert_eq!(root.attribute("x"), Some("\"'"));
    assert_eq!(refused("<a>&nbsp;</a>"), XmlError::NotAllowed { at: 3 });
    assert_eq!(refused("<a>&#65;</a>"), XmlError::NotAllowed { at: 3 });
    assert_eq!(refused("<a>&amp</a>"), XmlError::Malformed { at: 3 });
}

#[test]
fn what_no_rim_has_is_refused() {
    for document in
        ["<?xml version=\"1.0\"?><a/>", "<!DOCTYPE a><a/>", "<!--c--><a/>", "<a/><!--c-->", "<a/><?p?>"]
    {
        assert!(matches!(refused(document), XmlError::NotAllowed { .. }), "{document}");
    }
    for inner in ["<!--c-->", "<![CDATA[c]]>", "<?p?>", "\r", "]]>", "\u{1}"] {
        assert!(matches!(refused(&format!("<a>{inner}</a>")), XmlError::NotAllowed { at: 3 }), "{inner:?}");
    }
    for value in ["\t", "\n", "<"] {
        assert_eq!(refused(&format!("<a x='{value}'/>")), XmlError::NotAllowed { at: 3 }, "{value:?}");
    }
}

#[test]
fn broken_documents_are_malformed() {
    for document in [
        "",
        " ",
        "a",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "<a x/>",
        "<a x=1/>",
        "<a x='1'y='2'/>",
        "<a",
        "<1/>",
    ] {
        assert!(matches!(refused(document), XmlError::Malformed { .. }), "{document}");
    }
    assert_eq!(parse(b"<a>\xFF</a>").unwrap_err(), XmlError::Encoding);
}

#[test]
fn namespaces_cannot_be_unclear() {
    for document in [
        "<p:a/>",
        "<a p:x='1'/>",
        "<a xmlns:p=''/>",
        "<a xmlns=''/>",
        "<a xmlns:p='u' xmlns:p='v'/>",
        "<a xmlns:xml='u'/>",
        "<a xml:lang='en'/>",
        "<a xmlns='u&amp;'/>",
    ] {
        assert_eq!(
            refused(document),
            XmlError::Namespace { at: if document.starts_with("<p") { 0 } else { refused_at(document) } }
        );
    }
    let twice = "<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>";
    assert!(matches!(refused(twice), XmlError::DuplicateAttribute { .. }));
    assert!(matches!(refused("<a x='1' x='1'/>"), XmlError::DuplicateAttribute { at: 9 }));
}

/// Where the last attribute begins: the one at fault.
fn refused_at(document: &str) -> usize {
    document.rfind(' ').unwrap() + 1
}

#[test]
fn size_is_bounded() {
    let deep = format!("{}{}", "<a>".repeat(MAX_DEPTH + 1), "</a>".repeat(MAX_DEPTH + 1));
    assert!(matches!(refused(&deep), XmlError::TooComplex { .. }));
    let wide = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
    assert!(matches!(refused(&wide), XmlError::TooComplex { .. }));
    let attributes: String = (0..=MAX_ATTRIBUTES).map(|number| format!(" x{number}='1'")).collect();
    assert!(matches!(refused(&format!("<a{attributes}/>")), XmlError::TooComplex { .. }));
    let long = " ".repeat(MAX_DOCUMENT + 1);
    assert_eq!(refused(&long), XmlError::TooLong { len: MAX_DOCUMENT + 1 });
}
