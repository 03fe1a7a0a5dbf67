//! Figures that a running program tells of itself: counters, gauges and histograms, each with its help.
//!
//! One form for everybody who shows or sends them. A label's values are few and fixed by the program: never a name, a
//! path or an id that somebody outside chose.
//! Not here: any text or wire form (`edge/http` writes OpenMetrics, `drivers/telemetry` OTLP).

/// Tells figures when asked; cheap enough to be asked every few seconds.
pub trait Figures: Send + Sync {
    /// The families, each name once.
    fn families(&self) -> Vec<Family>;
}

/// What a figure means over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Only grows, from the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// Figures of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Its name; ends with the unit where there is one.
    pub name: &'static str,
    /// What it means over time.
    pub meaning: Meaning,
    /// `seconds` or `bytes`; none where things are counted.
    pub unit: Option<&'static str>,
    /// What is counted, in a sentence.
    pub help: &'static str,
    /// One sample for each set of labels.
    pub samples: Vec<Sample>,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Labels in order.
    pub labels: Vec<(&'static str, &'static str)>,
    /// The value.
    pub value: Value,
}

/// A value's form.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// A number that need not be whole.
    Real(f64),
    /// A histogram.
    Buckets {
        /// Upper bounds, rising; a last one without bound is implied.
        bounds: &'static [f64],
        /// One count for each bound and one for what is above; not cumulated.
        counts: Vec<u64>,
        /// Sum of all values.
        sum: f64,
    },
}

fn one(name: &'static str, meaning: Meaning, help: &'static str, value: Value) -> Family {
    let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")));
    Family { name, meaning, unit, help, samples: vec![Sample { labels: Vec::new(), value }] }
}

/// A counter without labels.
#[must_use]
pub fn counter(name: &'static str, help: &'static str, value: u64) -> Family {
    one(name, Meaning::Counter, help, Value::Whole(value))
}

/// A gauge without labels.
#[must_use]
pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Family {
    one(name, Meaning::Gauge, help, Value::Whole(value))
}

/// A gauge of seconds.
#[must_use]
pub fn seconds(name: &'static str, help: &'static str, value: f64) -> Family {
    one(name, Meaning::Gauge, help, Value::Real(value))
}

impl Family {
    /// A family of samples with labels.
    #[must_use]
    pub fn of(name: &'static str, meaning: Meaning, help: &'static str, samples: Vec<Sample>) -> Self {
        Self { samples, ..one(name, meaning, help, Value::Whole(0)) }
    }
}
