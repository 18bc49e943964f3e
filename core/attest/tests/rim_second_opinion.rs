//! Signatures of RIMs beside a second implementation: the program `xmlsec1`, over RIMs of the test PKI, genuine ones where the
//! repository's neighbour `shared/evidence` has them, and mutations of both.
//!
//! The one thing that must not happen is that we accept what the other refuses. That we refuse more is meant: one algorithm of
//! each kind, no entities, no comments, no second reference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "says what it skips, and the figures")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use privatemode_attest::{UnixTime, gpu::Roots, gpu::rim, x509::Certificate};
use privatemode_test_pki::nvidia::{self, Rim};

/// Mutations of one byte for each document, spread evenly.
const BYTES: usize = 96;

#[derive(Debug, Default)]
struct Table {
    both_accept: usize,
    both_refuse: usize,
    refused_by_us_alone: usize,
    accepted_by_us_alone: Vec<String>,
}

struct Judges {
    roots: Roots,
    root_pem: PathBuf,
    now: UnixTime,
    folder: tempfile::TempDir,
}

impl Judges {
    fn new(roots: Roots, now: UnixTime) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root_pem = folder.path().join("root.pem");
        let pem = pem_of(roots.rim().der());
        fs::write(&root_pem, pem).unwrap();
        Self { roots, root_pem, now, folder }
    }

    fn ours(&self, xml: &[u8]) -> bool {
        rim::verify(xml, &self.roots, self.now).is_ok()
    }

    fn theirs(&self, xml: &[u8]) -> bool {
        let file = self.folder.path().join("rim.xml");
        fs::write(&file, xml).unwrap();
        let time = self.now.to_string();
        let time = time.trim_end_matches('Z').replace('T', " ");
        Command::new("xmlsec1")
            .args(["--verify", "--trusted-pem"])
            .arg(&self.root_pem)
            .args(["--verification-gmt-time", &time])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    fn compare(&self, what: &str, xml: &[u8], table: &mut Table) {
        match (self.ours(xml), self.theirs(xml)) {
            (true, true) => table.both_accept += 1,
            (false, false) => table.both_refuse += 1,
            (false, true) => table.refused_by_us_alone += 1,
            (true, false) => table.accepted_by_us_alone.push(what.to_owned()),
        }
    }
}

fn pem_of(der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Whole-text changes: what a forger tries, and what a reader may take for the same.
fn edits(xml: &str) -> Vec<(&'static str, String)> {
    let once = |from: &str, to: &str| xml.replacen(from, to, 1);
    let all = |from: &str, to: &str| xml.replace(from, to);
    let signature = || -> Option<&str> {
        let start = xml.find("<ds:Signature ")?;
        let end = xml.find("</ds:Signature>")? + "</ds:Signature>".len();
        xml.get(start..end)
    };
    let signature = signature().unwrap_or_default();
    let reference = xml
        .find("<ds:Reference")
        .and_then(|start| xml.get(start..xml.find("</ds:Reference>")? + "</ds:Reference>".len()))
        .unwrap_or_default();
    let first_certificate = xml
        .find("<ds:X509Certificate>")
        .and_then(|start| xml.get(start..xml.find("</ds:X509Certificate>")? + "</ds:X509Certificate>".len()))
        .unwrap_or_default();
    vec![
        ("unchanged", xml.to_owned()),
        ("a declaration before", format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{xml}")),
        ("white space after", format!("{xml}\n\n")),
        ("white space before", format!("\n{xml}")),
        ("a byte order mark", format!("\u{feff}{xml}")),
        ("a comment before", format!("<!-- a --->{xml}")),
        ("a comment in front", format!("<!-- a -->{xml}")),
        ("a comment within", once("<ds:SignedInfo>", "<!-- a --><ds:SignedInfo>")),
        ("a comment in the body", once("</SoftwareIdentity>", "<!-- a --></SoftwareIdentity>")),
        ("a comment in the digest", once("<ds:DigestValue>", "<ds:DigestValue><!-- a -->")),
        ("a processing instruction", once("</SoftwareIdentity>", "<?a b?></SoftwareIdentity>")),
        ("a document type", format!("<!DOCTYPE SoftwareIdentity [<!ENTITY a \"b\">]>{xml}")),
        ("an entity in an attribute", once("role=\"", "role=\"&amp;")),
        ("a character reference for a letter", once("NVIDIA", "&#78;VIDIA")),
        ("a CDATA section", once("</SoftwareIdentity>", "<![CDATA[ ]]></SoftwareIdentity>")),
        ("carriage returns", all("\n", "\r\n")),
        ("tabs for blanks", once("    <", "\t<")),
        ("white space in a tag", once("<ds:SignedInfo>", "<ds:SignedInfo >")),
        ("white space in an end tag", once("</ds:SignedInfo>", "</ds:SignedInfo >")),
        ("an empty-element tag", once("></ds:CanonicalizationMethod>", "/>")),
        ("single quotes", once("URI=\"\"", "URI=''")),
        ("an attribute more", once("<SoftwareIdentity ", "<SoftwareIdentity a=\"b\" ")),
        ("an attribute twice", once("<SoftwareIdentity ", "<SoftwareIdentity name=\"b\" ")),
        ("a namespace more", once("<SoftwareIdentity ", "<SoftwareIdentity xmlns:a=\"b\" ")),
        ("a namespace on the signature", once("<ds:Signature ", "<ds:Signature xmlns:a=\"b\" ")),
        ("a namespace on the signed info", once("<ds:SignedInfo>", "<ds:SignedInfo xmlns:a=\"b\">")),
        ("a text in the body", once("</SoftwareIdentity>", "a</SoftwareIdentity>")),
        ("an element more", once("</SoftwareIdentity>", "<a></a></SoftwareIdentity>")),
        ("a signature twice", once(signature, &format!("{signature}{signature}"))),
        ("no signature", once(signature, "")),
        ("a reference twice", once(reference, &format!("{reference}{reference}"))),
        ("no reference", once(reference, "")),
        ("a reference to a part", once("URI=\"\"", "URI=\"#a\"")),
        ("a reference to a file", once("URI=\"\"", "URI=\"file:///dev/null\"")),
        ("a reference without URI", once(" URI=\"\"", "")),
        ("a reference with comments", once("URI=\"\"", "URI=\"#xpointer(/)\"")),
        (
            "no enveloped transform",
            once(
                "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
                "http://www.w3.org/2006/12/xml-c14n11",
            ),
        ),
        ("canonical form with comments", all("xml-c14n11", "xml-c14n11#WithComments")),
        (
            "another canonical form",
            all("http://www.w3.org/2006/12/xml-c14n11", "http://www.w3.org/2001/10/xml-exc-c14n#"),
        ),
        (
            "SHA-256 of the body",
            once("http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha256"),
        ),
        (
            "SHA-1 of the body",
            once("http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2000/09/xmldsig#sha1"),
        ),
        ("ECDSA with SHA-256", once("xmldsig-more#ecdsa-sha384", "xmldsig-more#ecdsa-sha256")),
        (
            "HMAC",
            once(
                "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
                "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
            ),
        ),
        ("no certificates", once("<ds:X509Data>", "<ds:KeyName>a</ds:KeyName><ds:X509Data>")),
        ("no leaf", once(first_certificate, "")),
        ("a leaf twice", once(first_certificate, &format!("{first_certificate}{first_certificate}"))),
        ("white space in the digest", once("<ds:DigestValue>", "<ds:DigestValue>\n ")),
        ("white space in the value", once("<ds:SignatureValue>", "<ds:SignatureValue>\n ")),
        (
            "an empty value",
            once("<ds:SignatureValue>", "<ds:SignatureValue></ds:SignatureValue><ds:SignatureValue>"),
        ),
        ("another version", once("colloquialVersion=\"", "colloquialVersion=\"9")),
        ("another product", once("product=\"", "product=\"A")),
        ("an active measurement", once("active=\"False\"", "active=\"True\"")),
        ("an inactive measurement", once("active=\"True\"", "active=\"False\"")),
        ("another name space", once("2015/schema.xsd", "2015/schema.xsd#")),
        ("a prefix for the signature", all("ds:", "dsig:")),
        ("a wrapper", format!("<a>{xml}</a>")),
        ("twice", format!("{xml}{xml}")),
        ("cut", xml.get(..xml.len() - 1).unwrap_or_default().to_owned()),
        ("empty", String::new()),
    ]
}

/// One byte changed, at places spread over the document: to another letter, and to a blank.
fn bytes(xml: &[u8]) -> Vec<(String, Vec<u8>)> {
    let step = (xml.len() / BYTES).max(1);
    let mut all = Vec::new();
    for place in (step / 2..xml.len()).step_by(step) {
        for to in [xml[place] ^ 1, b' '] {
            let mut changed = xml.to_vec();
            changed[place] = to;
            all.push((format!("byte {place} becomes {to:#x}"), changed));
        }
    }
    all
}

fn has_xmlsec() -> bool {
    let found = Command::new("xmlsec1").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("SKIPPED: there is no program `xmlsec1`, so RIM signatures have no second opinion here");
    }
    found
}

fn judge(name: &str, judges: &Judges, documents: &[(String, Vec<u8>)]) -> Table {
    let mut table = Table::default();
    for (document, xml) in documents {
        for (what, changed) in edits(std::str::from_utf8(xml).unwrap()) {
            judges.compare(&format!("{document}: {what}"), changed.as_bytes(), &mut table);
        }
        for (what, changed) in bytes(xml) {
            judges.compare(&format!("{document}: {what}"), &changed, &mut table);
        }
    }
    let Table { both_accept, both_refuse, refused_by_us_alone, accepted_by_us_alone } = &table;
    eprintln!(
        "{name}: {} documents; accepted by both {both_accept}, refused by both {both_refuse}, refused by us alone \
         {refused_by_us_alone}, accepted by us alone {}",
        documents.len(),
        accepted_by_us_alone.len()
    );
    table
}

#[test]
#[ignore = "starts a process for each of some 500 mutations; run it with --ignored where xmlsec1 is installed"]
fn rims_of_the_test_pki() {
    if !has_xmlsec() {
        return;
    }
    let parse =
        |certificate: privatemode_test_pki::Certificate| Certificate::parse_der(&certificate.der()).unwrap();
    let roots = Roots::danger_test(parse(nvidia::device_root()), parse(nvidia::rim_root()));
    let judges = Judges::new(roots, UnixTime(nvidia::NOW));
    let golden: &[nvidia::Golden<'_>] = &[(0, true, &[[1; 48]]), (1, false, &[[9; 48], [8; 48]])];
    let documents: Vec<(String, Vec<u8>)> =
        [("GH100", "GPU", "550.90.07"), ("LS10", "SWITCH", "96.10.55.00.01")]
            .map(|(product, edition, version)| {
                (product.to_owned(), Rim::new(product, edition, version, golden).encode().into_bytes())
            })
            .into();
    for (name, xml) in &documents {
        assert!(judges.ours(xml) && judges.theirs(xml), "{name} is good");
    }
    let table = judge("RIMs of the test PKI", &judges, &documents);
    assert_eq!(table.accepted_by_us_alone, Vec::<String>::new());
    assert!(table.both_accept > documents.len() && table.both_refuse > 100, "{table:?}");
}

#[test]
#[ignore = "starts a process for each of some 1,000 mutations; run it with --ignored where xmlsec1 is installed"]
fn genuine_rims() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/evidence/nvidia");
    if !folder.is_dir() {
        eprintln!("SKIPPED: there is no real evidence at {}", folder.display());
        return;
    }
    if !has_xmlsec() {
        return;
    }
    let judges = Judges::new(Roots::embedded(), UnixTime::parse_rfc3339("2025-09-01T00:00:00Z").unwrap());
    let mut documents = Vec::new();
    for case in fs::read_dir(&folder).unwrap() {
        let Ok(rims) = fs::read_dir(case.unwrap().path().join("rims")) else { continue };
        for rim in rims {
            let path = rim.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            documents.push((name, fs::read(&path).unwrap()));
        }
    }
    documents.sort();
    let mut table = Table::default();
    for (name, xml) in &documents {
        judges.compare(name, xml, &mut table);
    }
    eprintln!("genuine RIMs as they are: {table:?}");
    assert_eq!(table.accepted_by_us_alone, Vec::<String>::new());
    // those that both accept, mutated: four, for each takes a process for each of its mutations
    documents.retain(|(_, xml)| judges.ours(xml));
    assert!(!documents.is_empty());
    documents.truncate(4);
    let table = judge("genuine RIMs", &judges, &documents);
    assert_eq!(table.accepted_by_us_alone, Vec::<String>::new());
    assert!(table.both_refuse > 100, "{table:?}");
}
