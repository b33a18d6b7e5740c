//! Refusals: one variant a rule, so that listing them lists the rules. A code is stable and stands in receipts and
//! events; the message says what the rule says about this case and what to do.

use galen_types::access::{Basis, RequestState};
use galen_types::job::JobState;
use galen_types::member::{NodeRole, Role};
use galen_types::parameters::ParameterError;
use galen_types::proposal::EFFECTIVE_HEIGHT_AHEAD_MAX;
use galen_types::vocabulary::Action;
use galen_types::{
    AccountName, ColumnName, DatasetName, GrantId, Hash, JobId, MemberName, NodeName, ProposalId, PublicKey, RequestId,
    Slug, Timestamp,
};

use crate::limits::{
    COLUMNS_MAX, EXPLANATION_BYTES_MAX, GRANTS_ACTIVE_MAX, JOB_COLUMNS_MAX, JOB_DATASETS_MAX, JOB_FILTER_COLUMNS_MAX,
    LIST_MAX, PROPOSALS_OPEN_MAX, RESETS_SCHEDULED_MAX, VOTERS_MAX, VOTING_CHANGE_MS_MIN,
};
use crate::state::StateError;

/// Why a call is not done: a rule, or a state that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A rule refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The node must stop; the call is not to blame.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Declares the refusals with their codes in one place.
macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ #[error($($message:tt)+)] $code:literal $variant:ident $({ $($field:ident: $kind:ty),+ $(,)? })?,)+) => {
        /// Why a rule refuses a call.
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[expect(missing_docs, reason = "the fields of a refusal are named in its message")]
        pub enum Refusal {
            $($(#[doc = $doc])+ #[error($($message)+)] $variant $({ $($field: $kind),+ })?,)+
        }

        impl Refusal {
            /// Every code, in the order of this list.
            pub const CODES: &'static [&'static str] = &[$($code),+];

            /// The rule's stable code, a slug.
            pub const fn code(&self) -> &'static str {
                match self { $(Self::$variant $({ $($field: _),+ })? => $code),+ }
            }
        }
    };
}

refusals! {
    // --- who signs
    /// Calls of people are not made by machines.
    #[error("a node signed this call; sign it with an account")]
    "account-required" AccountRequired,
    /// Calls of machines are not made by people.
    #[error("an account signed this call; only a node of the member may make it")]
    "node-required" NodeRequired,
    /// Each call needs a role.
    #[error("this needs the role {}; ask an administrator of your member for it", words(.needed))]
    "role-missing" RoleMissing { needed: &'static [Role] },
    /// Each member's affairs are its own.
    #[error("this belongs to member `{member}`; only its own accounts and nodes may do it")]
    "not-your-member" NotYourMember { member: MemberName },
    /// A suspended member's accounts and data take no part.
    #[error("member `{member}` is not active; wait until the members restore it by vote")]
    "member-not-active" MemberNotActive { member: MemberName },
    /// A suspended account takes no part.
    #[error("account `{account}` is not active; an administrator of its member can restore it")]
    "account-not-active" AccountNotActive { account: AccountName },

    /// A member that left takes no part any more.
    #[error("member `{member}` has left for good; its datasets are withdrawn and its grants have ended")]
    "member-left" MemberLeft { member: MemberName },
    /// A recovery block stands for itself.
    #[error("a recovery block holds one recovery and nothing else; send this call once the chain goes on")]
    "recovery-only" RecoveryOnly,

    // --- accounts
    /// Lists of roles have one form.
    #[error("give one role or more, each once, in the order admin, owner, researcher, auditor")]
    "roles-malformed" RolesMalformed,
    /// Account names are given once.
    #[error("account `{account}` exists; choose another name")]
    "account-exists" AccountExists { account: AccountName },
    /// Accounts are named exactly.
    #[error("account `{account}` is not registered; look it up in the list of accounts")]
    "account-unknown" AccountUnknown { account: AccountName },
    /// Only a suspended account can be restored.
    #[error("account `{account}` is not suspended; nothing is to be restored")]
    "account-not-suspended" AccountNotSuspended { account: AccountName },
    /// A member keeps somebody who can manage it.
    #[error("`{account}` is the last active administrator of its member; make another account administrator first")]
    "last-administrator" LastAdministrator { account: AccountName },
    /// A change changes something.
    #[error("account `{account}` has exactly these roles; nothing is to be changed")]
    "roles-unchanged" RolesUnchanged { account: AccountName },
    /// A signing key belongs to one signer for ever.
    #[error("the key {key} is or was in use; make a new one")]
    "key-in-use" KeyInUse { key: PublicKey },
    /// What the members vote on is not forestalled by taking its key.
    #[error("the key {key} is named by proposal {proposal}, which is not decided or waits to come into force; make a new one")]
    "key-reserved" KeyReserved { key: PublicKey, proposal: ProposalId },
    /// A change changes something.
    #[error("account `{account}` has exactly these keys; make new ones")]
    "keys-unchanged" KeysUnchanged { account: AccountName },

    // --- proposals
    /// Members are named exactly.
    #[error("member `{member}` is not registered; look it up in the list of members")]
    "member-unknown" MemberUnknown { member: MemberName },
    /// Only a suspended member can be restored.
    #[error("member `{member}` is not suspended; nothing is to be restored")]
    "member-not-suspended" MemberNotSuspended { member: MemberName },
    /// Somebody must be left to vote.
    #[error("member `{member}` is the last active one and must stay; restore or admit another first")]
    "last-member" LastMember { member: MemberName },
    /// Parameters stay within what the software works with.
    #[error("{error}")]
    "parameter-out-of-bounds" ParameterOutOfBounds { error: ParameterError },
    /// Somebody must be left to order and certify.
    #[error("no voter would be left; let another node join the voters first")]
    "last-voter" LastVoter,
    /// Whoever decides alone must be there to decide.
    #[error("member `{member}` is the managing agency; name another in the parameters first")]
    "managing-agency" ManagingAgency { member: MemberName },
    /// Whoever decides alone must be there to decide.
    #[error("the managing agency `{member}` is no active member; name one that is, or none")]
    "managing-agency-unknown" ManagingAgencyUnknown { member: MemberName },
    /// A change changes something.
    #[error("these are the parameters in force; propose others")]
    "parameters-unchanged" ParametersUnchanged,
    /// No vote undoes another that its voters did not know.
    #[error("other parameters were voted on since this was written; look at those in force and propose it again")]
    "parameters-changed" ParametersChanged,
    /// What waits to come into force comes into force.
    #[error("height {height} is more than {EFFECTIVE_HEIGHT_AHEAD_MAX} blocks ahead; name an earlier one")]
    "effective-height-too-far" EffectiveHeightTooFar { height: u64 },
    /// Open proposals are few enough to be read.
    #[error("member `{member}` has {PROPOSALS_OPEN_MAX} open proposals; wait until one is decided")]
    "proposals-open-too-many" ProposalsOpenTooMany { member: MemberName },
    /// Proposals are named exactly.
    #[error("proposal {proposal} is not registered; look it up in the list of proposals")]
    "proposal-unknown" ProposalUnknown { proposal: ProposalId },
    /// Ballots are taken while a proposal is open.
    #[error("proposal {proposal} takes no more ballots; propose it again if it still matters")]
    "proposal-closed" ProposalClosed { proposal: ProposalId },
    /// One ballot a member. The same again only counts them anew, where that decides: members may have come or gone.
    #[error("member `{member}` has voted on it, and the ballots do not decide it yet; a ballot is final")]
    "already-voted" AlreadyVoted { member: MemberName },
    /// Changes that wait are few enough to be looked at in every block.
    #[error("{RESETS_SCHEDULED_MAX} resets wait to come into force; vote again once one of them is")]
    "schedule-full" ScheduleFull,
    /// Only administrators manage a member.
    #[error("`{account}` is no administrator of its member; name one that is")]
    "not-administrator" NotAdministrator { account: AccountName },
    /// An objection is to something that is about to happen.
    #[error("proposal {proposal} is no reset that waits to come into force; nothing is to be objected to")]
    "reset-not-scheduled" ResetNotScheduled { proposal: ProposalId },

    // --- applications
    /// An institution is admitted because it asks for it.
    #[error("an institution applies itself, at a member's node; then vote on its application")]
    "application-required" ApplicationRequired,
    /// An application is for one chain.
    #[error("the application is for another chain; take the genesis hash from the invitation")]
    "application-wrong-chain" ApplicationWrongChain,
    /// Applications are fresh, so that an old one is not brought again.
    #[error("the application was made at {made}, more than an hour from now; set the clock and apply again")]
    "application-outdated" ApplicationOutdated { made: Timestamp },
    /// Somebody must manage the new member.
    #[error("the first account needs the role admin; apply again with it")]
    "application-without-administrator" ApplicationWithoutAdministrator,
    /// Aggregators are voted on apart.
    #[error("the first node is a voter or an observer; apply again with one of these roles")]
    "application-node-role" ApplicationNodeRole,
    /// Lists of offers have one form.
    #[error("give each offer once, in the order datasets, compute, voting, research, audit")]
    "offers-malformed" OffersMalformed,
    /// The applicant holds both keys.
    #[error("a signature of the application does not verify; sign it with the administrator's and the node's key")]
    "application-signature" ApplicationSignature,
    /// An application is taken back by whoever made it.
    #[error("the signature is not by the administrator whom the application names; sign with the key that it was made with")]
    "withdrawal-signature" WithdrawalSignature,
    /// Only an application is its maker's alone.
    #[error("proposal {proposal} is no application; a proposal of a member is voted on")]
    "not-application" NotApplication { proposal: ProposalId },
    /// An application is brought once; what the members rejected does not come back by itself.
    #[error("this application was brought already, as proposal {proposal}; make and sign another if it still matters")]
    "application-repeated" ApplicationRepeated { proposal: ProposalId },
    /// Member names are given once, for ever.
    #[error("member `{member}` exists or existed; choose another name")]
    "member-exists" MemberExists { member: MemberName },
    /// One application a name at a time.
    #[error("an application for the name `{member}` is open; wait for the vote, or choose another name")]
    "application-open" ApplicationOpen { member: MemberName },
    /// Open applications are few enough to be read.
    #[error("{most} applications are open; wait until one is decided")]
    "applications-open-too-many" ApplicationsOpenTooMany { most: u32 },
    /// No member floods the others with applications.
    #[error("{most} applications brought by member `{member}` are open; wait until one is decided, or ask another member")]
    "applications-of-sponsor-too-many" ApplicationsOfSponsorTooMany { member: MemberName, most: u32 },

    // --- nodes
    /// Node names are given once, for ever.
    #[error("node `{node}` exists or existed; choose another name")]
    "node-exists" NodeExists { node: NodeName },
    /// Nodes are named exactly.
    #[error("node `{node}` is not registered; look it up in the list of nodes")]
    "node-unknown" NodeUnknown { node: NodeName },
    /// A removed node stays removed.
    #[error("node `{node}` was removed for good; register the machine under another name")]
    "node-removed" NodeRemoved { node: NodeName },
    /// Voters and aggregators concern every member.
    #[error("register the node as an observer; the members vote on other roles")]
    "node-role-voted" NodeRoleVoted,
    /// A change changes something.
    #[error("node `{node}` is {role} already; nothing is to be changed")]
    "node-role-unchanged" NodeRoleUnchanged { node: NodeName, role: NodeRole },
    /// A member runs a bounded number of nodes.
    #[error("member `{member}` has {most} nodes; remove one first")]
    "nodes-too-many" NodesTooMany { member: MemberName, most: u32 },
    /// No member outvotes the others by its number of machines.
    #[error("member `{member}` has {most} voting nodes; demote one first, or vote on the parameter `voters_per_member_max`")]
    "member-voters-too-many" MemberVotersTooMany { member: MemberName, most: u32 },
    /// A change changes something.
    #[error("node `{node}` has exactly this address; nothing is to be changed")]
    "address-unchanged" AddressUnchanged { node: NodeName },
    /// Only those that the members chose order.
    #[error("node `{node}` has not the role voter; the members vote on it")]
    "voter-role-missing" VoterRoleMissing { node: NodeName },
    /// A number in ordering is asked for once, and joins once.
    #[error("the node's number in ordering is {current}; read its record again and act on that")]
    "raft-id-outdated" RaftIdOutdated { current: u64 },
    /// A voter joins once.
    #[error("node `{node}` is a voter already; nothing is to be done")]
    "already-voter" AlreadyVoter { node: NodeName },
    /// Ordering works with a bounded number of nodes.
    #[error("{VOTERS_MAX} nodes order; one of them must be demoted or removed first")]
    "voters-too-many" VotersTooMany,
    /// Nobody makes epochs without end.
    #[error("node `{node}` changed its part in voting less than {} seconds ago; do it after {until}", VOTING_CHANGE_MS_MIN / 1_000)]
    "voting-changed-lately" VotingChangedLately { node: NodeName, until: Timestamp },

    // --- recovery
    /// A recovery is a deliberate act outside of ordering.
    #[error("a recovery is applied with the node stopped, never ordered; use the recovery command")]
    "recovery-not-ordered" RecoveryNotOrdered,
    /// A recovery is for one chain and one height.
    #[error("the recovery is for another chain or goes on from height {height}; draw up another")]
    "recovery-mismatch" RecoveryMismatch { height: u64 },
    /// A recovery goes on from the one before it.
    #[error("the recovery goes on from another recovery than the last one here, {lineage}; draw up another")]
    "recovery-lineage" RecoveryLineage { lineage: Hash },
    /// A recovery names voters and abandoned members in one form.
    #[error("name 1 to {VOTERS_MAX} voters, and the abandoned members, in ascending order, each once")]
    "recovery-voters-malformed" RecoveryVotersMalformed,
    /// Only nodes that take part can go on.
    #[error("node `{node}` cannot vote: it is an aggregator; name voters and observers of active members")]
    "recovery-node-unfit" RecoveryNodeUnfit { node: NodeName },
    /// A recovery names the voters' keys.
    #[error("the recovery names another key for node `{node}` than the registered one; draw up another")]
    "recovery-node-key" RecoveryNodeKey { node: NodeName },
    /// A recovery is signed in one form.
    #[error("give the signatures in ascending order of account, each once; the first one's account signs the transaction")]
    "recovery-signatures-malformed" RecoverySignaturesMalformed,
    /// A recovery is each one's own act.
    #[error("the signature of `{account}` does not verify under its registered key; sign the recovery again")]
    "recovery-signature" RecoverySignatureBad { account: AccountName },
    /// Every member that goes on agrees.
    #[error("no administrator of member `{member}` has signed; every member with a voter does")]
    "recovery-unsigned" RecoveryUnsigned { member: MemberName },
    /// Whoever signed goes on.
    #[error("member `{member}` has signed and is named as abandoned; draw up another recovery")]
    "recovery-abandons-signer" RecoveryAbandonsSigner { member: MemberName },
    /// Nobody is passed over in silence.
    #[error(
        "{active} members are active, {signed} have signed and {abandoned} are named as abandoned; each must be one or the other"
    )]
    "recovery-members-missing" RecoveryMembersMissing { signed: usize, abandoned: usize, active: usize },

    // --- datasets
    /// Dataset names are given once.
    #[error("dataset `{dataset}` exists; update it, or choose another name")]
    "dataset-exists" DatasetExists { dataset: DatasetName },
    /// Datasets are named exactly.
    #[error("dataset `{dataset}` is not published; search for its name")]
    "dataset-unknown" DatasetUnknown { dataset: DatasetName },
    /// A withdrawn dataset stays withdrawn.
    #[error("dataset `{dataset}` is withdrawn for good; its owner can publish under another name")]
    "dataset-withdrawn" DatasetWithdrawn { dataset: DatasetName },
    /// Versions are named exactly.
    #[error("dataset `{dataset}` has no version {version}; its newest is {newest}")]
    "version-unknown" VersionUnknown { dataset: DatasetName, version: u32, newest: u32 },
    /// A withdrawn version cannot be used.
    #[error("version {version} of `{dataset}` is withdrawn; use another version")]
    "version-withdrawn" VersionWithdrawn { dataset: DatasetName, version: u32 },
    /// Something must be there to use.
    #[error("every version of `{dataset}` is withdrawn; wait for its owner to publish another")]
    "no-active-version" NoActiveVersion { dataset: DatasetName },
    /// A version follows the one that its owner knew.
    #[error("the newest version of `{dataset}` is {newest}, not {previous}; look at it and update from there")]
    "version-outdated" VersionOutdated { dataset: DatasetName, previous: u32, newest: u32 },
    /// Versions are counted in 32 bits.
    #[error("`{dataset}` cannot have more versions; publish under another name")]
    "versions-exhausted" VersionsExhausted { dataset: DatasetName },
    /// A new version says something new.
    #[error("version {newest} of `{dataset}` holds the same content; nothing is to be updated")]
    "content-unchanged" ContentUnchanged { dataset: DatasetName, newest: u32 },
    /// Tables have a bounded number of columns.
    #[error("the table has {columns} columns, more than {COLUMNS_MAX}; split it, or publish it as an opaque file")]
    "columns-too-many" ColumnsTooMany { columns: usize },
    /// A table's columns are told apart by name.
    #[error("column `{column}` stands twice in the table; rename one")]
    "column-repeated" ColumnRepeated { column: ColumnName },
    /// A table has columns.
    #[error("a table needs at least one column; publish other files as opaque")]
    "table-without-columns" TableWithoutColumns,
    /// Nobody computes over an opaque file.
    #[error("an opaque file has no rows and columns; leave them out, or publish it as a table")]
    "opaque-with-table" OpaqueWithTable,
    /// A dataset carries one DUO permission, then modifiers.
    #[error("give exactly one data-use permission (GRU, HMB, DS, POA, NRES) first, then modifiers, each once, {LIST_MAX} at most")]
    "data-use-malformed" DataUseMalformed,
    /// Encryption never shortens.
    #[error("the ciphertext has {ciphertext_bytes} bytes, the plaintext {plaintext_bytes}; encrypt the file again")]
    "ciphertext-too-short" CiphertextTooShort { ciphertext_bytes: u64, plaintext_bytes: u64 },

    // --- access contracts
    /// A contract replaces the one that its owner knew.
    #[error("the contract in force is version {current}, not {previous}; look at it and replace that one")]
    "contract-outdated" ContractOutdated { previous: u32, current: u32 },
    /// A change changes something.
    #[error("the contract in force has exactly these rules; nothing is to be changed")]
    "contract-unchanged" ContractUnchanged,
    /// Contracts are counted in 32 bits.
    #[error("this contract cannot have more versions; attach rules to another scope")]
    "contract-versions-exhausted" ContractVersionsExhausted,
    /// Contracts are short enough to be judged quickly.
    #[error("the contract has {rules} rules, more than {most}; merge some")]
    "rules-too-many" RulesTooMany { rules: usize, most: u32 },
    /// Decisions name a rule.
    #[error("two rules are named `{rule}`; rename one")]
    "rule-name-repeated" RuleNameRepeated { rule: Slug },
    /// A rule's period has a beginning before its end.
    #[error("rule `{rule}` never holds, for its period ends before it begins; mend `not_before` or `not_after`")]
    "rule-period-empty" RulePeriodEmpty { rule: Slug },
    /// A limit limits a permission.
    #[error("rule `{rule}` denies, so `cohort_min` and `uses_max` mean nothing there; leave them out")]
    "rule-limit-on-deny" RuleLimitOnDeny { rule: Slug },
    /// A limit of nothing is a denial.
    #[error("rule `{rule}` has a limit of 0; give 1 or more, or write a rule that denies")]
    "rule-limit-zero" RuleLimitZero { rule: Slug },
    /// Lists are short enough to be judged quickly.
    #[error("a list of rule `{rule}` is too long; give at most {COLUMNS_MAX} columns and {LIST_MAX} of anything else")]
    "rule-list-too-long" RuleListTooLong { rule: Slug },

    // --- requests and grants
    /// Columns and statistics are asked for where something is computed.
    #[error("columns and statistics can be asked for with `compute` only; leave them out for `{action}`")]
    "terms-not-for-action" TermsNotForAction { action: Action },
    /// Lists are short enough to be judged quickly.
    #[error("a list of the terms is too long; give at most {COLUMNS_MAX} columns and {LIST_MAX} of anything else")]
    "terms-too-long" TermsTooLong,
    /// Columns are named exactly.
    #[error("`{dataset}` has no column `{column}`; look at its columns")]
    "column-unknown" ColumnUnknown { dataset: DatasetName, column: ColumnName },
    /// Open requests are few enough to be read.
    #[error("{most} of your requests are open; wait until one is decided, or close one")]
    "requests-open-too-many" RequestsOpenTooMany { most: u32 },
    /// Requests are named exactly.
    #[error("request {request} is not registered; look it up in the list of requests")]
    "request-unknown" RequestUnknown { request: RequestId },
    /// A request moves along its lifecycle only.
    #[error("the request is {state}; {step} is not possible from there")]
    "request-state" RequestStep { state: RequestState, step: &'static str },
    /// A request is its applicant's.
    #[error("only `{applicant}`, who filed the request, may do this")]
    "not-applicant" NotApplicant { applicant: AccountName },
    /// A grant lasts.
    #[error("the grant would have expired at {expires}; give a later time")]
    "grant-expired-at-once" GrantExpiredAtOnce { expires: Timestamp },
    /// A limit of nothing is a rejection.
    #[error("a grant with a limit of 0 permits nothing; give 1 or more, or reject the request")]
    "grant-limit-zero" GrantLimitZero,
    /// Grants in force are few enough to be judged quickly.
    #[error("`{grantee}` has {GRANTS_ACTIVE_MAX} grants in force on this dataset; revoke some first")]
    "grants-active-too-many" GrantsActiveTooMany { grantee: AccountName },
    /// Grants are named exactly.
    #[error("grant {grant} is not registered; look it up in the list of grants")]
    "grant-unknown" GrantUnknown { grant: GrantId },

    // --- access
    /// Nothing said means denied.
    #[error("no grant and no rule permits `{action}` of `{dataset}`; request access from member `{}`", .dataset.member)]
    "nothing-permits" NothingPermits { dataset: DatasetName, action: Action },
    /// Deny wins.
    #[error("{basis} denies `{action}` of `{dataset}`; ask member `{}` about it", .dataset.member)]
    "denied-by-rule" DeniedByRule { dataset: DatasetName, action: Action, basis: Box<Basis> },

    // --- jobs
    /// A job names datasets in one form.
    #[error("give 1 to {JOB_DATASETS_MAX} datasets in ascending order, each once")]
    "job-datasets-malformed" JobDatasetsMalformed,
    /// A job names statistics in one form.
    #[error("give one statistic or more in ascending order, each once")]
    "job-statistics-malformed" JobStatisticsMalformed,
    /// A job names columns in one form.
    #[error("give 1 to {JOB_COLUMNS_MAX} columns, each once")]
    "job-columns-malformed" JobColumnsMalformed,
    /// A filter comes with the columns that it reads.
    #[error("a filter comes with 1 to {JOB_FILTER_COLUMNS_MAX} columns in ascending order, each once; no filter, no columns")]
    "job-filter-malformed" JobFilterMalformed,
    /// An aggregate of fewer members than disclosure allows is not begun.
    #[error("the job's datasets belong to {members} members; a released aggregate needs {least}")]
    "job-members-too-few" JobMembersTooFew { members: usize, least: u32 },
    /// Statistics are computed over tables.
    #[error("`{dataset}` is an opaque file; only tables can be computed over")]
    "dataset-not-table" DatasetNotTable { dataset: DatasetName },
    /// Sums, means and variances are of numbers.
    #[error("column `{column}` of `{dataset}` holds text; ask only for count and missing of it")]
    "column-not-numeric" ColumnNotNumeric { dataset: DatasetName, column: ColumnName },
    /// Jobs are named exactly.
    #[error("job {job} is not registered; look it up in the list of jobs")]
    "job-unknown" JobUnknown { job: JobId },
    /// A job ends once.
    #[error("the job is {state}; it takes no more answers")]
    "job-not-running" JobNotRunning { state: JobState },
    /// A result is read once it is there.
    #[error("the job is {state}; it has no result to read")]
    "job-not-finished" JobNotFinished { state: JobState },
    /// Sites answer for a job's own datasets.
    #[error("dataset `{dataset}` is not part of the job; answer for its own datasets")]
    "dataset-not-in-job" DatasetNotInJob { dataset: DatasetName },
    /// One answer a dataset.
    #[error("dataset `{dataset}` is answered for; an answer is final")]
    "already-answered" AlreadyAnswered { dataset: DatasetName },
    /// What a job needed has been taken back since it was submitted.
    #[error("`{dataset}` may no longer be used for the job: {cause}; leave it out")]
    "job-permission-lost" JobPermissionLost { dataset: DatasetName, cause: &'static str },
    /// Aggregators combine.
    #[error("only a node with the role aggregator may end a job")]
    "aggregator-required" AggregatorRequired,
    /// A job's end accounts for every dataset.
    #[error("account for each of the job's datasets, once, in the job's order")]
    "job-sites-mismatch" JobSitesMismatch,
    /// A total holds recorded summaries only.
    #[error("dataset `{dataset}` has no recorded summary and cannot be in the total; wait for its answer, or leave it out")]
    "site-not-answered" SiteNotAnswered { dataset: DatasetName },
    /// A site's refusal is reported as it was given.
    #[error("dataset `{dataset}` was refused by rule `{rule}`; report exactly that")]
    "site-refusal-misreported" SiteRefusalMisreported { dataset: DatasetName, rule: Slug },
    /// An aggregate of fewer members than disclosure allows is not released.
    #[error("the total holds {members} members, a released aggregate needs {least}; fail the job instead")]
    "total-members-too-few" TotalMembersTooFew { members: usize, least: u32 },
    /// Summaries do not outlive their result.
    #[error("delete the summaries and say so, then publish the result")]
    "summaries-not-deleted" SummariesNotDeleted,
    /// A result is its submitter's.
    #[error("only `{submitter}`, who submitted the job, may read its result")]
    "not-submitter" NotSubmitter { submitter: AccountName },
}

impl Refusal {
    /// The code as the name that receipts and events carry.
    #[expect(clippy::expect_used, reason = "codes are constants, and a test reads every one of them as a slug")]
    pub fn rule(&self) -> Slug {
        Slug::parse(self.code()).expect("a refusal's code is a slug")
    }

    /// What the rule says about this case, as receipts carry it: ASCII (other characters escaped), at most 512 bytes.
    pub fn explanation(&self) -> String {
        let mut text = String::new();
        for character in self.to_string().chars() {
            let length = if character.is_ascii() { 1 } else { character.escape_default().len() };
            if text.len() + length > EXPLANATION_BYTES_MAX {
                break;
            }
            if character.is_ascii() {
                text.push(character);
            } else {
                text.extend(character.escape_default());
            }
        }
        text
    }
}

/// Roles in words: `admin or owner`.
fn words(roles: &[Role]) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" or ")
}
