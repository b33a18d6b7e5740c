use crate::vocabulary::text_enum;

text_enum! {
    /// How old an answer about the chain may be.
    #[derive(Default)]
    pub enum Consistency {
        /// What the node that is asked holds; others may have gone beyond.
        #[default]
        Local = 1 "local",
        /// At least everything that any node acknowledged before the request.
        Linearizable = 2 "linearizable",
    }
}
