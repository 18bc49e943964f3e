//! The table of certificates that an SNP host may put beside a report: AMD 56421 (GHCB) §4.1.8.1. The host is not trusted,
//! and nobody has to bring certificates: a table that cannot be read counts as none.

/// What the table has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Certificates {
    pub(super) vcek: Option<Vec<u8>>,
    pub(super) vlek: Option<Vec<u8>>,
    pub(super) ask: Option<Vec<u8>>,
    pub(super) ark: Option<Vec<u8>>,
    pub(super) crl: Option<Vec<u8>>,
}

/// A table that contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadTable;

/// The most entries; five are defined.
const MAX_ENTRIES: usize = 32;
/// GUID, offset, length.
const ENTRY_LEN: usize = 16 + 4 + 4;

const VCEK: [u8; 16] = guid(0x63da758d_e664_4564_adc5_f4b93be8accd);
const VLEK: [u8; 16] = guid(0xa8074bc2_a25a_483e_aae6_39c045a0b8a1);
const ASK: [u8; 16] = guid(0x4ab7b379_bbac_4fe4_a02f_05aef327c782);
const ARK: [u8; 16] = guid(0xc0b406a4_a803_4952_9743_3fb6014cd0ae);
const CRL: [u8; 16] = guid(0x92f81bc3_5811_4d3d_97ff_d19f88dc67ea);

/// Hosts write them in the order of their text.
const fn guid(text: u128) -> [u8; 16] {
    text.to_be_bytes()
}

impl Certificates {
    /// Reads a table; an empty one is none.
    pub(super) fn parse(table: &[u8]) -> Result<Self, BadTable> {
        let mut found = Self::default();
        if table.is_empty() {
            return Ok(found);
        }
        for entry in table.chunks(ENTRY_LEN).take(MAX_ENTRIES) {
            let (guid, rest) = entry.split_first_chunk::<16>().ok_or(BadTable)?;
            let (offset, rest) = rest.split_first_chunk::<4>().ok_or(BadTable)?;
            let len = <[u8; 4]>::try_from(rest).map_err(|_| BadTable)?;
            let (offset, len) = (u32::from_le_bytes(*offset) as usize, u32::from_le_bytes(len) as usize);
            // the last entry is all zeros
            if *guid == [0; 16] {
                return Ok(found);
            }
            let end = offset.checked_add(len).ok_or(BadTable)?;
            let bytes = table.get(offset..end).ok_or(BadTable)?;
            let slot = match *guid {
                VCEK => &mut found.vcek,
                VLEK => &mut found.vlek,
                ASK => &mut found.ask,
                ARK => &mut found.ark,
                CRL => &mut found.crl,
                _ => continue,
            };
            if slot.replace(bytes.to_vec()).is_some() {
                return Err(BadTable);
            }
        }
        Err(BadTable)
    }
}

#[cfg(test)]
pub(super) mod tests;
