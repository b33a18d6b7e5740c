//! Building, signing and handing over transactions. The same bytes are sent again until their validity ends: the chain
//! executes them once at most, and answers a repetition with the first receipt.

use std::time::Duration;

use bytes::Bytes;
use galen_types::api::{Finality, Problem, TransactionStatus};
use galen_types::{Call, Encoding as _, Outcome, Signer, Timestamp, TransactionBody, TransactionId};
use reqwest::Method;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::error::ClientError;
use crate::transport::{Content, Failure, Outgoing, Signing};

/// How long a request may take beyond the time that the node was given to wait.
const ANSWER_GRACE: Duration = Duration::from_secs(5);
/// After how long somebody who waits is told why.
const NOTICE_AFTER: Duration = Duration::from_secs(3);
/// Longest time that a node can be told to wait, milliseconds.
const WAIT_MS_MAX: u128 = 60_000;
/// First pause before the same bytes are sent again; doubled each time.
const RETRY_PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause before the same bytes are sent again.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What a submission waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: the node has taken it.
    Accepted,
    /// Its receipt: a crash loses nothing any more.
    Committed,
    /// A quorum of voters signed for it: what data is released against.
    Certified,
}

impl Wait {
    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "none",
            Self::Committed => "committed",
            Self::Certified => "certified",
        }
    }

    fn is_reached_by(self, finality: Finality) -> bool {
        match self {
            Self::Accepted => true,
            Self::Committed => finality >= Finality::Committed,
            Self::Certified => finality >= Finality::Certified,
        }
    }
}

/// A signed transaction, ready to be sent any number of times.
#[derive(Debug, Clone)]
pub struct PreparedTransaction {
    /// Its id.
    pub id: TransactionId,
    /// The exact signed bytes.
    pub bytes: Bytes,
    /// Until when the chain may execute it.
    pub valid_until: Timestamp,
    deadline: Instant,
}

/// One answer to a batch of transactions.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum BatchAnswer {
    /// It was taken.
    Taken(Box<TransactionStatus>),
    /// It was not, and why.
    Problem(Box<Problem>),
}

impl Client {
    /// Builds and signs a transaction of the client's account, valid for [`Timeouts::validity`](crate::Timeouts).
    ///
    /// # Errors
    /// [`ClientError::NoAccount`], or the node's genesis cannot be asked for.
    pub async fn prepare(&self, call: Call) -> Result<PreparedTransaction, ClientError> {
        let (name, keys) = self.account().ok_or(ClientError::NoAccount)?;
        let validity = self.timeouts().validity;
        let validity_ms = u64::try_from(validity.as_millis()).unwrap_or(u64::MAX);
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        let body = TransactionBody {
            chain: self.genesis_hash().await?,
            signer: Signer::Account(name.clone()),
            salt,
            valid_until: Timestamp::now().plus_ms(validity_ms),
            call,
        };
        let signed = body.sign(&keys.signing);
        Ok(PreparedTransaction {
            id: signed.id(),
            bytes: signed.encode().into(),
            valid_until: body.valid_until,
            deadline: Instant::now() + validity,
        })
    }

    /// Signs a call, hands it over and waits. A call that a rule refused is an answer here, not an error: look at the
    /// receipt, or use [`Client::apply`].
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn submit(&self, call: Call, wait: Wait) -> Result<TransactionStatus, ClientError> {
        let prepared = self.prepare(call).await?;
        self.send(&prepared, wait).await
    }

    /// As [`Client::submit`], but a refused call is an error.
    ///
    /// # Errors
    /// [`ClientError::Denied`] when a rule refused the call; otherwise as [`Client::send`].
    pub async fn apply(&self, call: Call, wait: Wait) -> Result<TransactionStatus, ClientError> {
        applied(self.submit(call, wait).await?)
    }

    /// Hands a signed transaction over and waits. While its validity lasts, the same bytes are sent again when the
    /// connection breaks or the node cannot take it now.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] or [`ClientError::Problem`] when it is certain that it was not taken;
    /// [`ClientError::OutcomeUnknown`] when it may have been, and no receipt came back in time.
    pub async fn send(&self, transaction: &PreparedTransaction, wait: Wait) -> Result<TransactionStatus, ClientError> {
        let started = Instant::now();
        let mut told = false;
        let mut pause = RETRY_PAUSE_FIRST;
        // Whether an earlier attempt may have put it into the chain.
        let mut uncertain = false;
        loop {
            let failure = match self.send_aloud(transaction, wait, &mut told).await {
                Ok(status) if wait.is_reached_by(status.finality) => return Ok(status),
                Ok(_) => {
                    uncertain = true;
                    None
                }
                Err(failure) => {
                    let verdict = verdict(&failure);
                    if verdict == Verdict::Final && !uncertain {
                        return Err(failure.error);
                    }
                    if verdict == Verdict::Final {
                        // An earlier attempt may have been executed, e.g. when this one came too late.
                        return self.settle(transaction, wait).await;
                    }
                    uncertain |= verdict == Verdict::Uncertain;
                    Some(failure)
                }
            };
            let never_reached = matches!(&failure, Some(Failure { error: ClientError::Unreachable { .. }, .. }))
                && !uncertain
                && started.elapsed() >= self.timeouts().unreachable;
            let wanted = failure.as_ref().and_then(|failure| failure.retry_after).unwrap_or(pause);
            let over = never_reached || Instant::now() + wanted >= transaction.deadline;
            if let Some(failure) = &failure
                && !over
                && !told
                && started.elapsed() >= NOTICE_AFTER
            {
                told = true;
                self.tell(&format!(
                    "{}; the transaction is sent again until {}",
                    failure.error, transaction.valid_until
                ));
            }
            match failure {
                Some(failure) if over && !uncertain => return Err(failure.error),
                _ if over => return self.settle(transaction, wait).await,
                _ => {}
            }
            sleep(wanted).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    /// The last look when no more attempts are made.
    async fn settle(&self, transaction: &PreparedTransaction, wait: Wait) -> Result<TransactionStatus, ClientError> {
        let id = transaction.id;
        match self.transaction_when(&id, wait, ANSWER_GRACE).await {
            Ok(status) if status.receipt.is_some() && wait.is_reached_by(status.finality) => Ok(status),
            _ => Err(ClientError::OutcomeUnknown { id }),
        }
    }

    /// As [`Self::send_once`]; says so, once, when the node is silent for long.
    async fn send_aloud(
        &self,
        transaction: &PreparedTransaction,
        wait: Wait,
        told: &mut bool,
    ) -> Result<TransactionStatus, Failure> {
        let mut sending = std::pin::pin!(self.send_once(transaction, wait));
        if !*told {
            tokio::select! {
                outcome = &mut sending => return outcome,
                () = sleep(NOTICE_AFTER) => {}
            }
            *told = true;
            self.tell(&format!(
                "no block holds transaction {} yet: a majority of voters may be away; waiting until {}",
                transaction.id, transaction.valid_until
            ));
        }
        sending.await
    }

    async fn send_once(&self, transaction: &PreparedTransaction, wait: Wait) -> Result<TransactionStatus, Failure> {
        let patience = transaction.deadline.saturating_duration_since(Instant::now()).min(self.timeouts().request);
        let url = self.url(&["v1", "transactions"], &wait_query(wait, patience));
        let content = Content::Octets(transaction.bytes.clone());
        let mut outgoing = Outgoing::new(Method::POST, url, Signing::Open, content);
        outgoing.timeout = Some(patience + ANSWER_GRACE);
        let status: TransactionStatus = self.exchange_json(outgoing).await?;
        if status.id == transaction.id {
            Ok(status)
        } else {
            let error =
                ClientError::Integrity(format!("the node answered for {} instead of {}", status.id, transaction.id));
            Err(Failure { error, delivered: true, retry_after: None })
        }
    }

    /// Hands over up to 1,000 signed transactions at once; the answers come in their order.
    ///
    /// # Errors
    /// When the batch as a whole is refused or no answer comes; nothing is sent again.
    pub async fn send_batch(
        &self,
        transactions: &[PreparedTransaction],
        wait: Wait,
    ) -> Result<Vec<BatchAnswer>, ClientError> {
        let bytes: Vec<Vec<u8>> = transactions.iter().map(|transaction| transaction.bytes.to_vec()).collect();
        let patience = self.timeouts().request;
        let url = self.url(&["v1", "transactions", "batch"], &wait_query(wait, patience));
        let content = Content::Octets(bytes.encode().into());
        let mut outgoing = Outgoing::new(Method::POST, url, Signing::Open, content);
        outgoing.timeout = Some(patience + ANSWER_GRACE);
        let answers: Vec<BatchAnswer> = self.exchange_json(outgoing).await.map_err(|failure| failure.error)?;
        if answers.len() == transactions.len() {
            Ok(answers)
        } else {
            let (got, sent) = (answers.len(), transactions.len());
            Err(ClientError::Answer(format!("it holds {got} answers to {sent} transactions")))
        }
    }

    /// A transaction as the node knows it now.
    ///
    /// # Errors
    /// A problem with status 404 when the node does not know it.
    pub async fn transaction(&self, id: &TransactionId) -> Result<TransactionStatus, ClientError> {
        self.get(Signing::Optional, &["v1", "transactions", &id.to_string()], &[]).await
    }

    /// A transaction once it has come as far as asked, or the node's problem when `patience` ends first.
    ///
    /// # Errors
    /// A problem with status 404 when the node does not know it, 504 when the time ran out.
    pub async fn transaction_when(
        &self,
        id: &TransactionId,
        wait: Wait,
        patience: Duration,
    ) -> Result<TransactionStatus, ClientError> {
        let url = self.url(&["v1", "transactions", &id.to_string()], &wait_query(wait, patience));
        let mut outgoing = Outgoing::get(url, Signing::Optional);
        outgoing.timeout = Some(patience + ANSWER_GRACE);
        self.exchange_json(outgoing).await.map_err(|failure| failure.error)
    }
}

/// Turns a recorded refusal into an error.
pub(crate) fn applied(status: TransactionStatus) -> Result<TransactionStatus, ClientError> {
    match status.receipt.as_ref().map(|receipt| &receipt.outcome) {
        Some(Outcome::Refused { rule, explanation }) => {
            Err(ClientError::Denied { id: status.id, rule: rule.clone(), explanation: explanation.clone() })
        }
        _ => Ok(status),
    }
}

fn wait_query(wait: Wait, patience: Duration) -> [(&'static str, Option<String>); 2] {
    let timeout = patience.as_millis().clamp(1, WAIT_MS_MAX).to_string();
    [("wait", Some(wait.as_str().to_owned())), ("timeout_ms", (wait != Wait::Accepted).then_some(timeout))]
}

/// What a failed attempt says about the transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It was not taken, and sending it again changes nothing.
    Final,
    /// It was not taken this time; it may be the next.
    NotTaken,
    /// It may have been taken.
    Uncertain,
}

fn verdict(failure: &Failure) -> Verdict {
    match &failure.error {
        ClientError::Unreachable { .. } if !failure.delivered => Verdict::NotTaken,
        ClientError::Unreachable { .. } | ClientError::Answer(_) => Verdict::Uncertain,
        ClientError::Problem(problem) => match problem.status {
            429 => Verdict::NotTaken,
            // 503 may also be the word of something between node and client, which cannot know.
            500.. => Verdict::Uncertain,
            _ => Verdict::Final,
        },
        _ => Verdict::Final,
    }
}
