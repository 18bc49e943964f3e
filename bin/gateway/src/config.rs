//! The gateway's settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use http::Uri;
use privatemode_mesh::MeshArgs;
use privatemode_service::Faults;

use crate::origin::Origin;

/// Settings of the gateway.
#[derive(Debug, clap::Args)]
pub struct Config {
    /// Where clients are served.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// Where /healthz, /readyz and /metrics are served, in plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8100")]
    pub metrics_listen: SocketAddr,
    /// The SQLite file with keys and usage; made when it is not there.
    #[arg(long, value_name = "FILE", default_value = "gateway.db")]
    pub database: PathBuf,
    /// For how many days single requests stay on record, for bills; 0 keeps none. Totals stay for good.
    #[arg(long, value_name = "DAYS", default_value_t = 35, value_parser = clap::value_parser!(u32).range(..=90))]
    pub usage_days: u32,
    /// An inference proxy; repeat the flag for several.
    #[arg(long = "worker", value_name = "URL", default_value = "https://127.0.0.1:8085")]
    pub worker: Vec<Uri>,
    /// A secret service; repeat the flag for several that share a store.
    #[arg(long, value_name = "URL", default_value = "https://127.0.0.1:3000", value_delimiter = ',')]
    pub secret_service: Vec<Uri>,
    /// How many key exchanges an API key may begin in a minute; a proxy needs one in 45 minutes.
    #[arg(long, value_name = "COUNT", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub exchanges_per_minute: u32,
    /// The certificate chain to serve clients with, PEM; read again when it changes. Without it: plain HTTP.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key, PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// How the gateway joins the mesh.
    #[command(flatten)]
    pub mesh: MeshArgs,
}

impl Config {
    /// Everything that is wrong with the settings, at once.
    pub(crate) fn check(&self) -> Result<(), Faults> {
        let mut faults = Faults::new();
        let missing = match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => Some("--tls-key"),
            (None, Some(_)) => Some("--tls-cert"),
            (Some(_), Some(_)) | (None, None) => None,
        };
        if let Some(missing) = missing {
            faults.add(format!("{missing} is missing: TLS needs the certificate and its key, or neither"));
        }
        if self.worker.is_empty() {
            faults.add("--worker is missing: there has to be at least one");
        }
        if self.secret_service.is_empty() {
            faults.add("--secret-service is missing: there has to be at least one");
        }
        let secret_service = self.secret_service.iter().map(|url| ("--secret-service", url));
        for (flag, url) in self.worker.iter().map(|url| ("--worker", url)).chain(secret_service) {
            if !Origin::is_mesh_url(url) {
                faults.add(format!("{flag}: `{url}` is not of the form https://HOST:PORT"));
            }
        }
        self.mesh.check(&mut faults);
        faults.into_result()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_together() {
        let arguments =
            ["--tls-cert", "x.pem", "--worker", "http://127.0.0.1:1", "--secret-service", "https://h/p"];
        let config: Config = privatemode_service::parse_config("gateway", arguments).unwrap();
        let faults = config.check().unwrap_err();
        for part in
            ["--tls-key is missing", "--worker: `http://127.0.0.1:1/`", "--secret-service: `https://h/p`"]
        {
            assert!(faults.list().iter().any(|fault| fault.starts_with(part)), "{part}: {faults}");
        }
        assert!(faults.list().iter().any(|fault| fault.starts_with("--expected-manifest")), "{faults}");
    }
}
