//! galen-chain
