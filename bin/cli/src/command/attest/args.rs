//! The flags of `privatemode attest`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use privatemode_attest::UnixTime;

use super::input;

#[derive(Debug, Args)]
pub(crate) struct Attest {
    #[command(subcommand)]
    pub(crate) platform: Platform,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Platform {
    /// An AMD SEV-SNP attestation report
    #[command(after_long_help = SNP_HELP)]
    Snp(Snp),
    /// An Intel TDX quote
    #[command(after_long_help = TDX_HELP)]
    Tdx(Tdx),
    /// Measurement reports of NVIDIA GPUs and NVSwitches
    #[command(after_long_help = NVIDIA_HELP)]
    Nvidia(Nvidia),
}

/// What every platform needs.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Time of the verification in RFC 3339 (2026-01-31T12:00:00Z), or `now`: validity and revocation are judged at it
    #[arg(long, value_name = "RFC3339", value_parser = input::parse_time)]
    pub(crate) at: UnixTime,

    /// What the evidence must say; may be repeated or separated by commas. The names are below
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    pub(crate) expect: Vec<String>,

    /// DANGER, for tests: a certificate in place of the vendor's root. The verdict then proves nothing about hardware, and
    /// says so on every line
    #[arg(long, value_name = "FILE")]
    pub(crate) danger_root: Option<PathBuf>,

    /// Print the verdict as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("endorsement").required(true).args(["vcek", "vlek"])))]
pub(crate) struct Snp {
    /// The report, 1184 bytes; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) report: PathBuf,

    /// The chip's certificate that signed the report (DER or PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) vcek: Option<PathBuf>,

    /// The cloud's certificate that signed the report (DER or PEM), instead of a VCEK
    #[arg(long, value_name = "FILE")]
    pub(crate) vlek: Option<PathBuf>,

    /// AMD's signing key: the ASK for a VCEK, the ASVK for a VLEK (DER or PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ask: PathBuf,

    /// AMD's root (DER or PEM); it counts only if it has the key of the root that this program carries
    #[arg(long, value_name = "FILE")]
    pub(crate) ark: PathBuf,

    /// AMD's revocation list (DER or PEM); without one revocation is not checked, and the verdict says so
    #[arg(long, value_name = "FILE")]
    pub(crate) crl: Option<PathBuf>,

    /// A deployment's manifest whose reference values must accept the report; needs --expect report_data=
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Tdx {
    /// The quote; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) quote: PathBuf,

    /// Intel's collateral, one JSON object with TCB info, QE identity, revocation lists and their issuers
    #[arg(long, value_name = "FILE.json")]
    pub(crate) collateral: PathBuf,

    /// Accept a TCB status other than UpToDate, with these advisories and no others; without any, with whichever. May be
    /// repeated
    #[arg(long, value_name = "STATUS[:ADVISORY,…]")]
    pub(crate) tolerate: Vec<String>,

    /// A deployment's manifest whose reference values must accept the quote; needs --expect report_data=. It says, too,
    /// which TCB status is tolerated
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Nvidia {
    /// The measurement report: request followed by response, as the driver returns it; or the JSON list of devices that
    /// NVIDIA's tools write. `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) evidence: PathBuf,

    /// The device's certificates (PEM), its own first; not for a list, which carries them
    #[arg(long, value_name = "FILE")]
    pub(crate) chain: Option<PathBuf>,

    /// NVIDIA's reference values for the driver (XML)
    #[arg(long, value_name = "FILE")]
    pub(crate) driver_rim: Option<PathBuf>,

    /// NVIDIA's reference values for the VBIOS, or a switch's firmware (XML)
    #[arg(long, value_name = "FILE")]
    pub(crate) vbios_rim: Option<PathBuf>,

    /// Directory with OCSP responses (*.der); without one revocation is not checked, and the verdict says so
    #[arg(long, value_name = "DIR")]
    pub(crate) ocsp: Option<PathBuf>,

    /// The nonce that the device was asked with, 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    pub(crate) nonce: String,

    /// What OCSP must say: `good`; `unknown` also accepts a certificate that has no answer; `revoked-grace=H` also accepts
    /// one that was revoked within the last H hours [default with --ocsp: good]
    #[arg(long, value_name = "good|unknown|revoked-grace=H")]
    pub(crate) require_ocsp: Option<String>,

    #[command(flatten)]
    pub(crate) common: Common,
}

const SNP_HELP: &str = "\
Names for --expect, each with hexadecimal digits:
  bytes as in the report, all of them:
    report_data measurement host_data id_key_digest author_key_digest chip_id
    family_id image_id report_id report_id_ma
    current_tcb reported_tcb committed_tcb launch_tcb
  numbers (0x may stand before them: policy=0x30000):
    version guest_svn vmpl policy platform_info cpuid_fam_id cpuid_mod_id
    cpuid_step launch_mit_vector current_mit_vector
  lowest numbers, which reported, committed and launch TCB must reach:
    min_tcb.bootloader min_tcb.tee min_tcb.snp min_tcb.microcode min_tcb.fmc
  bits that must be set in both mitigation vectors:
    min_mit_vector

Numbers are hexadecimal too: min_tcb.microcode=db is at least 219.

With --manifest the manifest's entries decide, as they do for clients, and one
that accepts suffices; what --expect names must hold besides. The policy hash
(host_data) must be in the manifest. report_data must be expected: a manifest
does not say for whom a report was made, and a replayed one would pass.

Without --manifest, a guest that may be debugged (policy bit 19) or migrated
(bit 18), or whose policy has reserved bits, is refused unless --expect policy=
names that exact policy. Everything else that nobody expects is shown, and not
compared. Without report_data= the report may be a replayed one.

Exit codes: 0 verified; 1 refused: the evidence can be read and does not hold,
or is not what was expected; 2 unusable: flags, or a file that cannot be read
or is not in its form.";

const TDX_HELP: &str = "\
Names for --expect, each with hexadecimal digits:
  bytes as in the quote, all of them:
    report_data mr_td rtmr_0 rtmr_1 rtmr_2 rtmr_3 mr_config_id mr_owner
    mr_owner_config mr_seam mr_signer_seam tee_tcb_svn tee_tcb_svn_2
    mr_service_td fmspc pce_id platform_instance_id
  bytes as in the quote, or a number with 0x before it:
    td_attributes seam_attributes xfam (0x10000000 is 0000001000000000)
  sixteen bytes, each of which the quote's must reach:
    min_tee_tcb_svn
  the lowest number, hexadecimal, of Intel's TCB evaluation:
    min_tcb_evaluation_number

With --manifest the manifest's entries decide, as they do for clients, and one
that accepts suffices; what --expect names must hold besides. The policy hash
(mr_config_id) must be in the manifest, which also says what is tolerated:
--tolerate cannot be given with it. report_data must be expected: a manifest
does not say for whom a quote was made, and a replayed one would pass.

Without --manifest, a trust domain under debug (bits 0 to 7 of td_attributes) or
that may be migrated (bit 29) is refused unless --expect td_attributes= names
exactly its attributes; so are a module that is not Intel's (mr_signer_seam) or
has attributes (seam_attributes). Everything else that nobody expects is shown,
and not compared. Without report_data= the quote may be a replayed one.

Statuses for --tolerate: SWHardeningNeeded, ConfigurationNeeded,
ConfigurationAndSWHardeningNeeded, OutOfDate, OutOfDateConfigurationNeeded.

Exit codes: 0 verified; 1 refused: the evidence can be read and does not hold,
or is not what was expected; 2 unusable: flags, or a file that cannot be read
or is not in its form.";

const NVIDIA_HELP: &str = "\
Names for --expect, with text:
  driver (550.90.07) vbios (96.00.9F.00.01) architecture (HOPPER, BLACKWELL, LS10)

Give all RIMs that the device needs (a GPU driver and VBIOS, a switch VBIOS), or
none: without RIMs the measurements are compared with nothing, and the verdict
says so. With --ocsp or --require-ocsp they are needed, too: revocation is asked
of the certificates of the device and of those who signed its RIMs.

Exit codes: 0 verified; 1 refused: the evidence can be read and does not hold,
or is not what was expected; 2 unusable: flags, or a file that cannot be read
or is not in its form.";
