//! Why collateral could not be had.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use privatemode_attest::UnixTime;

use crate::{http::AttemptError, key::Key};

/// Why a collector cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The cache's folder.
    #[error("cannot make the folder `{folder}` for the vendors' documents; give one that can be written")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The proxy's address.
    #[error("the address of the outbound proxy cannot be used; give one as http://host:port")]
    Proxy {
        /// Why.
        source: reqwest::Error,
    },
    /// The HTTP client.
    #[error("cannot set up connections to the vendors")]
    Client {
        /// Why.
        source: reqwest::Error,
    },
    /// TLS.
    #[error("cannot set up TLS towards the vendors")]
    Tls {
        /// Why.
        source: rustls::Error,
    },
}

/// Why a document could not be had. Cheap to clone: all who wait for one fetch get the same.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// The network is off and nothing else has it.
    #[error(
        "the {key} is neither in the evidence, the bundle nor the cache, and the network is off; save a bundle with \
         `privatemode verify` where the vendors can be reached, and hand it in here"
    )]
    Offline {
        /// What is missing.
        key: Key,
    },
    /// The network is off and the cached one is past its next update.
    #[error(
        "the {key} in the cache is past its next update ({since}), and the network is off; save a new bundle with \
         `privatemode verify` where the vendors can be reached, and hand it in here"
    )]
    OfflineExpired {
        /// Which.
        key: Key,
        /// When it ended.
        since: UnixTime,
    },
    /// All attempts failed.
    #[error(
        "cannot get the {key} from {host} after {attempts} attempts; check the network and the proxy settings, or \
         hand in a bundle"
    )]
    Unavailable {
        /// What.
        key: Key,
        /// Who was asked.
        host: String,
        /// How often.
        attempts: u32,
        /// The last failure.
        source: Arc<AttemptError>,
    },
    /// The vendor knows no such document.
    #[error(
        "{host} has no {key}; the hardware may be newer than what the vendor has published, or the evidence may be wrong"
    )]
    NotFound {
        /// What.
        key: Key,
        /// Who was asked.
        host: String,
    },
    /// The vendor wants to be left alone.
    #[error(
        "{host} refuses further requests for {} s, so the {key} cannot be had now; try again then, or hand in a bundle",
        .wait.as_secs()
    )]
    RateLimited {
        /// What.
        key: Key,
        /// Who was asked.
        host: String,
        /// From now on.
        wait: Duration,
    },
    /// The vendor's answer is no use, and asking again would not help.
    #[error("the answer of {host} for the {key} cannot be used; check a mirror or proxy in between")]
    Refused {
        /// What.
        key: Key,
        /// Who was asked.
        host: String,
        /// Why.
        source: Arc<AttemptError>,
    },
    /// The vendor's answer is past its next update.
    #[error(
        "the {key} that {host} hands out is past its next update ({since}); a mirror may be stale, or the clock here wrong"
    )]
    Stale {
        /// What.
        key: Key,
        /// Who was asked.
        host: String,
        /// When it ended.
        since: UnixTime,
    },
    /// The cached one is past its next update by more than the grace, and no newer one could be had.
    #[error(
        "the {key} at hand is past its next update ({since}) by more than the grace, and a newer one cannot be had"
    )]
    Expired {
        /// What.
        key: Key,
        /// When it ended.
        since: UnixTime,
        /// Why there is no newer one.
        source: Arc<FetchError>,
    },
    /// A masked chip ID: nobody can say whose certificate is needed.
    #[error(
        "the report hides its chip, so its certificate cannot be asked for; the host must unmask it or send the certificate"
    )]
    MaskedChip,
    /// A VLEK is not published.
    #[error(
        "the report is signed by a VLEK, whose certificate the vendor does not publish; the evidence must bring it"
    )]
    VlekNotGiven,
    /// What was to be posted is no OCSP request, or not the one that the key names.
    #[error(
        "this is not an OCSP request that fits its key, so it was not sent; this is a fault of the program"
    )]
    NoRequest,
    /// Not at hand in time.
    #[error(
        "what the hardware's vendor publishes did not come within {} s; it is still asked, so try again in a moment",
        .limit.as_secs()
    )]
    Slow {
        /// What was granted.
        limit: Duration,
    },
    /// A document is not laid out as its kind is.
    #[error("the {key} is not laid out as documents of its kind are")]
    Layout {
        /// Which.
        key: Key,
    },
}
