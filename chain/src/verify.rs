//! An offline check of a ledger folder.
