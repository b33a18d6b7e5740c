//! Parameters of a chain: part of the genesis, changed by vote.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::encoding::Encoding as _;
use crate::hash::{Context, Hash};
use crate::name::MemberName;

/// Limits and minima that hold for every member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Share of active members, in percent, that must be exceeded by approvals for a proposal to pass.
    pub vote_threshold_percent: u32,
    /// Blocks for which a proposal can be voted on, in milliseconds of block time.
    pub proposal_lifetime_ms: u64,
    /// Most transactions in a block.
    pub block_transactions_max: u32,
    /// Most bytes of transactions in a block.
    pub block_bytes_max: u32,
    /// Most bytes of one transaction.
    pub transaction_bytes_max: u32,
    /// Furthest that `valid_until` may lie ahead of block time, milliseconds.
    pub transaction_horizon_ms: u64,
    /// Refused calls an account may have recorded per minute of block time; more are not recorded at all.
    pub refusals_per_minute_max: u32,
    /// Most rules in an access contract.
    pub contract_rules_max: u32,
    /// Requests of one account that may be open at a time.
    pub requests_open_max: u32,
    /// Voting nodes that a member may have.
    pub voters_per_member_max: u32,
    /// Nodes that a member may have.
    pub nodes_per_member_max: u32,
    /// Applications that may be open at a time.
    pub applications_open_max: u32,
    /// Applications that one member's nodes may have open at a time.
    pub applications_per_sponsor_max: u32,
    /// From the vote to the reset of an administrator's key, milliseconds of block time.
    pub key_reset_delay_ms: u64,
    /// A member that decides alone: its ballot passes or fails a proposal. Usually none: the members vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managing_agency: Option<MemberName>,
    /// Disclosure minima of compute jobs.
    pub disclosure: Disclosure,
}

/// Disclosure minima; an owner may tighten them, never loosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, SchemaWrite, SchemaRead)]
#[serde(default, deny_unknown_fields)]
pub struct Disclosure {
    /// Rule 1 and 3: fewest non-null rows of a cohort at a site; a filter's complement has none or as many.
    pub rows_min: u32,
    /// Rule 2: fewest non-null values of a cell.
    pub cell_min: u32,
    /// Rule 4: model parameters at most this share of rows, percent.
    pub parameters_percent_max: u32,
    /// Rule 5: most levels of a factor.
    pub levels_max: u32,
    /// Rule 5: levels of a factor at most this share of rows, percent.
    pub levels_percent_max: u32,
    /// Rule 6: fewest members in a released aggregate.
    pub sites_min: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            vote_threshold_percent: 50,
            proposal_lifetime_ms: 14 * 24 * 3600 * 1000,
            block_transactions_max: 2_000,
            block_bytes_max: 2 << 20,
            transaction_bytes_max: 256 << 10,
            transaction_horizon_ms: 600_000,
            refusals_per_minute_max: 600,
            contract_rules_max: 256,
            requests_open_max: 1_000,
            voters_per_member_max: 1,
            nodes_per_member_max: 8,
            applications_open_max: 64,
            applications_per_sponsor_max: 8,
            key_reset_delay_ms: 3 * 24 * 3600 * 1000,
            managing_agency: None,
            disclosure: Disclosure::default(),
        }
    }
}

impl Default for Disclosure {
    fn default() -> Self {
        Self {
            rows_min: 10,
            cell_min: 5,
            parameters_percent_max: 10,
            levels_max: 40,
            levels_percent_max: 33,
            sites_min: 3,
        }
    }
}

/// A parameter out of its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter `{name}` is {value}; it must be {low} to {high}")]
pub struct ParameterError {
    /// The parameter.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// Least value allowed.
    pub low: u64,
    /// Greatest value allowed.
    pub high: u64,
}

impl Parameters {
    /// Names exactly these parameters: a proposal to change them says by it what it goes by.
    pub fn hash(&self) -> Hash {
        Hash::of(Context::Parameters, &self.encode())
    }

    /// Checks every parameter against the bounds within which the software works.
    ///
    /// # Errors
    /// The first [`ParameterError`].
    pub fn check(&self) -> Result<(), ParameterError> {
        let disclosure = &self.disclosure;
        let bounds: [(&'static str, u64, u64, u64); 20] = [
            ("vote_threshold_percent", self.vote_threshold_percent.into(), 0, 99),
            ("proposal_lifetime_ms", self.proposal_lifetime_ms, 60_000, 366 * 24 * 3_600_000),
            ("block_transactions_max", self.block_transactions_max.into(), 1, 20_000),
            ("block_bytes_max", self.block_bytes_max.into(), 64 << 10, 3 << 20),
            (
                "transaction_bytes_max",
                self.transaction_bytes_max.into(),
                4 << 10,
                u64::from(self.block_bytes_max).min(512 << 10),
            ),
            ("transaction_horizon_ms", self.transaction_horizon_ms, 1_000, 600_000),
            ("refusals_per_minute_max", self.refusals_per_minute_max.into(), 1, 1_000_000),
            ("contract_rules_max", self.contract_rules_max.into(), 1, 1_024),
            ("voters_per_member_max", self.voters_per_member_max.into(), 1, 7),
            ("nodes_per_member_max", self.nodes_per_member_max.into(), 1, 64),
            ("applications_open_max", self.applications_open_max.into(), 1, 1_000),
            ("applications_per_sponsor_max", self.applications_per_sponsor_max.into(), 1, 1_000),
            ("key_reset_delay_ms", self.key_reset_delay_ms, 0, 366 * 24 * 3_600_000),
            ("requests_open_max", self.requests_open_max.into(), 1, 100_000),
            ("disclosure.rows_min", disclosure.rows_min.into(), 3, 1_000_000),
            ("disclosure.cell_min", disclosure.cell_min.into(), 3, 1_000_000),
            ("disclosure.parameters_percent_max", disclosure.parameters_percent_max.into(), 1, 50),
            ("disclosure.levels_max", disclosure.levels_max.into(), 2, 1_000),
            ("disclosure.levels_percent_max", disclosure.levels_percent_max.into(), 1, 50),
            ("disclosure.sites_min", disclosure.sites_min.into(), 2, 1_000),
        ];
        for (name, value, low, high) in bounds {
            if !(low..=high).contains(&value) {
                return Err(ParameterError { name, value, low, high });
            }
        }
        Ok(())
    }
}
