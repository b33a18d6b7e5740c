//! RocksDB's settings, each stated, with its reason.

use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, LogLevel, Options};

use super::column::COLUMNS;
use crate::constants::{
    BACKGROUND_JOBS, BLOOM_BITS_PER_KEY, COLUMN_WRITE_BUFFER_BYTES, INFO_LOG_BYTES_MAX, INFO_LOG_FILES, OPEN_FILES_MAX,
    WAL_BYTES_MAX, WAL_BYTES_PER_SYNC,
};

/// Settings of the whole database.
pub(super) fn database(buffer_bytes: usize) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // Any inconsistency found ends in an error, never in silent repair.
    options.set_paranoid_checks(true);
    // A crash may cut the last, unsynced record short: that is no damage, the ordering log replays it. A damaged record
    // before the tail refuses to open. The default (point in time) would silently drop all that follows the damage.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_recycle_log_file_num(0);
    // All column families come into table files together, in one step of the list of them (MANIFEST): where that list
    // loses its end they are at one earlier height, from which the ordering log replays, and not at several.
    options.set_atomic_flush(true);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_wal_bytes_per_sync(WAL_BYTES_PER_SYNC);
    options.set_bytes_per_sync(WAL_BYTES_PER_SYNC);
    options.set_db_write_buffer_size(buffer_bytes);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_keep_log_file_num(INFO_LOG_FILES);
    options.set_max_log_file_size(INFO_LOG_BYTES_MAX);
    options.set_log_level(LogLevel::Warn);
    options
}

/// Settings of each column family; they share one cache.
pub(super) fn columns(cache_bytes: usize) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(cache_bytes);
    let mut descriptors = Vec::with_capacity(COLUMNS.len());
    for column in COLUMNS {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&cache);
        // Index and filter blocks count against the cache, so that memory is bounded as the chain grows.
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        if column.filtered {
            table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
        }
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_size(COLUMN_WRITE_BUFFER_BYTES);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_compression_type(if column.compressed { DBCompressionType::Lz4 } else { DBCompressionType::None });
        descriptors.push(ColumnFamilyDescriptor::new(column.name, options));
    }
    descriptors
}
