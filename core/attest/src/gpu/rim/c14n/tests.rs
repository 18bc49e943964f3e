use super::super::xml;
use super::*;

fn canonical(text: &str) -> String {
    String::from_utf8(document(&xml::parse(text.as_bytes()).unwrap(), None)).unwrap()
}

#[test]
fn documents_become_canonical() {
    for (input, expected) in [
        ("<a/>", "<a></a>"),
        ("<a  y = '1'\n x=\"2\" ></a >\n", r#"<a x="2" y="1"></a>"#),
        (
            r#"<a xmlns:q="u:2" xmlns:p="u:9" xmlns="u:1" p:a="1" q:b="2" c="3"/>"#,
            r#"<a xmlns="u:1" xmlns:p="u:9" xmlns:q="u:2" c="3" q:b="2" p:a="1"></a>"#,
        ),
        // declared again with the same value: left out; with another: kept, and kept again on the way back
        (
            r#"<a xmlns:p="u:1"><p:b xmlns:p="u:1"/><p:b xmlns:p="u:2"><c xmlns:p="u:1"/></p:b></a>"#,
            r#"<a xmlns:p="u:1"><p:b></p:b><p:b xmlns:p="u:2"><c xmlns:p="u:1"></c></p:b></a>"#,
        ),
        // unused declarations stay: it is not the exclusive form
        (r#"<a><b xmlns:p="u:1"/></a>"#, r#"<a><b xmlns:p="u:1"></b></a>"#),
        (
            "<a x='&quot;&apos;&lt;&gt;&amp;'>\"'&lt;&gt;&amp;\n\t é</a>",
            "<a x=\"&quot;'&lt;>&amp;\">\"'&lt;&gt;&amp;\n\t é</a>",
        ),
    ] {
        assert_eq!(canonical(input), expected);
        assert_eq!(canonical(expected), expected);
    }
}

#[test]
fn the_left_out_child_leaves_the_text_around_it() {
    let root = xml::parse(b"<a>1<b/>2<c/>3</a>").unwrap();
    assert_eq!(document(&root, Some(1)), b"<a>12<c></c>3</a>");
}

#[test]
fn a_subset_inherits_declarations() {
    let root = xml::parse(br#"<a xmlns="u:1" xmlns:p="u:2"><p:b xmlns:p="u:3" xmlns:q="u:4"><c xmlns:q="u:5" x="1"><d/></c></p:b></a>"#).unwrap();
    let b = root.elements().next().unwrap();
    let c = b.elements().next().unwrap();
    let expected = r#"<c xmlns="u:1" xmlns:p="u:3" xmlns:q="u:5" x="1"><d></d></c>"#;
    assert_eq!(String::from_utf8(subset(c, &[&root, b])).unwrap(), expected);
}
