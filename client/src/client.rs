use std::sync::Arc;

use futures::future::BoxFuture;
use galen_keys::KeyPair;
use galen_types::api::Consistency;
use galen_types::{AccountName, Hash, NodeName};
use reqwest::Url;
use tokio::sync::OnceCell;

use crate::config::{ClientConfig, Timeouts, http_client, parse_base_url};
use crate::error::ClientError;

/// A client of one node; cheap to clone, and one connection pool for all clones.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    base: Url,
    account: Option<(AccountName, KeyPair)>,
    timeouts: Timeouts,
    genesis_expected: Option<Hash>,
    consistency: Consistency,
    notice: Option<fn(&str)>,
    /// The chain and the node, as the node says once.
    names: OnceCell<(Hash, NodeName)>,
}

impl Client {
    /// Sets up a client; nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Configuration`] for an address that is none, plain http to another machine that is not allowed,
    /// or an unusable file of certificate authorities.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let (base, loopback) = parse_base_url(&config.base_url, config.plain_http_allowed)?;
        let http = http_client(&config, &base, loopback)?;
        Ok(Self {
            shared: Arc::new(Shared {
                http,
                base,
                account: config.account,
                timeouts: config.timeouts,
                genesis_expected: config.genesis,
                consistency: config.consistency,
                notice: config.notice,
                names: OnceCell::new(),
            }),
        })
    }

    /// Tells whoever waits why, if they want to know.
    pub(crate) fn tell(&self, text: &str) {
        if let Some(notice) = self.shared.notice {
            notice(text);
        }
    }

    /// The account that this client speaks for.
    pub fn account_name(&self) -> Option<&AccountName> {
        self.account().map(|(name, _)| name)
    }

    /// The hash of the chain's genesis, asked of the node once.
    ///
    /// # Errors
    /// [`ClientError::Integrity`] when the node's chain is not the one configured; otherwise what the request gives.
    pub async fn genesis_hash(&self) -> Result<Hash, ClientError> {
        self.names().await.map(|(genesis, _)| *genesis)
    }

    /// The node's name, asked once.
    ///
    /// # Errors
    /// As [`Client::genesis_hash`].
    pub async fn node_name(&self) -> Result<NodeName, ClientError> {
        self.names().await.map(|(_, node)| node.clone())
    }

    /// What requests are signed for: the chain and the node.
    pub(crate) fn names(&self) -> BoxFuture<'_, Result<&(Hash, NodeName), ClientError>> {
        let ask = async || {
            let status = self.chain_here().await?;
            match self.shared.genesis_expected {
                Some(expected) if expected != status.genesis => {
                    Err(ClientError::Integrity(format!("the node's chain is {}, not {expected}", status.genesis)))
                }
                _ => Ok((status.genesis, status.node)),
            }
        };
        // Boxed: signing a request asks for the names, which is itself a request (an unsigned one).
        Box::pin(async move { self.shared.names.get_or_try_init(ask).await })
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.shared.http
    }

    pub(crate) fn base(&self) -> &Url {
        &self.shared.base
    }

    pub(crate) fn account(&self) -> Option<&(AccountName, KeyPair)> {
        self.shared.account.as_ref()
    }

    pub(crate) fn consistency(&self) -> Consistency {
        self.shared.consistency
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.shared.timeouts
    }
}
