//! Reading `(kind, identity)` back.

use super::{AmdProduct, AmdSigner, AmdTcb, ChipId, Fmspc, Key, Kind, PckCa, RimId};

/// Longest identity: a chip's, with room.
const MAX_IDENTITY: usize = 256;

/// A kind or identity that names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The kind.
    #[error("there is no such kind of collateral; a newer program may know it")]
    Kind,
    /// The identity.
    #[error("the identity of this {} is not in its canonical spelling", .kind.title())]
    Identity {
        /// Of which kind.
        kind: Kind,
    },
}

impl Key {
    /// Reads what [`Key::kind`] and [`Key::identity`] wrote.
    ///
    /// # Errors
    /// [`InvalidKey`]
    pub fn parse(kind: &str, identity: &str) -> Result<Self, InvalidKey> {
        let kind = Kind::ALL.iter().copied().find(|known| known.as_str() == kind).ok_or(InvalidKey::Kind)?;
        read(kind, identity)
            // one name for one document: upper-case hexadecimal or leading zeros would be a second one
            .filter(|key| identity.len() <= MAX_IDENTITY && key.identity() == identity)
            .ok_or(InvalidKey::Identity { kind })
    }
}

fn read(kind: Kind, identity: &str) -> Option<Key> {
    Some(match kind {
        Kind::AmdVcek => {
            let mut parts = identity.splitn(3, '/');
            let product = product(parts.next()?)?;
            let chip_id = ChipId(bytes(parts.next()?)?);
            Key::AmdVcek { product, chip_id, tcb: tcb(parts.next()?)? }
        }
        Kind::AmdCertChain => {
            let (product, signer) = line(identity)?;
            Key::AmdCertChain { product, signer }
        }
        Kind::AmdCrl => {
            let (product, signer) = line(identity)?;
            Key::AmdCrl { product, signer }
        }
        Kind::IntelTcbInfo => Key::IntelTcbInfo { fmspc: Fmspc(bytes(identity)?) },
        Kind::IntelQeIdentity => Key::IntelQeIdentity,
        Kind::IntelPckCrl => {
            let ca = [PckCa::Platform, PckCa::Processor].into_iter().find(|ca| ca.as_str() == identity)?;
            Key::IntelPckCrl { ca }
        }
        Kind::IntelRootCrl => Key::IntelRootCrl,
        Kind::NvidiaRim => Key::NvidiaRim { id: RimId::new(identity).ok()? },
        Kind::NvidiaOcsp => Key::NvidiaOcsp { request: bytes(identity)? },
    })
}

fn line(text: &str) -> Option<(AmdProduct, AmdSigner)> {
    let (name, signer) = text.split_once('/')?;
    let signer = [AmdSigner::Vcek, AmdSigner::Vlek].into_iter().find(|known| known.as_str() == signer)?;
    Some((product(name)?, signer))
}

fn product(name: &str) -> Option<AmdProduct> {
    [AmdProduct::Milan, AmdProduct::Genoa, AmdProduct::Turin].into_iter().find(|p| p.as_str() == name)
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

fn tcb(text: &str) -> Option<AmdTcb> {
    let mut tcb = AmdTcb { fmc: None, bootloader: 0, tee: 0, snp: 0, microcode: 0 };
    for part in text.splitn(6, ',') {
        let (name, value) = part.split_once('=')?;
        let value = value.parse().ok()?;
        match name {
            "fmc" => tcb.fmc = Some(value),
            "bl" => tcb.bootloader = value,
            "tee" => tcb.tee = value,
            "snp" => tcb.snp = value,
            "ucode" => tcb.microcode = value,
            _ => return None,
        }
    }
    Some(tcb)
}
