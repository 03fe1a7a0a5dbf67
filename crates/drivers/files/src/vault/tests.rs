//! The vault in a file: the contract, its passphrase, its modes, and what becomes of damage.

use std::os::unix::fs::PermissionsExt as _;

use waag_keys::conformance::{VaultHarness, vault};
use waag_stdx::entropy::SystemEntropy;
use waag_stdx::files::DiskFiles;

use super::*;

struct Harness {
    folder: tempfile::TempDir,
    passphrase: Option<&'static [u8]>,
}

impl Harness {
    fn new(passphrase: Option<&'static [u8]>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), passphrase }
    }

    fn files(&self) -> Arc<dyn Files> {
        Arc::new(DiskFiles::new(self.folder.path()))
    }

    fn create(&self) -> Result<FileVault, VaultError> {
        FileVault::create(self.files(), Arc::new(SystemEntropy::new()), self.passphrase)
    }

    fn reopen(&self, passphrase: Option<&[u8]>) -> Result<FileVault, VaultError> {
        FileVault::open(self.files(), Arc::new(SystemEntropy::new()), passphrase)
    }
}

impl VaultHarness for Harness {
    fn open(&self) -> Result<Box<dyn KeyVault>, VaultError> {
        Ok(Box::new(self.reopen(self.passphrase)?))
    }

    fn other(&self) -> Result<Box<dyn KeyVault>, VaultError> {
        Ok(Box::new(Self::new(None).create()?))
    }
}

#[test]
fn keeps_the_contract_with_and_without_a_passphrase() {
    for passphrase in [None, Some(&b"a passphrase"[..])] {
        let harness = Harness::new(passphrase);
        drop(harness.create().unwrap());
        vault(&harness).unwrap();
    }
}

#[test]
fn the_file_is_the_owners_alone_and_made_once() {
    let harness = Harness::new(None);
    assert_eq!(harness.reopen(None).unwrap_err(), VaultError::Missing);
    // What a crash left of an earlier attempt is no obstacle.
    std::fs::write(harness.folder.path().join(NEW_FILE), "half").unwrap();
    drop(harness.create().unwrap());
    assert_eq!(harness.create().unwrap_err(), VaultError::Exists);
    let path = harness.folder.path().join(VAULT_FILE);
    check_mode(&path).unwrap();
    for mode in [0o604, 0o640, 0o666] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(check_mode(&path), Err(VaultError::TooOpen(format!("0{mode:o}"))));
    }
    assert_eq!(check_mode(&harness.folder.path().join("none")), Err(VaultError::Missing));
}

#[test]
fn a_passphrase_is_asked_for_and_must_be_right() {
    let harness = Harness::new(Some(b"right"));
    let wrapped = harness.create().unwrap().wrap(b"c", b"secret").unwrap();
    let long = vec![b'p'; PASSPHRASE_BYTES_MAX + 1];
    for (given, what) in [
        (None, "was not given"),
        (Some(&b"wrong"[..]), "is wrong"),
        (Some(b""), "must have 1 to 1,024 bytes"),
        (Some(&long), "must have 1 to 1,024 bytes"),
    ] {
        let error = harness.reopen(given).unwrap_err();
        assert_eq!((error.code(), error.to_string()), ("E0527", format!("the vault's passphrase {what}")));
    }
    let vault = harness.reopen(Some(b"right")).unwrap();
    vault.set_passphrase(None).unwrap();
    let unneeded = harness.reopen(Some(b"right")).unwrap_err();
    assert_eq!(unneeded, VaultError::Passphrase("was given, and the vault has none"));
    assert_eq!(**harness.reopen(None).unwrap().unwrap(b"c", &wrapped).unwrap(), *b"secret");
    assert!(matches!(vault.set_passphrase(Some(&long)), Err(VaultError::Passphrase(_))));
    assert!(matches!(vault.set_passphrase(Some(b"")), Err(VaultError::Passphrase(_))));
    vault.set_passphrase(long.get(1..)).unwrap();
    assert_eq!(**harness.reopen(long.get(1..)).unwrap().unwrap(b"c", &wrapped).unwrap(), *b"secret");
}

#[test]
fn rotation_keeps_the_old_key_until_it_is_dropped() {
    let harness = Harness::new(None);
    let vault = harness.create().unwrap();
    let old = vault.wrap(b"c", b"secret").unwrap();
    vault.rotate().unwrap();
    let new = vault.wrap(b"c", b"secret").unwrap();
    assert_ne!(old[1..17], new[1..17], "the wrapped secret names its key");
    for vault in [&vault, &harness.reopen(None).unwrap()] {
        assert_eq!(**vault.unwrap(b"c", &old).unwrap(), *b"secret");
        assert_eq!(**vault.unwrap(b"c", &new).unwrap(), *b"secret");
    }
    assert_eq!((vault.drop_old().unwrap(), vault.drop_old().unwrap()), (1, 0));
    for vault in [&vault, &harness.reopen(None).unwrap()] {
        assert!(matches!(vault.unwrap(b"c", &old), Err(VaultError::KeyGone(_))));
        assert_eq!(**vault.unwrap(b"c", &new).unwrap(), *b"secret");
    }
    for _ in 1..VAULT_KEYS_MAX {
        vault.rotate().unwrap();
    }
    assert_eq!(vault.rotate(), Err(VaultError::KeysFull));
    assert_eq!(**harness.reopen(None).unwrap().unwrap(b"c", &new).unwrap(), *b"secret");
    assert_eq!(vault.drop_old().unwrap(), VAULT_KEYS_MAX - 1);
}

#[test]
fn every_changed_cut_or_added_byte_is_refused() {
    for passphrase in [None, Some(&b"a passphrase"[..])] {
        let harness = Harness::new(passphrase);
        drop(harness.create().unwrap());
        let path = harness.folder.path().join(VAULT_FILE);
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            std::fs::write(&path, &changed).unwrap();
            assert!(matches!(harness.reopen(passphrase), Err(VaultError::Damaged(_))), "byte {at}");
            std::fs::write(&path, &bytes[..at]).unwrap();
            assert!(matches!(harness.reopen(passphrase), Err(VaultError::Damaged(_))), "cut to {at}");
        }
        for added in [1, FILE_BYTES_MAX, FILE_BYTES_MAX * 2] {
            std::fs::write(&path, [&bytes[..], &vec![0; added]].concat()).unwrap();
            assert!(matches!(harness.reopen(passphrase), Err(VaultError::Damaged(_))), "{added} more");
        }
        std::fs::write(&path, &bytes).unwrap();
        harness.reopen(passphrase).unwrap();
    }
}

#[test]
fn absurd_parameters_unknown_versions_and_protections_are_refused_before_any_work() {
    let harness = Harness::new(Some(b"p"));
    drop(harness.create().unwrap());
    let path = harness.folder.path().join(VAULT_FILE);
    let bytes = std::fs::read(&path).unwrap();
    let over = |limit: u32| (limit + 1).to_be_bytes();
    let cases: [(usize, Vec<u8>); 9] = [
        (0, b"waagvkex".to_vec()),
        (8, vec![0, 2]),
        (10, vec![2]),
        (11, over(ARGON2_MEMORY_KIB_MAX).to_vec()),
        (11, vec![0; 4]),
        (15, over(ARGON2_PASSES_MAX).to_vec()),
        (15, vec![0; 4]),
        (19, over(ARGON2_LANES_MAX).to_vec()),
        (19, vec![0xff; 4]),
    ];
    for (at, with) in cases {
        let mut changed = bytes[..bytes.len() - SUM_BYTES].to_vec();
        changed[at..at + with.len()].copy_from_slice(&with);
        let sum = digest(&SHA256, &changed);
        changed.extend_from_slice(sum.as_ref());
        std::fs::write(&path, &changed).unwrap();
        assert!(matches!(harness.reopen(Some(b"p")), Err(VaultError::Foreign(_))), "byte {at}: {with:?}");
    }
}

#[test]
fn no_secret_is_printed() {
    let vault = Harness::new(None).create().unwrap();
    assert_eq!(format!("{vault:?}"), "file vault.key (no passphrase)");
}
