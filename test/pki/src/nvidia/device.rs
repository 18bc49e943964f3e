//! One GPU or switch: its certificates and its signed report.

use super::{DEVICE_ROOT, authority, certificate, device_root, pem, sha384};
use crate::der;
use crate::key::Key;
use crate::x509::{Certificate, Extension};

/// Families of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// GH100.
    Hopper,
    /// GB100; another form of the firmware identifier.
    Blackwell,
    /// NVSwitch; reports neither driver nor firmware identifier.
    Ls10,
}

impl Family {
    fn chip(self) -> &'static str {
        match self {
            Self::Hopper => "GH100",
            Self::Blackwell => "GB100",
            Self::Ls10 => "LS_10",
        }
    }
}

/// Types of opaque fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
#[expect(missing_docs, reason = "named as the report's reader names them")]
pub enum Opaque {
    DriverVersion = 3,
    VbiosVersion = 6,
    Nvdec0 = 11,
    ChipSku = 15,
    Project = 17,
    ProjectSku = 18,
    Fwid = 20,
    ProtectedPcie = 21,
    SwitchPdi = 22,
    ChipInfo = 35,
}

/// A report before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The request's nonce.
    pub nonce: [u8; 32],
    /// Values of the blocks 1, 2, …
    pub blocks: Vec<[u8; 48]>,
    /// Type and value, in order.
    pub opaque: Vec<(u16, Vec<u8>)>,
    /// SPDM version of the request and of the response.
    pub version: u8,
}

impl Report {
    /// Replaces an opaque field.
    pub fn set(&mut self, field: Opaque, value: &[u8]) {
        self.remove(field);
        self.opaque.push((field as u16, value.to_vec()));
    }

    /// Takes an opaque field out.
    pub fn remove(&mut self, field: Opaque) {
        self.opaque.retain(|(kind, _)| *kind != field as u16);
    }

    /// What is signed.
    pub fn unsigned(&self) -> Vec<u8> {
        let mut bytes = vec![self.version, 0xE0, 1, 0xFF];
        bytes.extend(self.nonce);
        bytes.extend([0, self.version, 0x60, 0, 0, self.blocks.len() as u8]);
        bytes.extend(&(self.blocks.len() as u32 * 55).to_le_bytes()[..3]);
        for (number, block) in self.blocks.iter().enumerate() {
            bytes.extend([number as u8 + 1, 1, 51, 0, 1, 48, 0]);
            bytes.extend(block);
        }
        bytes.extend([0x5A; 32]);
        let mut opaque = Vec::new();
        for (kind, value) in &self.opaque {
            opaque.extend(kind.to_le_bytes());
            opaque.extend((value.len() as u16).to_le_bytes());
            opaque.extend(value);
        }
        bytes.extend((opaque.len() as u16).to_le_bytes());
        bytes.extend(opaque);
        bytes
    }
}

/// A good device, to be broken in one place.
#[derive(Debug, Clone)]
pub struct Device {
    /// Leaf, boot ROM, provisioner, family, root.
    pub chain: Vec<Certificate>,
    /// What it says.
    pub report: Report,
    /// The key that signs the report.
    pub report_signed_by: Key,
}

impl Device {
    /// Device number `number` of a family; block `i` has 48 times the value `i`.
    pub fn new(family: Family, number: u8, nonce: [u8; 32]) -> Self {
        let chip = family.chip();
        let (identity, provisioner) = (format!("Test {chip} Identity"), format!("Test {chip} Provisioner"));
        let boot_rom = format!("{chip} A01 BROM {number}");
        let leaf = format!("{chip} A01 GSP FMC LF {number}");
        let fwid = sha384(leaf.as_bytes());
        let key = Key::p384(&leaf);
        let extensions = vec![Extension::key_usage(&[0]), firmware_id(family, &key, &fwid)];
        Self {
            chain: vec![
                certificate(&leaf, &boot_rom, &key, extensions),
                authority(&boot_rom, &provisioner),
                authority(&provisioner, &identity),
                authority(&identity, DEVICE_ROOT),
                device_root(),
            ],
            report: Report {
                nonce,
                blocks: (1..=40).map(|value| [value; 48]).collect(),
                opaque: opaque(family, number, &fwid),
                version: 0x11,
            },
            report_signed_by: key,
        }
    }

    /// Request and response, signed.
    pub fn evidence(&self) -> Vec<u8> {
        let mut bytes = self.report.unsigned();
        bytes.extend(self.report_signed_by.sign_fixed(&bytes));
        bytes
    }

    /// The chain in PEM.
    pub fn chain_pem(&self) -> Vec<u8> {
        pem(&self.chain)
    }
}

fn opaque(family: Family, number: u8, fwid: &[u8]) -> Vec<(u16, Vec<u8>)> {
    if family == Family::Ls10 {
        return vec![
            (Opaque::VbiosVersion as u16, b"96.10.55.00.01".to_vec()),
            (Opaque::SwitchPdi as u16, vec![number, 2, 3, 4, 5, 6, 7, 8]),
        ];
    }
    vec![
        (Opaque::VbiosVersion as u16, vec![0x00, 0x9F, 0x00, 0x96, 0x01, 0, 0, 0]),
        (Opaque::ChipSku as u16, b"882\0\0\0".to_vec()),
        (Opaque::Project as u16, b"1010\0".to_vec()),
        (Opaque::ProjectSku as u16, b"0200\0".to_vec()),
        (Opaque::DriverVersion as u16, b"550.90.07\0".to_vec()),
        (Opaque::Nvdec0 as u16, vec![0xAA]),
        (Opaque::Fwid as u16, fwid.to_vec()),
        (Opaque::ProtectedPcie as u16, vec![0x55]),
    ]
}

/// The leaf's extension with the firmware identifier, critical as the specification of DICE has it.
fn firmware_id(family: Family, key: &Key, fwid: &[u8]) -> Extension {
    let fwid = der::sequence(&[der::oid("2.16.840.1.101.3.4.2.2"), der::octet_string(fwid)]);
    let (oid, value) = match family {
        Family::Hopper | Family::Ls10 => {
            ("2.23.133.5.4.1", der::sequence(&[der::number(1), key.spki(), fwid]))
        }
        Family::Blackwell => {
            let none = der::sequence(&[der::oid("2.16.840.1.101.3.4.2.2"), der::octet_string(&[0; 48])]);
            let parts =
                [der::tlv(0x80, b"NVIDIA"), der::explicit(6, &[fwid, none].concat()), der::tlv(0x89, &[1])];
            ("2.23.133.5.4.1.1", der::sequence(&parts))
        }
    };
    Extension { oid: oid.to_owned(), critical: true, value }
}
