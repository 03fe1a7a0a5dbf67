//! The stored form of an invoice's state and of its history: as few bytes as will do, since a view of twenty million
//! invoices is read and written at random.
//!
//! Numbers are LEB128, signed ones zigzag first; times and positions are distances from the one before. The first byte
//! is the form's version; a view of another form is another version of the view, so old forms need no reader.

use waag_model::money::Currency;

use crate::event::{ACTIONS, Clock, Stage};
use crate::names::{Name, Names};
use crate::state::{Begin, CONDITIONS, Invoice, Item, Span};

/// The form's version.
const FORM: u8 = 3;
/// Bits before those that tell of spans what is unusual.
const PRESENT_BITS: u32 = 17;
/// Bits of each span: how its begin is known and what its times rest on.
const SPAN_BITS: u32 = 6;
/// Items that are read without asking for more memory: most invoices have no more.
const ITEMS_USUAL: usize = 8;

/// Writes numbers and texts.
#[derive(Debug, Default)]
pub(crate) struct Pack(Vec<u8>);

impl Pack {
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn unsigned(&mut self, mut number: u64) {
        loop {
            let low = u8::try_from(number & 0x7F).unwrap_or(0);
            number >>= 7;
            if number == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    pub(crate) fn signed(&mut self, number: i64) {
        self.unsigned(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    fn text(&mut self, text: &str) {
        // Names are cut to 100 bytes before they come here.
        self.unsigned(u64::try_from(text.len()).unwrap_or(0));
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn finish(self) -> Box<[u8]> {
        self.0.into_boxed_slice()
    }

    /// What was written, in memory of its own length; the next is written into the same memory again.
    pub(crate) fn take(&mut self) -> Box<[u8]> {
        let taken = self.0.as_slice().into();
        self.0.clear();
        taken
    }
}

/// Reads what [`Pack`] wrote; none where the bytes are no such form.
#[derive(Debug)]
pub(crate) struct Unpack<'a>(&'a [u8]);

impl<'a> Unpack<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn unsigned(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let number = self.unsigned()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.unsigned()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

fn bit(mask: u64, at: u32) -> bool {
    mask.checked_shr(at).unwrap_or(0) & 1 == 1
}

/// What is known of a span's times: nought where events told them, which is usual, so that it takes no room.
fn known_bits(span: &Span) -> u64 {
    let begin = match span.begin {
        Begin::Told => 0,
        Begin::Supposed => 1,
        Begin::Unknown => 2,
    };
    let clock = |clock| match clock {
        Clock::Told => 0,
        Clock::Assumed => 1,
        Clock::Unusable => 2,
    };
    begin | clock(span.clock) << 2 | clock(span.left_clock) << 4
}

/// The same from bits; none where they are none of this form.
fn known_of(bits: u64) -> Option<(Begin, Clock, Clock)> {
    let begin = match bits & 3 {
        0 => Begin::Told,
        1 => Begin::Supposed,
        2 => Begin::Unknown,
        _ => return None,
    };
    let clock = |bits: u64| match bits & 3 {
        0 => Some(Clock::Told),
        1 => Some(Clock::Assumed),
        2 => Some(Clock::Unusable),
        _ => None,
    };
    Some((begin, clock(bits >> 2)?, clock(bits >> 4)?))
}

/// The times of a state, in the order they are stored in.
fn times(invoice: &Invoice) -> [Option<i64>; 12] {
    let [a, b, c, d] = &invoice.spans;
    [
        a.entered,
        a.left,
        b.entered,
        b.left,
        c.entered,
        c.left,
        d.entered,
        d.left,
        invoice.latest,
        invoice.received,
        invoice.approved,
        invoice.closed,
    ]
}

/// Packs a state, with `pack` as the memory to do it in.
pub(crate) fn pack(invoice: &Invoice, names: &Names, pack: &mut Pack) -> Box<[u8]> {
    pack.byte(FORM);
    let condition = CONDITIONS.iter().take_while(|one| **one != invoice.condition).count();
    pack.byte(invoice.stage.number() | u8::try_from(condition).unwrap_or(0) << 2);
    pack.unsigned(u64::from(invoice.flags));
    let times = times(invoice);
    let told = [
        invoice.amount.is_some(),
        invoice.due.is_some(),
        invoice.currency.is_some(),
        invoice.dated.is_some(),
        invoice.reference.is_some(),
    ];
    let present = times.iter().map(Option::is_some).chain(told);
    let present = present.enumerate().fold(0, |mask, (at, is)| mask | u64::from(is) << at);
    let known = invoice.spans.iter().rev().fold(0, |known, span| known << SPAN_BITS | known_bits(span));
    pack.unsigned(present | known << PRESENT_BITS);
    let mut last = 0;
    for time in times.into_iter().flatten() {
        pack.signed(time.wrapping_sub(last));
        last = time;
    }
    if let Some(amount) = invoice.amount {
        pack.signed(amount);
    }
    if let Some(due) = invoice.due {
        pack.signed(i64::from(due));
    }
    if let Some(currency) = &invoice.currency {
        currency.code().bytes().for_each(|byte| pack.byte(byte));
    }
    if let Some(dated) = invoice.dated {
        pack.signed(i64::from(dated));
    }
    if let Some(reference) = invoice.reference {
        pack.unsigned(reference);
    }
    for name in [invoice.vendor, invoice.vendor_class, invoice.region] {
        pack.text(names.text(name));
    }
    for span in invoice.spans {
        pack.unsigned(u64::from(span.visits));
    }
    pack.unsigned(u64::from(invoice.loops));
    pack.unsigned(invoice.events);
    pack.unsigned(u64::from(invoice.chunks));
    pack_items(pack, &invoice.history);
    pack.take()
}

/// Unpacks a state; none where the bytes are none of this form. The deadline is a column of its own.
pub(crate) fn unpack(bytes: &[u8], names: &mut Names) -> Option<Invoice> {
    let mut unpack = Unpack::new(bytes);
    (unpack.byte()? == FORM).then_some(())?;
    let head = unpack.byte()?;
    let mut invoice = Invoice {
        stage: Stage::of_number(i64::from(head & 3))?,
        condition: *CONDITIONS.get(usize::from(head >> 2))?,
        flags: u16::try_from(unpack.unsigned()?).ok()?,
        ..Invoice::default()
    };
    let present = unpack.unsigned()?;
    let mut times = [None; 12];
    let mut last = 0i64;
    for (at, time) in (0..).zip(&mut times) {
        if bit(present, at) {
            last = last.wrapping_add(unpack.signed()?);
            *time = Some(last);
        }
    }
    let [e0, l0, e1, l1, e2, l2, e3, l3, latest, received, approved, closed] = times;
    (invoice.latest, invoice.received, invoice.approved, invoice.closed) =
        (latest, received, approved, closed);
    if bit(present, 12) {
        invoice.amount = Some(unpack.signed()?);
    }
    if bit(present, 13) {
        invoice.due = Some(i32::try_from(unpack.signed()?).ok()?);
    }
    if bit(present, 14) {
        let code = [unpack.byte()?, unpack.byte()?, unpack.byte()?];
        invoice.currency = Some(Currency::of(std::str::from_utf8(&code).ok()?)?);
    }
    if bit(present, 15) {
        invoice.dated = Some(i32::try_from(unpack.signed()?).ok()?);
    }
    if bit(present, 16) {
        invoice.reference = Some(unpack.unsigned()?);
    }
    let mut name = || -> Option<Name> { Some(names.of(unpack.text()?)) };
    (invoice.vendor, invoice.vendor_class, invoice.region) = (name()?, name()?, name()?);
    let ends = [(e0, l0), (e1, l1), (e2, l2), (e3, l3)];
    let mut known = present >> PRESENT_BITS;
    for (span, (entered, left)) in invoice.spans.iter_mut().zip(ends) {
        let visits = u32::try_from(unpack.unsigned()?).ok()?;
        let (begin, clock, left_clock) = known_of(known)?;
        *span = Span { entered, left, visits, begin, clock, left_clock };
        known >>= SPAN_BITS;
    }
    invoice.loops = u32::try_from(unpack.unsigned()?).ok()?;
    invoice.events = unpack.unsigned()?;
    invoice.chunks = u32::try_from(unpack.unsigned()?).ok()?;
    invoice.history = unpack_items(&mut unpack)?;
    Some(invoice)
}

/// Packs a history of its own row.
pub(crate) fn pack_history(items: &[Item]) -> Box<[u8]> {
    let mut pack = Pack::default();
    pack_items(&mut pack, items);
    pack.finish()
}

/// Unpacks a history.
pub(crate) fn unpack_history(bytes: &[u8]) -> Option<Vec<Item>> {
    unpack_items(&mut Unpack::new(bytes))
}

fn pack_items(pack: &mut Pack, items: &[Item]) {
    let (mut position, mut at) = (0u64, 0i64);
    for item in items {
        pack.unsigned(item.position.wrapping_sub(position));
        let action = ACTIONS.iter().take_while(|one| **one != item.action).count();
        let stage = item.stage.map_or(4, Stage::number);
        pack.byte(stage | u8::try_from(action).unwrap_or(0) << 3);
        pack.byte(item.marks);
        pack.signed(item.at.wrapping_sub(at));
        (position, at) = (item.position, item.at);
    }
}

fn unpack_items(unpack: &mut Unpack<'_>) -> Option<Vec<Item>> {
    // Most have a few, and one more is coming.
    let mut items = Vec::with_capacity(ITEMS_USUAL);
    let (mut position, mut at) = (0u64, 0i64);
    while !unpack.is_empty() {
        position = position.wrapping_add(unpack.unsigned()?);
        let head = unpack.byte()?;
        let marks = unpack.byte()?;
        at = at.wrapping_add(unpack.signed()?);
        let action = *ACTIONS.get(usize::from(head >> 3))?;
        items.push(Item { position, stage: Stage::of_number(i64::from(head & 7)), action, marks, at });
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::Condition;

    proptest! {
        #[test]
        fn numbers_come_back(number in any::<i64>(), other in any::<u64>()) {
            let mut pack = Pack::default();
            pack.signed(number);
            pack.unsigned(other);
            let bytes = pack.finish();
            let mut unpack = Unpack::new(&bytes);
            prop_assert_eq!((unpack.signed(), unpack.unsigned()), (Some(number), Some(other)));
            prop_assert!(unpack.is_empty());
        }

        #[test]
        fn bytes_of_any_kind_are_a_state_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = unpack(&bytes, &mut Names::new());
            let _ = unpack_history(&bytes);
        }
    }

    #[test]
    fn a_state_comes_back_and_no_cut_of_it_is_one() {
        let mut names = Names::new();
        let mut invoice = Invoice {
            stage: Stage::Posting,
            condition: Condition::Rejected,
            flags: 0x3FFF,
            latest: Some(i64::MIN),
            closed: Some(i64::MAX),
            amount: Some(-1),
            currency: Currency::of("EUR"),
            due: Some(-7),
            dated: Some(i32::MIN),
            reference: Some(u64::MAX),
            vendor: names.of("Hansa Papier GmbH"),
            region: names.of("eu"),
            loops: 3,
            events: 300,
            chunks: 2,
            ..Invoice::default()
        };
        invoice.spans[3] = Span { entered: Some(5), left: Some(9), visits: 2, ..Span::default() };
        let clocks = [Clock::Assumed, Clock::Unusable, Clock::Told];
        let begins = [Begin::Supposed, Begin::Told, Begin::Unknown];
        for ((span, clock), begin) in invoice.spans.iter_mut().zip(clocks).zip(begins) {
            *span = Span { entered: Some(1), visits: 1, begin, clock, left_clock: clock, left: None };
        }
        let head = pack(&invoice, &names, &mut Pack::default()).len();
        for (position, action) in (700u64..).zip(ACTIONS) {
            let stage = (position != 701).then_some(Stage::Authorization);
            invoice.history.push(Item { position, stage, action, marks: 0x7F, at: -3 });
        }
        let bytes = pack(&invoice, &names, &mut Pack::default());
        assert_eq!(unpack(&bytes, &mut names), Some(invoice));
        for end in 0..head {
            assert_eq!(unpack(&bytes[..end], &mut names), None, "{end}");
        }
    }
}
