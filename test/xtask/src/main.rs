//! Chores of the repository: `cargo xtask layering`, `cargo xtask fuzz`.

mod fuzz;
mod layering;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((task, [])) if task == "layering" => layering::check(),
        Some((task, rest)) if task == "fuzz" => fuzz::run(rest),
        _ => Err(anyhow::anyhow!("usage: cargo xtask layering | fuzz [--seconds N] [TARGET…]")),
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
