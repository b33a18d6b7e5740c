//! TLS: certificate and key from PEM files; TLS 1.2 and 1.3, HTTP/1.1 only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// PEM: the node's certificate, then the intermediate ones.
    pub certificate: PathBuf,
    /// PEM: its private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file cannot be read.
    #[error("the TLS certificate `{path}` cannot be read: {problem}; give a PEM file with the certificate chain")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The key file cannot be read.
    #[error("the TLS key `{path}` cannot be read: {problem}; give a PEM file with the private key")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Certificate and key do not fit.
    #[error("the TLS certificate and key cannot be used together: {0}; give a key that belongs to the certificate")]
    Mismatch(String),
}

impl TlsError {
    /// A stable code for interfaces and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate { .. } => "tls-certificate-unreadable",
            Self::Key { .. } => "tls-key-unreadable",
            Self::Mismatch(_) => "tls-key-mismatch",
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |problem: String| TlsError::Certificate { path: path.to_owned(), problem };
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|problem| error(problem.to_string()))?;
    if chain.is_empty() {
        return Err(error("it holds no certificate".to_owned()));
    }
    Ok(chain)
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] naming the file and what is wrong with it.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|problem| TlsError::Key { path: self.key.clone(), problem: problem.to_string() })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|problem| TlsError::Mismatch(problem.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|problem| TlsError::Mismatch(problem.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
