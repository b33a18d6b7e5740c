//! How the chain's records are laid out: the order and kind of their parts. Nothing here decides whether a proof holds,
//! except that the founding document is walked through by two of these tables; they only put certified bytes into words.

use crate::value::Shape::{
    self, Bytes, EncryptionKey, Key, List, Maybe, Pair, Record, Signature, Signer, Slug, Text, Time, Truth, U8, U32,
    U64, Variant, Version, Word,
};

const HASH: Shape = Bytes(32);
const ACCOUNT_NAME: Shape = Pair('@');
const NODE_NAME: Shape = Pair('.');
const DATASET_NAME: Shape = Pair('/');

const ROLE: Shape = Word("admin owner researcher auditor");
const NODE_ROLE: Shape = Word("voter observer aggregator");
const STANDING: Shape = Word("active suspended left");
const ACTION: Shape = Word("discover compute download");
const PURPOSE: Shape = Word("TREAT ETREAT HRESCH CLINTRCH PUBHLTH HOPERAT HPAYMT PATRQT BTG");
const REASON: Shape = Word(
    "purpose-mismatch insufficient-information ethics-approval-missing scope-too-broad applicant-not-eligible \
     duplicate data-quality consent-withdrawn superseded terms-broken integrity-failure project-ended \
     key-compromised administrative",
);
const STATISTIC: Shape = Word("count missing sum mean variance");
const EFFECT: Shape = Word("permit deny");
const VERSION_STATE: Shape = Word("active withdrawn");
const BALLOT: Shape = Word("approve reject");
const DATA_USE_TERM: Shape =
    Word("GRU HMB DS POA NRES IRB PUB US NPOA COL NCU NPUNCU NPU RS TS MOR GSO RTN CC NMDS IS GS PS");
const DATA_USE: Shape = Record(&[("term", &DATA_USE_TERM), ("parameter", &Maybe(&Slug))]);

pub(crate) const PARAMETERS: Shape = Record(&[
    ("vote_threshold_percent", &U32),
    ("proposal_lifetime_ms", &U64),
    ("block_transactions_max", &U32),
    ("block_bytes_max", &U32),
    ("transaction_bytes_max", &U32),
    ("transaction_horizon_ms", &U64),
    ("refusals_per_minute_max", &U32),
    ("contract_rules_max", &U32),
    ("requests_open_max", &U32),
    ("voters_per_member_max", &U32),
    ("nodes_per_member_max", &U32),
    ("applications_open_max", &U32),
    ("applications_per_sponsor_max", &U32),
    ("key_reset_delay_ms", &U64),
    ("managing_agency", &Maybe(&Slug)),
    (
        "disclosure",
        &Record(&[
            ("rows_min", &U32),
            ("cell_min", &U32),
            ("parameters_percent_max", &U32),
            ("levels_max", &U32),
            ("levels_percent_max", &U32),
            ("sites_min", &U32),
        ]),
    ),
]);

pub(crate) const NEW_ACCOUNT: Shape =
    Record(&[("account", &Slug), ("key", &Key), ("encryption_key", &EncryptionKey), ("roles", &List(&ROLE))]);
const NEW_NODE: Shape = Record(&[("node", &Slug), ("key", &Key), ("role", &NODE_ROLE), ("address", &Text)]);

const VOTER: Shape = Record(&[("node", &NODE_NAME), ("key", &Key)]);
const VOTER_SET: Shape = Record(&[("epoch", &U64), ("lineage", &HASH), ("voters", &List(&VOTER))]);
const MEMBER: Shape = Record(&[("name", &Slug), ("standing", &STANDING), ("admitted_height", &U64)]);
const ACCOUNT: Shape = Record(&[
    ("name", &ACCOUNT_NAME),
    ("key", &Key),
    ("encryption_key", &EncryptionKey),
    ("roles", &List(&ROLE)),
    ("standing", &STANDING),
]);
const NODE: Shape = Record(&[
    ("name", &NODE_NAME),
    ("key", &Key),
    ("role", &NODE_ROLE),
    ("raft_id", &U64),
    ("address", &Text),
    ("standing", &STANDING),
    ("registered_height", &U64),
]);

const VERSION_CONTENT: Shape = Record(&[
    ("commitment", &HASH),
    ("ciphertext", &HASH),
    ("ciphertext_sha256", &HASH),
    ("ciphertext_bytes", &U64),
    ("plaintext_bytes", &U64),
    ("format", &Word("csv opaque")),
    ("rows", &U64),
    ("columns", &List(&Record(&[("name", &Text), ("kind", &Word("number text"))]))),
    ("data_use", &List(&DATA_USE)),
    ("card", &Maybe(&HASH)),
]);
const VERSION: Shape = Record(&[
    ("number", &U32),
    ("content", &VERSION_CONTENT),
    ("publisher", &ACCOUNT_NAME),
    ("published", &Time),
    ("state", &VERSION_STATE),
    ("reason", &Maybe(&REASON)),
    ("tampering_reported", &Maybe(&Time)),
]);
const DATASET: Shape =
    Record(&[("name", &DATASET_NAME), ("latest", &U32), ("state", &VERSION_STATE), ("created", &Time)]);

const SCOPE: Shape = Variant("type", &[(1, "dataset", &[("name", &DATASET_NAME)]), (2, "member", &[("name", &Slug)])]);
const RULE: Shape = Record(&[
    ("name", &Slug),
    ("effect", &EFFECT),
    ("members", &List(&Slug)),
    ("accounts", &List(&ACCOUNT_NAME)),
    ("roles", &List(&ROLE)),
    ("actions", &List(&ACTION)),
    ("purposes", &List(&PURPOSE)),
    ("data_use", &List(&DATA_USE)),
    ("columns", &List(&Text)),
    ("statistics", &List(&STATISTIC)),
    ("not_before", &Maybe(&Time)),
    ("not_after", &Maybe(&Time)),
    ("cohort_min", &Maybe(&U32)),
    ("uses_max", &Maybe(&U32)),
]);
const CONTRACT: Shape = Record(&[("scope", &SCOPE), ("version", &U32), ("rules", &List(&RULE))]);
const ACCESS_TERMS: Shape = Record(&[
    ("action", &ACTION),
    ("purpose", &PURPOSE),
    ("columns", &List(&Text)),
    ("statistics", &List(&STATISTIC)),
    ("data_use", &List(&DATA_USE)),
]);
const REQUEST_STATE: Shape = Word("draft submitted returned approved rejected revoked expired closed");
const REQUEST: Shape = Record(&[
    ("id", &HASH),
    ("applicant", &ACCOUNT_NAME),
    ("dataset", &DATASET_NAME),
    ("terms", &ACCESS_TERMS),
    ("state", &REQUEST_STATE),
    ("reason", &Maybe(&REASON)),
    ("filed", &Time),
    ("changed", &Time),
    ("grant", &Maybe(&HASH)),
]);
const GRANT_LIMITS: Shape =
    Record(&[("expires", &Maybe(&Time)), ("uses_max", &Maybe(&U32)), ("cohort_min", &Maybe(&U32))]);
const GRANT: Shape = Record(&[
    ("id", &HASH),
    ("request", &HASH),
    ("grantee", &ACCOUNT_NAME),
    ("dataset", &DATASET_NAME),
    ("terms", &ACCESS_TERMS),
    ("limits", &GRANT_LIMITS),
    ("uses", &U32),
    ("asserted", &Time),
    ("by", &ACCOUNT_NAME),
    ("revoked", &Maybe(&REASON)),
]);
const BASIS: Shape = Variant(
    "type",
    &[
        (1, "own_data", &[]),
        (2, "grant", &[("grant", &HASH)]),
        (3, "rule", &[("scope", &SCOPE), ("contract_version", &U32), ("index", &U32), ("rule", &Slug)]),
        (4, "nothing_permits", &[]),
    ],
);
const DECISION: Shape = Record(&[("effect", &EFFECT), ("basis", &BASIS)]);

const JOB_SPECIFICATION: Shape = Record(&[
    ("datasets", &List(&DATASET_NAME)),
    ("statistics", &List(&STATISTIC)),
    ("columns", &List(&Text)),
    ("by", &Maybe(&Text)),
    ("filter_columns", &List(&Text)),
    ("filter", &Maybe(&HASH)),
    ("purpose", &PURPOSE),
    ("data_use", &List(&DATA_USE)),
]);
const SITE_GIVEN: Shape = Variant("type", &[(1, "summary", &[("digest", &HASH)]), (2, "refused", &[("rule", &Slug)])]);
const SITE_OUTCOME: Shape = Record(&[("dataset", &DATASET_NAME), ("refused", &Maybe(&Slug))]);
const JOB_FAILURE: Shape = Word("too-few-sites filter-missing timed-out disclosure-refused summaries-incompatible");
const JOB_SITE: Shape =
    Record(&[("version", &Version), ("decision", &DECISION), ("cohort_min", &U32), ("answer", &Maybe(&SITE_GIVEN))]);
const JOB: Shape = Record(&[
    ("id", &HASH),
    ("submitter", &ACCOUNT_NAME),
    ("specification", &JOB_SPECIFICATION),
    ("sites", &List(&JOB_SITE)),
    ("submitted", &Time),
    ("height", &U64),
    ("state", &Word("running finished failed")),
    ("result", &Maybe(&HASH)),
    ("outcomes", &List(&SITE_OUTCOME)),
    ("failure", &Maybe(&JOB_FAILURE)),
    ("aggregator", &Maybe(&NODE_NAME)),
]);

const APPLICATION: Shape = Record(&[
    ("genesis", &HASH),
    ("member", &Slug),
    ("administrator", &NEW_ACCOUNT),
    ("node", &NEW_NODE),
    ("offers", &List(&Word("datasets compute voting research audit"))),
    ("contacts", &HASH),
    ("made", &Time),
]);
const SIGNED_APPLICATION: Shape =
    Record(&[("application", &APPLICATION), ("administrator_signature", &Signature), ("node_signature", &Signature)]);
const CHANGE: Shape = Variant(
    "change",
    &[
        (1, "suspend_member", &[("member", &Slug), ("reason", &REASON)]),
        (2, "restore_member", &[("member", &Slug)]),
        (3, "set_parameters", &[("parameters", &PARAMETERS), ("based_on", &HASH), ("effective_height", &U64)]),
        (4, "admit_member", &[("application", &SIGNED_APPLICATION)]),
        (5, "remove_member", &[("member", &Slug), ("reason", &REASON)]),
        (6, "set_node_role", &[("node", &NODE_NAME), ("role", &NODE_ROLE)]),
        (7, "remove_node", &[("node", &NODE_NAME), ("reason", &REASON)]),
        (8, "reset_administrator", &[("account", &ACCOUNT_NAME), ("key", &Key), ("encryption_key", &EncryptionKey)]),
    ],
);
const EFFECTIVE: Shape = Variant("", &[(1, "height", &[("height", &U64)]), (2, "time", &[("time", &Time)])]);
const CAST_BALLOT: Shape =
    Record(&[("member", &Slug), ("by", &ACCOUNT_NAME), ("ballot", &BALLOT), ("reason", &Maybe(&REASON))]);
const PROPOSAL: Shape = Record(&[
    ("id", &HASH),
    ("proposer", &Signer),
    ("change", &CHANGE),
    ("state", &Word("open passed failed scheduled objected withdrawn")),
    ("ballots", &List(&CAST_BALLOT)),
    ("made", &Time),
    ("closes", &Time),
    ("effective", &Maybe(&EFFECTIVE)),
]);
const SCHEDULED: Shape = Record(&[("effective", &EFFECTIVE), ("proposal", &HASH)]);
const OPEN_APPLICATION: Shape =
    Record(&[("proposal", &HASH), ("applicant", &Slug), ("sponsor", &Slug), ("closes", &Time)]);

const RECOVERY: Shape = Record(&[
    ("genesis", &HASH),
    ("lineage", &HASH),
    ("height", &U64),
    ("header", &HASH),
    ("made", &Time),
    ("abandoned", &List(&Slug)),
    ("voters", &List(&VOTER)),
]);
const SIGNED_RECOVERY: Shape = Record(&[
    ("recovery", &RECOVERY),
    ("signatures", &List(&Record(&[("account", &ACCOUNT_NAME), ("signature", &Signature)]))),
]);

const CALL: Shape = Variant(
    "call",
    &[
        (1, "add_account", &[("", &NEW_ACCOUNT)]),
        (2, "suspend_account", &[("account", &ACCOUNT_NAME), ("reason", &REASON)]),
        (3, "restore_account", &[("account", &ACCOUNT_NAME)]),
        (4, "set_account_roles", &[("account", &ACCOUNT_NAME), ("roles", &List(&ROLE))]),
        (5, "rotate_account_key", &[("account", &ACCOUNT_NAME), ("key", &Key), ("encryption_key", &EncryptionKey)]),
        (6, "propose", &[("", &CHANGE)]),
        (7, "vote", &[("proposal", &HASH), ("ballot", &BALLOT), ("reason", &Maybe(&REASON))]),
        (8, "apply", &[("application", &SIGNED_APPLICATION)]),
        (9, "leave", &[("reason", &REASON)]),
        (10, "object_to_reset", &[("proposal", &HASH)]),
        (11, "add_node", &[("", &NEW_NODE)]),
        (12, "remove_node", &[("node", &NODE_NAME), ("reason", &REASON)]),
        (13, "demote_node", &[("node", &NODE_NAME)]),
        (14, "set_node_address", &[("node", &NODE_NAME), ("address", &Text)]),
        (15, "rotate_node_key", &[("node", &NODE_NAME), ("key", &Key)]),
        (16, "start_ordering", &[("replaces", &U64)]),
        (17, "join_voters", &[("raft_id", &U64)]),
        (18, "recover", &[("recovery", &SIGNED_RECOVERY)]),
        (19, "withdraw_application", &[("proposal", &HASH), ("signature", &Signature)]),
        (20, "publish_dataset", &[("dataset", &Slug), ("content", &VERSION_CONTENT), ("discoverable", &Truth)]),
        (21, "update_dataset", &[("dataset", &DATASET_NAME), ("previous", &U32), ("content", &VERSION_CONTENT)]),
        (22, "withdraw_dataset", &[("dataset", &DATASET_NAME), ("version", &Maybe(&U32)), ("reason", &REASON)]),
        (23, "report_tampering", &[("version", &Version)]),
        (40, "set_contract", &[("scope", &SCOPE), ("previous", &U32), ("rules", &List(&RULE))]),
        (41, "request_access", &[("dataset", &DATASET_NAME), ("terms", &ACCESS_TERMS), ("draft", &Truth)]),
        (42, "revise_request", &[("request", &HASH), ("terms", &ACCESS_TERMS)]),
        (43, "approve_request", &[("request", &HASH), ("limits", &GRANT_LIMITS)]),
        (44, "reject_request", &[("request", &HASH), ("reason", &REASON)]),
        (45, "return_request", &[("request", &HASH), ("reason", &REASON)]),
        (46, "close_request", &[("request", &HASH)]),
        (47, "revoke_grant", &[("grant", &HASH), ("reason", &REASON)]),
        (48, "download", &[("version", &Version), ("purpose", &PURPOSE)]),
        (60, "submit_job", &[("", &JOB_SPECIFICATION)]),
        (
            61,
            "answer_job",
            &[("job", &HASH), ("answer", &Record(&[("dataset", &DATASET_NAME), ("given", &SITE_GIVEN)]))],
        ),
        (
            62,
            "finish_job",
            &[("job", &HASH), ("result", &HASH), ("sites", &List(&SITE_OUTCOME)), ("summaries_deleted", &Truth)],
        ),
        (63, "fail_job", &[("job", &HASH), ("failure", &JOB_FAILURE), ("sites", &List(&SITE_OUTCOME))]),
        (64, "read_result", &[("job", &HASH)]),
    ],
);
/// What was signed.
pub(crate) const TRANSACTION_BODY: Shape =
    Record(&[("chain", &HASH), ("signer", &Signer), ("salt", &Bytes(16)), ("valid_until", &Time), ("call", &CALL)]);

const OPERATION: Shape = Word(
    "publish update withdraw set-contract request-access return-request revise-request approve-request \
     reject-request close-request revoke-grant submit-job answer-job refuse-job finish-job fail-job read-result \
     download report-tampering add-account suspend-account restore-account set-account-roles rotate-account-key \
     propose vote proposal-passed proposal-failed apply admit-member member-left suspend-member restore-member \
     set-parameters object-to-reset reset-administrator add-node remove-node set-node-role set-node-address \
     rotate-node-key start-ordering join-voters recover proposal-scheduled withdraw-application",
);
const EVENT: Shape = Record(&[
    ("operation", &OPERATION),
    ("operator", &Signer),
    ("dataset", &Maybe(&DATASET_NAME)),
    ("version", &Maybe(&U32)),
    ("member", &Maybe(&Slug)),
    ("account", &Maybe(&ACCOUNT_NAME)),
    ("node", &Maybe(&NODE_NAME)),
    ("subject", &Maybe(&HASH)),
    ("action", &Maybe(&ACTION)),
    ("purpose", &Maybe(&PURPOSE)),
    ("reason", &Maybe(&REASON)),
    ("decision", &Maybe(&DECISION)),
    ("rule", &Maybe(&Slug)),
]);
const OUTCOME: Shape =
    Variant("status", &[(1, "applied", &[]), (2, "refused", &[("rule", &Slug), ("explanation", &Text)])]);

/// What became of a transaction.
pub(crate) const RECEIPT: Shape =
    Record(&[("transaction", &HASH), ("outcome", &OUTCOME), ("events", &List(&EVENT)), ("write_set", &HASH)]);

/// How a key of the state goes on after its table's tag.
pub(crate) enum KeyParts {
    Nothing,
    Member,
    /// A member and what is its own, whose name is the two with this between them.
    Owned(char),
    Id,
    SigningKey,
    Version,
    /// What a contract is attached to.
    Scope,
    ScopeVersion,
    AccountDataset,
    TimeId,
}

/// A table of the state: its tag, the word for it, how its keys go on, its records, and what it means that there is none.
pub(crate) struct Table {
    pub(crate) tag: u8,
    pub(crate) word: &'static str,
    pub(crate) parts: KeyParts,
    pub(crate) record: &'static Shape,
    pub(crate) none: &'static str,
}

const fn table(tag: u8, word: &'static str, parts: KeyParts, record: &'static Shape, none: &'static str) -> Table {
    Table { tag, word, parts, record, none }
}

/// Every table whose records are put into words; keys of others are shown as they are.
pub(crate) const TABLES: &[Table] = &[
    table(0x01, "parameters", KeyParts::Nothing, &PARAMETERS, "there are no parameters"),
    table(0x02, "voters", KeyParts::Nothing, &VOTER_SET, "there is no voter set"),
    table(0x03, "members-active", KeyParts::Nothing, &U32, "the active members are not counted"),
    table(0x06, "last-recovery", KeyParts::Nothing, &HASH, "the chain never went on by a recovery"),
    table(0x07, "schedule", KeyParts::Nothing, &List(&SCHEDULED), "no change is scheduled"),
    table(0x08, "applications", KeyParts::Nothing, &List(&OPEN_APPLICATION), "no application is open"),
    table(0x10, "member", KeyParts::Member, &MEMBER, "there is and was no such member"),
    table(0x11, "account", KeyParts::Owned('@'), &ACCOUNT, "there is and was no such account"),
    table(0x12, "node", KeyParts::Owned('.'), &NODE, "there is and was no such node"),
    table(0x13, "signing-key", KeyParts::SigningKey, &Signer, "the key is and was nobody's"),
    table(0x15, "member-left", KeyParts::Member, &Time, "it has not left"),
    table(0x20, "dataset", KeyParts::Owned('/'), &DATASET, "no such dataset was published"),
    table(0x21, "version", KeyParts::Version, &VERSION, "no such version was published"),
    table(0x30, "contract", KeyParts::Scope, &CONTRACT, "no contract is in force there"),
    table(0x31, "replaced-contract", KeyParts::ScopeVersion, &CONTRACT, "no such contract was replaced"),
    table(0x40, "request", KeyParts::Id, &REQUEST, "no such request was made"),
    table(0x48, "grant", KeyParts::Id, &GRANT, "no such grant was given"),
    table(
        0x4b,
        "grants",
        KeyParts::AccountDataset,
        &List(&HASH),
        "the account holds no grant on the dataset: none was given, or each was revoked, used up or had expired",
    ),
    table(0x50, "job", KeyParts::Id, &JOB, "no such job was submitted"),
    table(0x60, "proposal", KeyParts::Id, &PROPOSAL, "no such proposal was made"),
    table(
        0x70,
        "live",
        KeyParts::TimeId,
        &U8,
        "no transaction of this id that is valid until then was recorded, if the block's time is not later than that",
    ),
];
