//! The mapping file: which field of a log is what, and which activity is which stage.
//!
//! TOML, strict: an unknown key, a stage that is none or a pattern that cannot be read is refused with its line, since
//! a mapping that is half understood gives half a ledger that nobody can take back.
//! The file's form with examples is in `docs/reference/import.md`.

use std::collections::{BTreeMap, HashMap};

use encoding_rs::Encoding;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use waag_model::limits::SOURCE_BYTES_MAX;
use waag_model::money::Currency;

use crate::amount::NumberForm;
use crate::error::MappingError;
use crate::limits::{MAPPING_BYTES_MAX, MAPPING_NAMES_MAX};
use crate::time::{TimeForm, offset};

/// The only version of the mapping file's form.
const VERSION: i64 = 1;
/// Longest name of an extra field.
const EXTRA_NAME_BYTES_MAX: usize = 64;
/// Days that bound a plausible time are read like this.
const DAY: TimeForm = TimeForm::Iso;

/// The form of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// XES, plain or gzip.
    Xes,
    /// A table with a delimiter.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// Where an activity belongs: one of the four stages, or none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// `invoice.ingestion`.
    Ingestion,
    /// `invoice.reconciliation`.
    Reconciliation,
    /// `invoice.authorization`.
    Authorization,
    /// `invoice.posting`.
    Posting,
    /// `invoice.other`: recorded like any event, and moves no invoice.
    Other,
}

impl Stage {
    /// The type of its events.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Ingestion => "invoice.ingestion",
            Self::Reconciliation => "invoice.reconciliation",
            Self::Authorization => "invoice.authorization",
            Self::Posting => "invoice.posting",
            Self::Other => "invoice.other",
        }
    }
}

/// What a log's field can be to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Id,
    InvoiceId,
    Activity,
    Time,
    Status,
    Amount,
    Currency,
    InvoiceDate,
    DueDate,
    /// Taken as text under this name.
    Text(usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: Spanned<i64>,
    format: Format,
    source: Spanned<String>,
    encoding: Option<Spanned<String>>,
    time_zone: Option<Spanned<String>>,
    earliest: Option<Spanned<String>>,
    latest: Option<Spanned<String>>,
    fields: Fields,
    #[serde(default)]
    extra: BTreeMap<Spanned<String>, String>,
    #[serde(default)]
    constants: Constants,
    csv: Option<Csv>,
    #[serde(default)]
    numbers: Numbers,
    #[serde(default)]
    dates: Dates,
    #[serde(default)]
    activities: HashMap<String, Activity>,
    #[serde(default)]
    statuses: HashMap<String, String>,
    #[serde(default)]
    unmapped: Unmapped,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    invoice_id: String,
    activity: Option<String>,
    time: Option<String>,
    id: Option<String>,
    status: Option<String>,
    amount: Option<String>,
    currency: Option<String>,
    invoice_date: Option<String>,
    due_date: Option<String>,
    vendor: Option<String>,
    vendor_class: Option<String>,
    region: Option<String>,
    payment_terms: Option<String>,
    account: Option<String>,
    actor: Option<String>,
    reference: Option<String>,
    touch: Option<String>,
    exception: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Constants {
    currency: Option<Spanned<String>>,
    vendor_class: Option<String>,
    region: Option<String>,
    account: Option<String>,
    payment_terms: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Csv {
    delimiter: Option<Spanned<String>>,
    quote: Option<Spanned<String>>,
    header: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    decimal: Option<Spanned<String>>,
    thousands: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dates {
    time: Option<Spanned<String>>,
    day: Option<Spanned<String>>,
}

/// What an activity is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Activity {
    pub(crate) stage: Stage,
    pub(crate) status: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unmapped {
    stage: Stage,
}

impl Default for Unmapped {
    fn default() -> Self {
        Self { stage: Stage::Other }
    }
}

/// How a table is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableForm {
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
    pub(crate) header: bool,
}

/// A mapping that can be used.
#[derive(Clone, Debug)]
pub struct Mapping {
    format: Format,
    pub(crate) source: String,
    encoding: Option<&'static Encoding>,
    table: TableForm,
    /// Names in the log, by slot.
    sources: Vec<String>,
    /// What each slot is.
    pub(crate) fields: Vec<Field>,
    /// Names in the event's data of the fields taken as text.
    pub(crate) names: Vec<String>,
    /// Values of fields that a record does not give, by name in the data.
    pub(crate) constants: Vec<(&'static str, String)>,
    pub(crate) currency: Option<String>,
    pub(crate) numbers: NumberForm,
    pub(crate) time: TimeForm,
    pub(crate) day: TimeForm,
    pub(crate) zone_minutes: i64,
    pub(crate) earliest_seconds: Option<i64>,
    /// The first second that is too late.
    pub(crate) latest_seconds: Option<i64>,
    pub(crate) activities: HashMap<String, Activity>,
    pub(crate) statuses: HashMap<String, String>,
    pub(crate) unmapped: Stage,
}

/// What is asked of each record, by slot.
struct Slots {
    /// Names in the log.
    sources: Vec<String>,
    /// What each is.
    fields: Vec<Field>,
    /// Names in the data of those taken as text.
    names: Vec<String>,
}

/// A mapping file's text, to tell lines.
struct Lines<'t>(&'t str);

impl Lines<'_> {
    fn of(&self, byte: usize) -> usize {
        self.0.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
    }

    fn wrong<T>(&self, value: &Spanned<T>, key: &'static str, why: impl Into<String>) -> MappingError {
        MappingError::Value { line: self.of(value.span().start), key, why: why.into() }
    }

    fn one_char(&self, value: &Spanned<String>, key: &'static str) -> Result<char, MappingError> {
        let mut chars = value.get_ref().chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(c),
            _ => Err(self.wrong(value, key, "is not one character")),
        }
    }

    fn one_byte(&self, value: &Spanned<String>, key: &'static str) -> Result<u8, MappingError> {
        let c = self.one_char(value, key)?;
        u8::try_from(c)
            .ok()
            .filter(|byte| byte.is_ascii() && !matches!(byte, b'\n' | b'\r'))
            .ok_or_else(|| self.wrong(value, key, "is not one character of ASCII"))
    }
}

impl Mapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// [`MappingError`] with the line, where one can be told.
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        if text.len() > MAPPING_BYTES_MAX {
            return Err(MappingError::TooLarge);
        }
        let lines = Lines(text);
        let document: Document = toml::from_str(text).map_err(|error| MappingError::Form {
            line: error.span().map_or(0, |span| lines.of(span.start)),
            why: error.message().trim().to_owned(),
        })?;
        document.checked(&lines)
    }

    /// The log's form.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The `source` of its events.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn encoding(&self) -> Option<&'static Encoding> {
        self.encoding
    }

    pub(crate) fn table_form(&self) -> TableForm {
        self.table
    }

    pub(crate) fn sources(&self) -> &[String] {
        &self.sources
    }
}

impl Document {
    fn checked(self, lines: &Lines<'_>) -> Result<Mapping, MappingError> {
        if *self.version.get_ref() != VERSION {
            return Err(lines.wrong(&self.version, "version", "is not 1, the only form there is"));
        }
        if [self.activities.len(), self.statuses.len(), self.extra.len()]
            .iter()
            .any(|n| *n > MAPPING_NAMES_MAX)
        {
            return Err(MappingError::TooLarge);
        }
        if self.fields.activity.is_none() && self.unmapped.stage == Stage::Other {
            return Err(MappingError::Missing { key: "fields.activity" });
        }
        let is_reference = |text: &str| {
            !text.is_empty()
                && text.len() <= SOURCE_BYTES_MAX
                && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}%".contains(&b))
        };
        if !is_reference(self.source.get_ref()) {
            return Err(lines.wrong(&self.source, "source", "is not a plain URI reference"));
        }
        let encoding = self.encoding.as_ref().map(|name| {
            Encoding::for_label(name.get_ref().as_bytes())
                .ok_or_else(|| lines.wrong(name, "encoding", "is not an encoding that is known"))
        });
        let zone_minutes = self.time_zone.as_ref().map_or(Ok(0), |zone| {
            let why = "is neither `Z` nor a distance such as `+01:00`; names of zones are not known";
            offset(zone.get_ref()).ok_or_else(|| lines.wrong(zone, "time_zone", why))
        })?;
        let bound = |day: &Option<Spanned<String>>, key| match day {
            None => Ok(None),
            Some(day) => match DAY.moment(day.get_ref(), zone_minutes) {
                Some(moment) if day.get_ref().len() == 10 => Ok(Some(moment.seconds)),
                _ => Err(lines.wrong(day, key, "is not a day such as `2018-01-01`")),
            },
        };
        let (earliest_seconds, latest) = (bound(&self.earliest, "earliest")?, bound(&self.latest, "latest")?);
        let Slots { sources, fields, names } = self.slots(lines)?;
        let (time, day) = self.dates.checked(lines)?;
        let currency = self.constants.checked(lines)?;
        Ok(Mapping {
            format: self.format,
            encoding: encoding.transpose()?,
            table: self.table(lines)?,
            numbers: self.numbers.checked(lines)?,
            currency,
            constants: self.constants.texts(),
            source: self.source.into_inner(),
            sources,
            fields,
            names,
            time,
            day,
            zone_minutes,
            earliest_seconds,
            latest_seconds: latest.map(|seconds| seconds + 86_400),
            activities: self.activities,
            statuses: self.statuses,
            unmapped: self.unmapped.stage,
        })
    }

    /// The names in the log by slot, what each is, and the names in the data.
    fn slots(&self, lines: &Lines<'_>) -> Result<Slots, MappingError> {
        let own = &self.fields;
        let mut slots: Vec<(&str, Field)> = vec![(&own.invoice_id, Field::InvoiceId)];
        for (source, field) in [
            (&own.activity, Field::Activity),
            (&own.time, Field::Time),
            (&own.id, Field::Id),
            (&own.status, Field::Status),
            (&own.amount, Field::Amount),
            (&own.currency, Field::Currency),
            (&own.invoice_date, Field::InvoiceDate),
            (&own.due_date, Field::DueDate),
        ] {
            slots.extend(source.as_deref().map(|source| (source, field)));
        }
        let mut names = Vec::new();
        for (name, source) in [
            ("vendor", &own.vendor),
            ("vendor_class", &own.vendor_class),
            ("region", &own.region),
            ("payment_terms", &own.payment_terms),
            ("account", &own.account),
            ("actor", &own.actor),
            ("reference", &own.reference),
            ("touch", &own.touch),
            ("exception", &own.exception),
        ] {
            if let Some(source) = source {
                slots.push((source, Field::Text(names.len())));
                names.push(name.to_owned());
            }
        }
        for (name, source) in &self.extra {
            if !is_extra_name(name.get_ref()) {
                let why = "has a name other than 1 to 64 of `a`-`z`, `0`-`9`, `_`, or a name of its own here";
                return Err(lines.wrong(name, "extra", why));
            }
            slots.push((source, Field::Text(names.len())));
            names.push(name.get_ref().clone());
        }
        if slots.iter().any(|(source, _)| source.is_empty()) {
            return Err(MappingError::Value { line: 0, key: "fields", why: "has an empty name".to_owned() });
        }
        let by_number =
            self.format == Format::Csv && !self.csv.as_ref().and_then(|csv| csv.header).unwrap_or(true);
        if by_number && slots.iter().any(|(source, _)| !source.parse().is_ok_and(|n: u16| n > 0)) {
            let why = "needs numbers of columns, counted from 1, where the table has no header".to_owned();
            return Err(MappingError::Value { line: 0, key: "fields", why });
        }
        let (sources, fields) = slots.into_iter().map(|(source, field)| (source.to_owned(), field)).unzip();
        Ok(Slots { sources, fields, names })
    }

    fn table(&self, lines: &Lines<'_>) -> Result<TableForm, MappingError> {
        let mut form = TableForm { delimiter: b',', quote: b'"', header: true };
        if let Some(csv) = &self.csv {
            if let Some(delimiter) = &csv.delimiter {
                form.delimiter = lines.one_byte(delimiter, "csv.delimiter")?;
            }
            if let Some(quote) = &csv.quote {
                form.quote = lines.one_byte(quote, "csv.quote")?;
                if form.quote == form.delimiter {
                    return Err(lines.wrong(quote, "csv.quote", "is the delimiter too"));
                }
            }
            form.header = csv.header.unwrap_or(true);
        }
        Ok(form)
    }
}

impl Numbers {
    fn checked(&self, lines: &Lines<'_>) -> Result<NumberForm, MappingError> {
        let mut form = NumberForm { decimal: '.', thousands: None };
        let sign = |told: &Spanned<String>, key| match lines.one_char(told, key)? {
            // They are a number's own, or would be taken for its exponent: an amount would be read as another one.
            c if c.is_alphanumeric() || matches!(c, '+' | '-' | '\u{2212}') => {
                Err(lines.wrong(told, key, "is a letter, a digit or a sign of a number"))
            }
            c => Ok(c),
        };
        if let Some(decimal) = &self.decimal {
            form.decimal = sign(decimal, "numbers.decimal")?;
        }
        if let Some(thousands) = &self.thousands {
            let separator = sign(thousands, "numbers.thousands")?;
            if separator == form.decimal {
                return Err(lines.wrong(thousands, "numbers.thousands", "is the decimal sign too"));
            }
            form.thousands = Some(separator);
        }
        Ok(form)
    }
}

impl Dates {
    fn checked(&self, lines: &Lines<'_>) -> Result<(TimeForm, TimeForm), MappingError> {
        let form = |pattern: &Option<Spanned<String>>, key| match pattern {
            None => Ok(TimeForm::Iso),
            Some(text) => TimeForm::parse(text.get_ref()).map_err(|why| lines.wrong(text, key, why)),
        };
        Ok((form(&self.time, "dates.time")?, form(&self.day, "dates.day")?))
    }
}

impl Constants {
    fn checked(&self, lines: &Lines<'_>) -> Result<Option<String>, MappingError> {
        match &self.currency {
            Some(code) if Currency::of(code.get_ref()).is_none() => {
                Err(lines.wrong(code, "constants.currency", "is not a code such as `EUR`"))
            }
            code => Ok(code.as_ref().map(|code| code.get_ref().clone())),
        }
    }

    fn texts(&self) -> Vec<(&'static str, String)> {
        [
            ("vendor_class", &self.vendor_class),
            ("region", &self.region),
            ("account", &self.account),
            ("payment_terms", &self.payment_terms),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| (name, value.clone())))
        .collect()
    }
}

/// A name that no standard field of the data has.
fn is_extra_name(name: &str) -> bool {
    const OWN: [&str; 22] = [
        "invoice_id",
        "activity",
        "status",
        "amount_minor",
        "amount_text",
        "currency",
        "currency_text",
        "invoice_date",
        "invoice_date_text",
        "due_date",
        "due_date_text",
        "time_text",
        "vendor",
        "vendor_class",
        "region",
        "payment_terms",
        "account",
        "actor",
        "reference",
        "touch",
        "exception",
        "import_odd",
    ];
    (1..=EXTRA_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        && !OWN.contains(&name)
}
