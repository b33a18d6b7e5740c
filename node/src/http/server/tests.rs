use super::*;

fn settings(listen: &str) -> HttpSettings {
    HttpSettings { listen: listen.parse().unwrap(), public_url: None, tls: None }
}

#[tokio::test]
async fn plain_http_is_refused_off_loopback_and_says_what_to_set() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let error = Server::bind(&settings(listen)).await.err().unwrap();
        assert_eq!(error.code(), "http-plain-off-loopback");
        assert!(error.to_string().contains("[http.tls]"), "{error}");
    }
    assert!(Server::bind(&settings("127.0.0.1:0")).await.is_ok());
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let first = Server::bind(&settings("127.0.0.1:0")).await.unwrap();
    let error = Server::bind(&settings(&first.address().to_string())).await.err().unwrap();
    assert_eq!(error.code(), "http-listen");
    assert!(error.to_string().contains(&first.address().to_string()), "{error}");
}

#[tokio::test]
async fn missing_or_wrong_tls_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles { certificate: folder.path().join("certificate.pem"), key: folder.path().join("key.pem") };
    assert_eq!(files.load().unwrap_err().code(), "tls-certificate-unreadable");
    std::fs::write(&files.certificate, "no certificate").unwrap();
    assert_eq!(files.load().unwrap_err().code(), "tls-certificate-unreadable");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    assert_eq!(files.load().unwrap_err().code(), "tls-key-unreadable");
    let other = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&files.key, other.serialize_pem()).unwrap();
    assert_eq!(files.load().unwrap_err().code(), "tls-key-mismatch");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    assert!(files.load().is_ok());
}

#[tokio::test]
async fn a_socket_that_is_handed_over_must_listen_and_serves_then() {
    let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listening.local_addr().unwrap();
    let adopted = adopt(listening.try_clone().unwrap().into()).unwrap();
    assert_eq!(adopted.local_addr().unwrap(), address);
    let (_near, accepted) = tokio::join!(TcpStream::connect(address), adopted.accept());
    let connected: std::net::TcpStream = accepted.unwrap().0.into_std().unwrap();
    assert_eq!(adopt(connected.into()).unwrap_err().kind(), io::ErrorKind::InvalidInput, "it is connected");
    let file = tempfile::tempfile().unwrap();
    assert!(adopt(file.into()).is_err(), "it is a file");
}
