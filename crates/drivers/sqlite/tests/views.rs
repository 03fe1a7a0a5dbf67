//! SQLite keeps the contract of views, and what is beside it: foreign files, leftovers, dropped views, kills.

use std::path::PathBuf;
use std::sync::Arc;

use waag_sqlite::views::{SqliteViews, ViewsConfig};
use waag_views::conformance::{ViewsHarness, views};
use waag_views::contract::Views;
use waag_views::error::ViewsError;

struct Harness {
    folder: tempfile::TempDir,
    config: ViewsConfig,
}

impl Harness {
    fn new(config: ViewsConfig) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), config }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("views.db")
    }
}

impl ViewsHarness for Harness {
    fn open(&self) -> Result<Arc<dyn Views>, ViewsError> {
        Ok(Arc::new(SqliteViews::open(&self.path(), self.config)?))
    }

    fn reset(&self) -> Result<(), ViewsError> {
        for file in ["views.db", "views.db-wal", "views.db-shm"] {
            drop(std::fs::remove_file(self.folder.path().join(file)));
        }
        Ok(())
    }
}

#[test]
fn keeps_the_contract() {
    views(&Harness::new(ViewsConfig::default())).unwrap();
}

#[test]
fn keeps_the_contract_with_small_caches_and_a_mapped_file() {
    let config = ViewsConfig {
        writer_cache_kib: 64,
        reader_cache_kib: 64,
        mmap_bytes: 1 << 30,
        log_pages: 8,
        page_bytes: 1_024,
        readers_max: 4,
    };
    views(&Harness::new(config)).unwrap();
}
