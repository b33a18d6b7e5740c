//! galen-p2p
