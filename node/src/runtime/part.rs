//! What a node does when it starts: orders under its number, or follows. A number in ordering stands for promises (votes,
//! acknowledged entries) that lie in one ordering log; whoever has lost that log must never speak under its number again.
//!
//! Notes under `log/` in the home, beside the logs themselves and like them in no backup:
//! - `asked`: the number that this node asked to have replaced, written before it asks. A number that came without
//!   having been asked for from this disk was another disk's.
//! - `unchecked`: how far ledger and log had come when the node began to ask its peers what they know of it; there until
//!   they answered, so that catching up meanwhile, and a restart, forget nothing.
//! - `gave-up`: where the log ended of a number that was given up, until another is taken up. Peers that ask before they
//!   order themselves are told: as much as they would have been told a moment earlier, so that none waits for ever for
//!   the word of one that gave its number up meanwhile.
//!
//! A log that was given up is set aside as `N.gone`, out of use, until another number is taken up: should it turn out that
//! the node was told wrong, its promises are not lost yet.
//!
//! And `began` in the home itself: the ledger held a block once. A founding voter that finds neither ledger nor log
//! begins the chain, unless this is there.

use std::path::{Path, PathBuf};

use galen_consensus::LogEnd;
use galen_ledger::{Ledger, LedgerError};
use galen_types::certificate::VoterSet;
use galen_types::member::{Node, NodeRole};
use galen_types::{Hash, NodeName};
use serde::{Deserialize, Serialize};

use super::damage::LedgerDamage;
use crate::home::NodeHome;
use crate::operate::files::{FileError, create_folder, remove, sync_folder, write_atomically};

/// What a node does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// It follows certified blocks.
    Follow {
        /// Why a voter does not order; `None` for others.
        stale: Option<Stale>,
    },
    /// It orders under this number, which the chain may have taken from it: then it leaves.
    Order {
        /// The number.
        raft_id: u64,
    },
    /// It follows, without a word in ordering, until its ledger has come so far that it can take its part.
    Rejoin(Rejoin),
}

/// What a node waits for that follows until its ledger has come so far that it can take its part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejoin {
    /// The damage for which its ledger comes anew from its peers; `None` where it is merely behind.
    pub(crate) damage: Option<LedgerDamage>,
    /// Its ordering log begins after this entry: the ledger must hold it.
    pub(crate) until_index: u64,
}

impl Rejoin {
    /// Why, for people.
    pub(crate) fn told(&self) -> String {
        match &self.damage {
            Some(damage) => format!("its ledger was damaged in {}; it is fetched anew from peers", damage.told()),
            None => format!(
                "its ledger is behind its ordering log, which begins after entry {}: it fetches the blocks from peers",
                self.until_index
            ),
        }
    }
}

/// A number that this node may not use any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stale {
    /// The number.
    pub(crate) raft_id: u64,
    /// How that is known.
    pub(crate) why: String,
}

/// What the node's home says about its part, beside the chain.
pub(crate) struct PartNotes<'home> {
    home: &'home NodeHome,
}

#[derive(Serialize, Deserialize)]
struct Asked {
    replaces: u64,
}

/// Where the log of a number that was given up ended.
#[derive(Serialize, Deserialize)]
struct GaveUp {
    raft_id: u64,
    term: u64,
    index: u64,
}

/// How far a node had come when it began to ask what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unchecked {
    /// Its number in ordering.
    pub(crate) raft_id: u64,
    /// The ledger's tip.
    pub(crate) height: u64,
    /// The ordering log's last index.
    pub(crate) last_index: u64,
}

impl From<Unchecked> for galen_chain::knowledge::Unchecked {
    fn from(Unchecked { raft_id, height, last_index }: Unchecked) -> Self {
        Self { raft_id, height, last_index }
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    let text = std::fs::read_to_string(path).ok()?;
    match toml::from_str(&text) {
        Ok(note) => Some(note),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a note is malformed and taken for absent");
            None
        }
    }
}

fn write<T: Serialize>(path: &Path, note: &T) -> Result<(), FileError> {
    let text = toml::to_string(note)
        .map_err(|error| FileError { path: path.to_path_buf(), cause: std::io::Error::other(error) })?;
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    write_atomically(path, text.as_bytes())
}

impl<'home> PartNotes<'home> {
    pub(crate) fn new(home: &'home NodeHome) -> Self {
        Self { home }
    }

    fn asked_path(&self) -> PathBuf {
        self.home.logs().join("asked")
    }

    fn unchecked_path(&self) -> PathBuf {
        self.home.logs().join("unchecked")
    }

    fn gave_up_path(&self) -> PathBuf {
        self.home.logs().join("gave-up")
    }

    /// Where the log ended of the number that was given up last, while no other is taken up.
    pub(crate) fn log_end_given_up(&self) -> Option<LogEnd> {
        read::<GaveUp>(&self.gave_up_path()).map(|gave_up| LogEnd { term: gave_up.term, index: gave_up.index })
    }

    /// Notes, before it asks, that this disk asks for a new number.
    pub(crate) fn note_asked(&self, replaces: u64) -> Result<(), FileError> {
        write(&self.asked_path(), &Asked { replaces })
    }

    /// Notes that the ledger holds blocks: outside of all folders that are removed when it is made anew.
    pub(crate) fn note_began(&self) -> Result<(), FileError> {
        let path = self.home.began();
        if path.exists() { Ok(()) } else { write_atomically(&path, b"") }
    }

    /// Notes how far the node had come when the check began; keeps an earlier note of a check that never ended.
    pub(crate) fn begin_check(&self, now: Unchecked) -> Result<Unchecked, FileError> {
        if let Some(earlier) =
            read::<Unchecked>(&self.unchecked_path()).filter(|earlier| earlier.raft_id == now.raft_id)
        {
            return Ok(Unchecked {
                height: earlier.height.min(now.height),
                last_index: earlier.last_index.min(now.last_index),
                ..now
            });
        }
        write(&self.unchecked_path(), &now)?;
        Ok(now)
    }

    /// The peers know nothing that this node does not.
    pub(crate) fn end_check(&self) -> Result<(), FileError> {
        remove(&self.unchecked_path())
    }

    /// What the node does, by its own record (if it takes part), its ledger and its disk. `retired` is the number that the
    /// chain took from it last, while it has no other: as long as the log of that number is here it was not given up, and
    /// the others may need its vote to go on without it. `founding` is its number in the genesis, if it is a founding
    /// voter.
    ///
    /// A number that a recovery gave to a node counts as given to this disk too, as long as it is the same: nobody signs
    /// for it.
    pub(crate) fn part(
        &self,
        record: Option<&Node>,
        retired: Option<u64>,
        founding: Option<u64>,
        ledger: &Ledger,
    ) -> Result<Part, LedgerError> {
        if let Some(raft_id) = retired.filter(|raft_id| holds_log(&self.home.log(*raft_id))) {
            return Ok(Part::Order { raft_id });
        }
        let Some(record) = record.filter(|record| record.role == NodeRole::Voter && record.raft_id != 0) else {
            return Ok(Part::Follow { stale: None });
        };
        let raft_id = record.raft_id;
        let started = ledger.ordering_started()?;
        let has_log = holds_log(&self.home.log(raft_id));
        let why = if has_log {
            // A log that was begun and never noted made no promise yet.
            return Ok(Part::Order { raft_id });
        } else if started == Some(raft_id) {
            "its ordering log is not on this disk any more"
        } else if Some(raft_id) == founding {
            match (ledger.applied()?.index, self.home.began().exists()) {
                (0, false) => return Ok(Part::Order { raft_id }),
                (0, true) => "its ledger and its ordering log were on this disk and are gone",
                _ => "its ledger has blocks but there is no ordering log",
            }
        } else if read::<Asked>(&self.asked_path()).is_some_and(|asked| asked.replaces < raft_id)
            || votes_since_recovery(&record.name, ledger)?
        {
            return Ok(Part::Order { raft_id });
        } else {
            "its number was not given to this disk"
        };
        Ok(Part::Follow { stale: Some(Stale { raft_id, why: why.to_owned() }) })
    }

    /// Gives a number up for good: noted durably first, then its log, which ended at `log_end`, is set aside.
    pub(crate) fn abandon(&self, raft_id: u64, log_end: LogEnd, ledger: &Ledger) -> Result<(), PartError> {
        ledger.note_ordering_started(raft_id)?;
        write(&self.gave_up_path(), &GaveUp { raft_id, term: log_end.term, index: log_end.index })?;
        self.set_aside(raft_id)?;
        remove(&self.asked_path())?;
        remove(&self.unchecked_path())?;
        Ok(())
    }

    /// Takes the damaged log of a number out of use, where no ledger can be told.
    pub(crate) fn set_aside_damaged(&self, raft_id: u64) -> Result<(), PartError> {
        self.set_aside(raft_id)?;
        remove(&self.asked_path())?;
        remove(&self.unchecked_path())?;
        Ok(())
    }

    /// Notes that a number is in use, and removes what is left of former ones.
    pub(crate) fn take_up(&self, raft_id: u64, ledger: &Ledger) -> Result<(), PartError> {
        if ledger.ordering_started()? != Some(raft_id) {
            ledger.note_ordering_started(raft_id)?;
        }
        remove(&self.asked_path())?;
        remove(&self.gave_up_path())?;
        Ok(self.keep_only(raft_id)?)
    }

    /// Removes the logs of numbers other than this one, and those that were set aside. Each goes out of use before its files
    /// go: what a crash leaves of it must not be taken for a log.
    fn keep_only(&self, raft_id: u64) -> Result<(), FileError> {
        for number in self.entries()?.iter().filter_map(|name| name.parse::<u64>().ok()) {
            if number != raft_id {
                tracing::info!(raft_id = number, "the ordering log of a former number is removed");
                self.set_aside(number)?;
            }
        }
        for name in self.entries()?.iter().filter(|name| name.ends_with(GONE)) {
            remove_folder(&self.home.logs().join(name))?;
        }
        Ok(())
    }

    /// The names under `log/`.
    fn entries(&self) -> Result<Vec<String>, FileError> {
        let logs = self.home.logs();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&logs).map_err(FileError::of(&logs))? {
            names.extend(entry.map_err(FileError::of(&logs))?.file_name().into_string());
        }
        Ok(names)
    }

    /// Takes a log out of use, durably.
    fn set_aside(&self, raft_id: u64) -> Result<(), FileError> {
        let folder = self.home.log(raft_id);
        if !folder.exists() {
            return Ok(());
        }
        let gone = self.home.logs().join(format!("{raft_id}{GONE}"));
        remove_folder(&gone)?;
        std::fs::rename(&folder, &gone).and_then(|()| sync_folder(&gone)).map_err(FileError::of(&folder))
    }
}

/// Appended to the name of a log that is out of use.
const GONE: &str = ".gone";

fn remove_folder(folder: &Path) -> Result<(), FileError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::of(folder)(error)),
        _ => Ok(()),
    }
}

/// Whether a node is in every voter set since the last recovery, so that its number is the one that the recovery gave it:
/// whoever has its number replaced leaves the voter set.
fn votes_since_recovery(node: &NodeName, ledger: &Ledger) -> Result<bool, LedgerError> {
    let Some(header) = ledger.tip()?.header else { return Ok(false) };
    let epoch = header.epoch.saturating_add(u64::from(header.voter_set != header.next_voter_set));
    let view = ledger.view()?;
    is_in_all_since_recovery(node, epoch, |epoch| view.voter_set(epoch))
}

fn is_in_all_since_recovery<E>(
    node: &NodeName,
    epoch: u64,
    set_of: impl Fn(u64) -> Result<Option<VoterSet>, E>,
) -> Result<bool, E> {
    let mut lineage = None;
    for epoch in (0..=epoch).rev() {
        let Some(set) = set_of(epoch)? else { return Ok(false) };
        match lineage {
            None if set.lineage == Hash::ZERO => return Ok(false),
            Some(lineage) if set.lineage != lineage => return Ok(true),
            _ => lineage = Some(set.lineage),
        }
        if !set.voters.iter().any(|voter| voter.node == *node) {
            return Ok(false);
        }
    }
    Ok(false)
}

/// Why a part cannot be taken up or given up.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A file of the home.
    #[error(transparent)]
    File(#[from] FileError),
}

impl PartError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.code(),
            Self::File(error) => error.code(),
        }
    }
}

/// Whether a folder holds an ordering log.
fn holds_log(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| {
        entries
            .any(|entry| entry.is_ok_and(|entry| entry.path().extension().is_some_and(|extension| extension == "log")))
    })
}

#[cfg(test)]
mod tests {
    use galen_ledger::LedgerOptions;
    use galen_types::certificate::Voter;
    use galen_types::member::{NodeAddress, Standing};
    use galen_types::{PublicKey, SecretKey};

    use super::*;

    const END: LogEnd = LogEnd { term: 4, index: 20 };

    struct World {
        home: NodeHome,
        ledger: Ledger,
        _folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let home = NodeHome::new(folder.path());
            let options = LedgerOptions::new(Hash([1; 32]), "opt".parse().unwrap(), 4);
            let ledger = Ledger::open(&home.ledger(), &options).unwrap();
            Self { home, ledger, _folder: folder }
        }

        fn notes(&self) -> PartNotes<'_> {
            PartNotes::new(&self.home)
        }

        /// The part of a voter with this number; its founding number is 3.
        fn part(&self, raft_id: u64) -> Part {
            self.notes().part(Some(&record(NodeRole::Voter, raft_id)), None, Some(3), &self.ledger).unwrap()
        }

        fn is_stale(&self, raft_id: u64) -> bool {
            matches!(self.part(raft_id), Part::Follow { stale: Some(stale) } if stale.raft_id == raft_id)
        }

        fn make_log(&self, raft_id: u64) {
            std::fs::create_dir_all(self.home.log(raft_id)).unwrap();
            std::fs::write(self.home.log(raft_id).join("00000000000000000000.log"), b"").unwrap();
        }
    }

    fn record(role: NodeRole, raft_id: u64) -> Node {
        let key: PublicKey = SecretKey::from_seed(&[1; 32]).public_key();
        Node {
            name: "node-1.harlem".parse().unwrap(),
            key,
            role,
            raft_id,
            address: NodeAddress::parse("/ip4/127.0.0.1/tcp/1").unwrap(),
            standing: Standing::Active,
            registered_height: 0,
        }
    }

    #[test]
    fn who_has_no_number_follows() {
        let world = World::new();
        let follow = Part::Follow { stale: None };
        assert_eq!(world.notes().part(None, None, Some(3), &world.ledger).unwrap(), follow);
        assert_eq!(world.part(0), follow);
        let observer = record(NodeRole::Observer, 3);
        assert_eq!(world.notes().part(Some(&observer), None, None, &world.ledger).unwrap(), follow);
    }

    #[test]
    fn a_founder_orders_until_its_log_is_lost() {
        let world = World::new();
        assert_eq!(world.part(3), Part::Order { raft_id: 3 });
        world.make_log(3);
        world.notes().take_up(3, &world.ledger).unwrap();
        assert_eq!(world.part(3), Part::Order { raft_id: 3 });
        std::fs::remove_dir_all(world.home.log(3)).unwrap();
        assert!(world.is_stale(3));
    }

    #[test]
    fn a_number_that_was_taken_away_is_kept_while_its_log_is_here() {
        let world = World::new();
        let part = |record: &Node, retired| world.notes().part(Some(record), retired, Some(3), &world.ledger).unwrap();
        let (demoted, promoted) = (record(NodeRole::Observer, 0), record(NodeRole::Voter, 0));
        world.make_log(3);
        world.notes().take_up(3, &world.ledger).unwrap();
        for record in [&demoted, &promoted] {
            assert_eq!(part(record, Some(3)), Part::Order { raft_id: 3 });
            assert_eq!(part(record, None), Part::Follow { stale: None }, "the chain knows nothing of it any more");
            assert_eq!(part(record, Some(4)), Part::Follow { stale: None }, "the log is another number's");
        }
        // Suspended, left, removed: not among those that take part.
        let gone = world.notes().part(None, Some(3), Some(3), &world.ledger).unwrap();
        assert_eq!(gone, Part::Order { raft_id: 3 });
        world.notes().abandon(3, END, &world.ledger).unwrap();
        assert_eq!(part(&promoted, Some(3)), Part::Follow { stale: None });
        assert!(world.is_stale(3), "given up for good");
    }

    #[test]
    fn a_founder_whose_folders_were_emptied_does_not_begin_the_chain_again() {
        let world = World::new();
        world.notes().note_began().unwrap();
        assert!(world.is_stale(3));
    }

    #[test]
    fn a_number_is_taken_up_only_where_it_was_asked_for() {
        let world = World::new();
        assert!(world.is_stale(7), "it was another disk's");
        world.notes().note_asked(7).unwrap();
        assert!(world.is_stale(7), "this is the one to be replaced");
        assert_eq!(world.part(8), Part::Order { raft_id: 8 });
        world.make_log(7);
        world.make_log(8);
        world.notes().take_up(8, &world.ledger).unwrap();
        assert!(!world.home.log(7).exists(), "the former number's log goes");
        assert_eq!(world.part(8), Part::Order { raft_id: 8 });
        assert!(world.is_stale(9), "what was asked for was given once");
    }

    #[test]
    fn a_number_that_was_given_up_never_comes_back() {
        let world = World::new();
        world.make_log(3);
        world.notes().abandon(3, END, &world.ledger).unwrap();
        assert!(!world.home.log(3).exists());
        assert!(world.is_stale(3));
    }

    #[test]
    fn a_log_that_was_given_up_is_out_of_use_and_here_until_another_number_is_taken_up() {
        let world = World::new();
        let gone = |raft_id: u64| world.home.logs().join(format!("{raft_id}.gone"));
        world.make_log(3);
        world.notes().abandon(3, END, &world.ledger).unwrap();
        assert!(gone(3).join("00000000000000000000.log").exists());
        assert!(world.is_stale(3), "nor after a restart");
        assert_eq!(world.notes().log_end_given_up(), Some(END), "peers that ask are told");
        world.notes().note_asked(3).unwrap();
        assert_eq!(world.part(5), Part::Order { raft_id: 5 });
        world.make_log(5);
        // Power was lost while the log of a former number was removed: what is left of it is none.
        std::fs::create_dir_all(gone(4)).unwrap();
        std::fs::write(gone(4).join("00000000000000000007.log"), b"").unwrap();
        let part = world.notes().part(None, Some(4), Some(3), &world.ledger).unwrap();
        assert_eq!(part, Part::Follow { stale: None }, "it is no log");
        world.notes().take_up(5, &world.ledger).unwrap();
        assert!(!gone(3).exists() && !gone(4).exists());
        assert_eq!(world.notes().log_end_given_up(), None, "its own log says it now");
        assert_eq!(world.part(5), Part::Order { raft_id: 5 });
    }

    /// Numbers that the chain gave later belong to the disk that asked for them, on a node that a recovery named too.
    #[test]
    fn a_recovery_stands_for_the_number_that_it_gave_alone() {
        let (ohio, iowa) = ("node-1.ohio", "node-1.iowa");
        let set = |epoch, lineage: u8, names: &[&str]| {
            let key = SecretKey::from_seed(&[1; 32]).public_key();
            let voters = names.iter().map(|name| Voter { node: name.parse().unwrap(), key }).collect();
            VoterSet::new(epoch, Hash([lineage; 32]), voters)
        };
        let counts = |sets: &[VoterSet]| {
            let epoch = u64::try_from(sets.len()).unwrap() - 1;
            let set_of = |epoch: u64| Ok::<_, ()>(sets.get(usize::try_from(epoch).unwrap()).cloned());
            is_in_all_since_recovery(&ohio.parse().unwrap(), epoch, set_of).unwrap()
        };
        let (before, recovered) = (set(0, 0, &[ohio, iowa]), set(1, 7, &[ohio]));
        assert!(!counts(std::slice::from_ref(&before)), "there was none");
        assert!(counts(&[before.clone(), recovered.clone()]));
        assert!(counts(&[before.clone(), recovered.clone(), set(2, 7, &[iowa, ohio])]));
        let (without, again) = (set(2, 7, &[iowa]), set(3, 7, &[iowa, ohio]));
        assert!(!counts(&[before.clone(), recovered.clone(), without.clone()]), "it has another number since");
        assert!(!counts(&[before.clone(), recovered.clone(), without.clone(), again.clone()]));
        let second = set(4, 8, &[ohio]);
        assert!(counts(&[before, recovered, without, again, second]), "the last one gives numbers anew");
    }

    #[test]
    fn catching_up_meanwhile_hides_nothing_from_the_check() {
        let world = World::new();
        let began = Unchecked { raft_id: 3, height: 10, last_index: 20 };
        assert_eq!(world.notes().begin_check(began).unwrap(), began);
        let later = Unchecked { height: 50, last_index: 20, ..began };
        assert_eq!(world.notes().begin_check(later).unwrap(), began);
        world.notes().end_check().unwrap();
        assert_eq!(world.notes().begin_check(later).unwrap(), later);
        let other = Unchecked { raft_id: 4, height: 60, last_index: 0 };
        assert_eq!(world.notes().begin_check(other).unwrap(), other);
    }
}
