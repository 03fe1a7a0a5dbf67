//! One invoice: its vendor with class and habits, its amount, its terms, and whether it is another one's copy.
//!
//! Amounts are about log-normal around their class's median, in whole minor units by integer arithmetic alone, so that
//! they are the same on every machine.

use super::DUPLICATE_PERMILLE;
use super::calendar::{Arrivals, DAY_S};
use super::noise::{self, Noise};

/// Vendors of the firm.
const VENDORS: u32 = 600;
/// How far back the invoice lies that a copy is made of.
const COPY_REACH: i64 = 400;
/// One, in the fixed-point numbers here.
const ONE: i128 = 1 << 40;
/// Largest amount, in minor units.
const AMOUNT_MAX: i128 = 5_000_000_000;

/// A class of vendors.
#[derive(Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// The amount that half of its invoices exceed, in minor units.
    pub median_minor: i64,
    /// Deviation of the logarithm, in thousandths.
    pub deviation_permille: i64,
    /// How many of its invoices come as data that needs no hand, in a thousand.
    pub touchless_permille: u64,
}

const fn class(name: &'static str, median_minor: i64, deviation_permille: i64, touchless: u64) -> Class {
    Class { name, median_minor, deviation_permille, touchless_permille: touchless }
}

/// The classes, by how many vendors in a hundred have each.
pub const CLASSES: [(u64, Class); 4] = [
    (5, class("strategic", 1_850_000, 1_100, 860)),
    (25, class("preferred", 320_000, 950, 780)),
    (50, class("standard", 84_000, 900, 640)),
    (20, class("occasional", 21_000, 800, 320)),
];

/// A place that invoices come in.
#[derive(Debug, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: &'static str,
    /// The currency of most of its vendors.
    pub currency: &'static str,
}

const fn region(name: &'static str, currency: &'static str) -> Region {
    Region { name, currency }
}

/// The regions, by how many vendors in a hundred are at home in each.
pub const REGIONS: [(u64, Region); 6] = [
    (34, region("eu-west-1", "EUR")),
    (22, region("eu-central-1", "EUR")),
    (14, region("eu-south-1", "EUR")),
    (10, region("eu-north-1", "SEK")),
    (12, region("eu-west-2", "GBP")),
    (8, region("us-east-1", "USD")),
];

/// Terms of payment: days, and a discount's name where there is one.
const TERMS: [(u64, (i64, &str)); 8] = [
    (44, (30, "NET30")),
    (22, (30, "2/10 NET30")),
    (10, (45, "NET45")),
    (13, (60, "NET60")),
    (6, (90, "NET90")),
    (2, (120, "NET120")),
    (2, (180, "NET180")),
    (1, (365, "NET365")),
];

const TRADES: [&str; 12] = [
    "Logistiek",
    "Papier",
    "Energie",
    "Software",
    "Schoonmaak",
    "Metaal",
    "Drukkerij",
    "Advies",
    "Techniek",
    "Catering",
    "Verpakking",
    "Transport",
];
const PLACES: [&str; 16] = [
    "Noordzee",
    "Hansa",
    "Alpen",
    "Rijn",
    "Maas",
    "Baltic",
    "Iberia",
    "Lagune",
    "Schelde",
    "Fjord",
    "Tagus",
    "Donau",
    "Waddenzee",
    "Ardennen",
    "Shannon",
    "Adria",
];
const FORMS: [&str; 4] = ["BV", "GmbH", "SARL", "Ltd"];

/// A vendor and its habits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vendor {
    pub(super) number: u32,
    pub(super) class: &'static Class,
    pub(super) region: &'static Region,
    pub(super) currency: &'static str,
    pub(super) days: i64,
    pub(super) terms: &'static str,
    /// Whether it sends its invoices weeks after their date.
    pub(super) is_late: bool,
}

impl Vendor {
    fn of(noise: Noise, number: u32) -> Self {
        let own = |purpose| noise::OF_VENDOR + purpose;
        let [(_, first_class), ..] = &CLASSES;
        let [(_, first_region), ..] = &REGIONS;
        let class = noise.weighted(number, own(1), &CLASSES).unwrap_or(first_class);
        let region = noise.weighted(number, own(2), &REGIONS).unwrap_or(first_region);
        let (days, terms) = noise.weighted(number, own(3), &TERMS).copied().unwrap_or((30, "NET30"));
        // Some trade in another currency than their neighbours.
        let foreign = noise.permille(number, own(4)) < 60;
        let currency = match (foreign, region.currency) {
            (false, own) => own,
            (true, "EUR") => "CHF",
            (true, _) => "EUR",
        };
        let is_late = noise.permille(number, own(5)) < 120;
        Self { number, class, region, currency, days, terms, is_late }
    }

    pub(super) fn name(&self) -> String {
        let pick = |of: &[&'static str], by: u32| {
            let at = usize::try_from(by).unwrap_or(0) % of.len().max(1);
            of.get(at).copied().unwrap_or("Waag")
        };
        let (place, trade) = (pick(&PLACES, self.number), pick(&TRADES, self.number / 16));
        format!("{place} {trade} {} {:03}", pick(&FORMS, self.number / 5), self.number)
    }
}

/// An invoice.
#[derive(Clone, Debug)]
pub(super) struct Invoice {
    pub(super) number: u32,
    pub(super) vendor: Vendor,
    pub(super) region: &'static Region,
    pub(super) amount_minor: i64,
    /// The vendor's own number for it.
    pub(super) reference: String,
    /// Days since 1970 that it is dated.
    pub(super) dated: i64,
    pub(super) is_duplicate: bool,
    pub(super) is_touchless: bool,
}

impl Invoice {
    /// The invoice of this number.
    pub(super) fn of(noise: Noise, arrivals: &Arrivals, number: u32) -> Self {
        let is_duplicate = noise.permille(number, noise::DUPLICATE) < DUPLICATE_PERMILLE;
        let back = u32::try_from(noise.between(number, noise::DUPLICATE_OF, 1, COPY_REACH)).unwrap_or(1);
        let is_duplicate = is_duplicate && number >= back;
        // A copy has everything of its original but its own number; of a copy, too, the content is its own number's.
        let content = if is_duplicate { number - back } else { number };
        let vendor = Vendor::of(noise, vendor_number(noise, content));
        let most = if vendor.is_late { 26 } else { 6 };
        let least = if vendor.is_late { 12 } else { 0 };
        let dated = arrivals.time(content, noise).div_euclid(DAY_S)
            - noise.between(content, noise::DATED, least, most);
        let mut reference = format!("{}{:06}", 20 + vendor.number % 7, content);
        if is_duplicate && noise.permille(number, noise::FUZZY) < 250 {
            // As a person types it a second time.
            reference = format!("{}-O{}", reference.get(..2).unwrap_or(""), reference.get(3..).unwrap_or(""));
        }
        let is_touchless = noise.permille(number, noise::TOUCH) < vendor.class.touchless_permille;
        Self {
            number,
            vendor,
            region: vendor.region,
            amount_minor: amount(noise, content, vendor.class),
            reference,
            dated,
            is_duplicate,
            is_touchless,
        }
    }

    pub(super) fn id(&self) -> String {
        format!("INV-{:08}", self.number)
    }

    pub(super) fn due(&self) -> i64 {
        self.dated + self.vendor.days
    }
}

/// Few vendors send most invoices: of two draws the lower one.
fn vendor_number(noise: Noise, invoice: u32) -> u32 {
    let draw = |purpose| noise.between(invoice, purpose, 0, i64::from(VENDORS) - 1);
    u32::try_from(draw(noise::VENDOR).min(draw(noise::VENDOR + 2_048))).unwrap_or(0)
}

/// Median × e^(deviation × normal), by e^x ≈ (1 + x/1024)^1024.
fn amount(noise: Noise, invoice: u32, class: &Class) -> i64 {
    let normal = i128::from(noise.normal(invoice, noise::AMOUNT));
    let exponent = normal * i128::from(class.deviation_permille) * (ONE / 65_536) / 1_000;
    let root = ONE + exponent / 1_024;
    let factor = (0..10).fold(root, |power, _| power * power / ONE);
    let minor = i128::from(class.median_minor) * factor / ONE;
    i64::try_from(minor.clamp(100, AMOUNT_MAX)).unwrap_or(100)
}
