//! NVIDIA's opaque data in the report: a list of type, length, value (16 bits each, little-endian).
//!
//! Fields that no check uses are kept as bytes; unknown types are kept and reported, not refused. Specification: `attestation.md` §5 step 1.

use super::bytes::{Bytes, Short};
use super::spdm::DIGEST_LEN;

/// Real reports have at most 17.
const MAX_FIELDS: usize = 64;
/// Longest text field that is read: versions and board names.
const MAX_TEXT: usize = 64;

const DRIVER_VERSION: u16 = 3;
const VBIOS_VERSION: u16 = 6;
const NVDEC0_STATUS: u16 = 11;
const CHIP_SKU: u16 = 15;
const PROJECT: u16 = 17;
const PROJECT_SKU: u16 = 18;
const FWID: u16 = 20;
const PROTECTED_PCIE: u16 = 21;
const SWITCH_PDI: u16 = 22;
const LOCK_SWITCH: u16 = 25;
const DATA_VERSION: u16 = 34;
const CHIP_INFO: u16 = 35;
const FEATURE: u16 = 36;

/// On or off, as the device encodes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toggle {
    /// 0xAA.
    Enabled,
    /// 0x55.
    Disabled,
}

/// The confidential-computing mode that newer drivers report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// One GPU passed through (0).
    SinglePassthrough,
    /// Several GPUs with encrypted links (1).
    MultiPassthrough,
    /// Protected PCIe: the switches are trusted (2).
    ProtectedPcie,
    /// A mode that this version does not know.
    Other(u16),
}

/// The identity of a switch in the fabric, as the switch itself writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SwitchId(pub [u8; 8]);

/// One field that is kept as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawField {
    /// Its type.
    pub kind: u16,
    /// Its value.
    pub value: Vec<u8>,
}

/// What the opaque data say. Absent fields are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opaque {
    /// For example `550.90.07`.
    pub driver_version: Option<String>,
    /// Upper case, for example `96.00.9F.00.01`.
    pub vbios_version: Option<String>,
    /// Video decoder 0; where it is off, measurement 36 is not defined.
    pub nvdec0: Option<Toggle>,
    /// For example `882`.
    pub chip_sku: Option<String>,
    /// For example `1010`.
    pub project: Option<String>,
    /// For example `0200`.
    pub project_sku: Option<String>,
    /// SHA-384 of the firmware, as the leaf certificate has it.
    pub fwid: Option<[u8; DIGEST_LEN]>,
    /// Protected PCIe.
    pub protected_pcie: Option<Toggle>,
    /// A GPU: the switches at its links, zero for none. A switch: itself. In the device's byte order.
    pub switch_pdis: Vec<[u8; 8]>,
    /// A switch: whether its configuration is locked.
    pub lock_switch: Option<u16>,
    /// Version of the opaque data, 1 in newer drivers.
    pub data_version: Option<u16>,
    /// Chip name for the driver RIM, in newer Blackwell drivers.
    pub chip_info: Option<String>,
    /// Confidential-computing mode, in newer drivers.
    pub feature: Option<Feature>,
    /// Everything else, in order.
    pub other: Vec<RawField>,
}

/// Why opaque data were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueError {
    /// A length runs over the end.
    #[error("the opaque data end within a field: {need} bytes needed, {have} left")]
    Truncated {
        /// Bytes that the field needs.
        need: usize,
        /// Bytes that are left.
        have: usize,
    },
    /// Far more fields than any driver writes.
    #[error("the opaque data have more than {MAX_FIELDS} fields")]
    TooMany,
    /// It would be open which one counts.
    #[error("the opaque data have field {kind} twice")]
    Duplicate {
        /// Its type.
        kind: u16,
    },
    /// The value has another length or other characters than this type has.
    #[error("the value of opaque field {kind} is malformed")]
    Value {
        /// Its type.
        kind: u16,
    },
}

impl From<Short> for OpaqueError {
    fn from(Short { part: _, need, have }: Short) -> Self {
        Self::Truncated { need, have }
    }
}

impl Opaque {
    pub(super) fn parse(data: &[u8]) -> Result<Self, OpaqueError> {
        let mut bytes = Bytes::new(data);
        let mut fields = Self::default();
        let mut seen: Vec<u16> = Vec::new();
        while !bytes.is_empty() {
            let kind = bytes.u16_le("field type")?;
            let len = usize::from(bytes.u16_le("field length")?);
            let value = bytes.take(len, "field value")?;
            if seen.len() >= MAX_FIELDS {
                return Err(OpaqueError::TooMany);
            }
            if seen.contains(&kind) {
                return Err(OpaqueError::Duplicate { kind });
            }
            seen.push(kind);
            fields.set(kind, value).ok_or(OpaqueError::Value { kind })?;
        }
        Ok(fields)
    }

    /// `None` if the value is not one of its type.
    fn set(&mut self, kind: u16, value: &[u8]) -> Option<()> {
        match kind {
            DRIVER_VERSION => self.driver_version = Some(text(value)?),
            VBIOS_VERSION => self.vbios_version = Some(vbios_version(value)?),
            NVDEC0_STATUS => self.nvdec0 = Some(toggle(value)?),
            CHIP_SKU => self.chip_sku = Some(text(value)?),
            PROJECT => self.project = Some(text(value)?),
            PROJECT_SKU => self.project_sku = Some(text(value)?),
            FWID => self.fwid = Some(value.try_into().ok()?),
            PROTECTED_PCIE => self.protected_pcie = Some(toggle(value)?),
            SWITCH_PDI => self.switch_pdis = pdis(value)?,
            LOCK_SWITCH => self.lock_switch = Some(number(value)?),
            DATA_VERSION => self.data_version = Some(number(value)?),
            CHIP_INFO => self.chip_info = Some(text(value)?),
            FEATURE => {
                self.feature = Some(match number(value)? {
                    0 => Feature::SinglePassthrough,
                    1 => Feature::MultiPassthrough,
                    2 => Feature::ProtectedPcie,
                    other => Feature::Other(other),
                });
            }
            _ => self.other.push(RawField { kind, value: value.to_vec() }),
        }
        Some(())
    }

    /// Whether this GPU works under protected PCIe, by either of the two fields that say so.
    pub fn is_protected_pcie(&self) -> bool {
        self.protected_pcie == Some(Toggle::Enabled) || self.feature == Some(Feature::ProtectedPcie)
    }

    /// The switches at this GPU's links, each once, in the byte order in which a switch names itself.
    pub fn linked_switches(&self) -> Vec<SwitchId> {
        let mut switches: Vec<SwitchId> = self
            .switch_pdis
            .iter()
            .filter(|pdi| pdi.iter().any(|byte| *byte != 0) && pdi.iter().any(|byte| *byte != 0xFF))
            .map(|pdi| {
                let mut id = *pdi;
                id.reverse();
                SwitchId(id)
            })
            .collect();
        switches.sort_unstable();
        switches.dedup();
        switches
    }
}

/// ASCII with NULs behind it. The characters are those of RIM identifiers, so that none can leave a path or a URL.
fn text(value: &[u8]) -> Option<String> {
    let end = value.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    let text = value.get(..end)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if end > MAX_TEXT || !text.iter().all(plain) {
        return None;
    }
    String::from_utf8(text.to_vec()).ok()
}

/// Eight bytes on a GPU, text on a switch.
fn vbios_version(value: &[u8]) -> Option<String> {
    if let [d, c, b, a, e, 0, 0, 0] = value {
        return Some(format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}"));
    }
    let text = text(value)?;
    let mut parts = 0_usize;
    for part in text.split('.') {
        parts = parts.checked_add(1)?;
        if part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
    }
    (parts == 5).then(|| text.to_ascii_uppercase())
}

fn toggle(value: &[u8]) -> Option<Toggle> {
    match value {
        [0xAA] => Some(Toggle::Enabled),
        [0x55] => Some(Toggle::Disabled),
        _ => None,
    }
}

fn number(value: &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(value.try_into().ok()?))
}

fn pdis(value: &[u8]) -> Option<Vec<[u8; 8]>> {
    let (pdis, rest) = value.as_chunks();
    rest.is_empty().then(|| pdis.to_vec())
}
