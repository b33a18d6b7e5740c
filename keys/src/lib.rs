//! galen-keys
