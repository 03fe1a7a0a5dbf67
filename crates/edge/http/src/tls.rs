//! TLS 1.2 and 1.3 by rustls over aws-lc-rs, with a certificate that is replaced while the server runs.
//!
//! Not here: when to look for another certificate (`server` asks at an interval; the node may ask on a signal).
//! A file that cannot be used leaves the certificate in place that is in use; that is counted, and told once until it
//! changes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use waag_stdx::figures::{Family, Figures, counter, gauge};

use crate::fault::{Fault, Kind};

/// Largest certificate or key file, in bytes.
const FILE_BYTES_MAX: u64 = 1_048_576;

/// Where certificate chain and key are, as PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The certificate in use.
pub struct Tls {
    files: TlsFiles,
    read: Mutex<(Vec<u8>, Vec<u8>)>,
    config: RwLock<Arc<rustls::ServerConfig>>,
    failures: AtomicU64,
    /// The failure that was told last, none since the files could be used.
    told: Mutex<Option<String>>,
    tell: Box<dyn Fn(&Fault) + Send + Sync>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`Kind::Certificate`].
    pub fn open(files: TlsFiles) -> Result<Self, Fault> {
        let read = (read(&files.chain)?, read(&files.key)?);
        let config = RwLock::new(Arc::new(config(&read.0, &read.1)?));
        Ok(Self {
            files,
            read: Mutex::new(read),
            config,
            failures: AtomicU64::new(0),
            told: Mutex::default(),
            tell: Box::new(|_| {}),
        })
    }

    /// The same, with somebody who hears why other files cannot be used.
    #[must_use]
    pub fn telling(self, tell: impl Fn(&Fault) + Send + Sync + 'static) -> Self {
        Self { tell: Box::new(tell), ..self }
    }

    /// Reads the files again; true where another certificate or key is in use afterwards.
    ///
    /// # Errors
    /// [`Kind::Certificate`]; what was in use stays.
    pub fn reload(&self) -> Result<bool, Fault> {
        let done = self.read_again();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match &done {
            Ok(_) => *told = None,
            Err(fault) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                // Looked at every minute, so not told every minute.
                let why = fault.to_string();
                if told.as_ref() != Some(&why) {
                    (self.tell)(fault);
                    *told = Some(why);
                }
            }
        }
        done
    }

    fn read_again(&self) -> Result<bool, Fault> {
        let again = (read(&self.files.chain)?, read(&self.files.key)?);
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == again {
            return Ok(false);
        }
        let config = config(&again.0, &again.1)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        *known = again;
        Ok(true)
    }

    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Figures for Tls {
    fn families(&self) -> Vec<Family> {
        let is_bad = self.told.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        vec![
            counter(
                "waag_tls_certificate_failures",
                "Times that the certificate's files could not be used.",
                self.failures.load(Ordering::Relaxed),
            ),
            gauge(
                "waag_tls_certificate_stale",
                "1 where the files cannot be used and the certificate read before is in use.",
                is_bad.into(),
            ),
        ]
    }
}

fn bad(why: impl std::fmt::Display) -> Fault {
    Fault::of(Kind::Certificate(why.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let length = std::fs::metadata(path).map_err(bad)?.len();
    if length > FILE_BYTES_MAX {
        return Err(bad(format!("the file has more than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read(path).map_err(bad)
}

fn config(chain: &[u8], key: &[u8]) -> Result<rustls::ServerConfig, Fault> {
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().map_err(bad)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(bad)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(bad)?;
    let mut config = versions.with_no_client_auth().with_single_cert(chain, key).map_err(bad)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
