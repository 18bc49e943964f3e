//! What every process needs: configuration, logs, listeners, TLS from files, drain, limits, metrics, health, and the
//! one way in which an error becomes an HTTP answer.
//!
//! Knows no domain: nothing here speaks of evidence, models or sealed bodies. Those live in `core/` and in the
//! processes. Layout: `docs/` and `architecture.md`, rank `lib/`.
//!
//! ```no_run
//! use privatemode_service::{BoxFuture, Process, run_main};
//!
//! #[derive(clap::Args)]
//! struct Config {
//!     /// Where to listen.
//!     #[arg(long, default_value = "127.0.0.1:0")]
//!     listen: std::net::SocketAddr,
//! }
//!
//! fn run(config: Config, process: Process) -> BoxFuture<'static, anyhow::Result<()>> {
//!     Box::pin(async move {
//!         let listener = privatemode_service::listen(config.listen)?;
//!         process.announce(&[("http", listener.local_addr()?)]);
//!         process.shutdown.triggered().await;
//!         Ok(())
//!     })
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     run_main::<Config>("example", "An example.", run)
//! }
//! ```

pub mod body;
pub mod config;
mod dump;
pub mod error;
pub mod health;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod process;
pub mod serve;
pub mod shutdown;
pub mod tls;

pub use body::{BodyError, BoxBody, BoxError};
pub use config::{Common, ConfigError, Faults, parse_config};
pub use error::{ApiError, Chain};
pub use health::{Health, HealthService, serve_health};
pub use listen::{ListenError, listen};
pub use log::{LogFormat, LogLevel};
pub use process::{Announcement, BoxFuture, Process, RunFn, run, run_main, run_main_from, version};
pub use serve::{Connection, Drained, Limits, serve, serve_router};
pub use shutdown::Shutdown;
pub use tls::{FileTls, TlsError, TlsSource};
