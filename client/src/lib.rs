//! galen-client
