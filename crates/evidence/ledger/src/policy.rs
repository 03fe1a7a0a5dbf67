//! Trust policies: which logs are believed, and which witnesses must have cosigned a checkpoint.
//!
//! Place: above checkpoints; the publisher, `waag-verify` and packs ask it. Not here: reading files, reaching the
//! addresses in a policy, how old a checkpoint may be.
//!
//! What counts as a witness's cosignature: a true line by its key that states a time, and none later than `now` where
//! the caller gives that. A line without a time (which ML-DSA-44 allows) is what a witness gives for subtrees, not for
//! the newest checkpoint. A false line by a known key is no silence: it makes the whole note false.
//!
//! Source: C2SP tlog-policy. Names and addresses are octets there; keys are texts. A missing newline behind the last
//! line is forgiven.

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::note::{Note, NoteError, VerifierKey};
use crate::text;
use std::fmt;

/// The longest policy, in bytes: room for the most of everything with ML-DSA-44 keys.
pub const POLICY_BYTES_MAX: usize = 1024 * 1024;

/// The most logs, the most witnesses, and the most groups of a policy.
pub const POLICY_ITEMS_MAX: usize = 256;

/// The name of the quorum that asks for nobody.
const NONE: &[u8] = b"none";

/// A name or an address in a policy: octets, shown as text as far as they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Octets(Vec<u8>);

impl Octets {
    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, where they are one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// A log that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLog {
    /// Its key, whose name is the log's origin.
    pub key: VerifierKey,
    /// Where it may be reached.
    pub url: Option<Octets>,
}

/// A witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWitness {
    /// Its name within the policy.
    pub name: Octets,
    /// Its key, whose name stands on its lines.
    pub key: VerifierKey,
    /// Its submission prefix.
    pub url: Option<Octets>,
}

/// A group: witnessed when at least `needed` of its members are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: Octets,
    needed: usize,
    members: Vec<Member>,
}

/// A witness or a group by its place in the policy; a group names only groups before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// A policy that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Option<Member>,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError::TooLong`], or [`PolicyError::Line`] with the first line that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Policy, PolicyError> {
        if bytes.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLong { got: bytes.len() });
        }
        let mut reading = Reading::default();
        let mut last = 0;
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            last = at.saturating_add(1);
            reading.line(line).map_err(|fault| PolicyError::Line { line: last, fault })?;
        }
        let Some(quorum) = reading.quorum else {
            return Err(PolicyError::Line { line: last, fault: PolicyFault::NoQuorum });
        };
        let Reading { logs, witnesses, groups, .. } = reading;
        Ok(Policy { logs, witnesses, groups, quorum })
    }

    /// The logs, in the file's order; none where they are known from elsewhere.
    #[must_use]
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses, in the file's order.
    #[must_use]
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// The keys of the logs.
    #[must_use]
    pub fn log_keys(&self) -> Vec<VerifierKey> {
        self.logs.iter().map(|log| log.key.clone()).collect()
    }

    /// The keys of the witnesses.
    #[must_use]
    pub fn witness_keys(&self) -> Vec<VerifierKey> {
        self.witnesses.iter().map(|witness| witness.key.clone()).collect()
    }

    /// The witness or group that must have witnessed a checkpoint; none for `quorum none`.
    #[must_use]
    pub fn quorum_name(&self) -> Option<&Octets> {
        self.quorum.and_then(|member| self.name(member))
    }

    /// Looks at a note's cosignatures, and at nothing else: whether a log signed it is [`Policy::verify`]'s.
    ///
    /// Cosignatures that state a time after `now`, in seconds since 1970, do not count; all do where it is none.
    ///
    /// # Errors
    /// [`NoteError::FalseSignature`] where a witness's line is false, [`NoteError::AmbiguousKeys`].
    pub fn evaluate(&self, note: &Note, now: Option<u64>) -> Result<Quorum, NoteError> {
        let lines = match note.verify_lines(&self.witness_keys()) {
            Ok(lines) => lines,
            Err(NoteError::NoKnownSignature) => Vec::new(),
            Err(error) => return Err(error),
        };
        let (mut witnessed, mut silent) = (Vec::new(), Vec::new());
        let mut cosigned = Vec::with_capacity(self.witnesses.len());
        for witness in &self.witnesses {
            let times = lines.iter().filter(|line| line.key == witness.key).filter_map(|line| line.time);
            let time = times.filter(|time| now.is_none_or(|now| *time <= now)).min();
            cosigned.push(time.is_some());
            match time {
                Some(time) => {
                    let (name, key) = (witness.name.clone(), witness.key.clone());
                    witnessed.push(Witnessed { name, key, time });
                }
                None => silent.push(witness.name.clone()),
            }
        }
        // Members stand before their group, so that one pass in order suffices.
        let mut met: Vec<bool> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let got = group.members.iter().filter(|member| holds(**member, &cosigned, &met)).count();
            met.push(got >= group.needed);
        }
        let mut unmet = Vec::new();
        if let Some(quorum) = self.quorum {
            self.explain(quorum, &cosigned, &met, &mut unmet);
        }
        Ok(Quorum { met: unmet.is_empty(), witnessed, silent, unmet })
    }

    /// The whole rule: one of the listed logs signed the checkpoint, or, where the policy lists none, one of
    /// `log_keys`; and the quorum has witnessed it.
    ///
    /// # Errors
    /// [`PolicyError::Checkpoint`], also for a false line of a witness; [`PolicyError::Quorum`].
    pub fn verify(
        &self,
        note: &[u8],
        log_keys: &[VerifierKey],
        now: Option<u64>,
    ) -> Result<(SignedCheckpoint, Quorum), PolicyError> {
        let listed = self.log_keys();
        let keys = if listed.is_empty() { log_keys } else { &listed };
        let signed = SignedCheckpoint::verify(note, keys).map_err(PolicyError::Checkpoint)?;
        let refused = |error| PolicyError::Checkpoint(CheckpointError::Note(error));
        let quorum = Note::parse(note).and_then(|note| self.evaluate(&note, now)).map_err(refused)?;
        if quorum.met { Ok((signed, quorum)) } else { Err(PolicyError::Quorum(quorum)) }
    }

    fn name(&self, member: Member) -> Option<&Octets> {
        match member {
            Member::Witness(at) => self.witnesses.get(at).map(|witness| &witness.name),
            Member::Group(at) => self.groups.get(at).map(|group| &group.name),
        }
    }

    /// Adds what keeps `member` from being witnessed, the outermost first.
    ///
    /// Each name is a member once, so that this visits each group once; a chain of groups is at most
    /// [`POLICY_ITEMS_MAX`] deep.
    fn explain(&self, member: Member, cosigned: &[bool], met: &[bool], unmet: &mut Vec<Unmet>) {
        if holds(member, cosigned, met) {
            return;
        }
        let name_of = |member| self.name(member).cloned();
        let Some(name) = name_of(member) else { return };
        let Member::Group(at) = member else {
            unmet.push(Unmet { missing: vec![name.clone()], name, needed: 1, got: 0 });
            return;
        };
        let Some(group) = self.groups.get(at) else { return };
        let absent: Vec<Member> =
            group.members.iter().copied().filter(|member| !holds(*member, cosigned, met)).collect();
        let got = group.members.len().saturating_sub(absent.len());
        let missing = absent.iter().copied().filter_map(name_of).collect();
        unmet.push(Unmet { name, needed: group.needed, got, missing });
        for member in absent.into_iter().filter(|member| matches!(member, Member::Group(_))) {
            self.explain(member, cosigned, met, unmet);
        }
    }
}

fn holds(member: Member, cosigned: &[bool], met: &[bool]) -> bool {
    let (list, at) = match member {
        Member::Witness(at) => (cosigned, at),
        Member::Group(at) => (met, at),
    };
    list.get(at).copied().unwrap_or(false)
}

/// What a policy says about a note's cosignatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Enough witnesses cosigned.
    pub met: bool,
    /// The witnesses that cosigned, in the policy's order.
    pub witnessed: Vec<Witnessed>,
    /// The others.
    pub silent: Vec<Octets>,
    /// What keeps the quorum from being met, the outermost group first; empty where it is met.
    pub unmet: Vec<Unmet>,
}

/// A witness that cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// Its name within the policy.
    pub name: Octets,
    /// Its key.
    pub key: VerifierKey,
    /// The earliest time that it states, in seconds since 1970.
    pub time: u64,
}

/// A group, or a single witness, that has not witnessed a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// Its name.
    pub name: Octets,
    /// How many of its members must have; 1 for a witness.
    pub needed: usize,
    /// How many have.
    pub got: usize,
    /// The members that have not.
    pub missing: Vec<Octets>,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` has `{}` of `{}`; missing", self.name, self.got, self.needed)?;
        let mut comma = "";
        for name in &self.missing {
            write!(f, "{comma} `{name}`")?;
            comma = ",";
        }
        Ok(())
    }
}

/// A policy as far as it was read.
#[derive(Default)]
struct Reading {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    /// The members of groups so far.
    taken: Vec<Member>,
    /// The outer one says whether the line was there.
    quorum: Option<Option<Member>>,
}

impl Reading {
    fn line(&mut self, line: &[u8]) -> Result<(), PolicyFault> {
        if line.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            return Err(PolicyFault::Character);
        }
        let mut items = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|item| !item.is_empty());
        let Some(keyword) = items.next().filter(|first| !first.starts_with(b"#")) else { return Ok(()) };
        let items: Vec<&[u8]> = items.collect();
        match (keyword, items.as_slice()) {
            (b"log", [key]) => self.log(key, None),
            (b"log", [key, url]) => self.log(key, Some(url)),
            (b"witness", [name, key]) => self.witness(name, key, None),
            (b"witness", [name, key, url]) => self.witness(name, key, Some(url)),
            (b"group", [name, needed, members @ ..]) => self.group(name, needed, members),
            (b"quorum", [name]) => self.set_quorum(name),
            (b"log" | b"witness" | b"group" | b"quorum", _) => Err(PolicyFault::Items),
            _ => Err(PolicyFault::Keyword),
        }
    }

    fn log(&mut self, key: &[u8], url: Option<&[u8]>) -> Result<(), PolicyFault> {
        let key = parse_key(key)?;
        if !key.algorithm().signs_logs() {
            return Err(PolicyFault::KeyUse);
        }
        if self.logs.iter().any(|log| log.key.public_key() == key.public_key()) {
            return Err(PolicyFault::KeyTwice);
        }
        room(self.logs.len())?;
        self.logs.push(PolicyLog { key, url: url.map(octets) });
        Ok(())
    }

    fn witness(&mut self, name: &[u8], key: &[u8], url: Option<&[u8]>) -> Result<(), PolicyFault> {
        let key = parse_key(key)?;
        if !key.algorithm().cosigns() {
            return Err(PolicyFault::KeyUse);
        }
        if self.witnesses.iter().any(|witness| witness.key.public_key() == key.public_key()) {
            return Err(PolicyFault::KeyTwice);
        }
        self.check_new(name)?;
        room(self.witnesses.len())?;
        self.witnesses.push(PolicyWitness { name: octets(name), key, url: url.map(octets) });
        Ok(())
    }

    fn group(&mut self, name: &[u8], needed: &[u8], members: &[&[u8]]) -> Result<(), PolicyFault> {
        self.check_new(name)?;
        room(self.groups.len())?;
        let mut found = Vec::with_capacity(members.len().min(POLICY_ITEMS_MAX));
        for member in members {
            let member = self.find(member).ok_or(PolicyFault::UnknownName)?;
            // Each name in one group at most, so that a witness counts in one way only.
            if self.taken.contains(&member) {
                return Err(PolicyFault::MemberTwice);
            }
            self.taken.push(member);
            found.push(member);
        }
        let count = u64::try_from(found.len()).unwrap_or(u64::MAX);
        let needed = match needed {
            b"any" => Some(1),
            b"all" => Some(count),
            number => std::str::from_utf8(number).ok().and_then(|number| text::decimal(number, count)),
        };
        let needed = needed.filter(|needed| *needed >= 1 && *needed <= count);
        let needed = needed.and_then(|needed| usize::try_from(needed).ok()).ok_or(PolicyFault::Threshold)?;
        self.groups.push(Group { name: octets(name), needed, members: found });
        Ok(())
    }

    fn set_quorum(&mut self, name: &[u8]) -> Result<(), PolicyFault> {
        if self.quorum.is_some() {
            return Err(PolicyFault::QuorumTwice);
        }
        let quorum = match name {
            NONE => None,
            name => Some(self.find(name).ok_or(PolicyFault::UnknownName)?),
        };
        self.quorum = Some(quorum);
        Ok(())
    }

    fn check_new(&self, name: &[u8]) -> Result<(), PolicyFault> {
        if name == NONE || self.find(name).is_some() { Err(PolicyFault::NameTwice) } else { Ok(()) }
    }

    fn find(&self, name: &[u8]) -> Option<Member> {
        let witness = self.witnesses.iter().position(|witness| witness.name.as_bytes() == name);
        let group = || self.groups.iter().position(|group| group.name.as_bytes() == name);
        witness.map(Member::Witness).or_else(|| group().map(Member::Group))
    }
}

fn octets(bytes: &[u8]) -> Octets {
    Octets(bytes.to_vec())
}

fn parse_key(vkey: &[u8]) -> Result<VerifierKey, PolicyFault> {
    let vkey = std::str::from_utf8(vkey).map_err(|_| PolicyFault::Key(NoteError::VerifierKey))?;
    vkey.parse().map_err(PolicyFault::Key)
}

fn room(count: usize) -> Result<(), PolicyFault> {
    if count < POLICY_ITEMS_MAX { Ok(()) } else { Err(PolicyFault::TooMany) }
}

/// What is wrong with a line of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyFault {
    /// A control character that is neither tab nor newline.
    Character,
    /// The line begins with none of `log`, `witness`, `group`, `quorum`, `#`.
    Keyword,
    /// Too few or too many items behind the keyword.
    Items,
    /// The key was refused; the error says why.
    Key(NoteError),
    /// A log's key that only cosigns, or a witness's that does not.
    KeyUse,
    /// Another log, or another witness, has the same public key.
    KeyTwice,
    /// The name is taken, or `none`.
    NameTwice,
    /// No line before this one defines the name.
    UnknownName,
    /// The name is a member of this or another group already.
    MemberTwice,
    /// The threshold is neither `any`, `all`, nor a number from 1 to the number of members; or there are no members.
    Threshold,
    /// A second quorum.
    QuorumTwice,
    /// The file ends without a quorum.
    NoQuorum,
    /// More than [`POLICY_ITEMS_MAX`] of one kind.
    TooMany,
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyFault::Character => f.write_str("it holds a control character"),
            PolicyFault::Keyword => {
                f.write_str("it begins with none of `log`, `witness`, `group`, `quorum`, `#`")
            }
            PolicyFault::Items => f.write_str("it has too few or too many items"),
            PolicyFault::Key(inner) => inner.fmt(f),
            PolicyFault::KeyUse => {
                f.write_str("logs have keys of type `0x01` or `0x06`, witnesses of type `0x04` or `0x06`")
            }
            PolicyFault::KeyTwice => f.write_str("its public key was given before"),
            PolicyFault::NameTwice => f.write_str("its name was given before, or is `none`"),
            PolicyFault::UnknownName => f.write_str("it refers to a name that no line before it defines"),
            PolicyFault::MemberTwice => f.write_str("a name is a member of a group for the second time"),
            PolicyFault::Threshold => {
                f.write_str("the threshold is neither `any`, `all`, nor a number up to that of the members")
            }
            PolicyFault::QuorumTwice => f.write_str("there is a quorum already"),
            PolicyFault::NoQuorum => f.write_str("the file ends without a `quorum` line"),
            PolicyFault::TooMany => write!(f, "there are more than `{POLICY_ITEMS_MAX}` of its kind"),
        }
    }
}

/// Why a policy was refused, or a note under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// E0371: a line of the policy is wrong, or the file as a whole.
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        fault: PolicyFault,
    },
    /// E0372: the policy is longer than [`POLICY_BYTES_MAX`].
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// E0373: too few witnesses cosigned the checkpoint.
    Quorum(Quorum),
    /// No listed log signed the checkpoint, or a line is false; bears the code of the inner error.
    Checkpoint(CheckpointError),
}

impl PolicyError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            PolicyError::Line { .. } => "E0371",
            PolicyError::TooLong { .. } => "E0372",
            PolicyError::Quorum(_) => "E0373",
            PolicyError::Checkpoint(inner) => inner.code(),
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::Line { line, fault } => write!(f, "line `{line}` of the policy: {fault}"),
            PolicyError::TooLong { got } => {
                write!(f, "a policy of `{got}` bytes is above the limit of `{POLICY_BYTES_MAX}`")
            }
            PolicyError::Quorum(quorum) => {
                f.write_str("too few witnesses cosigned the checkpoint")?;
                quorum.unmet.iter().try_for_each(|unmet| write!(f, "; {unmet}"))
            }
            PolicyError::Checkpoint(inner) => inner.fmt(f),
        }
    }
}

impl std::error::Error for PolicyError {}
