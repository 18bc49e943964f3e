//! Names of entries.

use std::fmt;

/// The name of an entry. Written `manifests/<hex>`, `policies/<hex>`, `transitions/<hex>`, `seed-shares/<hex>`,
/// `transitions/latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKey {
    /// A manifest, by the SHA-256 of its bytes.
    Manifest([u8; 32]),
    /// A policy, by the SHA-256 of its bytes.
    Policy([u8; 32]),
    /// A transition, by the SHA-256 of its 64 bytes.
    Transition([u8; 32]),
    /// The encrypted shares of a seed, by the SHA-256 of the first [`Latest`](Self::Latest) that this seed signed.
    SeedShares([u8; 32]),
    /// The hash of the latest transition, and its signature: the one entry that changes.
    Latest,
}

impl StateKey {
    /// The part before the slash.
    #[must_use]
    pub fn folder(&self) -> &'static str {
        match self {
            Self::Manifest(_) => "manifests",
            Self::Policy(_) => "policies",
            Self::Transition(_) | Self::Latest => "transitions",
            Self::SeedShares(_) => "seed-shares",
        }
    }

    /// The part behind the slash.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Manifest(hash) | Self::Policy(hash) | Self::Transition(hash) | Self::SeedShares(hash) => {
                hash.iter().map(|byte| format!("{byte:02x}")).collect()
            }
            Self::Latest => "latest".to_owned(),
        }
    }
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.folder(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_documented_ones() {
        let hex = "0a".repeat(32);
        assert_eq!(StateKey::Manifest([10; 32]).to_string(), format!("manifests/{hex}"));
        assert_eq!(StateKey::Policy([10; 32]).to_string(), format!("policies/{hex}"));
        assert_eq!(StateKey::Transition([10; 32]).to_string(), format!("transitions/{hex}"));
        assert_eq!(StateKey::SeedShares([10; 32]).to_string(), format!("seed-shares/{hex}"));
        assert_eq!(StateKey::Latest.to_string(), "transitions/latest");
    }
}
