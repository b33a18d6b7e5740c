//! Who asks: the account's signature over the whole request, in a time window, with a nonce taken once.
//!
//! In two steps, because the signature covers the body. [`Gate::claim`] reads the header and everything that can be
//! judged without the body, so that nobody makes the node read a body for an account that does not exist.
//! [`Gate::prove`] checks the signature once the body's hash is known, and only then takes the nonce: a stranger cannot
//! use up nonces.

mod nonce;

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use galen_contracts::query::{get_account_due, get_member};
use galen_contracts::{StateError, StateRead};
use galen_types::member::{Account, Standing};
use galen_types::request_signature::{REQUEST_TIME_WINDOW_MS, RequestSignature, SignedParts};
use galen_types::{AccountName, Timestamp};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use self::nonce::{Nonces, Taken};
use super::limits::{ACCOUNT_BURST, ACCOUNT_REQUESTS_PER_SECOND, FAILURE_BURST, FAILURES_PER_SECOND, RATES_MAX};
use super::rate::Rates;
use super::refusal::Refusal;
use super::server::source_of;

/// What is remembered of requests.
pub(crate) struct Gate {
    /// Requests signed before are refused: their nonces may have been taken by the process before this one.
    started: Timestamp,
    nonces: Mutex<Nonces>,
    accounts: Mutex<Rates<AccountName>>,
    failures: Mutex<Rates<IpAddr>>,
}

/// A request that says by whom it is; not proven yet.
#[derive(Debug)]
pub(crate) struct Claim {
    signature: RequestSignature,
    account: Account,
    active: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The account, and whether it and its member take part.
pub(crate) fn account_and_standing(
    state: &dyn StateRead,
    name: &AccountName,
) -> Result<Option<(Account, bool)>, StateError> {
    // On an idle chain a reset key is to work before a block says so: its owner's first call makes that block.
    let Some(account) = get_account_due(state, name, Timestamp::now())? else { return Ok(None) };
    let member_active = get_member(state, &name.member)?.is_some_and(|member| member.standing == Standing::Active);
    let active = member_active && account.standing == Standing::Active;
    Ok(Some((account, active)))
}

impl Gate {
    pub(crate) fn new(started: Timestamp) -> Self {
        Self {
            started,
            nonces: Mutex::new(Nonces::new()),
            accounts: Mutex::new(Rates::new(ACCOUNT_BURST, ACCOUNT_REQUESTS_PER_SECOND, RATES_MAX)),
            failures: Mutex::new(Rates::new(FAILURE_BURST, FAILURES_PER_SECOND, RATES_MAX)),
        }
    }

    /// Whether an address has failed too often. Loopback never has.
    pub(crate) fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        let source = source_of(address);
        if source.is_loopback() || lock(&self.failures).has(&source, Instant::now()) {
            Ok(())
        } else {
            Err(Refusal::TooManyFailures)
        }
    }

    /// Counts a failed authentication.
    pub(crate) fn failed(&self, address: IpAddr) {
        let source = source_of(address);
        if !source.is_loopback() {
            lock(&self.failures).take(&source, Instant::now());
        }
    }

    /// Reads the header and judges its time.
    pub(crate) fn read_header(&self, headers: &HeaderMap, now: Timestamp) -> Result<RequestSignature, Refusal> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(Refusal::AuthenticationMissing)?;
        if values.next().is_some() {
            return Err(Refusal::AuthenticationMalformed("there is more than one Authorization header".to_owned()));
        }
        let signature: RequestSignature = value
            .to_str()
            .map_err(|_| Refusal::AuthenticationMalformed("the Authorization header is not text".to_owned()))?
            .parse()
            .map_err(|error: galen_types::request_signature::RequestSignatureError| {
                Refusal::AuthenticationMalformed(error.to_string())
            })?;
        let time = signature.time;
        if time.0.abs_diff(now.0) > REQUEST_TIME_WINDOW_MS {
            return Err(Refusal::RequestStale("lies more than 60 s from this node's clock"));
        }
        if time < self.started {
            return Err(Refusal::RequestStale("lies before this node's start"));
        }
        Ok(signature)
    }

    /// Whether a state has the account, and its key made the signature; nothing is remembered of it.
    pub(crate) fn vouches(
        &self,
        state: &dyn StateRead,
        signature: &RequestSignature,
        parts: &SignedParts<'_>,
    ) -> Result<bool, Refusal> {
        let known = account_and_standing(state, &signature.account)?;
        Ok(known.is_some_and(|(account, active)| active && signature.verify(parts, &account.key).is_ok()))
    }

    /// Looks the account up.
    pub(crate) fn claim(&self, state: &dyn StateRead, signature: RequestSignature) -> Result<Claim, Refusal> {
        match account_and_standing(state, &signature.account)? {
            Some((account, active)) => Ok(Claim { signature, account, active }),
            None => Err(Refusal::AuthenticationFailed),
        }
    }

    /// Checks the signature, then standing, nonce and rate.
    pub(crate) fn prove(&self, claim: Claim, parts: &SignedParts<'_>, now: Timestamp) -> Result<Account, Refusal> {
        let Claim { signature, account, active } = claim;
        signature.verify(parts, &account.key).map_err(|_| Refusal::AuthenticationFailed)?;
        if !active {
            return Err(Refusal::AccountNotActive);
        }
        if !lock(&self.accounts).take(&account.name, Instant::now()) {
            return Err(Refusal::TooManyRequests);
        }
        match lock(&self.nonces).take(&account.name, signature.nonce, signature.time, now) {
            Taken::First => Ok(account),
            Taken::Again => Err(Refusal::RequestReplayed),
            Taken::Full => Err(Refusal::TooManyAtOnce("authenticated requests")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_locked_out_after_failures_but_loopback_never() {
        let gate = Gate::new(Timestamp(0));
        let (outside, local): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "127.0.0.1".parse().unwrap());
        for _ in 0..FAILURE_BURST {
            assert!(gate.check_address(outside).is_ok());
            gate.failed(outside);
            gate.failed(local);
        }
        assert_eq!(gate.check_address(outside).unwrap_err().code(), "too-many-failures");
        assert!(gate.check_address(local).is_ok());
        assert!(gate.check_address("192.0.2.2".parse().unwrap()).is_ok());
    }

    #[test]
    fn an_account_that_asks_too_often_waits_and_others_do_not() {
        let gate = Gate::new(Timestamp(0));
        let key = galen_types::SecretKey::from_seed(&[7; 32]);
        let hash = galen_types::Hash::ZERO;
        let node = "node-1.harlem".parse().unwrap();
        let parts = SignedParts { genesis: &hash, node: &node, method: "GET", path: "/v1/jobs", body: &hash };
        let now = Timestamp(1_000_000);
        let ask = |name: &str, count: u32| {
            let mut nonce = [0; 16];
            nonce[..4].copy_from_slice(&count.to_le_bytes());
            let name: AccountName = name.parse().unwrap();
            let account = Account {
                name: name.clone(),
                key: key.public_key(),
                encryption_key: galen_types::member::EncryptionKey([1; 32]),
                roles: Vec::new(),
                standing: Standing::Active,
            };
            let signature = RequestSignature::sign(&parts, name, now, nonce, &key);
            gate.prove(Claim { signature, account, active: true }, &parts, now).map_err(|refusal| refusal.code())
        };
        // A check takes far less than the 5 ms in which a token comes back.
        let refused = (0..20 * ACCOUNT_BURST).find_map(|count| ask("alice@harlem", count).err());
        assert_eq!(refused, Some("too-many-requests"));
        assert!(ask("bob@harlem", 0).is_ok());
    }
}
