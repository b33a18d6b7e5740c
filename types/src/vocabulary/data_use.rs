//! GA4GH Data Use Ontology (DUO): what a dataset's donors and owners allow.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::name::Slug;
use crate::vocabulary::text_enum;

text_enum! {
    /// A DUO term: one permission (the first five) and any number of modifiers.
    pub enum DataUseTerm {
        /// DUO:0000042, general research use.
        GeneralResearchUse = 1 "GRU",
        /// DUO:0000006, health, medical or biomedical research.
        HealthMedicalBiomedical = 2 "HMB",
        /// DUO:0000007, disease-specific research; names the disease.
        DiseaseSpecific = 3 "DS",
        /// DUO:0000011, population origins or ancestry research only.
        PopulationOriginsAncestry = 4 "POA",
        /// DUO:0000004, no restriction.
        NoRestriction = 5 "NRES",
        /// DUO:0000021, ethics approval required.
        EthicsApprovalRequired = 6 "IRB",
        /// DUO:0000019, publication required.
        PublicationRequired = 7 "PUB",
        /// DUO:0000026, user-specific restriction.
        UserSpecific = 8 "US",
        /// DUO:0000044, no population origins or ancestry research.
        NoPopulationOrigins = 9 "NPOA",
        /// DUO:0000020, collaboration required.
        CollaborationRequired = 10 "COL",
        /// DUO:0000046, non-commercial use only.
        NonCommercialUse = 11 "NCU",
        /// DUO:0000018, not-for-profit organisations, non-commercial use only.
        NotForProfitNonCommercial = 12 "NPUNCU",
        /// DUO:0000045, not-for-profit organisations only.
        NotForProfit = 13 "NPU",
        /// DUO:0000012, research-specific restrictions.
        ResearchSpecific = 14 "RS",
        /// DUO:0000025, time limit on use.
        TimeLimit = 15 "TS",
        /// DUO:0000024, publication moratorium.
        PublicationMoratorium = 16 "MOR",
        /// DUO:0000016, genetic studies only.
        GeneticStudiesOnly = 17 "GSO",
        /// DUO:0000029, return of derived data.
        ReturnToDatabase = 18 "RTN",
        /// DUO:0000043, clinical care use.
        ClinicalCare = 19 "CC",
        /// DUO:0000015, no general methods research.
        NoMethodsResearch = 20 "NMDS",
        /// DUO:0000028, institution-specific restriction.
        InstitutionSpecific = 21 "IS",
        /// DUO:0000022, geographical restriction.
        Geographical = 22 "GS",
        /// DUO:0000027, project-specific restriction.
        ProjectSpecific = 23 "PS",
    }
}

impl DataUseTerm {
    /// The ontology's identifier, e.g. `DUO:0000042`.
    pub const fn identifier(self) -> &'static str {
        match self {
            Self::GeneralResearchUse => "DUO:0000042",
            Self::HealthMedicalBiomedical => "DUO:0000006",
            Self::DiseaseSpecific => "DUO:0000007",
            Self::PopulationOriginsAncestry => "DUO:0000011",
            Self::NoRestriction => "DUO:0000004",
            Self::EthicsApprovalRequired => "DUO:0000021",
            Self::PublicationRequired => "DUO:0000019",
            Self::UserSpecific => "DUO:0000026",
            Self::NoPopulationOrigins => "DUO:0000044",
            Self::CollaborationRequired => "DUO:0000020",
            Self::NonCommercialUse => "DUO:0000046",
            Self::NotForProfitNonCommercial => "DUO:0000018",
            Self::NotForProfit => "DUO:0000045",
            Self::ResearchSpecific => "DUO:0000012",
            Self::TimeLimit => "DUO:0000025",
            Self::PublicationMoratorium => "DUO:0000024",
            Self::GeneticStudiesOnly => "DUO:0000016",
            Self::ReturnToDatabase => "DUO:0000029",
            Self::ClinicalCare => "DUO:0000043",
            Self::NoMethodsResearch => "DUO:0000015",
            Self::InstitutionSpecific => "DUO:0000028",
            Self::Geographical => "DUO:0000022",
            Self::ProjectSpecific => "DUO:0000027",
        }
    }

    /// Whether it is one of the five permissions, of which a dataset carries exactly one.
    pub const fn is_permission(self) -> bool {
        matches!(
            self,
            Self::GeneralResearchUse
                | Self::HealthMedicalBiomedical
                | Self::DiseaseSpecific
                | Self::PopulationOriginsAncestry
                | Self::NoRestriction
        )
    }
}

/// A term with its parameter, where it takes one (a disease code for DS, months for TS, a country code for GS, ...).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(deny_unknown_fields)]
pub struct DataUse {
    /// The term.
    pub term: DataUseTerm,
    /// Its parameter, a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<Slug>,
}
