//! Counters, gauges and histograms with labels, printed as Prometheus text (exposition format 0.0.4). Nothing is global:
//! a process makes one [`Registry`] and hands it around. Label values come from us, never from a request: an unbounded
//! set of them would be unbounded memory, so a family stops growing at [`MAX_SERIES`].

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

/// Series of one family; further ones are counted together under the label `overflow`.
pub const MAX_SERIES: usize = 1000;

/// Upper bounds in seconds that suit requests, from half a millisecond to five minutes.
pub const LATENCY_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
    300.0,
];

/// Counts up.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// To this value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// By this much.
    pub fn add(&self, difference: i64) {
        self.0.fetch_add(difference, Ordering::Relaxed);
    }

    /// One more until the guard is dropped.
    #[must_use]
    pub fn enter(&self) -> Entered {
        self.add(1);
        Entered(self.clone())
    }

    /// Where it stands.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Takes one off its [`Gauge`] when dropped.
#[derive(Debug)]
pub struct Entered(Gauge);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// Sorts observations into buckets.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64],
    /// One per bound, and one for what is above all of them.
    counts: Vec<AtomicU64>,
    /// The sum of all observations as the bits of an `f64`.
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0) }))
    }

    /// Adds one observation. What is not a number is ignored.
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let index = self.0.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.0.counts.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // The closure never says no, so this cannot fail.
        let _ = self.0.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Adds a span of time in seconds.
    pub fn observe_duration(&self, duration: std::time::Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// How many observations so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// All metrics of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<BTreeMap<&'static str, Family>>>);

#[derive(Debug)]
struct Family {
    help: &'static str,
    kind: &'static str,
    /// By the labels as they are printed, without the braces.
    series: BTreeMap<String, Series>,
}

#[derive(Clone, Debug)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl Registry {
    /// No metrics yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter with this name and these labels; the same one each time.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Counter {
        match self.series(name, help, "counter", labels, || Series::Counter(Counter::default())) {
            Some(Series::Counter(counter)) => counter,
            _ => Counter::default(),
        }
    }

    /// The gauge with this name and these labels; the same one each time.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Gauge {
        match self.series(name, help, "gauge", labels, || Series::Gauge(Gauge::default())) {
            Some(Series::Gauge(gauge)) => gauge,
            _ => Gauge::default(),
        }
    }

    /// The histogram with this name and these labels; the same one each time. `bounds` rise.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        bounds: &'static [f64],
    ) -> Histogram {
        match self.series(name, help, "histogram", labels, || Series::Histogram(Histogram::new(bounds))) {
            Some(Series::Histogram(histogram)) => histogram,
            _ => Histogram::new(bounds),
        }
    }

    /// `None` when the name is taken by another kind: a metric of its own that nobody sees, rather than a panic.
    fn series(
        &self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
        labels: &[(&str, &str)],
        make: impl FnOnce() -> Series,
    ) -> Option<Series> {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(name).or_insert_with(|| Family { help, kind, series: BTreeMap::new() });
        if family.kind != kind {
            debug_assert!(false, "metric {name} is a {}, not a {kind}", family.kind);
            return None;
        }
        let mut key = labels_text(labels);
        if family.series.len() >= MAX_SERIES && !family.series.contains_key(&key) {
            key = labels_text(&[("overflow", "true")]);
        }
        Some(family.series.entry(key).or_insert_with(make).clone())
    }

    /// All metrics as Prometheus text.
    #[must_use]
    pub fn render(&self) -> String {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (name, family) in families.iter() {
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {}\n", family.kind);
            for (labels, series) in &family.series {
                render_series(&mut text, name, labels, series);
            }
        }
        text
    }
}

fn render_series(text: &mut String, name: &str, labels: &str, series: &Series) {
    let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    // Writing to a String cannot fail.
    let _ = match series {
        Series::Counter(counter) => writeln!(text, "{name}{braced} {}", counter.value()),
        Series::Gauge(gauge) => writeln!(text, "{name}{braced} {}", gauge.value()),
        Series::Histogram(Histogram(buckets)) => {
            let comma = if labels.is_empty() { "" } else { "," };
            let mut total = 0;
            for (index, count) in buckets.counts.iter().enumerate() {
                total += count.load(Ordering::Relaxed);
                let bound = buckets.bounds.get(index).map_or("+Inf".to_owned(), f64::to_string);
                let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
            }
            let sum = f64::from_bits(buckets.sum.load(Ordering::Relaxed));
            write!(text, "{name}_sum{braced} {sum}\n{name}_count{braced} {total}\n")
        }
    };
}

fn labels_text(labels: &[(&str, &str)]) -> String {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let mut text = String::new();
    for (name, value) in sorted {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}=\"{value}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_text() {
        let registry = Registry::new();
        registry.counter("requests_total", "Requests.", &[("path", "/v1"), ("code", "2\"0\n0")]).add(3);
        registry.counter("requests_total", "Requests.", &[("code", "2\"0\n0"), ("path", "/v1")]).increment();
        registry.gauge("open", "Open streams.", &[]).set(-2);
        let histogram = registry.histogram("seconds", "Time.", &[("step", "open")], &[0.5, 1.0]);
        for value in [0.5, 0.75, 2.0, f64::NAN] {
            histogram.observe(value);
        }
        let expected = "# HELP open Open streams.\n# TYPE open gauge\nopen -2\n\
            # HELP requests_total Requests.\n# TYPE requests_total counter\n\
            requests_total{code=\"2\\\"0\\n0\",path=\"/v1\"} 4\n\
            # HELP seconds Time.\n# TYPE seconds histogram\n\
            seconds_bucket{step=\"open\",le=\"0.5\"} 1\nseconds_bucket{step=\"open\",le=\"1\"} 2\n\
            seconds_bucket{step=\"open\",le=\"+Inf\"} 3\nseconds_sum{step=\"open\"} 3.25\n\
            seconds_count{step=\"open\"} 3\n";
        assert_eq!(registry.render(), expected);
    }

    #[test]
    fn a_family_stops_growing() {
        let registry = Registry::new();
        for index in 0..MAX_SERIES + 50 {
            registry.counter("many", "Many.", &[("index", &index.to_string())]).increment();
        }
        let text = registry.render();
        assert!(text.contains("many{overflow=\"true\"} 50\n"), "{text}");
        assert_eq!(text.lines().count(), 2 + MAX_SERIES + 1);
    }

    #[test]
    fn a_guard_leaves_the_gauge_as_it_was() {
        let gauge = Gauge::default();
        let guard = gauge.enter();
        assert_eq!(gauge.value(), 1);
        drop(guard);
        assert_eq!(gauge.value(), 0);
    }
}
