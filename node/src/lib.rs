//! galen-node
