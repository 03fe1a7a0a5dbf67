//! Which schema and dictionary an event's type is sealed under.
//!
//! A snapshot: registering makes a new one, so that a batch is sealed under one state of it from end to end.
//! Not here: where schemas are stored (the node), what their annotations mean (`model::schema`).

use std::collections::HashMap;

use waag_entry::codec::Dictionary;
use waag_model::schema::Schema;

/// A registered schema version and its dictionary.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The compiled schema.
    pub schema: Schema,
    /// The dictionary, where the version was shipped with one.
    pub dictionary: Option<Dictionary>,
}

/// All registered schemas: the newest version of each type to seal with, every dictionary to open with.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    newest: HashMap<String, Registered>,
    dictionaries: HashMap<[u8; 8], Dictionary>,
}

impl Registry {
    /// Adds a version; the highest version of a type is the one that seals.
    pub fn add(&mut self, kind: &str, registered: Registered) {
        if let Some(dictionary) = &registered.dictionary {
            self.dictionaries.insert(dictionary.name(), dictionary.clone());
        }
        let newer = |known: &Registered| known.schema.version < registered.schema.version;
        if self.newest.get(kind).is_none_or(newer) {
            self.newest.insert(kind.to_owned(), registered);
        }
    }

    /// What events of this type are sealed under, where the type is registered.
    #[must_use]
    pub fn newest(&self, kind: &str) -> Option<&Registered> {
        self.newest.get(kind)
    }

    /// The dictionary a part names.
    #[must_use]
    pub fn dictionary(&self, name: &[u8; 8]) -> Option<&Dictionary> {
        self.dictionaries.get(name)
    }
}
