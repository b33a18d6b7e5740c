use crate::vocabulary::text_enum;

text_enum! {
    /// Why something was decided or done. Reasons on the chain are codes: free text stays off it.
    pub enum ReasonCode {
        /// The purpose does not fit the dataset's terms.
        PurposeMismatch = 1 "purpose-mismatch",
        /// The request does not say enough.
        InsufficientInformation = 2 "insufficient-information",
        /// Ethics approval is missing.
        EthicsApprovalMissing = 3 "ethics-approval-missing",
        /// More columns or statistics than the purpose needs.
        ScopeTooBroad = 4 "scope-too-broad",
        /// The applicant is not eligible.
        ApplicantNotEligible = 5 "applicant-not-eligible",
        /// Another request or grant covers it.
        Duplicate = 6 "duplicate",
        /// The data has errors.
        DataQuality = 7 "data-quality",
        /// Consent was withdrawn.
        ConsentWithdrawn = 8 "consent-withdrawn",
        /// A later version replaces it.
        Superseded = 9 "superseded",
        /// Terms were broken.
        TermsBroken = 10 "terms-broken",
        /// The stored bytes differ from the chain.
        IntegrityFailure = 11 "integrity-failure",
        /// The project has ended.
        ProjectEnded = 12 "project-ended",
        /// A key may be in wrong hands.
        KeyCompromised = 13 "key-compromised",
        /// An administrative step without a narrower code.
        Administrative = 14 "administrative",
    }
}
