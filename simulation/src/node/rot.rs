//! Bytes of a stopped node's ledger that rot on its disk.

use rocksdb::{BottommostLevelCompaction, CompactOptions, DB, Options};

use super::disk::copy_folder;
use super::*;
use crate::consortium::Random;

/// What shows when it is read: a peer asks for a block, or the scrub comes by.
const READ_LATE: [&str; 3] = ["transactions", "receipts", "events"];
/// What a node reads to work at all, and the verification before it starts.
const READ_AT_START: [&str; 6] = ["state", "state_buckets", "state_leaves", "headers", "history", "receipts"];
/// A byte of a table's first rows.
const PLACE: usize = 12;

impl Node {
    /// Flips a bit in the first rows of a column family while the node is stopped; which, where there is one.
    pub(crate) fn rot(&mut self, random: &mut Random, scrub_at: u64) -> Option<&'static str> {
        self.rot_shows_at_start = random.chance(400);
        let columns: &[&'static str] = if self.rot_shows_at_start { &READ_AT_START } else { &READ_LATE };
        let column = columns[random.below(columns.len())];
        let bit = random.below(8);
        let table = table_of(&self.folder, column)?;
        let mut bytes = std::fs::read(&table).unwrap();
        bytes[PLACE] ^= 1 << bit;
        std::fs::write(&table, bytes).unwrap();
        if let Some(copy) = &self.durable_copy {
            copy_folder(&self.folder, copy);
        }
        self.is_rotten = true;
        self.scrub_at = Some(scrub_at);
        Some(column)
    }
}

/// The table file of a column family. All tables are put in their last form before: which rows stand where depends on the
/// rows alone then, and nothing rewrites them in the background.
fn table_of(folder: &Path, column: &str) -> Option<PathBuf> {
    let names = DB::list_cf(&Options::default(), folder).unwrap();
    let database = DB::open_cf(&Options::default(), folder, &names).unwrap();
    let mut forced = CompactOptions::default();
    forced.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    for name in &names {
        database.compact_range_cf_opt(database.cf_handle(name).unwrap(), None::<&[u8]>, None::<&[u8]>, &forced);
    }
    let files = database.live_files().unwrap().into_iter().filter(|file| file.column_family_name == column);
    let table = files.max_by_key(|file| file.size)?;
    Some(folder.join(table.name.trim_start_matches('/')))
}
