//! A small HTTP client for what a node asks the one that invited it.

use std::path::Path;
use std::time::Duration;

use galen_types::api::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// For connecting.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// For one question.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of a refusal that are read.
const PROBLEM_BYTES_MAX: usize = 64 << 10;

/// Why a node could not be asked over HTTP. The code is stable.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The client cannot be set up.
    #[error("{0}")]
    Setup(String),
    /// Nobody answered.
    #[error("{url} cannot be reached: {cause}; check the invitation's address, and that the network lets you through")]
    Unreachable {
        /// The address.
        url: String,
        /// The system's words.
        cause: String,
    },
    /// Who answers does not prove to be it.
    #[error(
        "{url} is not trusted: {cause}; give the file of the certificate authority that vouches for it (--ca-file), or \
         correct the invitation's address"
    )]
    Untrusted {
        /// The address.
        url: String,
        /// What TLS says.
        cause: String,
    },
    /// It refused.
    #[error("{url} refuses ({status} {code}): {detail}")]
    Refused {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: String,
        /// What it says.
        detail: String,
    },
    /// What it answered is not understood.
    #[error("what {url} answers is not understood: {cause}; is it a Galen node of this release?")]
    Malformed {
        /// The address.
        url: String,
        /// Why.
        cause: String,
    },
}

impl FetchError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Setup(_) => "fetch-setup",
            Self::Unreachable { .. } => "fetch-unreachable",
            Self::Untrusted { .. } => "fetch-untrusted",
            Self::Refused { .. } => "fetch-refused",
            Self::Malformed { .. } => "fetch-malformed",
        }
    }

    /// Whether it may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 500..),
            Self::Setup(_) | Self::Untrusted { .. } | Self::Malformed { .. } => false,
        }
    }
}

/// Asks one node.
pub struct Fetcher {
    url: String,
    http: reqwest::Client,
}

impl Fetcher {
    /// For the node at an address; its certificate is trusted by the given roots (PEM), else by the system's. Plain http
    /// does not leave this machine unless that is permitted.
    ///
    /// # Errors
    /// [`FetchError::Setup`].
    pub fn new(url: &str, trust_roots: Option<&Path>, plain_http_allowed: bool) -> Result<Self, FetchError> {
        let setup = |problem: String| FetchError::Setup(problem);
        if url.starts_with("http://") && !plain_http_allowed && !is_of_this_machine(url) {
            return Err(setup(format!(
                "{url} is plain http to another machine: whoever is between could name false peers; use an invitation with \
                 https, or write `plain_http_allowed = true` into join.toml (galen member apply --allow-plain-http) where \
                 the network between is trusted"
            )));
        }
        // A second installation fails harmlessly: the process keeps the provider that it has.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("galen-node/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .http1_only();
        if let Some(path) = trust_roots {
            let pem = std::fs::read(path).map_err(|error| setup(format!("{}: {error}", path.display())))?;
            let roots = reqwest::Certificate::from_pem_bundle(&pem).ok().filter(|roots| !roots.is_empty());
            let roots = roots.ok_or_else(|| setup(format!("{} holds no PEM certificate", path.display())))?;
            builder = builder.tls_certs_only(roots);
        } else if url.starts_with("http://") {
            // Without TLS the system's certificates are not looked for: a bare machine may have none.
            builder = builder.tls_certs_only([]).no_proxy();
        }
        let http = builder.build().map_err(|error| setup(format!("the HTTP client cannot be set up: {error}")))?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), http })
    }

    /// Reads a JSON document.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str, limit: usize) -> Result<T, FetchError> {
        self.json(self.http.get(format!("{}{path}", self.url)), limit).await
    }

    /// Asks for something to be done, and reads a JSON document.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn post_json<T: DeserializeOwned>(&self, path: &str, limit: usize) -> Result<T, FetchError> {
        self.json(self.http.post(format!("{}{path}", self.url)), limit).await
    }

    /// Hands over a JSON document, and reads one.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn send_json<T: DeserializeOwned>(
        &self,
        path: &str,
        document: &(impl Serialize + Sync),
        limit: usize,
    ) -> Result<T, FetchError> {
        self.json(self.http.post(format!("{}{path}", self.url)).json(document), limit).await
    }

    async fn json<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder, limit: usize) -> Result<T, FetchError> {
        let unreachable = |error: reqwest::Error| {
            let (url, cause) = (self.url.clone(), causes(&error));
            if is_of_tls(&error) {
                FetchError::Untrusted { url, cause }
            } else {
                FetchError::Unreachable { url, cause }
            }
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let limit = if status.is_success() { limit } else { PROBLEM_BYTES_MAX };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > limit {
                let cause = format!("the answer has more than {limit} bytes");
                return Err(FetchError::Malformed { url: self.url.clone(), cause });
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            let problem: Option<Problem> = serde_json::from_slice(&body).ok();
            let (code, detail) = problem.map(|problem| (problem.code, problem.detail)).unwrap_or_default();
            return Err(FetchError::Refused { url: self.url.clone(), status: status.as_u16(), code, detail });
        }
        serde_json::from_slice(&body)
            .map_err(|error| FetchError::Malformed { url: self.url.clone(), cause: error.to_string() })
    }
}

/// Whether the host of an address is this machine.
fn is_of_this_machine(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    let host = url.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Whether TLS is what failed: it fails again as long as nobody changes something.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An I/O error does not name what it wraps as its source, but that one's source.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| wrapped.is::<rustls::Error>()) {
            return true;
        }
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

/// An error with what caused it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine_unless_permitted() {
        for url in
            ["http://127.0.0.1:7200", "http://[::1]:7200", "http://localhost:7200", "https://galen.harlem.example"]
        {
            assert!(Fetcher::new(url, None, false).is_ok(), "{url}");
        }
        for url in ["http://galen.harlem.example", "http://10.0.0.4:7200", "http://127.0.0.1.evil.example"] {
            assert_eq!(Fetcher::new(url, None, false).err().map(|error| error.code()), Some("fetch-setup"), "{url}");
            assert!(Fetcher::new(url, None, true).is_ok(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_trusted_is_not_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let (theirs, other) = (make("localhost"), make("localhost"));
        let roots = folder.path().join("other.pem");
        std::fs::write(&roots, other.cert.pem()).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = rustls::pki_types::PrivateKeyDer::try_from(theirs.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![theirs.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = acceptor.accept(stream).await;
            }
        });
        let fetcher = Fetcher::new(&url, Some(&roots), false).unwrap();
        let error = fetcher.get_json::<String>("/v1/genesis", 10).await.unwrap_err();
        assert_eq!((error.code(), error.is_temporary()), ("fetch-untrusted", false), "{error}");
        serving.abort();
        let _ = serving.await;
        let error = fetcher.get_json::<String>("/v1/genesis", 10).await.unwrap_err();
        assert_eq!((error.code(), error.is_temporary()), ("fetch-unreachable", true), "{error}");
    }
}
