//! What an event says about an invoice: read from a fact, total over whatever is missing, withheld or misspelt.
//!
//! Place in the way of an event: the first step of `project`. The words are settled here and in
//! `docs/reference/invoices.md`; a word that is not known is kept as an entry into its stage and marked odd
//! (`INVOICE-1`).
//! Not here: what follows for the invoice (`state`).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use waag_domain::project::Fact;
use waag_model::money::{Currency, Money};
use waag_model::time::UtcNanos;
use waag_model::value::{Decimal, Object, Value};

use crate::config::Config;
use crate::when;

/// What the types of events about invoices begin with.
pub const TYPES: &str = "invoice.";
/// Longest id of an invoice in bytes; a longer one is no id.
pub const INVOICE_ID_BYTES_MAX: usize = 255;
/// Longest vendor, vendor class or region in bytes; what is longer is cut, so that rows stay small.
pub const NAME_BYTES_MAX: usize = 100;
/// Words of `import_odd` that are read; imports have fewer kinds of them.
pub const IMPORT_WORDS_MAX: usize = 32;

/// A stage of an invoice's way, in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Received and read.
    #[default]
    Ingestion,
    /// Matched with order and receipt of goods.
    Reconciliation,
    /// Approved for payment.
    Authorization,
    /// Posted, and then paid.
    Posting,
}

/// All stages in their order.
pub const STAGES: [Stage; 4] =
    [Stage::Ingestion, Stage::Reconciliation, Stage::Authorization, Stage::Posting];

impl Stage {
    /// Its number: 0 to 3.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Ingestion => 0,
            Self::Reconciliation => 1,
            Self::Authorization => 2,
            Self::Posting => 3,
        }
    }

    /// The stage of a number.
    #[must_use]
    pub fn of_number(number: i64) -> Option<Self> {
        STAGES.into_iter().find(|stage| i64::from(stage.number()) == number)
    }

    /// Its name, as event types and pages have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingestion => "ingestion",
            Self::Reconciliation => "reconciliation",
            Self::Authorization => "authorization",
            Self::Posting => "posting",
        }
    }

    /// The type of its events.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Ingestion => "invoice.ingestion",
            Self::Reconciliation => "invoice.reconciliation",
            Self::Authorization => "invoice.authorization",
            Self::Posting => "invoice.posting",
        }
    }

    /// The stage after it; posting is followed by payment, which is no stage of its own.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Ingestion => Self::Reconciliation,
            Self::Reconciliation => Self::Authorization,
            Self::Authorization | Self::Posting => Self::Posting,
        }
    }

    /// The stage of a name; `None` for any other word.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        STAGES.into_iter().find(|stage| stage.name() == name)
    }
}

/// What an event does to its invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is in the stage.
    Enter,
    /// It is in the stage, and the vendor's invoice itself has come.
    Receive,
    /// The stage is done.
    Leave,
    /// The stage is done and the payment is approved.
    Approve,
    /// Something went wrong in the stage.
    Fail,
    /// It may not go on.
    Block,
    /// It may go on again.
    Release,
    /// It is paid: closed.
    Pay,
    /// It will never be paid: closed.
    Reject,
    /// It is open again.
    Reopen,
}

/// All actions, by the number that histories store: never reordered.
pub(crate) const ACTIONS: [Action; 10] = [
    Action::Enter,
    Action::Receive,
    Action::Leave,
    Action::Approve,
    Action::Fail,
    Action::Block,
    Action::Release,
    Action::Pay,
    Action::Reject,
    Action::Reopen,
];

/// Words of a payment of a part: the invoice is in the stage, and stays open.
const PART_PAYMENTS: [&str; 3] = ["partially_paid", "partly_paid", "part_paid"];

fn is_part_payment(status: &str) -> bool {
    PART_PAYMENTS.iter().any(|word| word.eq_ignore_ascii_case(status))
}

/// The action of a status word; none for a word that is not known.
fn action_of(status: &str) -> Option<Action> {
    let lower: Cow<'_, str> = if status.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(status.to_ascii_lowercase())
    } else {
        Cow::Borrowed(status)
    };
    Some(match lower.as_ref() {
        "" | "entered" | "started" | "open" | "pending" | "in_progress" | "waiting" | "changed" => {
            Action::Enter
        }
        part if is_part_payment(part) => Action::Enter,
        "received" => Action::Receive,
        "left" | "done" | "completed" | "matched" | "posted" => Action::Leave,
        "approved" | "authorized" | "authorised" => Action::Approve,
        "failed" | "error" | "exception" | "mismatch" => Action::Fail,
        "blocked" | "on_hold" | "held" | "disputed" => Action::Block,
        "released" | "unblocked" => Action::Release,
        "cleared" | "paid" | "settled" => Action::Pay,
        "rejected" | "cancelled" | "canceled" | "withdrawn" | "voided" => Action::Reject,
        "reopened" => Action::Reopen,
        stage => return Stage::of_name(stage).map(|_| Action::Enter),
    })
}

/// Why an event is odd; a bit each, as `odd` rows store them: never reordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// Neither data nor subject say which invoice.
    UnknownInvoice,
    /// The type begins with `invoice.` and names no stage.
    UnknownStage,
    /// The time is before the first plausible year or after the acceptance.
    ImpossibleTime,
    /// The time is no RFC 3339 text.
    UnreadableTime,
    /// The status is no known word.
    UnknownStatus,
    /// The currency is no active ISO 4217 code.
    UnknownCurrency,
    /// The amount is no whole number of minor units that 64 bits hold.
    UnreadableAmount,
    /// The due date is no date.
    UnreadableDueDate,
    /// The invoice's own date is no date.
    UnreadableInvoiceDate,
}

/// All reasons, by bit.
pub const ODDITIES: [Oddity; 9] = [
    Oddity::UnknownInvoice,
    Oddity::UnknownStage,
    Oddity::ImpossibleTime,
    Oddity::UnreadableTime,
    Oddity::UnknownStatus,
    Oddity::UnknownCurrency,
    Oddity::UnreadableAmount,
    Oddity::UnreadableDueDate,
    Oddity::UnreadableInvoiceDate,
];

impl Oddity {
    /// Its bit.
    #[must_use]
    pub fn bit(self) -> u16 {
        1u16.checked_shl(
            ODDITIES.iter().take_while(|reason| **reason != self).count().try_into().unwrap_or(0),
        )
        .unwrap_or(0)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownInvoice => "unknown_invoice",
            Self::UnknownStage => "unknown_stage",
            Self::ImpossibleTime => "impossible_time",
            Self::UnreadableTime => "unreadable_time",
            Self::UnknownStatus => "unknown_status",
            Self::UnknownCurrency => "unknown_currency",
            Self::UnreadableAmount => "unreadable_amount",
            Self::UnreadableDueDate => "unreadable_due_date",
            Self::UnreadableInvoiceDate => "unreadable_invoice_date",
        }
    }
}

/// What a time rests on, by the number that states store: never reordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The event told it.
    #[default]
    Told,
    /// The event told none: it is when the event was accepted.
    Assumed,
    /// The event told one that cannot be or cannot be read. When it was accepted stands for it, which says nothing of
    /// when it happened: no figure of a time is made of it.
    Unusable,
}

impl Clock {
    /// Whether figures of a time may be made of it.
    pub(crate) fn is_dated(self) -> bool {
        match self {
            Self::Told | Self::Assumed => true,
            Self::Unusable => false,
        }
    }
}

/// What an event says of the vendor's invoice having come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// Nothing.
    #[default]
    None,
    /// It is being taken in, so it must have.
    Implied,
    /// That it has.
    Told,
}

/// What an event says beside names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) position: u64,
    pub(crate) accepted: i64,
    /// None for an unknown stage.
    pub(crate) stage: Option<Stage>,
    pub(crate) action: Action,
    pub(crate) receipt: Receipt,
    /// The event's time where it is usable; else the time of acceptance.
    pub(crate) at: i64,
    /// What `at` rests on.
    pub(crate) clock: Clock,
    pub(crate) odd: u16,
    pub(crate) amount: Option<i64>,
    pub(crate) currency: Option<Currency>,
    pub(crate) due: Option<i32>,
    /// The invoice's date.
    pub(crate) dated: Option<i32>,
    pub(crate) exception: bool,
    /// Whether a person acted; none where the event does not say.
    pub(crate) manual: Option<bool>,
}

/// One event about invoices, read.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    pub(crate) said: Said,
    /// None for an unknown invoice.
    pub(crate) invoice: Option<Cow<'a, str>>,
    pub(crate) vendor: &'a str,
    pub(crate) vendor_class: &'a str,
    pub(crate) region: &'a str,
    /// The vendor's own number of the invoice.
    pub(crate) reference: &'a str,
}

/// A fact's data, where it is an object.
fn data_of<'f>(fact: &Fact<'f>) -> Option<&'f Object<'f>> {
    match fact.data {
        Some(Value::Object(data)) => Some(data),
        Some(
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Decimal(_)
            | Value::Text(_)
            | Value::Array(_)
            | Value::Withheld(_),
        )
        | None => None,
    }
}

/// Which invoice a fact is about, by the rule of the read model; none where it is about none, or does not say.
#[must_use]
pub fn invoice_of<'f>(fact: &Fact<'f>) -> Option<Cow<'f, str>> {
    fact.kind.strip_prefix(TYPES)?;
    let invoice = data_of(fact).and_then(|data| id_of(data)).or(fact.subject.map(Cow::Borrowed));
    invoice.filter(|id| !id.is_empty() && id.len() <= INVOICE_ID_BYTES_MAX)
}

/// Reads a fact; none where it is not about invoices.
pub(crate) fn read<'a>(fact: &Fact<'a>, config: &Config) -> Option<Reading<'a>> {
    let stage = fact.kind.strip_prefix(TYPES)?;
    let data = data_of(fact);
    let text = |name: &str| data.and_then(|data| text_of(data, name)).unwrap_or("");
    let mut odd = 0;
    let stage = Stage::of_name(stage);
    let invoice = invoice_of(fact);
    odd |= flag(stage.is_none(), Oddity::UnknownStage) | flag(invoice.is_none(), Oddity::UnknownInvoice);
    odd |= import_oddities(data);
    let (at, clock) = time_of(fact, config, &mut odd);
    let (amount, currency) = money_of(data, &mut odd);
    let status = text("status");
    // What is paid of an invoice in part is not what it is worth.
    let (amount, currency) = if is_part_payment(status) { (None, None) } else { (amount, currency) };
    let due = date_of(data, "due_date", Oddity::UnreadableDueDate, &mut odd);
    let dated = date_of(data, "invoice_date", Oddity::UnreadableInvoiceDate, &mut odd);
    let manual = match text("touch") {
        "manual" => Some(true),
        "auto" | "automatic" => Some(false),
        _ => None,
    };
    let (action, receipt) = effect(status, text("activity"), stage, config, &mut odd);
    let said = Said {
        position: fact.position.0,
        accepted: fact.accepted.0,
        stage,
        action,
        receipt,
        at,
        clock,
        odd,
        amount,
        currency,
        due,
        dated,
        exception: data.and_then(|data| data.get("exception")).is_some_and(tells_exception),
        manual,
    };
    Some(Reading {
        said,
        invoice,
        vendor: cut(text("vendor")),
        vendor_class: cut(text("vendor_class")),
        region: cut(text("region")),
        reference: text("reference"),
    })
}

fn flag(is: bool, reason: Oddity) -> u16 {
    if is { reason.bit() } else { 0 }
}

fn text_of<'a>(data: &'a Object<'_>, name: &str) -> Option<&'a str> {
    data.get(name).and_then(Value::as_text)
}

/// The invoice's id: a text, or a whole number as its digits.
fn id_of<'a>(data: &'a Object<'_>) -> Option<Cow<'a, str>> {
    match data.get("invoice_id")? {
        Value::Text(text) => Some(Cow::Borrowed(text.as_ref())),
        Value::Integer(number) => Some(Cow::Owned(number.to_string())),
        Value::Decimal(number) => Some(Cow::Owned(whole(*number)?.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) | Value::Withheld(_) => None,
    }
}

/// The action, and whether the vendor's invoice has come: an activity of another system's log says more than its status,
/// an unknown word is an entry. Where no activity is told, taking an invoice in, however that goes, is having received it.
fn effect(
    status: &str,
    activity: &str,
    stage: Option<Stage>,
    config: &Config,
    odd: &mut u16,
) -> (Action, Receipt) {
    let is = |activities: &[String]| !activity.is_empty() && activities.iter().any(|known| known == activity);
    let is_received = is(&config.received_activities);
    let taken_in = activity.is_empty() && stage == Some(Stage::Ingestion);
    let receipt = |action| {
        if is_received || action == Action::Receive {
            Receipt::Told
        } else if taken_in {
            Receipt::Implied
        } else {
            Receipt::None
        }
    };
    if is(&config.cleared_activities) {
        return (Action::Pay, receipt(Action::Pay));
    }
    let action = action_of(status).unwrap_or_else(|| {
        *odd |= Oddity::UnknownStatus.bit();
        Action::Enter
    });
    let receipt = receipt(action);
    let shown = if action == Action::Enter && receipt != Receipt::None { Action::Receive } else { action };
    (shown, receipt)
}

/// What an import could not read in another system's log: it says so in the event, beside the text as it stood there.
///
/// Whether a time is plausible is judged here alone (`time_of`): the words for times out of a log's own bounds add
/// nothing, as words that are not known.
fn import_oddities(data: Option<&Object<'_>>) -> u16 {
    let Some(Value::Array(words)) = data.and_then(|data| data.get("import_odd")) else { return 0 };
    let kept = |name| data.is_some_and(|data| told(data, name));
    let of_word = |word: &str| match word {
        "unmapped_status" => Oddity::UnknownStatus.bit(),
        "missing_time" | "bad_time" => Oddity::UnreadableTime.bit(),
        "bad_amount" => Oddity::UnreadableAmount.bit(),
        "bad_currency" => Oddity::UnknownCurrency.bit(),
        "bad_day" => {
            let of_invoice = flag(kept("invoice_date_text"), Oddity::UnreadableInvoiceDate);
            let is_due = kept("due_date_text") || of_invoice == 0;
            of_invoice | flag(is_due, Oddity::UnreadableDueDate)
        }
        _ => 0,
    };
    words.iter().take(IMPORT_WORDS_MAX).filter_map(Value::as_text).fold(0, |odd, word| odd | of_word(word))
}

/// The event's time where it is plausible, else when it was accepted.
fn time_of(fact: &Fact<'_>, config: &Config, odd: &mut u16) -> (i64, Clock) {
    let unusable = (fact.accepted.0, Clock::Unusable);
    let text = match fact.attributes.get("time") {
        // An import found no time that it could read: when it ran says nothing of when the event happened.
        None | Some(Value::Null) if *odd & Oddity::UnreadableTime.bit() != 0 => return unusable,
        None | Some(Value::Withheld(_) | Value::Null) => return (fact.accepted.0, Clock::Assumed),
        Some(other) => other.as_text(),
    };
    let Some(time) = text.and_then(when::instant) else {
        *odd |= Oddity::UnreadableTime.bit();
        return unusable;
    };
    let ahead = i64::from(config.future_hours_max).saturating_mul(when::HOUR_NS);
    if time.day().year() < config.year_min || time > UtcNanos(fact.accepted.0.saturating_add(ahead)) {
        *odd |= Oddity::ImpossibleTime.bit();
        return unusable;
    }
    (time.0, Clock::Told)
}

/// The whole number that a decimal is (`5.0`, `1e3`), as JSON Schema has it; none where it is none.
fn whole(number: Decimal) -> Option<i128> {
    let ten = |exponent: u32| 10_i128.checked_pow(exponent);
    if number.exponent >= 0 {
        return number.significand.checked_mul(ten(number.exponent.unsigned_abs())?);
    }
    let part = ten(number.exponent.unsigned_abs())?;
    (number.significand % part == 0).then(|| number.significand / part)
}

/// Amount and currency: `amount_minor`, or an exact `amount` in major units where the currency is known.
fn money_of(data: Option<&Object<'_>>, odd: &mut u16) -> (Option<i64>, Option<Currency>) {
    let Some(data) = data else { return (None, None) };
    let currency = text_of(data, "currency").and_then(Currency::of);
    *odd |= flag(told(data, "currency") && currency.is_none(), Oddity::UnknownCurrency);
    let major = |value: Decimal| Money::from_major(value, currency?).map(|money| money.minor);
    let minor = match data.get("amount_minor") {
        Some(Value::Integer(minor)) => Some(*minor),
        Some(Value::Decimal(minor)) => whole(*minor),
        Some(_) => None,
        None => match data.get("amount") {
            Some(Value::Integer(whole)) => major(Decimal { significand: *whole, exponent: 0 }),
            Some(Value::Decimal(value)) => major(*value),
            Some(_) | None => None,
        },
    };
    let amount = minor.and_then(|minor| i64::try_from(minor).ok());
    let unreadable = amount.is_none() && (told(data, "amount_minor") || told(data, "amount"));
    *odd |= flag(unreadable, Oddity::UnreadableAmount);
    (amount, currency)
}

/// Whether a member is there and is neither null nor a person's.
fn told(data: &Object<'_>, name: &str) -> bool {
    !matches!(data.get(name), None | Some(Value::Null | Value::Withheld(_)))
}

fn date_of(data: Option<&Object<'_>>, name: &str, reason: Oddity, odd: &mut u16) -> Option<i32> {
    let data = data?;
    let day = text_of(data, name).and_then(when::day);
    *odd |= flag(day.is_none() && told(data, name), reason);
    day
}

fn tells_exception(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Withheld(_) => false,
        Value::Bool(is) => *is,
        Value::Text(text) => !text.is_empty(),
        Value::Integer(_) | Value::Decimal(_) | Value::Array(_) | Value::Object(_) => true,
    }
}

/// The text, cut to [`NAME_BYTES_MAX`] at a character's end.
fn cut(text: &str) -> &str {
    if text.len() <= NAME_BYTES_MAX {
        return text;
    }
    let end = (0..=NAME_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or("")
}
