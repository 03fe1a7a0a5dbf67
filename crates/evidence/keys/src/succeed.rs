//! A ledger in the place of one that must not be written any more: the old one keeps its keys under another name.
//!
//! Place: the promotion of a restored store. One commit: before it the name is the old ledger's, after it the new one's;
//! both are the tenant's, so that an erasure reaches persons in either. Not here: the logs themselves (`bin/waag`).

use waag_model::ids::LedgerId;
use waag_model::time::UtcNanos;

use crate::create::{LEDGER_NAME_BYTES_MAX, ORIGIN_BYTES_MAX};
use crate::error::KeysError;
use crate::keyring::Keyring;
use crate::ledger::{LEDGERS_MAX, LedgerKeys};
use crate::records::{LedgerRecord, identity_slot, ordering_slot, signer_key};
use crate::secret::Secret;
use crate::state::{Change, Expect, Table};

/// A ledger of the tenant, without its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerFacts {
    /// Its name within the tenant.
    pub name: String,
    /// Its id.
    pub id: LedgerId,
    /// Its checkpoint origin.
    pub origin: String,
    /// When it was made.
    pub created: UtcNanos,
}

impl Keyring {
    /// The tenant's ledgers, the oldest first.
    ///
    /// # Errors
    /// The state's.
    pub fn ledger_facts(&self) -> Result<Vec<LedgerFacts>, KeysError> {
        let mut all = Vec::new();
        for record in self.means.state.scan(Table::Ledger, None, LEDGERS_MAX)? {
            let LedgerRecord { id, origin, created, .. } = LedgerRecord::decode(&record.value)?;
            let name = String::from_utf8(record.key).map_err(|_| KeysError::Unreadable("a ledger"))?;
            all.push(LedgerFacts { name, id, origin, created });
        }
        all.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Ok(all)
    }

    /// When another ledger took the place of this one, which is when that one was made; none where this one has the name
    /// `present`, under which the tenant's ledger is written.
    ///
    /// # Errors
    /// The state's; [`KeysError::NoLedger`] where there is none of the name `present`.
    pub fn superseded_at(&self, ledger: &LedgerKeys, present: &str) -> Result<Option<UtcNanos>, KeysError> {
        if ledger.name == present {
            return Ok(None);
        }
        let all = self.ledger_facts()?;
        // A clock that was set back between the two leaves none that is later: then the present one it is.
        let next = all.iter().find(|other| other.id != ledger.id && other.created >= ledger.created);
        let present = all.iter().find(|other| other.name == present);
        let present = present.ok_or_else(|| KeysError::NoLedger("the present one".to_owned()))?;
        Ok(Some(next.unwrap_or(present).created.max(ledger.created)))
    }

    /// Names the ledger `name` `earlier` from here on, and makes a new one of that name under the same configured origin.
    ///
    /// # Errors
    /// [`KeysError::NoLedger`]; [`KeysError::Name`]; [`KeysError::LedgersFull`]; the state's, also where there is a ledger
    /// of the name `earlier`.
    pub fn succeed_ledger(&self, name: &str, earlier: &str) -> Result<LedgerKeys, KeysError> {
        if earlier.is_empty() || earlier.len() > LEDGER_NAME_BYTES_MAX || earlier == name {
            return Err(KeysError::Name("the ledger's name"));
        }
        let commit = self.committing();
        let old = self.means.state.get(Table::Ledger, name.as_bytes())?;
        let old = old.ok_or_else(|| KeysError::NoLedger(name.to_owned()))?;
        if self.ledgers()?.len() >= LEDGERS_MAX {
            return Err(KeysError::LedgersFull);
        }
        let record = LedgerRecord::decode(&old.value)?;
        let entropy = self.means.entropy.as_ref();
        let (keys, created) = (self.tenant_keys(), self.means.clock.now());
        let mut id = LedgerId([0; 16]);
        entropy.fill(&mut id.0)?;
        // The origin is `<configured name>/<tenant>/<id>`; all before the id stays.
        let configured = record.origin.rsplit_once('/').map_or(record.origin.as_str(), |(begin, _)| begin);
        let origin = format!("{configured}/{id}");
        if origin.len() > ORIGIN_BYTES_MAX {
            return Err(KeysError::Name("the configured name of the origin"));
        }
        let identity = keys.wrap(entropy, &identity_slot(&id), Secret::draw(entropy)?.bytes())?;
        let ordering = keys.wrap(entropy, &ordering_slot(&id), Secret::draw(entropy)?.bytes())?;
        let signer = self.new_signer(id, 0, &origin)?.encode();
        let new = LedgerRecord { id, origin, created, identity, ordering }.encode();
        let put = |table, key, expect, value| Change { table, key, expect, value: Some(value) };
        let place = signer_key(id, 0);
        let changes = [
            put(Table::Ledger, name.as_bytes(), Expect::Equals(old.sum), &new),
            put(Table::Ledger, earlier.as_bytes(), Expect::Absent, &old.value),
            put(Table::Signing, &place, Expect::Absent, &signer),
        ];
        self.commit_changes(&changes, &commit)?;
        self.ledger(name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use waag_model::ids::TenantName;
    use waag_stdx::clock::SystemClock;
    use waag_stdx::entropy::SystemEntropy;

    use super::*;
    use crate::create::create_tenant;
    use crate::keyring::{Limits, Means};
    use crate::memory::{MemoryState, MemoryVault};

    #[test]
    fn the_old_ledger_keeps_its_keys_and_the_new_one_has_others() {
        let entropy = Arc::new(SystemEntropy::new());
        let means = Means {
            state: Arc::new(MemoryState::new()),
            vault: Arc::new(MemoryVault::new(entropy.clone()).unwrap()),
            entropy,
            clock: Arc::new(SystemClock::new()),
        };
        let tenant = TenantName::new("bank").unwrap();
        create_tenant(&means, &tenant).unwrap();
        let keyring = Keyring::open(means, &tenant, Limits::default()).unwrap();
        let (old, _) = keyring.create_ledger("main", "waag.example").unwrap();
        let new = keyring.succeed_ledger("main", "before").unwrap();
        let kept = keyring.ledger("before").unwrap();
        assert_eq!((kept.id, &kept.origin), (old.id, &old.origin));
        assert_eq!(kept.signers[0].info, old.signers[0].info);
        assert_eq!(keyring.ledger("main").unwrap().id, new.id);
        assert_ne!(new.id, old.id);
        assert_eq!(new.origin, format!("waag.example/bank/{}", new.id));
        assert_ne!(new.signers[0].info.public, old.signers[0].info.public);
        assert_eq!(keyring.superseded_at(&new, "main").unwrap(), None);
        assert_eq!(keyring.superseded_at(&kept, "main").unwrap(), Some(new.created));
        // Of three, each ends where the next began.
        let newest = keyring.succeed_ledger("main", "between").unwrap();
        let ends: Vec<_> = ["before", "between", "main"]
            .map(|name| keyring.superseded_at(&keyring.ledger(name).unwrap(), "main").unwrap())
            .into();
        assert_eq!(ends, [Some(new.created), Some(newest.created), None]);
        let names: Vec<String> =
            keyring.ledger_facts().unwrap().into_iter().map(|facts| facts.name).collect();
        assert_eq!(names, ["before", "between", "main"]);
        assert!(keyring.succeed_ledger("main", "main").is_err());
        assert!(keyring.succeed_ledger("other", "x").is_err());
    }
}
