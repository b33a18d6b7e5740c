//! How many event streams there may be, in all and of one account.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use galen_types::AccountName;

use super::limits::{STREAMS_MAX, STREAMS_PER_ACCOUNT_MAX};

#[derive(Default)]
struct Open {
    total: usize,
    per_account: HashMap<AccountName, usize>,
}

/// The open streams.
pub(crate) struct StreamPlaces(Mutex<Open>);

impl StreamPlaces {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    /// A place, if there is one.
    pub(crate) fn take(self: &Arc<Self>, account: &AccountName) -> Option<StreamPlace> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_account = open.per_account.get(account).copied().unwrap_or(0);
        if open.total >= STREAMS_MAX || of_account >= STREAMS_PER_ACCOUNT_MAX {
            return None;
        }
        open.total += 1;
        open.per_account.insert(account.clone(), of_account + 1);
        Some(StreamPlace { places: Arc::clone(self), account: account.clone() })
    }
}

/// One stream's place; free again when dropped.
pub(crate) struct StreamPlace {
    places: Arc<StreamPlaces>,
    account: AccountName,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut open = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        if let Some(count) = open.per_account.get_mut(&self.account) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.per_account.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_so_many_places_and_gets_them_back() {
        let places = StreamPlaces::new();
        let alice = "alice@harlem".parse().unwrap();
        let mut held: Vec<_> = (0..STREAMS_PER_ACCOUNT_MAX).map(|_| places.take(&alice).unwrap()).collect();
        assert!(places.take(&alice).is_none());
        assert!(places.take(&"bob@harlem".parse().unwrap()).is_some());
        held.pop();
        assert!(places.take(&alice).is_some());
    }
}
