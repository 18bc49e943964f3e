//! Switches of a platform: what they allow, or demand.

use super::Changes;

/// What a switch means while it is set.
#[derive(Clone, Copy)]
pub(super) enum Bit {
    /// The platform may be so.
    Allows,
    /// The platform must be so.
    Demands,
}

/// Compares switches of the same name.
pub(super) fn compare(place: &str, bits: &[(&str, Bit, bool, bool)], changes: &mut Changes) {
    for (name, bit, old, new) in bits {
        let place = format!("{place}.{name}");
        match (bit, old, new) {
            (_, true, true) | (_, false, false) => {}
            (Bit::Allows, false, true) => changes.weaker(&place, "it is allowed"),
            (Bit::Allows, true, false) => changes.stronger(&place, "it is no longer allowed"),
            (Bit::Demands, false, true) => changes.stronger(&place, "it is demanded"),
            (Bit::Demands, true, false) => changes.weaker(&place, "it is no longer demanded"),
        }
    }
}
