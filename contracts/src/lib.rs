//! galen-contracts
