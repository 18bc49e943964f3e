//! The gateway: API keys, relays, routing, usage. It is not trusted: it sees ciphertext, plain routing fields and token
//! counts, never a prompt or an answer.
//!
//! For `privatemode keys` there is [`accounts`], for `privatemode usage` [`UsageFile`]; both work on the database file beside a
//! running gateway. [`run()`] is the process.

pub mod accounts;
mod catalogue;
mod config;
mod connector;
mod database;
mod exchange;
mod exchange_limit;
mod forward;
mod gateway;
mod headers;
mod keyring;
mod ledger;
mod manifest;
mod meter;
mod metrics;
mod origin;
mod relay;
mod replicas;
mod requests;
mod run;
mod running;
mod upload;
mod workers;

pub use config::Config;
pub use database::DatabaseError;
pub use requests::{BilledRequest, UsageFile};
pub use run::run;
