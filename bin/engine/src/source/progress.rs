//! How far a download or a load has come: a bar where a person looks on, log lines everywhere else.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// One task with a known size.
pub(crate) struct Progress {
    what: String,
    total: u64,
    bar: Option<ProgressBar>,
    /// Tenths that were logged, and when: short tasks need no lines.
    logged: u64,
    last: Instant,
}

/// The least time between two lines.
const PAUSE: Duration = Duration::from_secs(2);

/// What the numbers count.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Bytes,
    Layers,
}

impl Progress {
    pub(crate) fn start(what: String, unit: Unit, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = match unit {
                Unit::Bytes => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
                Unit::Layers => "{msg} [{bar:30}] {pos}/{len}",
            };
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style).with_message(what.clone())
        });
        Self { what, total, bar, logged: 0, last: Instant::now() }
    }

    pub(crate) fn at(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let tenths = done.saturating_mul(10).checked_div(self.total).unwrap_or(10);
        if tenths > self.logged && self.last.elapsed() >= PAUSE {
            (self.logged, self.last) = (tenths, Instant::now());
            tracing::info!(what = self.what, percent = tenths * 10, "progress");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
