//! Agrees on secrets with clients and gives them to workers (`protocol.md` §4).
//!
//! ```text
//! client ──PublicKey──▶ gateway ──mesh TLS──▶ POST /v1/secret ──▶ store (TTL)
//!                                             POST /mesh/v1/secrets/lookup ◀──mesh TLS── inference proxy
//!                                             POST /v1/claims              ◀──mesh TLS── inference proxy
//! ```
//!
//! The gateway relays an exchange and learns nothing from it; only an inference proxy may ask for a secret. With `--etcd` any
//! number of these processes do the same behind one address: nothing that matters is kept in them. Also
//! remembers, for all workers together, which sealed requests have run (§9). Opens no request bodies and knows no accounts.

mod caller;
mod config;
mod etcd;
mod keep;
mod metrics;
mod run;
mod secrets;
mod service;
mod upload;

pub use caller::Caller;
pub use config::Config;
pub use metrics::Metrics;
pub use run::run;
pub use secrets::{ExchangeError, LookupError, Secrets, SignError, Signer};
pub use service::SecretService;
pub use upload::Uploads;
