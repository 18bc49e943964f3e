//! What a genuine quote proves, with all that appraisal and reports need.

use crate::{CarriesReportData, ReportData, UnixTime};

use super::pck::Pck;
use super::report::{QeReport, TdReport};
use super::status::TcbStatus;

/// What a genuine quote says. Whether that is acceptable is another question: a debug trust domain is genuine too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Version of the quote: 4 or 5.
    pub quote_version: u16,
    /// The trust domain's report.
    pub body: TdReport,
    /// The quoting enclave's report.
    pub qe_report: QeReport,
    /// The platform, from its PCK certificate.
    pub pck: Pck,
    /// Which of Intel's authorities certified the platform.
    pub pck_ca: PckCa,
    /// Status of the whole: the worst of platform, quoting enclave and TDX module.
    pub tcb_status: TcbStatus,
    /// Whether the status is not up to date, but was tolerated. Reports must say so.
    pub tolerated: bool,
    /// Advisories of all parts, sorted, each once.
    pub advisories: Vec<String>,
    /// Date of the platform's TCB level: what is known since is not fixed on it.
    pub tcb_date: UnixTime,
    /// The lower of the TCB evaluation data numbers of TCB info and QE identity.
    pub evaluation_number: u32,
    /// The platform's own status: CPU, provisioning enclave and TDX components.
    pub platform: PartStatus,
    /// The quoting enclave's status.
    pub quoting_enclave: PartStatus,
    /// The TDX module's own status; modules of major version 0 are part of the platform's.
    pub tdx_module: Option<PartStatus>,
    /// How current the collateral was.
    pub freshness: Freshness,
}

/// The status of one part of the TCB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartStatus {
    /// Its status.
    pub status: TcbStatus,
    /// Date of its level.
    pub tcb_date: UnixTime,
    /// Its advisories, as Intel lists them.
    pub advisories: Vec<String>,
}

/// Intel's authorities for PCK certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PckCa {
    /// Platforms of one package.
    Processor,
    /// Platforms of one or more packages that registered with Intel.
    Platform,
}

/// How current the collateral was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Every document was within its own period.
    Current {
        /// When the first of them ends.
        until: UnixTime,
    },
    /// A document's next update had passed, but the caller's grace covered it. Reports must say so.
    Grace {
        /// When the first of them ended.
        since: UnixTime,
        /// Seconds since then.
        overdue: u64,
    },
}

impl CarriesReportData for Evidence {
    fn report_data(&self) -> &ReportData {
        &self.body.report_data
    }
}

impl PckCa {
    /// The name that Intel's services use: `processor` or `platform`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Platform => "platform",
        }
    }

    /// The common name of its certificate.
    pub(super) fn common_name(self) -> &'static str {
        match self {
            Self::Processor => "Intel SGX PCK Processor CA",
            Self::Platform => "Intel SGX PCK Platform CA",
        }
    }

    pub(super) fn from_common_name(name: Option<&str>) -> Option<Self> {
        [Self::Processor, Self::Platform].into_iter().find(|ca| name == Some(ca.common_name()))
    }
}
