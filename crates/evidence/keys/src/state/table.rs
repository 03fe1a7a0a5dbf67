//! The tables of the state, by what their records are for.

/// What a record is for. The codes are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// About the store itself.
    Meta,
    /// The tenant: its name, the versions of its wrapped key, the wrapped lookup key.
    Tenant,
    /// Ledgers, by name: id, origin, wrapped tag keys.
    Ledger,
    /// Signing keys, by ledger id and number.
    Signing,
    /// Wrapped data keys and persons' tag keys, by key id.
    DataKey,
    /// Which keys are a person's, by lookup tag, purpose, class and period.
    Person,
    /// Which key is in use where there is no person, by class and day.
    Common,
    /// What is left of a destroyed key, by key id.
    Tombstone,
    /// Who may write, by partition.
    Lease,
    /// How far a delivery has come, by subscription.
    Cursor,
    /// What a door keeps: API keys (hashed), usage plans, mappings of clients' field names.
    Door,
    /// Subscriptions and jobs of the router; targets' secrets in them are wrapped.
    Subscription,
    /// Events that wait for another attempt, and dead letters, by lane.
    Delivery,
    /// Logs of others that this node witnesses: the newest checkpoint it put its name to, by origin.
    Witness,
    /// What was published of a ledger, and who cosigned it.
    Publication,
    /// Evidence packs that were handed out, by their digest.
    Pack,
    /// Persons whose data may be kept but not used, by lookup tag.
    Restriction,
    /// Backups, drills and verifications that were made.
    Upkeep,
}

impl Table {
    /// Every table, in the order of their codes.
    pub const ALL: [Self; 18] = [
        Self::Meta,
        Self::Tenant,
        Self::Ledger,
        Self::Signing,
        Self::DataKey,
        Self::Person,
        Self::Common,
        Self::Tombstone,
        Self::Lease,
        Self::Cursor,
        Self::Door,
        Self::Subscription,
        Self::Delivery,
        Self::Witness,
        Self::Publication,
        Self::Pack,
        Self::Restriction,
        Self::Upkeep,
    ];

    /// The stored code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Meta => 1,
            Self::Tenant => 2,
            Self::Ledger => 3,
            Self::Signing => 4,
            Self::DataKey => 5,
            Self::Person => 6,
            Self::Common => 7,
            Self::Tombstone => 8,
            Self::Lease => 9,
            Self::Cursor => 10,
            Self::Door => 11,
            Self::Subscription => 12,
            Self::Delivery => 13,
            Self::Witness => 14,
            Self::Publication => 15,
            Self::Pack => 16,
            Self::Restriction => 17,
            Self::Upkeep => 18,
        }
    }

    /// The table of a stored code.
    #[must_use]
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.code() == code)
    }

    /// The name shown to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Tenant => "tenant",
            Self::Ledger => "ledger",
            Self::Signing => "signing",
            Self::DataKey => "data-key",
            Self::Person => "person",
            Self::Common => "common",
            Self::Tombstone => "tombstone",
            Self::Lease => "lease",
            Self::Cursor => "cursor",
            Self::Door => "door",
            Self::Subscription => "subscription",
            Self::Delivery => "delivery",
            Self::Witness => "witness",
            Self::Publication => "publication",
            Self::Pack => "pack",
            Self::Restriction => "restriction",
            Self::Upkeep => "upkeep",
        }
    }

    /// Whether a driver must leave no byte of a removed or replaced value behind once [`State::forget`] returned.
    #[must_use]
    pub fn holds_secrets(self) -> bool {
        match self {
            Self::Tenant | Self::Ledger | Self::Signing | Self::DataKey | Self::Person => true,
            Self::Meta | Self::Common | Self::Tombstone | Self::Lease | Self::Cursor | Self::Door => false,
            // A subscription's secrets are wrapped, and replaced by rotating them.
            Self::Subscription | Self::Delivery => false,
            // Witnessed checkpoints are public; packs, restrictions and upkeep hold no key and no name.
            Self::Witness | Self::Publication | Self::Pack | Self::Restriction | Self::Upkeep => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_of_tables_are_unique_and_read_back() {
        for (at, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(table.code()), at + 1);
            assert_eq!(Table::of_code(table.code()), Some(table));
            assert!(Table::ALL.into_iter().filter(|other| other.name() == table.name()).count() == 1);
        }
        assert_eq!(Table::of_code(0), None);
        assert_eq!(Table::of_code(19), None);
    }
}
