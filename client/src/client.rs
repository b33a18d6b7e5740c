use std::sync::Arc;

use futures::future::BoxFuture;
use galen_keys::KeyPair;
use galen_types::{AccountName, Hash};
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
    genesis: OnceCell<Hash>,
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
                genesis: OnceCell::new(),
            }),
        })
    }

    /// The account that this client speaks for.
    pub fn account_name(&self) -> Option<&AccountName> {
        self.account().map(|(name, _)| name)
    }

    /// The hash of the chain's genesis, asked of the node once.
    ///
    /// # Errors
    /// [`ClientError::Integrity`] when the node's chain is not the one configured; otherwise what the request gives.
    pub fn genesis_hash(&self) -> BoxFuture<'_, Result<Hash, ClientError>> {
        let ask = async || {
            let genesis = self.chain().await?.genesis;
            match self.shared.genesis_expected {
                Some(expected) if expected != genesis => {
                    Err(ClientError::Integrity(format!("the node's chain is {genesis}, not {expected}")))
                }
                _ => Ok(genesis),
            }
        };
        // Boxed: signing a request asks for the genesis, which is itself a request (an unsigned one).
        Box::pin(async move { self.shared.genesis.get_or_try_init(ask).await.copied() })
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

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.shared.timeouts
    }
}
