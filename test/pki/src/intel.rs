//! Intel TDX: root, PCK authority, PCK certificate, TCB signing certificate, revocation lists, TCB info, QE identity and
//! quotes of versions 4 and 5.
//!
//! Structure, names and identifiers as Intel's provisioning certification service version 4 has them; the quote as the
//! DCAP quoting library writes it.

mod document;
mod quote;

pub use crate::time::NOW;
pub use document::{IsvLevel, Level, Module, QeIdentity, TcbInfo};
pub use quote::{Body, QeReport, Quote, body, qe};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::der;
use crate::key::Key;
use crate::time::DAY;
use crate::x509::{Certificate, Crl, Extension, Name};

/// Identifier of the extension that describes the platform.
pub const SGX_EXTENSION: &str = "1.2.840.113741.1.13.1";

/// What the PCK certificate says about its platform.
#[derive(Debug, Clone)]
pub struct Platform {
    /// Security versions of the SGX components.
    pub components: [u8; 16],
    /// Security version of the provisioning enclave.
    pub pce_svn: u16,
    /// Identity of the provisioning enclave.
    pub pce_id: [u8; 2],
    /// Family, model, stepping, platform, custom SKU.
    pub fmspc: [u8; 6],
    /// 0 standard, 1 scalable, 2 scalable with integrity.
    pub sgx_type: u8,
    /// Only under the platform authority.
    pub instance: Option<[u8; 16]>,
    /// Dynamic platform, cached keys, SMT; only under the platform authority.
    pub flags: Option<[bool; 3]>,
}

/// A good set, to be broken in one place. Its fields are signed when it is encoded, by [`Evidence::encode`].
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The root.
    pub root: Certificate,
    /// The PCK authority, as the collateral and the quote have it.
    pub pck_ca: Certificate,
    /// The platform's certificate; its SGX extension is written from `platform`, if it is there.
    pub pck: Certificate,
    /// What that extension says.
    pub platform: Platform,
    /// The certificate under which TCB info and QE identity are signed.
    pub tcb_signer: Certificate,
    /// The root's revocation list.
    pub root_crl: Crl,
    /// The PCK authority's revocation list.
    pub pck_crl: Crl,
    /// The platform's levels.
    pub tcb_info: TcbInfo,
    /// The key that signs TCB info.
    pub tcb_info_signed_by: Key,
    /// The quoting enclave.
    pub qe_identity: QeIdentity,
    /// The key that signs the QE identity.
    pub qe_identity_signed_by: Key,
    /// The quote.
    pub quote: Quote,
}

/// The encoded set.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The root, DER.
    pub root: Vec<u8>,
    /// PCK certificate, authority, root: PEM.
    pub pck_chain: Vec<u8>,
    /// Answer about TCB info: JSON.
    pub tcb_info: Vec<u8>,
    /// Answer about the quoting enclave: JSON.
    pub qe_identity: Vec<u8>,
    /// TCB signing certificate, root: PEM.
    pub tcb_signing_chain: Vec<u8>,
    /// DER.
    pub pck_crl: Vec<u8>,
    /// PCK authority, root: PEM.
    pub pck_crl_issuer_chain: Vec<u8>,
    /// DER.
    pub root_ca_crl: Vec<u8>,
    /// The signed quote.
    pub quote: Vec<u8>,
}

impl Evidence {
    /// A genuine set at [`NOW`]: version 4 with a TDX 1.0 report, or version 5 with a report of either.
    pub fn new(version: u16, body: Body) -> Self {
        let [root_key, ca_key, pck_key, tcb_key] =
            ["root", "PCK CA", "PCK", "TCB signing"].map(|name| Key::p256(&format!("Intel {name}")));
        let [root_name, ca_name, pck_name, tcb_name] = [
            "Intel SGX Root CA",
            "Intel SGX PCK Platform CA",
            "Intel SGX PCK Certificate",
            "Intel SGX TCB Signing",
        ]
        .map(name);
        let certificate =
            |serial: u8, issuer: &Name, by: &Key, subject: &Name, key: &Key, extensions| Certificate {
                serial: vec![0x2d, 0, serial],
                issuer: issuer.clone(),
                subject: subject.clone(),
                not_before: NOW - 1000 * DAY,
                not_after: NOW + 2000 * DAY,
                key: key.clone(),
                extensions,
                signed_by: by.clone(),
                algorithm: by.usual_algorithm(),
            };
        let authority = |length| vec![Extension::key_usage(&[5, 6]), Extension::authority(Some(length))];
        let list = |issuer: &Name, by: &Key| Crl {
            issuer: issuer.clone(),
            this_update: NOW - 10 * DAY,
            next_update: NOW + 20 * DAY,
            revoked: vec![(vec![9, 9, 9], NOW - 60 * DAY)],
            extensions: vec![Extension::new("2.5.29.20", der::number(1))],
            signed_by: by.clone(),
            algorithm: by.usual_algorithm(),
        };
        let mut leaf = leaf_extensions();
        leaf.push(Extension::new(SGX_EXTENSION, Vec::new()));
        Self {
            root: certificate(1, &root_name, &root_key, &root_name, &root_key, authority(1)),
            pck_ca: certificate(2, &root_name, &root_key, &ca_name, &ca_key, authority(0)),
            pck: certificate(3, &ca_name, &ca_key, &pck_name, &pck_key, leaf),
            platform: Platform {
                components: [5, 5, 2, 2, 3, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
                pce_svn: 11,
                pce_id: [0, 0],
                fmspc: [0x90, 0xc0, 0x6f, 0, 0, 0],
                sgx_type: 1,
                instance: Some([0x1d; 16]),
                flags: Some([true, false, true]),
            },
            tcb_signer: certificate(4, &root_name, &root_key, &tcb_name, &tcb_key, leaf_extensions()),
            root_crl: list(&root_name, &root_key),
            pck_crl: list(&ca_name, &ca_key),
            tcb_info: TcbInfo::good(),
            tcb_info_signed_by: tcb_key.clone(),
            qe_identity: QeIdentity::good(),
            qe_identity_signed_by: tcb_key,
            quote: Quote::good(version, body, &pck_key),
        }
    }

    /// Signs and encodes everything.
    pub fn encode(&self) -> Encoded {
        let (root, ca, pck) = (self.root.der(), self.pck_ca.der(), self.pck_der());
        let pck_chain = pem(&[&pck, &ca, &root]);
        Encoded {
            tcb_info: answer("tcbInfo", &self.tcb_info.json(), &self.tcb_info_signed_by),
            qe_identity: answer("enclaveIdentity", &self.qe_identity.json(), &self.qe_identity_signed_by),
            tcb_signing_chain: pem(&[&self.tcb_signer.der(), &root]),
            pck_crl: self.pck_crl.der(),
            pck_crl_issuer_chain: pem(&[&ca, &root]),
            root_ca_crl: self.root_crl.der(),
            quote: self.quote.encode(&pck_chain),
            pck_chain,
            root,
        }
    }

    /// The platform's certificate in DER.
    pub fn pck_der(&self) -> Vec<u8> {
        let mut pck = self.pck.clone();
        for extension in pck.extensions.iter_mut().filter(|each| each.oid == SGX_EXTENSION) {
            if extension.value.is_empty() {
                extension.value = self.platform.extension();
            }
        }
        pck.der()
    }
}

impl Platform {
    /// The value of the SGX extension.
    pub fn extension(&self) -> Vec<u8> {
        let mut tcb: Vec<Vec<u8>> = (1..)
            .zip(self.components)
            .map(|(arc, svn)| field(&format!(".2.{arc}"), der::number(svn.into())))
            .collect();
        tcb.push(field(".2.17", der::number(self.pce_svn.into())));
        tcb.push(field(".2.18", der::octet_string(&self.components)));
        let mut fields = vec![
            field(".1", der::octet_string(&[0x99; 16])),
            field(".2", der::sequence(&tcb)),
            field(".3", der::octet_string(&self.pce_id)),
            field(".4", der::octet_string(&self.fmspc)),
            field(".5", der::tlv(0x0a, &[self.sgx_type])),
        ];
        fields.extend(self.instance.map(|instance| field(".6", der::octet_string(&instance))));
        fields.extend(self.flags.map(|flags| {
            let flags: Vec<Vec<u8>> =
                (1..).zip(flags).map(|(arc, flag)| field(&format!(".7.{arc}"), der::boolean(flag))).collect();
            field(".7", der::sequence(&flags))
        }));
        der::sequence(&fields)
    }
}

fn field(end: &str, value: Vec<u8>) -> Vec<u8> {
    der::sequence(&[der::oid(&format!("{SGX_EXTENSION}{end}")), value])
}

fn leaf_extensions() -> Vec<Extension> {
    let no_authority =
        Extension { oid: "2.5.29.19".to_owned(), critical: true, value: der::sequence::<Vec<u8>>(&[]) };
    vec![Extension::key_usage(&[0, 1]), no_authority]
}

/// The name of Intel's certificates with this common name.
pub fn name(common_name: &str) -> Name {
    Name::new(&[
        ("2.5.4.3", der::utf8(common_name)),
        ("2.5.4.10", der::utf8("Intel Corporation")),
        ("2.5.4.7", der::utf8("Santa Clara")),
        ("2.5.4.8", der::utf8("CA")),
        ("2.5.4.6", der::printable("US")),
    ])
}

/// The service's answer: the signed object as it is, and its signature.
pub fn answer(member: &str, signed: &str, key: &Key) -> Vec<u8> {
    let signature: String =
        key.sign_fixed(signed.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(r#"{{"{member}":{signed},"signature":"{signature}"}}"#).into_bytes()
}

/// Certificates in PEM, 64 characters in a line.
pub fn pem<T: AsRef<[u8]>>(certificates: &[T]) -> Vec<u8> {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in STANDARD.encode(certificate).as_bytes().chunks(64) {
            text.extend(line.iter().copied().map(char::from));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text.into_bytes()
}
