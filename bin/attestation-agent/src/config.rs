//! Settings.

use std::path::PathBuf;

use privatemode_attest::ReportData;

/// The settings of the attestation agent.
#[derive(Debug, clap::Args)]
pub struct Config {
    /// The report data of the CPU's evidence, 64 bytes in hexadecimal: the GPUs' nonces are derived from it.
    #[arg(long, value_name = "HEX", value_parser = report_data)]
    pub report_data: ReportData,
    /// How many GPUs this machine has. All of them are attested, or none.
    #[arg(long, value_name = "COUNT")]
    pub gpus: Option<usize>,
    /// Where the evidence is written.
    #[arg(long, value_name = "FILE", default_value = "gpu-evidence.json")]
    pub out: PathBuf,
}

fn report_data(text: &str) -> Result<ReportData, String> {
    let bytes = hex::decode(text).map_err(|error| format!("not hexadecimal: {error}"))?;
    ReportData::try_from(&bytes[..]).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_data_is_64_bytes() {
        assert_eq!(report_data(&"5a".repeat(64)), Ok(ReportData::from([0x5a; 64])));
        for (wrong, why) in [("5a", "has 1 bytes"), ("", "has 0 bytes"), ("zz", "not hexadecimal")] {
            let error = report_data(wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
