//! galen-testnet
