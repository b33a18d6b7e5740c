//! galen-aggregate
