//! galen-ledger
