//! TLS.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{exchange, get};
use super::world::Served;
use crate::http::TlsFiles;

struct Secured {
    served: Served,
    connector: TlsConnector,
    _folder: tempfile::TempDir,
}

impl Secured {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let files = TlsFiles { certificate: folder.path().join("certificate.pem"), key: folder.path().join("key.pem") };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let served = Served::with(Some(files)).await;
        Self { served, connector: TlsConnector::from(Arc::new(config)), _folder: folder }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.served.address).await.unwrap();
        self.connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    }
}

#[tokio::test]
async fn requests_are_served_over_tls() {
    let secured = Secured::new().await;
    let request = get("/v1/members").signed(&secured.served, "owner@harlem");
    let answer = exchange(secured.connect().await, &request.bytes()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.header("strict-transport-security").is_some());
}

#[tokio::test]
async fn what_is_no_tls_does_not_disturb_others() {
    let secured = Secured::new().await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 5000], b"\x16\x03\x01\xff\xff", b""] {
        let mut stream = TcpStream::connect(secured.served.address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        // A reset is as good an end as any.
        let _ = stream.read_to_end(&mut bytes).await;
        assert!(!bytes.starts_with(b"HTTP"));
    }
    let answer = exchange(secured.connect().await, &get("/livez").bytes()).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_comes_is_cut_off() {
    let secured = Secured::new().await;
    let mut stream = TcpStream::connect(secured.served.address).await.unwrap();
    stream.write_all(b"\x16\x03\x01").await.unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    assert!(bytes.is_empty());
}
