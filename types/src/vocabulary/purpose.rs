use crate::vocabulary::text_enum;

text_enum! {
    /// Why data is used: codes of HL7 v3 ActReason (code system 2.16.840.1.113883.5.8).
    pub enum Purpose {
        /// Treatment.
        Treatment = 1 "TREAT",
        /// Emergency treatment.
        EmergencyTreatment = 2 "ETREAT",
        /// Healthcare research.
        HealthcareResearch = 3 "HRESCH",
        /// Clinical trial research.
        ClinicalTrialResearch = 4 "CLINTRCH",
        /// Public health.
        PublicHealth = 5 "PUBHLTH",
        /// Healthcare operations.
        HealthcareOperations = 6 "HOPERAT",
        /// Healthcare payment.
        HealthcarePayment = 7 "HPAYMT",
        /// At the patient's request.
        PatientRequest = 8 "PATRQT",
        /// Break the glass: emergency access that must be reviewed.
        BreakGlass = 9 "BTG",
    }
}
