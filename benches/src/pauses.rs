//! The longest time without a receipt: what a crash, an election or a change of voters costs those who wait.

use std::time::Duration;

/// Gaps between receipts, over all clients and for each, within the time that is measured.
#[derive(Debug, Clone)]
pub struct Pauses {
    from: Duration,
    until: Duration,
    last: Duration,
    last_of_client: Vec<Duration>,
    found: Longest,
}

/// The longest gaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Longest {
    /// In which no client got a receipt.
    pub longest: Duration,
    /// When it began, since the load began.
    pub longest_at: Duration,
    /// In which one client got none.
    pub longest_of_client: Duration,
}

impl Pauses {
    /// Of so many clients, from and until a time since the load began.
    pub fn new(clients: usize, from: Duration, until: Duration) -> Self {
        Self { from, until, last: from, last_of_client: vec![from; clients], found: Longest::default() }
    }

    /// A receipt came back at a client, counted from 0. Receipts may be told in another order than they came in.
    pub fn receipt(&mut self, client: usize, at: Duration) {
        let at = at.clamp(self.from, self.until);
        let gap = at.saturating_sub(self.last);
        if gap > self.found.longest {
            (self.found.longest, self.found.longest_at) = (gap, self.last);
        }
        self.last = self.last.max(at);
        if let Some(last) = self.last_of_client.get_mut(client) {
            self.found.longest_of_client = self.found.longest_of_client.max(at.saturating_sub(*last));
            *last = at.max(*last);
        }
    }

    /// The longest gaps, those that still last at the end too.
    pub fn finish(mut self) -> Longest {
        for client in 0..self.last_of_client.len() {
            self.receipt(client, self.until);
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(receipts: &[(usize, u64)]) -> Longest {
        let second = Duration::from_secs;
        let mut pauses = Pauses::new(2, second(10), second(30));
        for (client, at) in receipts {
            pauses.receipt(*client, second(*at));
        }
        pauses.finish()
    }

    #[test]
    fn a_pause_is_a_time_without_receipts_at_any_client() {
        let found = of(&[(0, 5), (0, 11), (1, 14), (0, 21), (1, 24), (0, 29), (1, 40)]);
        assert_eq!((found.longest, found.longest_at), (Duration::from_secs(7), Duration::from_secs(14)));
        assert_eq!(found.longest_of_client, Duration::from_secs(10), "client 1 waits from 14 to 24");
    }

    #[test]
    fn a_pause_that_lasts_to_the_end_counts_and_one_in_the_warm_up_does_not() {
        let found = of(&[(0, 1), (0, 9), (0, 12)]);
        assert_eq!((found.longest, found.longest_at), (Duration::from_secs(18), Duration::from_secs(12)));
        assert_eq!(found.longest_of_client, Duration::from_secs(20), "client 1 never got one");
    }

    #[test]
    fn receipts_told_late_make_no_pause() {
        let found = of(&[(0, 20), (1, 15), (0, 22), (1, 23), (0, 30), (1, 30)]);
        assert_eq!(found.longest, Duration::from_secs(10));
        assert_eq!(found.longest_at, Duration::from_secs(10));
    }
}
