//! Resident memory of processes, sampled, and the exact peak that the kernel keeps.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What one process held at one time, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) resident: u64,
    /// The part of it that no file backs: heap and stacks.
    pub(crate) anonymous: u64,
    /// The most that was resident since [`forget_peak`].
    pub(crate) peak: u64,
}

/// # Errors
///
/// When the process is gone or the system has no `/proc`.
pub(crate) fn held(pid: u32) -> Result<Held> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`: did it end?"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    };
    Ok(Held { resident: field("VmRSS:"), anonymous: field("RssAnon:"), peak: field("VmHWM:") })
}

/// From now on the peak is that of what follows.
pub(crate) fn forget_peak(pid: u32) {
    // 5 resets VmHWM (proc(5)); where that is not allowed, the peak is the highest sample.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// One line of `samples.csv`.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) phase: String,
    /// As the processes watched.
    pub(crate) resident: Vec<u64>,
}

/// Samples in a thread of its own, so that a busy runtime delays none.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<Sample>>,
}

impl Watch {
    pub(crate) fn start(pids: &[u32], phase: &str, begun: Instant, every: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (pids, phase, end) = (pids.to_vec(), phase.to_owned(), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let mut samples = Vec::new();
            while !end.load(Ordering::Relaxed) {
                let held: Vec<Held> = pids.iter().map(|pid| held(*pid).unwrap_or_default()).collect();
                samples.push(Sample {
                    seconds: begun.elapsed().as_secs_f64(),
                    phase: phase.clone(),
                    resident: held.iter().map(|held| held.resident).collect(),
                });
                std::thread::sleep(every);
            }
            samples
        });
        Self { over, thread }
    }

    pub(crate) fn stop(self) -> Vec<Sample> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// Writes samples as `seconds,phase,part …`, in KiB.
///
/// # Errors
///
/// When the file cannot be written.
pub(crate) fn write(path: &Path, names: &[String], samples: &[Sample]) -> Result<()> {
    let mut text = Vec::new();
    writeln!(text, "seconds,phase,{}", names.join(","))?;
    for sample in samples {
        let values: Vec<String> = sample.resident.iter().map(u64::to_string).collect();
        writeln!(text, "{:.3},{},{}", sample.seconds, sample.phase, values.join(","))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
}

/// Reads what [`write()`] wrote.
///
/// # Errors
///
/// When the file cannot be read or is something else.
pub(crate) fn read(path: &Path) -> Result<(Vec<String>, Vec<Sample>)> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut lines = text.lines();
    let names = lines.next().unwrap_or_default().split(',').skip(2).map(str::to_owned).collect();
    let sample = |line: &str| {
        let mut cells = line.split(',');
        let seconds = cells.next().unwrap_or_default().parse()?;
        let phase = cells.next().unwrap_or_default().to_owned();
        let resident = cells.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Sample { seconds, phase, resident })
    };
    let samples = lines.map(sample).collect::<Result<_>>();
    Ok((names, samples.with_context(|| format!("`{}` is no file of samples", path.display()))?))
}
