//! Chores of the repository: `cargo xtask layering`.

mod layering;

use std::process::ExitCode;

fn main() -> ExitCode {
    let task = std::env::args().nth(1);
    let outcome = match task.as_deref() {
        Some("layering") => layering::check(),
        _ => Err(anyhow::anyhow!("usage: cargo xtask layering")),
    };
    match outcome {
        Ok(summary) => {
            say(&summary);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a chore talks to the person who runs it")]
fn say(text: &str) {
    eprintln!("{text}");
}
