//! The samples as a drawing: time to the right, resident memory upwards, one line for each process.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::memory::Sample;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 220.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 50.0;
/// Of a line; a point is the highest of what it stands for, so that no peak is lost.
const POINTS: usize = 400;
/// Told apart without red and green.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#56b4e9", "#e69f00", "#cc79a7"];

/// Draws `samples` to the file at `path`.
///
/// # Errors
///
/// When the file cannot be written.
pub(crate) fn write(path: &Path, names: &[String], samples: &[Sample]) -> Result<()> {
    std::fs::write(path, draw(names, samples)?).with_context(|| format!("cannot write `{}`", path.display()))
}

fn draw(names: &[String], samples: &[Sample]) -> Result<String> {
    let end = samples.last().map_or(1.0, |sample| sample.seconds).max(1.0);
    let highest = samples.iter().flat_map(|sample| &sample.resident).max().copied().unwrap_or(0);
    let top = (highest as f64 / 1024.0 / 5.0).ceil().max(1.0) * 5.0;
    let x = |seconds: f64| LEFT + seconds / end * (WIDTH - LEFT - RIGHT);
    let y = |mib: f64| HEIGHT - BOTTOM - mib / top * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>Resident memory over time</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for step in 0..=5 {
        let (mib, seconds) = (top * f64::from(step) / 5.0, end * f64::from(step) / 5.0);
        let (line, column) = (y(mib), x(seconds));
        let right = WIDTH - RIGHT;
        writeln!(svg, "<path d=\"M{LEFT} {line:.1}H{right}\" stroke=\"#ddd\"/>")?;
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{mib:.0}</text>",
            LEFT - 6.0,
            line + 4.0
        )?;
        let label =
            if end < 300.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) };
        let under = HEIGHT - BOTTOM + 18.0;
        writeln!(svg, "<text x=\"{column:.1}\" y=\"{under}\" text-anchor=\"middle\">{label}</text>")?;
    }
    writeln!(svg, "<text x=\"{LEFT}\" y=\"{:.1}\">resident memory, MiB</text>", TOP - 6.0)?;
    for (at, name) in names.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points: Vec<String> = thinned(samples, end, at)
            .map(|(seconds, kib)| format!("{:.1},{:.1}", x(seconds), y(kib as f64 / 1024.0)))
            .collect();
        let points = points.join(" ");
        writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{points}\"/>"
        )?;
        let line = TOP + 14.0 + 20.0 * at as f64;
        let legend = WIDTH - RIGHT + 14.0;
        writeln!(svg, "<path d=\"M{legend} {:.1}h18\" stroke=\"{colour}\" stroke-width=\"3\"/>", line - 4.0)?;
        writeln!(svg, "<text x=\"{:.1}\" y=\"{line:.1}\">{name}</text>", legend + 24.0)?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// The highest value in each of [`POINTS`] slices of the time.
fn thinned(samples: &[Sample], end: f64, at: usize) -> impl Iterator<Item = (f64, u64)> {
    let mut slices: Vec<Option<(f64, u64)>> = vec![None; POINTS + 1];
    for sample in samples {
        let slice = &mut slices[(sample.seconds / end * POINTS as f64) as usize];
        let value = sample.resident.get(at).copied().unwrap_or(0);
        if slice.is_none_or(|(_, highest)| value > highest) {
            *slice = Some((sample.seconds, value));
        }
    }
    slices.into_iter().flatten()
}
