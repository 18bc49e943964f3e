//! How many threads the kernels use. Small models are several times faster on one: candle's workers meet at a spinning
//! barrier after every matrix, which costs more than such a matrix itself, and on a busy machine a whole time slice.
//! Measured with the demonstration model on two cores: 950 tokens/s with one thread, 240 with two; beside two busy
//! processes 300 and 9.
//!
//! candle reads the number from the environment once, and a process cannot change its own environment safely. So it
//! starts itself again with the number set: same process ID, same arguments, same standard streams.

use clap::{Args, Command, FromArgMatches};
use privatemode_service::Common;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::config::Config;

const VARIABLES: [&str; 2] = ["CANDLE_NUM_THREADS", "RAYON_NUM_THREADS"];
/// Weights in files smaller than this are computed by one thread.
const SMALL: u64 = 200 << 20;

/// Call first in `main`, and only there: it replaces the process. Returns where nothing has to be changed.
pub fn settle_threads() {
    if std::env::var_os(VARIABLES[0]).is_some() {
        return;
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let (Some(threads), Ok(program)) = (wanted(&arguments), std::env::current_exe()) else { return };
    let mut again = std::process::Command::new(program);
    again.args(arguments.iter().skip(1));
    for variable in VARIABLES {
        again.env(variable, threads.to_string());
    }
    // It returns only if it failed; then the engine is slower, not wrong.
    let _ = again.exec();
}

/// The number of threads, where it differs from candle's default. Wrong arguments are reported by the real parser.
fn wanted(arguments: &[OsString]) -> Option<usize> {
    let command = Config::augment_args(Common::augment_args(Command::new("engine")));
    let matches = command.try_get_matches_from(arguments).ok()?;
    let config = Config::from_arg_matches(&matches).ok()?;
    let common = Common::from_arg_matches(&matches).ok()?;
    if let Some(threads) = config.threads {
        return Some(threads.get());
    }
    let small = match config.model.as_str() {
        // The file may name another model.
        "demo" => common.config.is_none(),
        path => weights_in(Path::new(path)).is_some_and(|bytes| bytes < SMALL),
    };
    small.then_some(1)
}

/// Bytes of weights at a path; `None` where there are none.
fn weights_in(path: &Path) -> Option<u64> {
    let is_weights = |path: &Path| path.extension().is_some_and(|end| end == "gguf" || end == "safetensors");
    if path.is_file() {
        return is_weights(path).then(|| path.metadata().ok().map(|meta| meta.len())).flatten();
    }
    let entries = std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.path());
    let sizes: Vec<u64> = entries
        .filter(|path| is_weights(path))
        .filter_map(|path| Some(path.metadata().ok()?.len()))
        .collect();
    (!sizes.is_empty()).then(|| sizes.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_for(arguments: &[&str]) -> Option<usize> {
        wanted(
            &std::iter::once("engine")
                .chain(arguments.iter().copied())
                .map(OsString::from)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn small_models_get_one_thread_and_the_flag_wins() {
        assert_eq!(wanted_for(&["--announce"]), Some(1));
        assert_eq!(wanted_for(&["--config", "x.toml"]), None);
        assert_eq!(wanted_for(&["--threads", "3"]), Some(3));
        assert_eq!(wanted_for(&["--model", "acme/large"]), None);
        assert_eq!(wanted_for(&["--no-such-flag"]), None);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        assert_eq!(wanted_for(&["--model", path]), None);
        crate::fixture::write_directory(directory.path(), crate::fixture::Family::Llama, true);
        assert_eq!(wanted_for(&["--model", path]), Some(1));
    }
}
