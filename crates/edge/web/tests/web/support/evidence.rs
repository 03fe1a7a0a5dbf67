//! Evidence of samples: witnesses in every state, packs, persons, backups and drills that went well and did not.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use waag_model::time::{UtcDay, UtcNanos};
use waag_web::model::{Grade, Line, Series};
use waag_web::ports::HouseError;
use waag_web::ports::evidence::packs::{
    Making, MakingState, Pack, PackAsked, PackBytes, PackFile, PackList, Packs, Verdict, VerdictLine,
};
use waag_web::ports::evidence::persons::{
    Deed, DeedKind, HeldClass, Outcome, Person, PersonOrder, Persons, Restriction,
};
use waag_web::ports::evidence::standing::{
    Guard, Key, KeyState, Ledger, Publication, Quorum, Scrub, Standing, Witness, WitnessState,
};
use waag_web::ports::evidence::upkeep::{Drill, Failure, Kept, Repository, Run, Upkeep};

use super::NOW;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// Whom these samples know.
pub(crate) const PERSON: &str = "person-hendrika.van-der-meulen@example.org";
/// Whose look-up cannot be recorded here.
pub(crate) const UNRECORDED: &str = "person-unrecorded";
/// The digest of the pack that was made here.
pub(crate) const DIGEST: &str = "4f9c21d07b6a5e8812aa03f4c6d9e0b17788990011223344556677889900aabb";
/// What a good pack is here.
pub(crate) const GOOD_PACK: &[u8] = b"PK good";

fn ago(nanos: i64) -> UtcNanos {
    UtcNanos(NOW.0 - nanos)
}

/// Everything outsiders and persons ask about.
pub(crate) struct SampleEvidence {
    pub(crate) empty: bool,
    /// A text that stands wherever somebody else's text may stand.
    pub(crate) foreign: Option<&'static str>,
    /// What was ordered: a word, the person or the pack's choices, and by whom.
    pub(crate) orders: Mutex<Vec<(String, String)>>,
    /// Who was looked up, and by whom.
    pub(crate) looked_up: Mutex<Vec<(String, String)>>,
    pub(crate) making: Mutex<Option<Making>>,
    pub(crate) stamp: AtomicU64,
}

impl SampleEvidence {
    pub(crate) fn new(empty: bool) -> Self {
        let making = (!empty).then(|| Making {
            what: "entries about one invoice, from 2026-11-01".to_owned(),
            by: "page".to_owned(),
            started: ago(40 * SECOND),
            done: 1_284_311,
            total: 1_284_311,
            state: MakingState::Made {
                digest: DIGEST.to_owned(),
                entries: 12,
                bytes: 48_211,
                until: UtcNanos(NOW.0 + 14 * 60 * SECOND),
            },
        });
        Self {
            empty,
            foreign: None,
            orders: Mutex::default(),
            looked_up: Mutex::default(),
            making: Mutex::new(making),
            stamp: AtomicU64::new(1),
        }
    }

    fn text(&self, usual: &str) -> String {
        self.foreign.unwrap_or(usual).to_owned()
    }

    fn witness(&self, at: usize) -> Witness {
        use WitnessState::{Alarm, Behind, Down, Good, Refused};
        Witness {
            name: self
                .text(["witness.bank-a.example", "rijks-witness", "old-witness", "w4", "w5.example"][at]),
            url: self.text("https://witness.bank-a.example/add-checkpoint"),
            state: [Good, Behind, Down, Refused, Alarm][at],
            size: [Some(1_284_311), Some(1_284_002), Some(911_000), None, Some(1_300_000)][at],
            cosigned: [Some(ago(SECOND)), Some(ago(9 * SECOND)), Some(ago(3 * DAY)), None, Some(ago(HOUR))]
                [at],
            answer: self.text(
                ["200", "200", "no answer within 10 s", "404: unknown log", "422: the proof was refused"][at],
            ),
            answered: Some(ago(SECOND)),
            failures: [0, 0, 42, 311, 2][at],
        }
    }

    fn held(&self, at: usize) -> HeldClass {
        HeldClass {
            class: self.text(["business", "contact"][at]),
            period: "2026".to_owned(),
            keys: [3, 1][at],
            until: Some(UtcDay(NOW.day().0 + [2_300, 700][at])),
            erasable: at == 1,
            source: self.text(["AWR art. 52(4) (NL); HGB § 257 (DE)", "GDPR art. 17(1)"][at]),
        }
    }
}

impl Standing for SampleEvidence {
    fn standing(&self) -> Result<Ledger, HouseError> {
        let note = "waag.example/default/000102030405060708090a0b0c0d0e0f\n1284311\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} waag.example/default/000102030405060708090a0b0c0d0e0f zrSqTBv2…\n\u{2014} witness.bank-a.example 4dkMgIAU…\n";
        let key = |number: usize, state, from: i64, until: Option<i64>| Key {
            vkey: format!(
                "waag.example/default/000102030405060708090a0b0c0d0e0f+{number:08x}+Ac1hK8kYV3J0Q0b0rW1V6Yz9Zq4Lx7m2N5p8R1t4U7w0"
            ),
            algorithm: "Ed25519".to_owned(),
            state,
            from: Some(ago(from)),
            until: until.map(ago),
            signed: state == KeyState::Active,
        };
        let values = (0..48).map(|at| if self.empty { 0 } else { 1_200_000 + at * at * 36 }).collect();
        let publication = (!self.empty).then(|| Publication {
            size: 1_284_299,
            at: Some(ago(SECOND)),
            note: self.text(note),
            lag_ns: SECOND / 2,
            every_ms: 1_000,
            is_public: false,
            refused: self.foreign.map(|text| ("E0862".to_owned(), text.to_owned())),
        });
        Ok(Ledger {
            id: "000102030405060708090a0b0c0d0e0f".to_owned(),
            origin: "waag.example/default/000102030405060708090a0b0c0d0e0f".to_owned(),
            size: if self.empty { 0 } else { 1_284_311 },
            note: (!self.empty).then(|| note.to_owned()),
            committed: (!self.empty).then(|| ago(SECOND / 3)),
            keys: vec![
                key(0x9c0f_3a11, KeyState::Active, 40 * DAY, None),
                key(0x11aa_22bb, KeyState::Retired, 400 * DAY, Some(40 * DAY)),
                key(0x0102_0304, KeyState::Revoked, 500 * DAY, Some(400 * DAY)),
            ],
            growth: Series {
                start: ago(48 * HOUR),
                step_s: 3_600,
                lines: vec![Line { name: "Entries".to_owned(), values }],
            },
            publication,
            witnesses: if self.empty { Vec::new() } else { (0..5).map(|at| self.witness(at)).collect() },
            quorum: (!self.empty).then(|| Quorum {
                rule: self.text("any 2 of 5 witnesses"),
                satisfied: false,
                missing: vec![self.text("rijks-witness")],
                newest: Some((1_283_977, ago(40 * SECOND))),
            }),
            scrub: Scrub {
                runs: true,
                rounds: if self.empty { 0 } else { 12 },
                bytes: 31_000_000_000,
                ended: (!self.empty).then(|| ago(3 * HOUR)),
                percent: self.empty.then_some(3),
                faults: self.foreign.map(|text| ("E0412".to_owned(), text.to_owned())).into_iter().collect(),
                failures: 0,
            },
            guard: Guard { size: 1_284_311, faults: vec![self.text("slot 1 is damaged")] },
            tombstones: 214,
        })
    }

    fn stamp(&self) -> String {
        self.stamp.load(Ordering::Relaxed).to_string()
    }
}

struct Bytes(&'static [u8]);

impl PackBytes for Bytes {
    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        // Fewer than asked for, so that a reader must go on.
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        Ok(rest.get(..rest.len().min(most).min(3)).unwrap_or_default().to_vec())
    }
}

impl Packs for SampleEvidence {
    fn packs(&self, most: usize) -> Result<PackList, HouseError> {
        let pack = |at: i64| Pack {
            digest: format!("{at:02x}{}", DIGEST.split_at(2).1),
            made: ago(at * 3 * DAY + HOUR),
            by: self.text("m.jansen"),
            what: self.text("entries of type invoice.posting, positions 1,200 to 2,400"),
            reason: self.text("asked for by the auditor, letter of 12 November"),
            entries: 12 + at.unsigned_abs() * 977,
            persons: at.unsigned_abs() % 2,
            position: (at != 3).then_some(1_284_000 - at.unsigned_abs() * 7_000),
        };
        let number: i64 = if self.empty { 0 } else { 9 };
        Ok(PackList { total: number.unsigned_abs(), packs: (0..number).take(most).map(pack).collect() })
    }

    fn making(&self) -> Option<Making> {
        self.making.lock().unwrap().clone()
    }

    fn make(&self, asked: PackAsked, by: &str) -> Result<(), HouseError> {
        let all = [asked.invoice, asked.person, asked.kind, asked.reveal, Some(asked.reason)];
        let numbers = format!(
            "{:?} {:?} {:?} {:?} {:?}",
            asked.from, asked.to, asked.since_ns, asked.until_ns, asked.last
        );
        let told = all.map(|one| one.unwrap_or_default()).join("|");
        if told.starts_with("INV-0|") {
            return Err(HouseError { code: "E0720", reason: "nothing matches".to_owned() });
        }
        self.orders.lock().unwrap().push((format!("make {told}|{numbers}"), by.to_owned()));
        Ok(())
    }

    fn made(&self, digest: &str) -> Option<PackFile> {
        (digest == DIGEST)
            .then(|| PackFile { bytes: GOOD_PACK.len() as u64, content: Arc::new(Bytes(GOOD_PACK)) })
    }

    fn check(&self, pack: &[u8]) -> Result<Verdict, HouseError> {
        let good = pack == GOOD_PACK;
        let line = |grade, name: &str, detail: &str| VerdictLine {
            grade,
            name: name.to_owned(),
            detail: self.text(detail),
        };
        let mut lines = vec![
            line(Grade::Good, "Form", "nothing is in the file that is not told, and nothing is missing"),
            line(Grade::Good, "Manifest", "signed by the key 9c0f3a11 of this ledger"),
            line(Grade::Warning, "Witnesses", "no policy was given, so that cosignatures were not checked"),
            line(Grade::Note, "Parts", "3 disclosed, 9 closed, 1 erased"),
        ];
        if !good {
            lines.push(line(
                Grade::Bad,
                "Entries",
                "E0382: the entry at position 77 is not under the checkpoint's root",
            ));
        }
        Ok(Verdict { verified: good, lines })
    }
}

impl Persons for SampleEvidence {
    fn record_look_up(&self, person: &str, by: &str) -> Result<(), HouseError> {
        if person == UNRECORDED {
            return Err(HouseError { code: "full", reason: "the disk is full".to_owned() });
        }
        self.looked_up.lock().unwrap().push((person.to_owned(), by.to_owned()));
        Ok(())
    }

    fn look_up(&self, person: &str) -> Result<Option<Person>, HouseError> {
        if person != PERSON {
            return Ok(None);
        }
        Ok(Some(Person {
            masked: ".org".to_owned(),
            tag: "a1b2c3d4e5f60718293a4b5c6d7e8f90".to_owned(),
            classes: vec![self.held(0), self.held(1)],
            restriction: Some(Restriction {
                since: ago(5 * DAY),
                until: Some(UtcDay(NOW.day().0 + 30)),
                reason: self.text("the person contests the amounts"),
                by: self.text("dpo"),
            }),
            packs: vec![(DIGEST.to_owned(), ago(9 * DAY))],
            backups_until: Some(UtcNanos(NOW.0 + 29 * DAY)),
        }))
    }

    fn order(&self, person: &str, order: &PersonOrder, by: &str) -> Result<Outcome, HouseError> {
        let deed = match order {
            PersonOrder::Erase { .. } => DeedKind::Erased,
            PersonOrder::Restrict { .. } => DeedKind::Restricted,
            PersonOrder::Unrestrict { .. } => DeedKind::Unrestricted,
        };
        self.orders.lock().unwrap().push((format!("{order:?} {person}"), by.to_owned()));
        let erases = deed == DeedKind::Erased;
        Ok(Outcome {
            deed,
            masked: ".org".to_owned(),
            destroyed: u64::from(erases),
            erased: if erases { vec![self.text("contact 2026")] } else { Vec::new() },
            stays: if erases { vec![self.held(0)] } else { Vec::new() },
            erased_at: erases.then_some(NOW),
            complete_at: erases.then_some(UtcNanos(NOW.0 + 29 * DAY)),
            packs: if erases { vec![(DIGEST.to_owned(), ago(9 * DAY))] } else { Vec::new() },
            position: Some(3),
        })
    }

    fn deeds(&self, most: usize) -> Result<Vec<Deed>, HouseError> {
        use DeedKind::{Erased, ErasureRefused, Reported, Restricted, Unrestricted};
        let kinds = [Reported, Erased, Restricted, ErasureRefused, Unrestricted];
        let deed = |at: usize| Deed {
            kind: kinds[at % 5],
            at: ago(at as i64 * 2 * DAY + HOUR),
            by: self.text("dpo"),
            tag: format!("{:032x}", 0xa1b2_c3d4_u64 * (at as u64 + 3)),
            detail: self.text(
                ["2 classes", "contact; 3 keys", "until 2026-12-20", "business until 2033-03-11", ""][at % 5],
            ),
            complete_at: (kinds[at % 5] == Erased).then_some(UtcNanos(NOW.0 + 20 * DAY)),
            position: Some(1_284_300 - at as u64 * 31),
        };
        Ok(if self.empty { Vec::new() } else { (0..most.min(9)).map(deed).collect() })
    }
}

impl Upkeep for SampleEvidence {
    fn upkeep(&self) -> Result<Kept, HouseError> {
        if self.empty {
            return Ok(Kept::default());
        }
        let run = |repository: i64, at: i64| Run {
            sequence: (40 - at).unsigned_abs(),
            at: ago(repository * 9 * DAY + at * HOUR + 1_200 * SECOND),
            size: (1_284_000 - at * 3_000).unsigned_abs(),
            bytes: 41_000_000 + at.unsigned_abs() * 77_777,
            took_ms: 4_211 + at.unsigned_abs() * 13,
            keys_taken: ago(at * HOUR),
            keys_expire: UtcNanos(NOW.0 + (30 - repository * 29) * DAY),
            whole: at != 3,
            position: Some((1_284_000 - at * 3_000).unsigned_abs()),
        };
        let drill = |at: i64| Drill {
            at: ago(at * 7 * DAY + HOUR),
            ok: at != 2,
            rpo_ms: 1_800_000 + (at.unsigned_abs() * 977_000) % 2_000_000,
            rpo_entries: 311 + at.unsigned_abs() * 7,
            rto_ms: 9_000 + (at.unsigned_abs() * 3_331) % 7_000,
            size: 1_284_000,
            bytes: 1_700_000_000,
            failed: if at == 2 { self.text("E0884: the chunk 000017 is missing") } else { String::new() },
        };
        Ok(Kept {
            repositories: (0..2)
                .map(|number| Repository {
                    id: format!("{number}f0e1d2c3b4a5968778695a4b3c2d1e0"),
                    runs: (0..14).map(|at| run(number, at)).collect(),
                })
                .collect(),
            drills: (0..9).map(drill).collect(),
            failures: vec![Failure {
                what: self.text("drill"),
                at: ago(2 * HOUR),
                code: "E0748".to_owned(),
                reason: self.text("the scratch folder has 1.2 GiB free, and 1.9 GiB are needed"),
            }],
            backup_every_s: Some(3_600),
            drill_every_s: Some(7 * 86_400),
            under_way: Some(self.text("backup")),
        })
    }
}
