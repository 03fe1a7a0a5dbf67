//! The schemas that come with the program: the four invoice types, sealed under one schema and one dictionary.
//!
//! They are registered when a node first opens a store, as events of its ledger like every registration. A type that has a
//! version already keeps it: what a firm has registered itself is not replaced.
//! The dictionary is made of synthetic events alone (`waag-bench dictionary`).

use waag_model::ids::Actor;

use crate::store::own::RegisterError;
use crate::store::writer::OpenedStore;

/// The invoice types.
pub const INVOICE_TYPES: [&str; 4] =
    ["invoice.ingestion", "invoice.reconciliation", "invoice.authorization", "invoice.posting"];
/// What invoice events may say.
pub const INVOICE_SCHEMA: &[u8] = include_bytes!("../../../../schemas/invoice.schema.json");
/// What compresses them.
pub const INVOICE_DICTIONARY: &[u8] = include_bytes!("../../../../schemas/invoice.dictionary");

/// Registers what is missing; says whether anything was, since the store's readers know the dictionaries they were opened
/// with and have to be opened again.
///
/// # Errors
/// [`RegisterError`].
pub fn register(store: &OpenedStore, actor: &Actor) -> Result<bool, RegisterError> {
    let schemas = store.schemas();
    let newest = schemas.newest();
    let missing: Vec<&str> = INVOICE_TYPES.into_iter().filter(|kind| !newest.contains_key(kind)).collect();
    for kind in &missing {
        store.register_schema(actor, kind, INVOICE_SCHEMA, Some(INVOICE_DICTIONARY))?;
    }
    Ok(!missing.is_empty())
}
