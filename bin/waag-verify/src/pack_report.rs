//! What is printed of a verified pack: what is proven, and apart from it what the operator says.
//!
//! Not here: the decision (`waag_ledger::pack`), refusals (`report`).

use std::fmt::Write as _;

use waag_ledger::history::KeyWindow;
use waag_ledger::note::KnownSignature;
use waag_ledger::pack::{PackEvent, PartState, Place, Verdict};
use waag_model::time::UtcNanos;

use crate::error::VerifyError;
use crate::json::{Json, shown};
use crate::report::{common, role, signer, withheld, write_places};

/// The report for a person, and the events behind it if they are asked for.
///
/// # Errors
/// [`VerifyError::Pack`] never for a verdict.
pub fn verified_text(verdict: &Verdict<'_>, events: bool) -> Result<String, VerifyError> {
    let manifest = verdict.manifest();
    let counts = manifest.counts;
    let checkpoint = verdict.checkpoint().checkpoint();
    let mut out = String::from("verified\n");
    let mut fact = |name: &str, fact: &str| {
        let _ = writeln!(out, "  {name:<12} {}", shown(fact));
    };
    fact("pack", &verdict.digest().to_string());
    fact("origin", &checkpoint.origin);
    fact("tree size", &checkpoint.size.to_string());
    fact("root", &checkpoint.root.to_string());
    fact("entries", &format!("{}, at positions {} to {}", counts.entries, manifest.first, manifest.last));
    fact(
        "complete",
        if verdict.completeness().is_some() {
            "every entry between these positions is here"
        } else {
            "not proven: the positions have gaps, and what else belongs to the selection is not known"
        },
    );
    let (signers, witnesses) = signatures(verdict);
    fact("signed by", &signers.iter().map(|line| signer(&line.key)).collect::<Vec<_>>().join(", "));
    for line in witnesses {
        fact("witness", &format!("{}{}", signer(&line.key), time(line)));
    }
    if let Some(quorum) = verdict.quorum() {
        fact("policy", &format!("met, {} witnesses", quorum.witnessed.len()));
    }
    if verdict.signatures_unchecked() > 0 {
        let count = verdict.signatures_unchecked();
        fact("not checked", &format!("{count} signature lines by keys that were not given"));
    }
    fact("disclosed", &format!("{} of {} parts, each opened", counts.disclosed, counts.parts));
    fact("closed", &format!("{} parts", verdict.closed()));
    out.push_str("the operator says, which is signed and not proven\n");
    let mut fact = |name: &str, fact: &str| {
        let _ = writeln!(out, "  {name:<12} {}", shown(fact));
    };
    fact("asked", &manifest.selection.text);
    for term in &manifest.selection.terms {
        fact("term", &format!("{} = {}", term.name, term.value));
    }
    fact("reason", &manifest.reason);
    fact("made by", &manifest.actor);
    fact("made", &manifest.made.to_string());
    if !manifest.event.is_empty() {
        fact("recorded as", &manifest.event);
    }
    fact("erased", &format!("{} of the closed parts", counts.erased));
    for window in verdict.key_history().windows() {
        fact("key", &key_window(window));
    }
    for (name, cover) in [("cover.html", verdict.cover_html()), ("cover.pdf", verdict.cover_pdf())] {
        if cover.is_some() {
            fact("cover", name);
        }
    }
    if events {
        for event in verdict.events() {
            out.push_str(&event_line(&event.map_err(VerifyError::Pack)?)?);
        }
    }
    Ok(out)
}

/// The report for a program: one object on one line, with the events if they are asked for.
///
/// # Errors
/// As [`verified_text`].
pub fn verified_json(verdict: &Verdict<'_>, events: bool) -> Result<String, VerifyError> {
    let manifest = verdict.manifest();
    let counts = manifest.counts;
    let checkpoint = verdict.checkpoint().checkpoint();
    let mut json = Json::new(false);
    json.object(|json| {
        json.member("ok").plain(true);
        json.member("pack").string(&verdict.digest().to_string());
        json.member("origin").string(&checkpoint.origin);
        json.member("tree_size").plain(checkpoint.size);
        json.member("root").string(&checkpoint.root.to_string());
        json.member("entries").plain(counts.entries);
        json.member("first").plain(manifest.first);
        json.member("last").plain(manifest.last);
        json.member("complete").plain(verdict.completeness().is_some());
        let (signers, witnesses) = signatures(verdict);
        json.member("signers").array(|json| {
            signers.iter().for_each(|line| json.item().string(&signer(&line.key)));
            Ok::<(), VerifyError>(())
        })?;
        json.member("witnesses").array(|json| {
            witnesses.iter().try_for_each(|line| {
                json.item().object(|json| {
                    json.member("key").string(&signer(&line.key));
                    if let Some(time) = line.time {
                        json.member("time").plain(time);
                    }
                    Ok::<(), VerifyError>(())
                })
            })
        })?;
        if let Some(quorum) = verdict.quorum() {
            json.member("policy_met").plain(quorum.met);
        }
        json.member("signatures_unchecked").plain(verdict.signatures_unchecked());
        json.member("parts").plain(counts.parts);
        json.member("disclosed").plain(counts.disclosed);
        json.member("closed").plain(verdict.closed());
        json.member("told").object(|json| told(json, verdict))?;
        if !events {
            return Ok(());
        }
        json.member("events").array(|json| {
            verdict
                .events()
                .try_for_each(|event| write_event(json.item(), &event.map_err(VerifyError::Pack)?))
        })
    })?;
    Ok(json.into_text() + "\n")
}

/// What the operator says.
fn told(json: &mut Json, verdict: &Verdict<'_>) -> Result<(), VerifyError> {
    let manifest = verdict.manifest();
    json.member("asked").string(&manifest.selection.text);
    json.member("terms").array(|json| {
        manifest.selection.terms.iter().try_for_each(|term| {
            json.item().object(|json| {
                json.member("name").string(&term.name);
                json.member("value").string(&term.value);
                Ok::<(), VerifyError>(())
            })
        })
    })?;
    json.member("reason").string(&manifest.reason);
    json.member("actor").string(&manifest.actor);
    json.member("made").string(&manifest.made.to_string());
    json.member("event").string(&manifest.event);
    json.member("erased").plain(manifest.counts.erased);
    json.member("keys").array(|json| {
        verdict.key_history().windows().iter().try_for_each(|window| {
            json.item().object(|json| {
                json.member("key").string(&signer(&window.key));
                json.member("state").string(&window.state.to_string());
                json.member("from").string(&UtcNanos(window.from_ns).to_string());
                if let Some(until) = window.until_ns {
                    json.member("until").string(&UtcNanos(until).to_string());
                }
                Ok::<(), VerifyError>(())
            })
        })
    })
}

/// Those of the given keys that signed: the ledger's own, and the others.
fn signatures<'v>(verdict: &'v Verdict<'_>) -> (Vec<&'v KnownSignature>, Vec<&'v KnownSignature>) {
    let lines = verdict.checkpoint().known_signatures();
    lines.iter().partition(|line| line.key.speaks_for(&verdict.manifest().origin))
}

/// A cosignature's time, which is in whole seconds.
fn time(line: &KnownSignature) -> String {
    let nanos = |seconds: u64| i64::try_from(seconds).ok()?.checked_mul(1_000_000_000);
    match line.time {
        Some(seconds) => match nanos(seconds) {
            Some(nanos) => format!(" at {}", UtcNanos(nanos)),
            None => format!(" at second {seconds}"),
        },
        None => String::new(),
    }
}

fn key_window(window: &KeyWindow) -> String {
    let until = window.until_ns.map(|until| format!(" until {}", UtcNanos(until)));
    let from = UtcNanos(window.from_ns);
    format!("{} {} from {from}{}", signer(&window.key), window.state, until.unwrap_or_default())
}

/// One event as a line of JSON.
///
/// # Errors
/// [`VerifyError::Pack`] never for an event of a verdict.
pub fn event_line(event: &PackEvent<'_>) -> Result<String, VerifyError> {
    let mut json = Json::new(false);
    write_event(&mut json, event)?;
    Ok(json.into_text() + "\n")
}

fn write_event(json: &mut Json, event: &PackEvent<'_>) -> Result<(), VerifyError> {
    let header = &event.entry.header;
    json.object(|json| {
        json.member("position").plain(event.position);
        json.member("leaf_hash").string(&event.leaf.to_string());
        json.member("type").string(header.kind);
        json.member("schema").plain(header.schema);
        json.member("accepted").string(&header.accepted.to_string());
        json.member("retention").string(header.retention);
        json.member("parts").array(|json| {
            event.entry.parts.iter().zip(&event.parts).try_for_each(|(part, state)| {
                json.item().object(|json| {
                    json.member("role").string(role(part.role));
                    json.member("key_id").string(&part.key_id.to_string());
                    json.member("state").string(match state {
                        PartState::Disclosed => "disclosed",
                        PartState::Withheld => "withheld",
                        PartState::ToldErased => "told_erased",
                    });
                    Ok::<(), VerifyError>(())
                })
            })
        })?;
        let Some(told) = event.event().map_err(VerifyError::Pack)? else { return Ok(()) };
        common(json.member("event"), &told)?;
        write_places(json, &withheld(&told))
    })
}

/// Where a fault is, as far as it is at one place.
pub(crate) fn place(json: &mut Json, place: &Place) {
    if let Some(member) = &place.member {
        json.member("member").string(member);
    }
    if let Some(offset) = place.offset {
        json.member("offset").plain(offset);
    }
    if let Some(position) = place.position {
        json.member("position").plain(position);
    }
    if let Some(part) = place.part {
        json.member("part").plain(part);
    }
}
