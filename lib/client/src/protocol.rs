//! Which wire protocol seals the requests: what the attested manifest names, and what the user asked for. Nothing else
//! has a say, so that no gateway can talk a client down. Seals nothing. Specification: `protocol.md` §9 (negotiation).

use std::{fmt, str::FromStr};

use privatemode_manifest::Manifest;

/// The name of sealed fields in manifests (`protocol.md` §3).
pub const FIELDS: &str = "fields/1";
/// The name of sealed bodies in manifests (`protocol.md` §9).
pub const SEALED_BODY: &str = "sealed-body/1";

/// A wire protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// One authenticated stream per direction.
    SealedBody,
    /// Single fields: what the existing service speaks.
    Fields,
}

/// What the user asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProtocolChoice {
    /// Sealed bodies where the manifest has them.
    #[default]
    Auto,
    /// Sealed bodies, or nothing.
    Sealed,
    /// Sealed fields, even where the manifest has better.
    Compatible,
}

/// Why a protocol is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The manifest names it, and it is the best there is.
    Best,
    /// The manifest names nothing better.
    NothingBetter,
    /// The user asked for less than the manifest has.
    Downgraded,
}

/// The outcome of a negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// In use.
    pub protocol: Protocol,
    /// For what reason.
    pub why: Why,
}

/// No protocol that both sides speak.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The user insists on sealed bodies.
    #[error(
        "sealed bodies were asked for, but the attested manifest names {offered} only; ask for `auto`, or use a deployment \
         that has `{SEALED_BODY}`"
    )]
    NoSealedBodies {
        /// The manifest's list.
        offered: String,
    },
    /// The user insists on sealed fields.
    #[error(
        "the compatible protocol was asked for, but the attested manifest names {offered} only; ask for `auto`"
    )]
    NoFields {
        /// The manifest's list.
        offered: String,
    },
    /// Neither.
    #[error(
        "the deployment speaks {offered}, this client speaks {FIELDS} and {SEALED_BODY}; update the client"
    )]
    Unknown {
        /// The manifest's list.
        offered: String,
    },
}

/// Picks the protocol. `expected` must be the manifest that the evidence was verified against, and must have been:
/// an unattested list could talk the client down.
///
/// # Errors
/// [`ProtocolError`] if the choice and the manifest have nothing in common.
pub fn negotiate(choice: ProtocolChoice, expected: &Manifest) -> Result<Negotiated, ProtocolError> {
    // A manifest without a list speaks fields only.
    let fields = expected.protocols().is_empty() || expected.speaks(FIELDS);
    let sealed = expected.speaks(SEALED_BODY);
    let offered = || {
        if expected.protocols().is_empty() { FIELDS.to_owned() } else { expected.protocols().join(", ") }
    };
    let (protocol, why) = match (choice, sealed, fields) {
        (ProtocolChoice::Auto | ProtocolChoice::Sealed, true, _) => (Protocol::SealedBody, Why::Best),
        (ProtocolChoice::Auto, false, true) | (ProtocolChoice::Compatible, false, true) => {
            (Protocol::Fields, Why::NothingBetter)
        }
        (ProtocolChoice::Compatible, true, true) => (Protocol::Fields, Why::Downgraded),
        (ProtocolChoice::Sealed, false, true) => {
            return Err(ProtocolError::NoSealedBodies { offered: offered() });
        }
        (ProtocolChoice::Compatible, true, false) => {
            return Err(ProtocolError::NoFields { offered: offered() });
        }
        (_, false, false) => return Err(ProtocolError::Unknown { offered: offered() }),
    };
    Ok(Negotiated { protocol, why })
}

impl Protocol {
    /// Its name in manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SealedBody => SEALED_BODY,
            Self::Fields => FIELDS,
        }
    }
}

impl Negotiated {
    /// What is weaker than it could be, as a sentence.
    #[must_use]
    pub fn downgrade(self) -> Option<String> {
        let visible = "field names, plain fields and exact lengths are visible to the gateway, and requests can be replayed";
        match (self.protocol, self.why) {
            (Protocol::SealedBody, _) => None,
            (Protocol::Fields, Why::Downgraded) => Some(format!(
                "DOWNGRADE: the compatible protocol {FIELDS} was asked for although the deployment has {SEALED_BODY}: {visible}"
            )),
            (Protocol::Fields, _) => Some(format!("protocol {FIELDS}: {visible}")),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Best => "the attested manifest names it",
            Self::NothingBetter => "the attested manifest names nothing better",
            Self::Downgraded => "asked for, although the attested manifest has better",
        })
    }
}

/// Not `auto`, `sealed` or `compatible`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the protocol is `auto`, `sealed` or `compatible`")]
pub struct ChoiceError;

impl FromStr for ProtocolChoice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "sealed" => Ok(Self::Sealed),
            "compatible" => Ok(Self::Compatible),
            _ => Err(ChoiceError),
        }
    }
}

#[cfg(test)]
mod tests;
