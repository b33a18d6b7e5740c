//! galen-filestore
