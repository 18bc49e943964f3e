//! Signed reference integrity manifests.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{RIM_ROOT, authority, certificate, rim_root, sha384};
use crate::key::Key;
use crate::x509::{Certificate, Extension};

/// Stands in [`Rim::signed_info`] for the digest of the body.
const DIGEST: &str = "DIGEST";

/// Namespaces that `SignedInfo` inherits, sorted as canonical XML demands.
const INHERITED: &str = concat!(
    r#" xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd""#,
    r#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#""#,
    r#" xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd""#,
    r#" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384""#,
);

const SIGNED_INFO: &str = concat!(
    r#"<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2006/12/xml-c14n11"></ds:CanonicalizationMethod>"#,
    r#"<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"></ds:SignatureMethod>"#,
    r#"<ds:Reference URI=""><ds:Transforms>"#,
    r#"<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>"#,
    r#"<ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"></ds:Transform></ds:Transforms>"#,
    r#"<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#sha384"></ds:DigestMethod>"#,
    "<ds:DigestValue>DIGEST</ds:DigestValue></ds:Reference>",
);

/// One measurement: index, whether it is active, its alternatives.
pub type Golden<'a> = (u8, bool, &'a [[u8; 48]]);

/// A good RIM, to be broken in one place. Digest and signature are made when it is encoded.
#[derive(Debug, Clone)]
pub struct Rim {
    /// The document without signature, in canonical form.
    pub body: String,
    /// The content of `SignedInfo` in canonical form; `DIGEST` stands for the digest.
    pub signed_info: String,
    /// Signer, two authorities, root.
    pub chain: Vec<Certificate>,
    /// The key that signs.
    pub signed_by: Key,
}

impl Rim {
    /// A RIM for a product (`GH100`), an edition (`GPU` or `SWITCH`) and a version.
    pub fn new(product: &str, edition: &str, version: &str, golden: &[Golden<'_>]) -> Self {
        let signer = "Test RIM Signer";
        let key = Key::p384(signer);
        Self {
            body: body(product, edition, version, golden),
            signed_info: SIGNED_INFO.to_owned(),
            chain: vec![
                certificate(signer, "Test Reference Value L3", &key, vec![Extension::key_usage(&[0])]),
                authority("Test Reference Value L3", "Test Reference Value CA"),
                authority("Test Reference Value CA", RIM_ROOT),
                rim_root(),
            ],
            signed_by: key,
        }
    }

    /// The signed document.
    pub fn encode(&self) -> String {
        let digest = STANDARD.encode(sha384(self.body.as_bytes()));
        let info = self.signed_info.replace(DIGEST, &digest);
        let signed = format!("<ds:SignedInfo{INHERITED}>{info}</ds:SignedInfo>");
        let value = STANDARD.encode(self.signed_by.sign_fixed(signed.as_bytes()));
        let mut signature = format!(
            "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo>{info}</ds:SignedInfo>\
             <ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>"
        );
        for certificate in &self.chain {
            let base64 = STANDARD.encode(certificate.der());
            let _ = write!(signature, "<ds:X509Certificate>{base64}\n</ds:X509Certificate>");
        }
        signature.push_str("</ds:X509Data></ds:KeyInfo></ds:Signature></SoftwareIdentity>");
        self.body.replace("</SoftwareIdentity>", &signature)
    }
}

fn body(product: &str, edition: &str, version: &str, golden: &[Golden<'_>]) -> String {
    let mut body = format!(
        concat!(
            r#"<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" "#,
            r#"xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" "#,
            r#"xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" name="{product}" tagId="test" tagVersion="0">"#,
            "\n    <ns0:Entity name=\"NVIDIA Corporation\" role=\"softwareCreator tagCreator\"></ns0:Entity>\n",
            "    <ns0:Meta colloquialVersion=\"{version}\" edition=\"{edition}\" product=\"{product}\"></ns0:Meta>\n",
            "    <ns0:Payload>\n",
        ),
        product = product,
        version = version,
        edition = edition,
    );
    for (index, active, alternatives) in golden {
        let active = if *active { "True" } else { "False" };
        let _ = write!(body, "<ns0:Resource active=\"{active}\" alternatives=\"{}\" ", alternatives.len());
        let _ =
            write!(body, "index=\"{index}\" name=\"Measurement_{index}\" size=\"48\" type=\"Measurement\"");
        for (number, digest) in alternatives.iter().enumerate() {
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = write!(body, " ns2:Hash{number}=\"{hex}\"");
        }
        body.push_str("></ns0:Resource>\n");
    }
    body.push_str("    </ns0:Payload>\n</SoftwareIdentity>");
    body
}
