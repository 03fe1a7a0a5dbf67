//! The store in memory keeps the contract it is the model of.

use std::sync::{Arc, Mutex, PoisonError};

use waag_views::conformance::{ViewsHarness, views};
use waag_views::contract::Views;
use waag_views::error::ViewsError;
use waag_views::memory::MemoryViews;

struct Harness(Mutex<MemoryViews>);

impl ViewsHarness for Harness {
    fn open(&self) -> Result<Arc<dyn Views>, ViewsError> {
        Ok(Arc::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    fn reset(&self) -> Result<(), ViewsError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = MemoryViews::new();
        Ok(())
    }
}

#[test]
fn keeps_the_contract() {
    views(&Harness(Mutex::new(MemoryViews::new()))).unwrap();
}
