//! A set as a folder, from which the product's builds for tests make reports (`--danger-fake-snp`), and as a vendor's
//! service would publish it.

use std::fs;
use std::io;
use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Encoded, Evidence, NOW};

/// What the evidence of a machine brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extras {
    /// Certificates and revocation list.
    All,
    /// The report alone: whoever verifies it fetches the rest.
    None,
}

impl Evidence {
    /// The same set, made `now`, in seconds since the Unix epoch: for what verifies by the wall clock. Relations between
    /// its times stay.
    #[must_use]
    pub fn made_at(mut self, now: u64) -> Self {
        let moved = |time: &mut u64| *time = (*time + now).saturating_sub(NOW);
        for certificate in [&mut self.ark, &mut self.ask, &mut self.vek] {
            moved(&mut certificate.not_before);
            moved(&mut certificate.not_after);
        }
        moved(&mut self.crl.this_update);
        moved(&mut self.crl.next_update);
        self.crl.revoked.iter_mut().for_each(|(_, at)| moved(at));
        self
    }

    /// Writes the folder: `report.bin`, `vcek-key.bin`, `ark.der`, and in `extras/` what the evidence brings along. What was
    /// there before is replaced; each file whole, for somebody may be reading.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_machine(&self, folder: &Path, extras: Extras) -> io::Result<()> {
        let Encoded { ark, ask, vek, crl, report } = self.encode();
        fs::create_dir_all(folder.join("extras"))?;
        replace(folder, "ark.der", &ark)?;
        for (name, bytes) in [("vcek", vek), ("ask", ask), ("ark", ark), ("crl", crl)] {
            let name = format!("extras/{name}.der");
            match (extras, folder.join(&name).exists()) {
                (Extras::All, _) => replace(folder, &name, &bytes)?,
                (Extras::None, true) => fs::remove_file(folder.join(&name))?,
                (Extras::None, false) => {}
            }
        }
        replace(folder, "vcek-key.bin", &self.report_signed_by.scalar())?;
        replace(folder, "report.bin", &report)
    }

    /// ASK and ARK in PEM, as AMD's service has them.
    pub fn chain_pem(&self) -> String {
        let Encoded { ark, ask, .. } = self.encode();
        [ask, ark].map(|der| pem(&der)).concat()
    }
}

fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    fs::write(&new, bytes)?;
    fs::rename(new, folder.join(name))
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
