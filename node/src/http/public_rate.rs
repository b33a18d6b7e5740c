//! How often something that is open to everyone is done: by each address, and for all together.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::limits::RATES_MAX;
use super::rate::Rates;
use super::refusal::Refusal;
use super::server::source_of;

/// The rates of one thing.
pub(crate) struct PublicRate(Mutex<Both>);

struct Both {
    by_address: Rates<IpAddr>,
    all: Rates<()>,
}

impl PublicRate {
    /// Each as the number at once and the number a minute: of an address, and of all.
    pub(crate) fn new(address: (u32, u32), all: (u32, u32)) -> Self {
        Self(Mutex::new(Both {
            by_address: Rates::per_minute(address.0, address.1, RATES_MAX),
            all: Rates::per_minute(all.0, all.1, 1),
        }))
    }

    /// Takes one of `what`. Loopback counts too: a proxy has everyone behind it.
    pub(crate) fn take(&self, address: IpAddr, what: &'static str) -> Result<(), Refusal> {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if both.by_address.take(&source_of(address), now) && both.all.take(&(), now) {
            Ok(())
        } else {
            Err(Refusal::TooOften(what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_use_up_what_all_share_and_all_have_a_limit() {
        let rate = PublicRate::new((2, 1), (5, 1));
        let take = |last: u8| rate.take(IpAddr::from([192, 0, 2, last]), "tests").map_err(|refusal| refusal.code());
        assert_eq!([take(1), take(1), take(1)], [Ok(()), Ok(()), Err("rate-exceeded")]);
        assert_eq!([take(2), take(3), take(4)], [Ok(()), Ok(()), Ok(())]);
        assert_eq!(take(5), Err("rate-exceeded"));
    }
}
