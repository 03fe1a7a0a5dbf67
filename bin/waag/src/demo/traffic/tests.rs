//! The shares that the traffic is made of, measured over a whole history.

use std::collections::{BTreeMap, BTreeSet};

use waag_model::event::Data;
use waag_model::value::Value;

use super::calendar::is_month_end;
use super::*;

/// 2026-11-21T07:00:00Z: a history with one end of a month within.
const END: UtcNanos = UtcNanos(1_795_244_400 * SECOND_NS);
const INVOICES: u32 = 5_000;
const PLAN: Plan = Plan { seed: 7, invoices: INVOICES, end: END };

fn member<'e>(sent: &'e Sent, name: &str) -> Option<&'e Value<'e>> {
    match &sent.event.data {
        Data::Json(value) => value.child(name),
        Data::None | Data::Binary(_) => None,
    }
}

fn text<'e>(sent: &'e Sent, name: &str) -> &'e str {
    member(sent, name).and_then(Value::as_text).unwrap_or("")
}

fn happened(sent: &Sent) -> &str {
    sent.event.attributes.get("time").and_then(Value::as_text).unwrap()
}

fn day_text(day: i64) -> String {
    waag_model::time::UtcDay(i32::try_from(day).unwrap()).to_string()
}

fn history() -> Vec<Sent> {
    Traffic::new(&PLAN).collect()
}

/// A share in a thousand, within its band.
#[track_caller]
fn share(part: usize, of: usize, least: usize, most: usize) {
    let permille = part * 1_000 / of.max(1);
    assert!((least..=most).contains(&permille), "{part} of {of} are {permille} permille");
}

#[test]
fn a_seed_is_one_history_and_another_seed_another() {
    let first = history();
    assert!(first.iter().eq(&history()));
    let other: Vec<_> = Traffic::new(&Plan { seed: 8, ..PLAN }).collect();
    assert!(
        first.iter().zip(&other).filter(|(a, b)| a.event.data == b.event.data).count() < first.len() / 100
    );
    let ids: BTreeSet<_> = first.iter().map(|sent| sent.event.id.as_ref()).collect();
    assert_eq!(ids.len(), first.len(), "an id is used once");
}

#[test]
fn events_come_in_order_of_acceptance_within_the_thirty_days() {
    let events = history();
    assert!(events.windows(2).all(|two| two[0].accepted.0 / SECOND_NS <= two[1].accepted.0 / SECOND_NS));
    let begin = END.0 - HISTORY_DAYS * DAY_S * SECOND_NS;
    assert!(events.iter().all(|sent| (begin..END.0).contains(&sent.accepted.0)));
    assert!(events.iter().all(|sent| happened(sent) <= sent.accepted.to_string().as_str()));
    let per_invoice = events.len() * 1_000 / INVOICES as usize;
    assert!((4_000..=5_600).contains(&per_invoice), "{per_invoice} events for a thousand invoices");
}

#[test]
fn no_invoice_leaves_before_it_enters_but_for_the_share_that_is_declared() {
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    let (mut with_successor, mut exchanged, mut first_is_no_entry) = (0, 0, 0);
    let events = history();
    for sent in &events {
        let number: u32 = sent.event.id.rsplit('-').next().unwrap().parse().unwrap();
        match last.insert(sent.event.subject.clone().unwrap().into_owned(), number) {
            Some(before) => {
                with_successor += 1;
                exchanged += usize::from(before > number);
            }
            None => first_is_no_entry += usize::from(number > 0),
        }
    }
    // The late ones are overtaken too.
    share(exchanged, with_successor, 3, 12);
    assert!(exchanged > 0 && first_is_no_entry * 1_000 <= 12 * INVOICES as usize, "{first_is_no_entry}");
    let without = events.iter().filter(|sent| {
        let number: u32 = sent.event.id.rsplit('-').next().unwrap().parse().unwrap();
        number == 0 && text(sent, "status") != "received"
    });
    assert_eq!(without.count(), 0, "every life begins with its reception");
}

#[test]
fn weeks_and_month_ends_have_their_shape() {
    let (mut weekend, mut month_end, mut plain, mut received) = (0, 0, 0, 0);
    for sent in history().iter().filter(|sent| text(sent, "status") == "received") {
        let at = sent.accepted.0 / SECOND_NS;
        received += 1;
        match (weekday(at) >= 5, is_month_end(at)) {
            (true, _) => weekend += 1,
            (false, true) => month_end += 1,
            (false, false) => plain += 1,
        }
    }
    share(weekend, received, 20, 80);
    let (mut end_days, mut plain_days) = (0, 0);
    for day in 0..HISTORY_DAYS {
        let at = END.0 / SECOND_NS - (day + 1) * DAY_S;
        if weekday(at) < 5 {
            if is_month_end(at) { end_days += 1 } else { plain_days += 1 }
        }
    }
    let surge = month_end * plain_days * 100 / (plain * end_days);
    assert!((180..=280).contains(&surge), "{surge} percent of a plain weekday");
}

#[test]
fn the_shares_of_what_goes_wrong_are_within_their_bands() {
    let events = history();
    let noise = Noise::new(PLAN.seed);
    let stuck = |of| (0..12_000).filter(|number| life::stuck_in(noise, *number) == Some(of)).count();
    for of in [StuckIn::Ingestion, StuckIn::Reconciliation, StuckIn::Authorization, StuckIn::Posting] {
        share(stuck(of), 12_000, 3, 7);
    }
    let with = |status: &str| events.iter().filter(|sent| text(sent, "status") == status).count();
    let invoices = with("received");
    share(with("mismatch"), invoices, 60, 140);
    share(with("blocked"), invoices, 18, 45);
    share(with("rejected"), invoices, 1, 8);
    share(with("matched"), invoices, 500, 650);
    share(with("awaiting_second_signature"), invoices, 1, 8);
    assert!(with("released") <= with("blocked"));
    let received: Vec<_> = events.iter().filter(|sent| text(sent, "status") == "received").collect();
    let touchless = received.iter().filter(|sent| text(sent, "touch") == "auto").count();
    share(touchless, invoices, 580, 720);
    share(received.iter().filter(|sent| member(sent, "contact").is_some()).count(), invoices, 25, 55);
    let mut same: BTreeMap<_, usize> = BTreeMap::new();
    for sent in &received {
        let key = (text(sent, "vendor"), member(sent, "amount_minor").cloned(), text(sent, "invoice_date"));
        *same.entry(format!("{key:?}")).or_default() += 1;
    }
    share(same.values().filter(|count| **count > 1).count(), invoices, 4, 12);
    let late_vendors = received.iter().filter(|sent| {
        let entered = i64::from(sent.accepted.day().0);
        let due = text(sent, "due_date");
        let left = (entered..entered + 366).take_while(|day| day_text(*day).as_str() < due).count();
        text(sent, "payment_terms") == "NET30" && left < 19
    });
    share(late_vendors.count(), invoices, 30, 90);
    let currencies: BTreeSet<_> = received.iter().map(|sent| text(sent, "currency")).collect();
    assert_eq!(currencies.into_iter().collect::<Vec<_>>(), ["CHF", "EUR", "GBP", "SEK", "USD"]);
    let terms: BTreeSet<_> = received.iter().map(|sent| text(sent, "payment_terms")).collect();
    assert!(terms.contains("NET365") && terms.contains("2/10 NET30"), "{terms:?}");
}

#[test]
fn amounts_are_spread_about_their_medians() {
    let mut of_class: BTreeMap<String, Vec<i128>> = BTreeMap::new();
    for sent in history().iter().filter(|sent| text(sent, "status") == "received") {
        let Some(Value::Integer(minor)) = member(sent, "amount_minor") else { panic!("no amount") };
        of_class.entry(text(sent, "vendor_class").to_owned()).or_default().push(*minor);
    }
    for (_, class) in &CLASSES {
        let amounts = of_class.get_mut(class.name).unwrap();
        amounts.sort_unstable();
        let median = amounts[amounts.len() / 2];
        let expected = i128::from(class.median_minor);
        assert!((expected * 7 / 10..=expected * 14 / 10).contains(&median), "{}: {median}", class.name);
        let mean = amounts.iter().sum::<i128>() / amounts.len() as i128;
        assert!(mean > median * 12 / 10, "{}: skewed to the right, mean {mean}, median {median}", class.name);
    }
}

#[test]
fn the_outage_holds_one_region_back_and_lets_it_in_at_once() {
    let begins = outage_begins_s(END.0 / SECOND_NS);
    let events = history();
    let restored = begins + OUTAGE_HOURS * HOUR_S;
    let of_region = |from: i64, to: i64, here: bool| {
        let within = |sent: &&Sent| (from..to).contains(&(sent.accepted.0 / SECOND_NS));
        events.iter().filter(within).filter(|sent| (text(sent, "region") == OUTAGE_REGION) == here).count()
    };
    assert_eq!(of_region(begins, restored, true), 0);
    assert!(of_region(begins, restored, false) > 100, "the other regions go on");
    let burst = of_region(restored, restored + BURST_SECONDS, true);
    let before = of_region(begins - BURST_SECONDS, begins, true);
    assert!(burst > 20 && burst > 5 * before, "{burst} after {before}");
}

#[test]
fn live_goes_on_at_its_rate_with_memory_that_does_not_grow() {
    let mut traffic = Traffic::new(&Plan { invoices: 2_000, ..PLAN });
    let mut seen: BTreeSet<String> = traffic.by_ref().map(|sent| sent.event.id.into_owned()).collect();
    let pending = traffic.pending();
    let mut live = traffic.live(UtcNanos(END.0 + 5 * SECOND_NS), 20);
    let mut last = END;
    let mut kinds = BTreeSet::new();
    for number in 0..20_000 {
        let sent = live.next().unwrap();
        assert_eq!(sent.accepted.0, END.0 + 5 * SECOND_NS + number * (SECOND_NS / 20));
        assert!(sent.accepted > last && happened(&sent) <= sent.accepted.to_string().as_str());
        assert!(seen.insert(sent.event.id.clone().into_owned()), "`{}` came twice", sent.event.id);
        kinds.insert(sent.event.kind.into_owned());
        last = sent.accepted;
    }
    assert_eq!(kinds.len(), 4, "all stages are in it");
    // Long terms fill up for a year; the open invoices of a firm are its turnover times its terms.
    assert!(live.traffic.pending() < pending * 5, "{} after {pending}", live.traffic.pending());
}

/// An invoice and the number of its step.
fn step_of(sent: &Sent) -> (String, u32) {
    let (invoice, number) = sent.event.id.rsplit_once('-').unwrap();
    (invoice.to_owned(), number.parse().unwrap())
}

#[test]
fn what_goes_on_tells_of_each_invoice_in_the_order_of_its_life() {
    let mut steps: BTreeMap<String, Vec<(u32, String)>> = BTreeMap::new();
    let mut traffic = Traffic::new(&PLAN);
    let behind: Vec<Sent> = traffic.by_ref().collect();
    for sent in behind.iter().cloned().chain(traffic.live(END, 20).take(3_000)) {
        let (invoice, number) = step_of(&sent);
        assert!(happened(&sent) <= sent.accepted.to_string().as_str());
        steps.entry(invoice).or_default().push((number, happened(&sent).to_owned()));
    }
    let mut with_several = 0;
    for (invoice, mut steps) in steps {
        steps.sort();
        with_several += usize::from(steps.len() > 1);
        assert!(steps.windows(2).all(|two| two[0].1 <= two[1].1), "{invoice}: {steps:?}");
    }
    assert!(with_several > 1_000);
}

#[test]
fn a_later_run_goes_on_behind_what_was_taken() {
    let live = |taken: u64, now: UtcNanos| {
        let mut traffic = Traffic::new(&PLAN);
        traffic.by_ref().for_each(drop);
        traffic.live(now, 20).without(taken)
    };
    let first: Vec<Sent> = live(0, END).take(2_000).collect();
    let later = END.later_by(DAY_S * SECOND_NS);
    let second: Vec<Sent> = live(500, later).take(1_500).collect();
    let ids = |sent: &[Sent]| sent.iter().map(|sent| sent.event.id.clone().into_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&second), ids(&first[500..]));
    let known: BTreeSet<String> = first[..500].iter().map(|sent| step_of(sent).0).collect();
    let gone_on: Vec<&Sent> = second.iter().filter(|sent| known.contains(&step_of(sent).0)).collect();
    assert!(gone_on.len() > 100, "{}", gone_on.len());
    let latest = first[..500].iter().map(|sent| happened(sent).to_owned()).max().unwrap();
    let is_later = gone_on.iter().filter(|sent| happened(sent) > latest.as_str()).count();
    // But for what was overtaken.
    assert!(is_later * 100 >= gone_on.len() * 97, "{is_later} of {}", gone_on.len());
}
