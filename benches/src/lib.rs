//! galen-bench
