//! What `--expect` knows about a device, and the row that compares it (`attestation.md` §5 step 5).

use privatemode_attest::gpu::VerifiedDevice;

use super::super::expect::{Field, Rule as Compare};
use super::super::steps::Row;
use super::super::verdict::Values;

pub(super) static TABLE: &[Field<VerifiedDevice>] = &[
    text("driver", |device| device.report().opaque().driver_version.clone()),
    text("vbios", |device| device.report().opaque().vbios_version.clone()),
    text("architecture", |device| Some(device.architecture().name().to_owned())),
];

pub(super) static ROWS: &[Row<VerifiedDevice>] = &[Row::new(5, "versions", versions)];

const fn text(name: &'static str, found: fn(&VerifiedDevice) -> Option<String>) -> Field<VerifiedDevice> {
    Field { name, step: "versions", rule: Compare::Text { found } }
}

fn versions(device: &VerifiedDevice) -> Values {
    let fields = device.report().opaque();
    Values::default()
        .text("architecture", device.architecture().name())
        .optional(fields.driver_version.as_deref(), |values, version| values.text("driver", version))
        .optional(fields.vbios_version.as_deref(), |values, version| values.text("vbios", version))
        .flag("protected_pcie", fields.is_protected_pcie())
}
