//! Settings.

use std::{net::SocketAddr, time::Duration};

use privatemode_mesh::MeshArgs;
use privatemode_store::etcd::EtcdUrl;

/// The settings of the secret service.
#[derive(Debug, clap::Args)]
pub struct Config {
    /// Where gateway and workers connect, over mesh TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,
    /// Where health and metrics are served, over plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3001")]
    pub health_listen: SocketAddr,
    /// How long a secret lives. Clients renew theirs 15 minutes before an hour is over.
    #[arg(long, value_name = "DURATION", default_value = "3600s", value_parser = parse_duration)]
    pub secret_ttl: Duration,
    /// How many live secrets are kept; further exchanges are refused until some expire.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    pub max_secrets: usize,
    /// How many sealed requests of the last minutes are remembered, so that none runs twice; beyond that, further ones are
    /// refused with 503. Each takes some 30 bytes. One secret may have an eighth of them.
    #[arg(long, value_name = "COUNT", default_value_t = 4_000_000)]
    pub max_claims: usize,
    /// A member of etcd, where secrets and claims are kept for all secret services; once per member. Without it they are kept in
    /// this process, which then is the only one and forgets them when it ends.
    #[arg(long, value_name = "URL")]
    pub etcd: Vec<EtcdUrl>,
    /// The workload name in etcd's mesh certificates.
    #[arg(long, value_name = "NAME", default_value = "etcd")]
    pub etcd_workload: String,
    /// Take secrets that old clients made themselves, over TLS without client certificates, at this address. Anybody who
    /// reaches it can fill the store, and the secrets are not bound to an exchange.
    #[arg(long, value_name = "ADDRESS")]
    pub danger_old_upload_api: Option<SocketAddr>,
    /// Identity and trust.
    #[command(flatten)]
    pub mesh: MeshArgs,
}

/// `90`, `90s`, `15m` or `1h`, at least one second, at most a day.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
    let seconds_per = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => {
            return Err(format!("unknown unit `{unit}`: write seconds (3600s), minutes (60m) or hours (1h)"));
        }
    };
    let count: u64 = digits.parse().map_err(|_| format!("`{text}` is not a duration such as 3600s"))?;
    match count.checked_mul(seconds_per) {
        Some(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be between 1s and 24h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("3600s"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_duration("60m"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_duration("1h"), parse_duration("3600"));
        for wrong in ["", "s", "-1s", "1.5h", "0s", "25h", "99999999999999999999h", "1d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
