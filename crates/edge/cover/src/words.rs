//! What a cover says, in words: facts become blocks, once for both forms (`COVER-2`).
//!
//! The words claim no more than the verifier can show: what is proven is told apart from what the exporter says.

use waag_model::time::UtcNanos;

use crate::facts::{Cover, EVENTS_SHOWN_MAX, EventLine, Held, KeyShown, Parts, Standing};
use crate::page::{Block, Column, Fact, Page, Table, plain};

/// What a pack is called in commands: a cover does not know where its pack was put.
const PACK: &str = "PACK.zip";
/// Digits of a leaf hash in the table of events.
const LEAF_DIGITS: usize = 16;
/// Longest cell of the table of events in characters; what is longer ends in an ellipsis.
const CELL_CHARACTERS_MAX: usize = 60;
/// Most rows of the table of types.
const TYPES_SHOWN_MAX: usize = 50;

/// The page of a cover.
#[must_use]
pub fn page(cover: &Cover) -> Page {
    let Cover { asked, held, standing, events } = cover;
    let origin = plain(&standing.origin);
    let mut blocks = vec![Block::Note(
        "This cover is in the words of whoever exported the pack. It proves nothing by itself: what counts is what the \
         verifier prints about the file that this cover came in."
            .to_owned(),
    )];
    blocks.push(heading("What was asked"));
    blocks.push(Block::Facts(asked_facts(cover)));
    blocks.push(heading("What is in the pack"));
    blocks.push(Block::Facts(held_facts(held)));
    blocks.push(Block::Text(span_words(held)));
    blocks.push(types_table(held));
    blocks.extend(types_left_out(held));
    blocks.push(heading("What can be read, and what cannot"));
    blocks.push(Block::Facts(parts_facts(held.parts)));
    blocks.push(Block::Text(parts_words(held.parts)));
    blocks.push(heading("Under which checkpoint it stands"));
    blocks.push(Block::Facts(standing_facts(standing)));
    blocks.push(Block::Text(witness_words(standing)));
    blocks.push(heading("How to verify it"));
    blocks.extend(steps(standing));
    blocks.push(heading("What a verified pack does not say"));
    blocks.push(Block::Text(limits().to_owned()));
    blocks.push(heading("The events"));
    blocks.push(Block::Text(events_words(held, events.len())));
    blocks.push(events_table(events));
    Page {
        title: "Evidence pack".to_owned(),
        subtitle: format!("{} of the ledger {origin}", count(held.entries, "event")),
        foot: format!("{origin}, {}", second(asked.made)),
        made_ns: asked.made.0,
        blocks,
    }
}

fn heading(text: &str) -> Block {
    Block::Heading(text.to_owned())
}

fn fact(name: &str, value: impl AsRef<str>) -> Fact {
    Fact { name: plain(name), value: plain(value.as_ref()), is_code: false }
}

fn code(name: &str, value: impl AsRef<str>) -> Fact {
    Fact { is_code: true, ..fact(name, value) }
}

fn asked_facts(cover: &Cover) -> Vec<Fact> {
    let asked = &cover.asked;
    let mut facts = vec![
        fact("Exported by", &asked.by),
        fact("Reason", &asked.reason),
        fact("Made", format!("{} (by the exporter's clock)", second(asked.made))),
    ];
    facts.extend(asked.selection.iter().map(|(name, value)| fact(name, value)));
    facts.extend(asked.reveal.as_ref().map(|why| fact("Personal data opened because", why)));
    facts.extend(
        asked.despite_restriction.as_ref().map(|why| fact("Opened despite a restriction because", why)),
    );
    facts.push(code("Recorded as event", &asked.event_id));
    facts
}

fn held_facts(held: &Held) -> Vec<Fact> {
    let ((first, last), (earliest, latest)) = (held.positions, held.accepted);
    let positions = match held.entries {
        1 => grouped(first),
        _ => format!("{} to {}", grouped(first), grouped(last)),
    };
    vec![
        fact("Events", grouped(held.entries)),
        fact(if held.entries == 1 { "Position" } else { "Positions" }, positions),
        fact("First accepted", second(earliest)),
        fact("Last accepted", second(latest)),
        fact("Gapless", if held.gapless { "yes" } else { "no" }),
    ]
}

fn span_words(held: &Held) -> String {
    let ((first, last), one) = (held.positions, held.entries == 1);
    if one {
        format!(
            "One event, at position {}: the pack proves that it was recorded there and not changed since. It says nothing \
             about events at other positions.",
            grouped(first)
        )
    } else if held.gapless {
        format!(
            "The positions follow without a gap: a verified pack proves that these are all events that the ledger recorded \
             from position {} to position {}, and that none between them is missing. It says nothing about events before or \
             behind them.",
            grouped(first),
            grouped(last)
        )
    } else {
        "The positions have gaps: a verified pack proves that each of these events was recorded and not changed since. It does \
         not prove that the selection is complete; for that, ask for the whole span of positions."
            .to_owned()
    }
}

fn types_table(held: &Held) -> Block {
    let columns = vec![
        Column { head: "Type of event", share: 50, is_number: false, is_code: false },
        Column { head: "Events", share: 16, is_number: true, is_code: false },
    ];
    let row = |one: &crate::facts::TypeCount| vec![cell(&one.kind), grouped(one.events)];
    Block::Table(Table { columns, rows: held.types.iter().take(TYPES_SHOWN_MAX).map(row).collect() })
}

fn types_left_out(held: &Held) -> Option<Block> {
    let more = held.types.len().checked_sub(TYPES_SHOWN_MAX).filter(|more| *more > 0)?;
    Some(Block::Text(format!("{} more are in the pack.", count(more as u64, "type"))))
}

fn parts_facts(parts: Parts) -> Vec<Fact> {
    vec![
        fact("Common parts opened", grouped(parts.common)),
        fact("Persons' parts opened", grouped(parts.persons)),
        fact("Closed parts", grouped(parts.closed)),
        fact("Erased parts", grouped(parts.erased)),
    ]
}

fn parts_words(parts: Parts) -> String {
    let mut words = "Each event is sealed in parts: a common one, and one for each person it concerns. An opened part can be read \
                     with the secret that is in the pack, which opens this part and nothing else."
        .to_owned();
    if parts.closed > 0 {
        words.push_str(
            " A closed part is proven to be there, byte for byte, and cannot be read with this pack; ask for a pack that \
             discloses it if you are entitled to it.",
        );
    }
    if parts.erased > 0 {
        words.push_str(
            " The key of an erased part was destroyed before this pack was made, so that nobody can read it any more; that \
             it was destroyed is the exporter's word, that the part stood there is proven.",
        );
    }
    words
}

fn key_words(key: &KeyShown) -> String {
    format!("{} (key id {})", plain(&key.name), plain(&key.id))
}

fn standing_facts(standing: &Standing) -> Vec<Fact> {
    let mut facts = vec![
        code("Origin", &standing.origin),
        code("Ledger id", &standing.ledger),
        fact("Tree size", format!("{} entries", grouped(standing.size))),
        code("Root hash", &standing.root),
        code("The same in base 64", &standing.root_base64),
    ];
    facts.extend(standing.signers.iter().map(|key| code("Signed by", key_words(key))));
    let witness = |one: &crate::facts::WitnessShown| {
        code("Cosigned by", format!("{} at {}", key_words(&one.key), second(one.at)))
    };
    facts.extend(standing.witnesses.iter().map(witness));
    facts.push(fact(
        "Published",
        if standing.published { "yes: it is served to everybody who follows this ledger" } else { "no" },
    ));
    facts
}

fn witness_words(standing: &Standing) -> String {
    if standing.witnesses.is_empty() {
        "No witness has cosigned this checkpoint. The pack proves what the ledger held under it, and not that everybody was \
         shown the same ledger; compare the root hash with one that you or somebody you trust got earlier or elsewhere."
            .to_owned()
    } else {
        "A witness is another party that has followed the ledger and found that it only ever grew. By its time, \
         everything in this pack had been recorded. Check its key as you check the ledger's: through another channel."
            .to_owned()
    }
}

fn steps(standing: &Standing) -> Vec<Block> {
    let mut rust = format!("waag-verify pack {PACK} --key @ledger.vkey");
    let mut python = format!("python3 verify_pack.py {PACK} --key ledger.vkey");
    let mut get_keys = "Get the ledger's public key through another channel than this pack: from the operator's published page \
                        or letter, from a receipt or pack you got earlier, or from a witness. The operator prints it with the \
                        command below. A key from inside the pack proves nothing."
        .to_owned();
    if !standing.witnesses.is_empty() {
        get_keys.push_str(" Get the witness's key from the witness.");
        rust.push_str(" --witness @witness.vkey");
        python.push_str(" --witness witness.vkey");
    }
    let step = |number, text: String, commands| Block::Step { number, text, commands };
    vec![
        step(
            1,
            "Get the verifier, and do not take it from whoever gave you this pack: build `waag-verify` from its published \
             source, or use the second verifier, one Python file that anybody can read whole."
                .to_owned(),
            vec!["cargo build --release -p waag-verify".to_owned()],
        ),
        step(2, get_keys, vec!["waag checkpoint --key > ledger.vkey".to_owned()]),
        step(
            3,
            "Verify. The program needs no network. It says `verified` with the same size, root and numbers as on this cover, or \
             exactly what is wrong; in that case, do not rely on anything in the file."
                .to_owned(),
            vec![rust, python],
        ),
    ]
}

fn limits() -> &'static str {
    "That an event is true: the pack shows what was recorded, and that it has not been changed since. When something happened: times \
     are those of the ledger's clock, and only a witness's time comes from somebody else. That there are no further events, unless \
     the positions are gapless, and then for these positions only. Anything in this cover, which the verifier does not check."
}

fn events_words(held: &Held, shown: usize) -> String {
    let shown = shown as u64;
    if held.entries > shown {
        format!(
            "The first {} of {}; all of them are in the pack, and `waag-verify pack {PACK} --key @ledger.vkey --events` prints \
             them. Times are UTC.",
            grouped(shown),
            count(held.entries, "event")
        )
    } else {
        "All events of the pack. Times are UTC.".to_owned()
    }
}

fn events_table(events: &[EventLine]) -> Block {
    let column = |head, share, is_number, is_code| Column { head, share, is_number, is_code };
    let columns = vec![
        column("Position", 12, true, false),
        column("Accepted", 19, false, false),
        column("Type", 24, false, false),
        column("State", 25, false, false),
        column("Leaf hash", 20, false, true),
    ];
    let row = |event: &EventLine| {
        let leaf: String = event.leaf.chars().take(LEAF_DIGITS).collect();
        vec![
            grouped(event.position),
            second(event.accepted).replace(" UTC", ""),
            cell(&event.kind),
            cell(&event.state),
            plain(&leaf),
        ]
    };
    Block::Table(Table { columns, rows: events.iter().take(EVENTS_SHOWN_MAX).map(row).collect() })
}

/// A text of others in a table's cell.
fn cell(text: &str) -> String {
    let mut shown: String = text.chars().take(CELL_CHARACTERS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    plain(&shown)
}

/// A time to the second, rounded down.
fn second(at: UtcNanos) -> String {
    let text = at.to_string();
    format!("{} UTC", text.get(..19).unwrap_or(&text).replace('T', " "))
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    waag_model::text::grouped(&number.to_string(), '\u{a0}')
}

fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_cells_cut() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1\u{a0}000", "1\u{a0}234\u{a0}567"]
        );
        assert_eq!(cell(&"ä".repeat(CELL_CHARACTERS_MAX)), "ä".repeat(CELL_CHARACTERS_MAX));
        assert!(cell(&"ä".repeat(CELL_CHARACTERS_MAX + 1)).ends_with("ä…"));
        assert_eq!(second(UtcNanos(1_000_000_000_999_999_999)), "2001-09-09 01:46:40 UTC");
    }
}
