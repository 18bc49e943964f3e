//! Resident memory of client proxy, gateway and inference proxy, each a process of its own under `privatemode up`: idle, while
//! a large file is uploaded, and while many streams run for a long time.
//!
//! ```sh
//! cargo build --release --bin privatemode && cargo run --release -p bench-endurance
//! ```
//!
//! The engine sends a numbered delta at fixed times; each stream is read to its end, and every delta and the end mark are
//! checked. Prints Markdown and draws `memory.svg`; asserts nothing about memory, but fails when a stream is not whole.

mod args;
mod client;
mod memory;
mod plot;
mod stack;
mod upstream;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;

use args::Arguments;
use memory::{Held, Sample, Watch};
use stack::{PARTS, Stack};
use upstream::Pace;

/// An upload is over soon: this many samples of it are wanted.
const UPLOAD_SAMPLES: Duration = Duration::from_millis(5);

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(file) = &arguments.draw {
        let (names, samples) = memory::read(file)?;
        return plot::write(&arguments.out.join("memory.svg"), &names, &samples);
    }
    let every = Duration::from_millis(arguments.delta_milliseconds);
    let deltas = arguments.stream_seconds * 1000 / arguments.delta_milliseconds.max(1);
    let upstream = upstream::start(Pace { deltas, every }).await?;
    let program = program(&arguments)?;
    let mut stacks = Vec::new();
    for protocol in &arguments.protocols {
        stacks.push(Stack::start(&program, &upstream, protocol).await?);
    }
    let mut run = Run::new(&arguments, &stacks);
    for stack in &stacks {
        stack.target.chat().await?;
    }
    let idle = run.phase("idle", Duration::from_secs(1), idle(&arguments)).await?.1;
    run.rows("idle", &idle, &idle);
    run.uploads(&stacks, &idle).await?;
    run.streams(&stacks, deltas).await?;
    run.print();
    memory::write(&arguments.out.join("samples.csv"), &run.names, &run.samples)?;
    plot::write(&arguments.out.join("memory.svg"), &run.names, &run.samples)?;
    for stack in stacks {
        stack.stop().await?;
    }
    Ok(())
}

struct Run<'a> {
    arguments: &'a Arguments,
    begun: Instant,
    /// Of all processes watched, in the order of the stacks and of [`PARTS`].
    names: Vec<String>,
    pids: Vec<u32>,
    samples: Vec<Sample>,
    lines: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(arguments: &'a Arguments, stacks: &[Stack]) -> Self {
        let names = stacks.iter().flat_map(|stack| PARTS.map(|part| format!("{part} ({})", stack.protocol)));
        Self {
            arguments,
            begun: Instant::now(),
            names: names.collect(),
            pids: stacks.iter().flat_map(|stack| stack.pids.clone()).collect(),
            samples: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Does `work` and returns what it returned, and what each process held when it was over, with the peak on the way.
    async fn phase<T>(
        &mut self,
        name: &str,
        every: Duration,
        work: impl Future<Output = Result<T>>,
    ) -> Result<(T, Vec<Held>)> {
        for pid in &self.pids {
            memory::forget_peak(*pid);
        }
        let watch = Watch::start(&self.pids, name, self.begun, every);
        let outcome = work.await;
        let samples = watch.stop();
        let held = self.pids.iter().enumerate().map(|(at, pid)| {
            let mut held = memory::held(*pid)?;
            let sampled = samples.iter().map(|sample| sample.resident[at]).max().unwrap_or(0);
            if sampled > held.peak || !peaks_can_be_reset() {
                held.peak = sampled;
            }
            Ok(held)
        });
        let held: Result<Vec<Held>> = held.collect();
        self.samples.extend(samples);
        Ok((outcome.with_context(|| name.to_owned())?, held?))
    }

    async fn uploads(&mut self, stacks: &[Stack], idle_before: &[Held]) -> Result<()> {
        for (stack, mib) in stacks.iter().zip(&self.arguments.upload_mib) {
            for number in 1..=self.arguments.uploads {
                if *mib == 0 {
                    continue;
                }
                let name = format!("upload {number} of {mib} MiB");
                let work = async { Ok(stack.target.upload(mib << 20).await) };
                let (outcome, held) = self.phase(&name, UPLOAD_SAMPLES, work).await?;
                let label = match outcome {
                    Ok(taken) => format!("{name}, {} ms", taken.as_millis()),
                    Err(error) => format!("{name} FAILED: {error:#}"),
                };
                self.rows_of(&label, idle_before, &held, Some(&stack.protocol));
            }
        }
        let after = self.phase("idle after uploads", Duration::from_secs(1), idle(self.arguments)).await?.1;
        self.rows("idle after uploads", idle_before, &after);
        Ok(())
    }

    async fn streams(&mut self, stacks: &[Stack], deltas: u64) -> Result<()> {
        let before: Vec<Held> = self.pids.iter().map(|pid| memory::held(*pid)).collect::<Result<_>>()?;
        let streams = self.arguments.streams;
        let every = Duration::from_millis(self.arguments.sample_milliseconds);
        let name = format!("{streams} streams for {} s", self.arguments.stream_seconds);
        let targets: Vec<_> = stacks.iter().map(|stack| stack.target.clone()).collect();
        let work = async {
            let mut tasks = tokio::task::JoinSet::new();
            for target in targets.iter().flat_map(|target| std::iter::repeat_n(target, streams)) {
                let target = target.clone();
                tasks.spawn(async move { target.stream(deltas).await });
            }
            let (mut whole, mut broken) = (0, Vec::new());
            while let Some(outcome) = tasks.join_next().await {
                match outcome? {
                    Ok(()) => whole += 1,
                    Err(error) => broken.push(format!("{error:#}")),
                }
            }
            Ok((whole, broken))
        };
        let ((whole, broken), held) = self.phase(&name, every, work).await?;
        self.rows(&name, &before, &held);
        let after = self.phase("idle after streams", Duration::from_secs(1), idle(self.arguments)).await?.1;
        self.rows("idle after streams", &before, &after);
        say(&format!("{whole} streams of {deltas} deltas each were whole, {} were not\n", broken.len()));
        for error in &broken {
            say(&format!("* {error}"));
        }
        if broken.is_empty() { Ok(()) } else { self.fail() }
    }

    /// The figures so far are worth having even so.
    fn fail(&self) -> Result<()> {
        self.print();
        memory::write(&self.arguments.out.join("samples.csv"), &self.names, &self.samples)?;
        bail!("not every stream was whole")
    }

    fn rows(&mut self, phase: &str, before: &[Held], held: &[Held]) {
        self.rows_of(phase, before, held, None);
    }

    /// One row for each process, or only those of the stack that speaks `protocol`.
    fn rows_of(&mut self, phase: &str, before: &[Held], held: &[Held], protocol: Option<&str>) {
        let mib = |kib: u64| kib as f64 / 1024.0;
        for ((name, before), held) in self.names.iter().zip(before).zip(held) {
            if protocol.is_some_and(|protocol| !name.ends_with(&format!("({protocol})"))) {
                continue;
            }
            self.lines.push(format!(
                "| {phase} | {name} | {:.1} | {:.1} | {:.1} | {:+.1} | {:+.1} |",
                mib(before.resident),
                mib(held.peak),
                mib(held.resident),
                mib(held.peak) - mib(before.resident),
                mib(held.anonymous) - mib(before.anonymous),
            ));
        }
    }

    fn print(&self) {
        say("| phase | process | idle, MiB | peak | end | peak above idle | heap at the end above idle |");
        say("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
        for line in &self.lines {
            say(line);
        }
    }
}

/// Whether the kernel lets this process start a peak anew.
fn peaks_can_be_reset() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

async fn idle(arguments: &Arguments) -> Result<()> {
    tokio::time::sleep(Duration::from_secs(arguments.idle_seconds)).await;
    Ok(())
}

/// The program to measure.
fn program(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(program) = &arguments.program {
        return Ok(program.clone());
    }
    let program = std::env::current_exe()?.with_file_name("privatemode");
    if !program.exists() {
        bail!("there is no `{}`: run `cargo build --release --bin privatemode` first", program.display());
    }
    Ok(program)
}

#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
fn say(line: &str) {
    println!("{line}");
}
