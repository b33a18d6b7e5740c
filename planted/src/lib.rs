//! Bugs that are planted on purpose, each behind a switch, to see whether the simulator's oracle finds them.
//!
//! The code of a bug stands where the mistake would be made, under `#[cfg(feature = "planted")]`, and asks
//! [`is_on`]. A switch is on for one thread and one call at a time: tests that run beside each other do not see each
//! other's bugs, and nothing is on unless [`with`] says so.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A planted bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it does wrong, in a sentence.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

bugs! {
    // --- the ordering log and the core
    /// The ordering log is written and not synced.
    SyncLeftOut = "sync-left-out",
    /// Votes and acknowledgements leave before what they promise is on disk.
    SentBeforeStored = "sent-before-stored",
    /// After a restart the commit index is taken for the applied index: entries between are never executed.
    AppliedFromCommit = "applied-from-commit",
    /// The hard state is stored without the vote.
    VoteNotStored = "vote-not-stored",
    /// The hard state is made durable in a write of its own, before the entries that it counts as committed.
    HardStateFirst = "hard-state-first",
    /// A torn record at the log's end is passed over at the start and left in the file.
    TornTailKept = "torn-tail-kept",
    /// Any damage is taken for a torn end: a log with a flipped bit is cut there and votes on.
    DamageTakenForTorn = "damage-taken-for-torn",
    /// A leader's snapshot is taken before the ledger holds the certified block that it names.
    SnapshotUnchecked = "snapshot-unchecked",
    /// A disk that was set back to an older copy votes for candidates whose logs end before what it had promised.
    VoteFloorLeftOut = "vote-floor-left-out",
    /// A restarted voter speaks before its peers have said what they know of it.
    GateOpenedUnasked = "gate-opened-unasked",

    // --- certification
    /// A certificate is made of one signature fewer than a quorum.
    CertificateBelowQuorum = "certificate-below-quorum",
    /// A certificate from a peer is taken without a look at its signatures.
    CertificateUnverified = "certificate-unverified",
    /// A signature over another header is counted for the one held here.
    DeviantSignatureCounted = "deviant-signature-counted",
    /// A height is judged by the voters of now, not by its own: former voters do not count, later ones do.
    WrongEpochsVoters = "wrong-epochs-voters",
    /// Certification passes the end of an epoch that its own voters have not certified.
    EpochEndPassed = "epoch-end-passed",
    /// A header's signature is sent and not stored.
    OwnSignatureUnstored = "own-signature-unstored",
    /// A voter that is behind signs its tip's header for every height that it missed.
    OtherHeaderSigned = "other-header-signed",
    /// The ordering log is cut up to the tip, certified and durable or not.
    LogCutTooFar = "log-cut-too-far",
    /// Blocks that nobody certified are given to peers and taken from them.
    UncertifiedFollowed = "uncertified-followed",

    // --- ledgers
    /// A ledger is built from a snapshot whose rows are not the state that its header names.
    SnapshotRootUnverified = "snapshot-root-unverified",
    /// A snapshot is believed without a look at the signatures of its certificate.
    SnapshotUncertified = "snapshot-uncertified",
    /// A piece of a snapshot is taken whatever its hash.
    SnapshotPieceUnchecked = "snapshot-piece-unchecked",
    /// A ledger goes on after a failed write.
    FailedWritePassed = "failed-write-passed",

    // --- execution
    /// Verified signatures are remembered by transaction id alone, whatever the key.
    CacheByIdAlone = "cache-by-id-alone",
    /// A recorded transaction is recorded again when it is sent again.
    DuplicateAccepted = "duplicate-accepted",
    /// What was recorded before a restart is not known to be recorded after it.
    ReplayAfterRestart = "replay-after-restart",
    /// A transaction whose time is over is recorded.
    ExpiredAccepted = "expired-accepted",
    /// Batches are proposed by any clock, and acknowledged from the far future.
    BlockTimeUnbounded = "block-time-unbounded",
    /// A block's time is that of its proposal, whatever its parent's.
    TimeGoesBack = "time-goes-back",
    /// Whether a grant is in force is looked up in the parent's state, not after the transactions before it in the block.
    GrantAtWrongHeight = "grant-at-wrong-height",

    // --- members and recovery
    /// A leader promotes a learner that the chain does not have in its voter set.
    PromotedUnnamed = "promoted-unnamed",
    /// The ordering group follows blocks that are not certified.
    GroupBeforeCertificate = "group-before-certificate",
    /// A recovery is taken without the signature of every member that has a voter.
    RecoveryUnsigned = "recovery-unsigned",
    /// A node orders on under its number, whatever its peers know of promises that its disk has lost.
    StaleVerdictIgnored = "stale-verdict-ignored",
    /// A leader serves linearizable reads at its own commit index, without asking whether it still leads.
    ReadUnconfirmed = "read-unconfirmed",
    /// Transactions that waited when the leader changed are forgotten.
    WaitingForgotten = "waiting-forgotten",
}

impl fmt::Display for Bug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A bug that there is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownBug(pub String);

impl fmt::Display for UnknownBug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no planted bug is called `{}`", self.0)
    }
}

impl std::error::Error for UnknownBug {}

impl FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|bug| bug.name() == text);
        found.copied().ok_or_else(|| UnknownBug(String::from(text)))
    }
}

thread_local! {
    static ON: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Whether this thread has switched the bug on.
#[must_use]
pub fn is_on(bug: Bug) -> bool {
    ON.get() == Some(bug)
}

/// Switches a bug on in this thread while `run` runs, also when it ends by a panic.
pub fn with<T>(bug: Option<Bug>, run: impl FnOnce() -> T) -> T {
    struct Restore(Option<Bug>);
    impl Drop for Restore {
        fn drop(&mut self) {
            ON.set(self.0);
        }
    }
    let _restore = Restore(ON.replace(bug));
    run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_on_for_its_thread_and_its_call_alone() {
        with(Some(Bug::SyncLeftOut), || {
            assert!(is_on(Bug::SyncLeftOut) && !is_on(Bug::VoteNotStored));
            std::thread::scope(|scope| {
                scope.spawn(|| assert!(!is_on(Bug::SyncLeftOut)));
            });
            with(None, || assert!(!is_on(Bug::SyncLeftOut)));
            assert!(is_on(Bug::SyncLeftOut));
        });
        assert!(!is_on(Bug::SyncLeftOut));
        let fails = || with(Some(Bug::VoteNotStored), || panic!("on purpose"));
        assert!(std::panic::catch_unwind(fails).is_err());
        assert!(!is_on(Bug::VoteNotStored));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for bug in Bug::ALL {
            assert_eq!(bug.name().parse(), Ok(*bug));
            assert!(bug.what().ends_with('.'));
        }
        assert!("none".parse::<Bug>().is_err());
    }
}
