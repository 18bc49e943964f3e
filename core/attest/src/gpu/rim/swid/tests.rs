use super::super::xml;
use super::*;

const ZERO: &str =
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";

fn resource() -> String {
    format!(
        r#"<Resource type="Measurement" index="0" active="True" alternatives="1" h:Hash0="{ZERO}" name="M" size="48"/>"#
    )
}

fn tag() -> String {
    format!(
        concat!(
            r#"<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" "#,
            r#"xmlns:h="http://www.w3.org/2001/04/xmlenc#sha384" name="GH100" tagId="1">"#,
            r#"<Entity/><Meta colloquialVersion="1.2" edition="GPU" product="GH100"/>"#,
            "<Payload>{}</Payload></SoftwareIdentity>"
        ),
        resource()
    )
}

fn read(text: &str) -> Result<Rim, SwidError> {
    Rim::read(&xml::parse(text.as_bytes()).unwrap())
}

fn refused(from: &str, to: &str) -> SwidError {
    let changed = tag().replacen(from, to, 1);
    assert_ne!(changed, tag(), "the change must change something");
    read(&changed).unwrap_err()
}

#[test]
fn a_tag_is_read() {
    let rim = read(&tag()).unwrap();
    assert_eq!((rim.product.as_str(), rim.version.as_str(), rim.kind), ("GH100", "1.2", RimKind::Gpu));
    let golden = Golden { index: 0, active: true, name: "M".to_owned(), alternatives: vec![[0; 48]] };
    assert_eq!(rim.golden, [golden]);
}

#[test]
fn elements_must_be_a_tags() {
    let of = |element| SwidError::Element { element };
    assert_eq!(refused("2015/schema", "2014/schema"), of("SoftwareIdentity"));
    assert_eq!(refused("<Entity/>", "<Other/>"), of("SoftwareIdentity"));
    assert_eq!(refused("<Entity/>", "text"), of("SoftwareIdentity"));
    assert_eq!(refused("<Entity/>", r#"<Meta product="GB100"/>"#), of("Meta"));
    assert_eq!(refused("<Entity/>", "<Payload/>"), of("Payload"));
    assert_eq!(refused("<Resource", "<File"), of("Resource"));
}

#[test]
fn attributes_must_be_there() {
    let of = |attribute| SwidError::Attribute { attribute };
    assert_eq!(refused(r#"edition="GPU""#, r#"edition="NIC""#), of("edition"));
    assert_eq!(refused(r#"colloquialVersion="1.2""#, ""), of("colloquialVersion"));
    assert_eq!(refused(r#"name="GH100""#, r#"name="GB100""#), of("name"));
    assert_eq!(refused(r#"tagId="1""#, r#"tagId="""#), of("tagId"));
}

#[test]
fn measurements_must_be_clear() {
    let of = |attribute| SwidError::Measurement { position: 0, attribute };
    assert_eq!(refused(r#"type="Measurement""#, r#"type="File""#), of("type"));
    assert_eq!(refused(r#"size="48""#, r#"size="32""#), of("size"));
    for index in ["255", "256", "-1", "+1", "01", ""] {
        assert_eq!(refused(r#"index="0""#, &format!("index=\"{index}\"")), of("index"), "{index}");
    }
    assert_eq!(refused(r#"active="True""#, r#"active="true""#), of("active"));
    for count in ["0", "2", "17"] {
        let attribute = format!("alternatives=\"{count}\"");
        assert_eq!(refused(r#"alternatives="1""#, &attribute), of("alternatives"), "{count}");
    }
    assert_eq!(refused("h:Hash0", "h:Hash1"), of("Hash"));
    assert_eq!(refused("=\"0000", "=\"00"), of("Hash"));
    assert_eq!(refused("=\"0000", "=\"00x0"), of("Hash"));
    assert_eq!(
        refused("</Payload>", &format!("{}</Payload>", resource())),
        SwidError::DuplicateIndex { index: 0 }
    );
}
