//! A client's own field names, turned into the standard form at the door; tried out on a sample before it is saved.
//!
//! A mapping says for each standard field where its value stands in the client's document (a JSON Pointer), or which
//! constant it has. What no field points at is left out. It belongs to one API key and one stage.
//! Not here: what the standard form is (`invoices`), where mappings lie (`ports::Desk`).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use waag_invoices::event::{STAGES, Stage};
use waag_model::value::{Object, Value};

use crate::fault::{Fault, Kind};
use crate::invoices::FIELDS;
use crate::keys::{KeyError, Keys};
use crate::ports::{Desk, Shelf};
use crate::validate::lacks;

/// Longest pointer and constant, in characters.
pub(crate) const TEXT_CHARS_MAX: usize = 1_024;

/// Where standard fields come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Standard field → JSON Pointer into the client's document.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Standard field → text it always has.
    #[serde(default)]
    pub constants: BTreeMap<String, String>,
}

impl Mapping {
    /// Reads a mapping and holds it to its form.
    ///
    /// # Errors
    /// [`Kind::Mapping`].
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let bad = |why: String| Fault::of(Kind::Mapping(why));
        let mapping: Self = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        for (field, text) in mapping.fields.iter().chain(&mapping.constants) {
            if !FIELDS.contains(&field.as_str()) {
                return Err(bad("it names a field that is not in the standard form".to_owned()).at("/fields"));
            }
            if text.chars().count() > TEXT_CHARS_MAX {
                return Err(bad(format!("`{field}` has more than {TEXT_CHARS_MAX} characters")));
            }
        }
        for (field, pointer) in &mapping.fields {
            if !pointer.starts_with('/') {
                return Err(bad(format!("`{field}` is no JSON Pointer")).at(&format!("/fields/{field}")));
            }
            if mapping.constants.contains_key(field) {
                return Err(bad(format!("`{field}` has both a place and a constant")));
            }
        }
        if mapping.fields.is_empty() {
            return Err(bad("it maps no field".to_owned()));
        }
        Ok(mapping)
    }

    /// Holds places to the form of a JSON Pointer, in which `~` stands before `0` or `1` (RFC 6901 §3). What was saved
    /// before anybody looked finds nothing there, as ever.
    pub(crate) fn check_places(&self) -> Result<(), Fault> {
        let is_broken =
            |pointer: &str| pointer.split('~').skip(1).any(|after| !after.starts_with(['0', '1']));
        match self.fields.iter().find(|(_, pointer)| is_broken(pointer)) {
            Some((field, _)) => Err(Fault::of(Kind::Mapping(format!("`{field}` is no JSON Pointer")))
                .at(&format!("/fields/{field}"))),
            None => Ok(()),
        }
    }

    /// A client's document in the standard form.
    #[must_use]
    pub fn apply<'v>(&self, document: &Value<'v>) -> Value<'v> {
        let found = self.fields.iter().filter_map(|(field, pointer)| {
            let steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
            let value = steps.into_iter().try_fold(document, |value, step| value.child(&step))?;
            Some((Cow::Owned(field.clone()), value.clone()))
        });
        let constants = self
            .constants
            .iter()
            .map(|(field, text)| (Cow::Owned(field.clone()), Value::Text(Cow::Owned(text.clone()))));
        let members = found.chain(constants).collect();
        // Fields are unique by both maps and by what `read` refuses.
        Object::from_members(members).map_or(Value::Null, Value::Object)
    }

    /// The client's own path of a fault in the standard form; of a field that is not there, where it was looked for.
    #[must_use]
    pub fn path_of(&self, fault: Fault) -> Fault {
        if let Some((field, pointer)) = self.missing(&fault) {
            let words = format!("is not there, where `{field}` is taken from");
            return Fault::of(Kind::Schema(words)).at(pointer);
        }
        let field = fault.path.strip_prefix('/').and_then(|path| path.split('/').next());
        match field.and_then(|field| Some((field, self.fields.get(field)?))) {
            Some((field, pointer)) => {
                let below = fault.path.get(field.len() + 1..).unwrap_or_default();
                let path = format!("{pointer}{below}");
                fault.at(&path)
            }
            None => fault,
        }
    }

    /// The field that a fault says is missing, and its place; none where the mapping has no place for it either.
    fn missing(&self, fault: &Fault) -> Option<(&str, &str)> {
        let Kind::Schema(words) = &fault.kind else { return None };
        let mut fields = self.fields.iter().filter(|_| fault.path.is_empty());
        fields
            .find(|(field, _)| *words == lacks(field))
            .map(|(field, pointer)| (field.as_str(), pointer.as_str()))
    }
}

/// All mappings of a node, in memory and on the desk.
pub struct Mappings {
    desk: Arc<dyn Desk>,
    known: RwLock<HashMap<String, Arc<Mapping>>>,
}

impl std::fmt::Debug for Mappings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mappings").finish_non_exhaustive()
    }
}

fn name(key: &str, stage: Stage) -> String {
    format!("{key}/{}", stage.name())
}

impl Mappings {
    /// Reads all mappings from the desk.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load(desk: Arc<dyn Desk>) -> Result<Self, KeyError> {
        let mut known = HashMap::new();
        for (name, record) in desk.load(Shelf::Mappings).map_err(KeyError::Desk)? {
            let mapping = Mapping::read(&record).map_err(|_| KeyError::Record(name.clone()))?;
            known.insert(name, Arc::new(mapping));
        }
        Ok(Self { desk, known: RwLock::new(known) })
    }

    pub(crate) fn find(&self, key: &str, stage: Stage) -> Option<Arc<Mapping>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&name(key, stage)).cloned()
    }

    /// Saves a mapping, or removes it.
    ///
    /// # Errors
    /// [`Kind::NotSealed`] with the desk's code.
    pub(crate) fn save(&self, key: &str, stage: Stage, mapping: Option<Mapping>) -> Result<(), Fault> {
        let name = name(key, stage);
        let record = mapping.as_ref().map(|mapping| serde_json::to_vec(mapping).unwrap_or_default());
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let saved = self.desk.save(Shelf::Mappings, &name, record.as_deref());
        saved.map_err(|error| Fault::of(Kind::NotSealed(error.code)))?;
        match mapping {
            Some(mapping) => drop(known.insert(name, Arc::new(mapping))),
            None => drop(known.remove(&name)),
        }
        Ok(())
    }

    /// Removes the mappings of a key, of every stage; to be called once it is withdrawn and passes no more.
    ///
    /// # Errors
    /// [`KeyError::Desk`]; what could not be removed is there still, and another call goes on with it.
    pub fn forget(&self, key_id: &str) -> Result<(), KeyError> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for name in STAGES.map(|stage| name(key_id, stage)) {
            if known.contains_key(&name) {
                self.desk.save(Shelf::Mappings, &name, None).map_err(KeyError::Desk)?;
                known.remove(&name);
            }
        }
        Ok(())
    }

    /// Removes the mappings of all keys but these: of one that was withdrawn while nobody could remove them any more.
    ///
    /// # Errors
    /// As of [`forget`](Self::forget).
    pub fn keep_of(&self, keys: &Keys) -> Result<(), KeyError> {
        let named: HashSet<String> = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.keys().filter_map(|name| Some(name.split_once('/')?.0.to_owned())).collect()
        };
        let there: HashSet<String> = keys.list().iter().map(|record| record.id.clone()).collect();
        named.difference(&there).try_for_each(|key| self.forget(key))
    }
}

#[cfg(test)]
mod tests {
    use waag_model::ids::{Actor, TenantName};
    use waag_model::time::UtcNanos;
    use waag_stdx::entropy::SystemEntropy;

    use super::*;
    use crate::keys::{NewKey, Role};
    use crate::ports::MemoryDesk;

    #[test]
    fn mappings_of_keys_that_are_gone_are_removed_and_those_of_the_others_stay() {
        let desk = Arc::new(MemoryDesk::default());
        let keys = Keys::load(desk.clone()).unwrap();
        let new = NewKey {
            tenant: TenantName::new("default").unwrap(),
            actor: Actor::new("erp").unwrap(),
            role: Role::Producer,
            plan: "standard".to_owned(),
            expires: None,
            subscriptions: Vec::new(),
        };
        let (_, drawn) = Keys::draw(new, UtcNanos(0), &SystemEntropy::new()).unwrap();
        let there = keys.add(drawn).unwrap().id.clone();
        let mappings = Mappings::load(desk.clone()).unwrap();
        let mapping = Mapping::read(br#"{"fields":{"id":"/a"}}"#).unwrap();
        let gone = "0f3a9c0d1e2b4a57";
        for key in [gone, &there] {
            mappings.save(key, Stage::Posting, Some(mapping.clone())).unwrap();
        }
        mappings.keep_of(&keys).unwrap();
        for mappings in [mappings, Mappings::load(desk).unwrap()] {
            assert!(mappings.find(gone, Stage::Posting).is_none());
            assert!(mappings.find(&there, Stage::Posting).is_some());
        }
    }

    #[test]
    fn the_mappings_of_a_key_that_is_forgotten_are_gone_and_no_others() {
        let desk = Arc::new(MemoryDesk::default());
        let mappings = Mappings::load(desk.clone()).unwrap();
        let mapping = Mapping::read(br#"{"fields":{"id":"/a"}}"#).unwrap();
        for key in ["0f3a9c0d1e2b4a57", "0f3a9c0d1e2b4a58"] {
            for stage in STAGES {
                mappings.save(key, stage, Some(mapping.clone())).unwrap();
            }
        }
        mappings.forget("0f3a9c0d1e2b4a57").unwrap();
        mappings.forget("0f3a9c0d1e2b4a57").unwrap();
        for mappings in [mappings, Mappings::load(desk).unwrap()] {
            for stage in STAGES {
                assert!(mappings.find("0f3a9c0d1e2b4a57", stage).is_none());
                assert!(mappings.find("0f3a9c0d1e2b4a58", stage).is_some());
            }
        }
    }
}
