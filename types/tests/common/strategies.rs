//! Random values of every wire type, for property tests.

use galen_types::access::*;
use galen_types::application::{Application, Offer, SignedApplication};
use galen_types::call::Call;
use galen_types::certificate::{Voter, VoterSignature};
use galen_types::dataset::{Column, ColumnKind, FileFormat, VersionContent};
use galen_types::genesis::{Founder, FoundingNode};
use galen_types::job::{JobFailure, JobSpecification, SiteAnswer, SiteGiven, SiteOutcome};
use galen_types::member::{EncryptionKey, NewAccount, NewNode, NodeAddress, NodeRole, Role};
use galen_types::parameters::Disclosure;
use galen_types::proposal::{Ballot, ProposedChange};
use galen_types::receipt::Operation;
use galen_types::recovery::{Recovery, RecoverySignature, SignedRecovery};
use galen_types::vocabulary::{Action, DataUse, DataUseTerm, Purpose, ReasonCode, Statistic};
use galen_types::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Any value of a closed vocabulary.
fn word<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    select(all)
}

/// A short list.
fn few<S: Strategy>(element: S) -> impl Strategy<Value = Vec<S::Value>> {
    vec(element, 0..4)
}

pub(crate) fn slug() -> impl Strategy<Value = Slug> {
    "[a-z0-9-]{1,63}".prop_map(|text| text.parse().expect("a slug"))
}

pub(crate) fn column() -> impl Strategy<Value = ColumnName> {
    "[A-Za-zé.\"'%]([A-Za-zé \"'.]{0,20}[A-Za-zé.])?".prop_map(|text| text.parse().expect("a column"))
}

pub(crate) fn account() -> impl Strategy<Value = AccountName> {
    (slug(), slug()).prop_map(|(account, member)| AccountName { account, member })
}

pub(crate) fn node() -> impl Strategy<Value = NodeName> {
    (slug(), slug()).prop_map(|(node, member)| NodeName { node, member })
}

pub(crate) fn dataset() -> impl Strategy<Value = DatasetName> {
    (slug(), slug()).prop_map(|(member, dataset)| DatasetName { member, dataset })
}

pub(crate) fn version() -> impl Strategy<Value = VersionName> {
    (dataset(), 1_u32..).prop_map(|(dataset, version)| VersionName { dataset, version })
}

pub(crate) fn signer() -> impl Strategy<Value = Signer> {
    prop_oneof![account().prop_map(Signer::Account), node().prop_map(Signer::Node)]
}

pub(crate) fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

pub(crate) fn time() -> impl Strategy<Value = Timestamp> {
    (0..253_402_300_800_000_u64).prop_map(Timestamp)
}

pub(crate) fn key() -> impl Strategy<Value = PublicKey> {
    any::<[u8; 32]>().prop_map(PublicKey::Ed25519)
}

pub(crate) fn signature() -> impl Strategy<Value = Signature> {
    (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(point, scalar)| {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&point);
        bytes[32..].copy_from_slice(&scalar);
        Signature::Ed25519(bytes)
    })
}

fn encryption_key() -> impl Strategy<Value = EncryptionKey> {
    any::<[u8; 32]>().prop_map(EncryptionKey)
}

fn new_account() -> impl Strategy<Value = NewAccount> {
    (slug(), key(), encryption_key(), few(word(Role::ALL)))
        .prop_map(|(account, key, encryption_key, roles)| NewAccount { account, key, encryption_key, roles })
}

pub(crate) fn parameters() -> impl Strategy<Value = Parameters> {
    let numbers = (any::<[u32; 9]>(), any::<[u64; 3]>(), any::<[u32; 4]>(), any::<[u32; 4]>());
    (numbers, option::of(slug())).prop_map(|((numbers, times, rest, counts), managing_agency)| Parameters {
        vote_threshold_percent: numbers[0],
        proposal_lifetime_ms: times[0],
        block_transactions_max: numbers[1],
        block_bytes_max: numbers[2],
        transaction_bytes_max: numbers[3],
        transaction_horizon_ms: times[1],
        refusals_per_minute_max: numbers[4],
        contract_rules_max: numbers[5],
        requests_open_max: numbers[6],
        voters_per_member_max: counts[0],
        nodes_per_member_max: counts[1],
        applications_open_max: counts[2],
        applications_per_sponsor_max: counts[3],
        key_reset_delay_ms: times[2],
        managing_agency,
        disclosure: Disclosure {
            rows_min: numbers[7],
            cell_min: numbers[8],
            parameters_percent_max: rest[0],
            levels_max: rest[1],
            levels_percent_max: rest[2],
            sites_min: rest[3],
        },
    })
}

fn change() -> impl Strategy<Value = ProposedChange> {
    prop_oneof![
        (slug(), word(ReasonCode::ALL)).prop_map(|(member, reason)| ProposedChange::SuspendMember { member, reason }),
        slug().prop_map(|member| ProposedChange::RestoreMember { member }),
        (parameters(), hash(), any::<u64>()).prop_map(|(parameters, based_on, effective_height)| {
            ProposedChange::SetParameters { parameters, based_on, effective_height }
        }),
        application().prop_map(|application| ProposedChange::AdmitMember { application: Box::new(application) }),
        (slug(), word(ReasonCode::ALL)).prop_map(|(member, reason)| ProposedChange::RemoveMember { member, reason }),
        (node(), word(NodeRole::ALL)).prop_map(|(node, role)| ProposedChange::SetNodeRole { node, role }),
        (node(), word(ReasonCode::ALL)).prop_map(|(node, reason)| ProposedChange::RemoveNode { node, reason }),
        (account(), key(), encryption_key()).prop_map(|(account, key, encryption_key)| {
            ProposedChange::ResetAdministrator { account, key, encryption_key }
        }),
    ]
}

fn address() -> impl Strategy<Value = NodeAddress> {
    (1_u16..).prop_map(|port| NodeAddress::parse(&format!("/ip4/127.0.0.1/tcp/{port}")).expect("an address"))
}

fn new_node() -> impl Strategy<Value = NewNode> {
    (slug(), key(), word(NodeRole::ALL), address()).prop_map(|(node, key, role, address)| NewNode {
        node,
        key,
        role,
        address,
    })
}

pub(crate) fn application() -> impl Strategy<Value = SignedApplication> {
    let about = (hash(), slug(), new_account(), new_node());
    (about, few(word(Offer::ALL)), hash(), time(), signature(), signature()).prop_map(
        |((genesis, member, administrator, node), offers, contacts, made, administrator_signature, node_signature)| {
            SignedApplication {
                application: Application { genesis, member, administrator, node, offers, contacts, made },
                administrator_signature,
                node_signature,
            }
        },
    )
}

pub(crate) fn recovery() -> impl Strategy<Value = SignedRecovery> {
    let part = (account(), signature()).prop_map(|(account, signature)| RecoverySignature { account, signature });
    let voter = (node(), key()).prop_map(|(node, key)| Voter { node, key });
    (hash(), hash(), any::<u64>(), hash(), time(), few(slug()), few(voter), few(part)).prop_map(
        |(genesis, lineage, height, header, made, abandoned, voters, signatures)| SignedRecovery {
            recovery: Recovery { genesis, lineage, height, header, made, abandoned, voters },
            signatures,
        },
    )
}

fn data_use() -> impl Strategy<Value = DataUse> {
    (word(DataUseTerm::ALL), option::of(slug())).prop_map(|(term, parameter)| DataUse { term, parameter })
}

fn content() -> impl Strategy<Value = VersionContent> {
    let column = (column(), word(ColumnKind::ALL)).prop_map(|(name, kind)| Column { name, kind });
    let hashes = (hash(), hash(), hash(), option::of(hash()));
    let numbers = any::<[u64; 3]>();
    (hashes, numbers, word(FileFormat::ALL), few(column), few(data_use())).prop_map(
        |(
            (commitment, ciphertext, ciphertext_sha256, card),
            [ciphertext_bytes, plaintext_bytes, rows],
            format,
            columns,
            data_use,
        )| {
            VersionContent {
                commitment,
                ciphertext,
                ciphertext_sha256,
                ciphertext_bytes,
                plaintext_bytes,
                format,
                rows,
                columns,
                data_use,
                card,
            }
        },
    )
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![dataset().prop_map(Scope::Dataset), slug().prop_map(Scope::Member)]
}

fn rule() -> impl Strategy<Value = Rule> {
    let who = (few(slug()), few(account()), few(word(Role::ALL)));
    let what =
        (few(word(Action::ALL)), few(word(Purpose::ALL)), few(data_use()), few(column()), few(word(Statistic::ALL)));
    let limits = (option::of(time()), option::of(time()), option::of(any::<u32>()), option::of(any::<u32>()));
    (slug(), word(Effect::ALL), who, what, limits).prop_map(
        |(name, effect, (members, accounts, roles), (actions, purposes, data_use, columns, statistics), limits)| Rule {
            name,
            effect,
            members,
            accounts,
            roles,
            actions,
            purposes,
            data_use,
            columns,
            statistics,
            not_before: limits.0,
            not_after: limits.1,
            cohort_min: limits.2,
            uses_max: limits.3,
        },
    )
}

fn terms() -> impl Strategy<Value = AccessTerms> {
    (word(Action::ALL), word(Purpose::ALL), few(column()), few(word(Statistic::ALL)), few(data_use())).prop_map(
        |(action, purpose, columns, statistics, data_use)| AccessTerms {
            action,
            purpose,
            columns,
            statistics,
            data_use,
        },
    )
}

fn limits() -> impl Strategy<Value = GrantLimits> {
    (option::of(time()), option::of(any::<u32>()), option::of(any::<u32>()))
        .prop_map(|(expires, uses_max, cohort_min)| GrantLimits { expires, uses_max, cohort_min })
}

fn specification() -> impl Strategy<Value = JobSpecification> {
    let columns = (few(column()), option::of(column()), few(column()));
    (few(dataset()), few(word(Statistic::ALL)), columns, option::of(hash()), word(Purpose::ALL), few(data_use()))
        .prop_map(|(datasets, statistics, (columns, by, filter_columns), filter, purpose, data_use)| JobSpecification {
            datasets,
            statistics,
            columns,
            by,
            filter_columns,
            filter,
            purpose,
            data_use,
        })
}

fn answer() -> impl Strategy<Value = SiteAnswer> {
    let given = prop_oneof![
        hash().prop_map(|digest| SiteGiven::Summary { digest }),
        slug().prop_map(|rule| SiteGiven::Refused { rule }),
    ];
    (dataset(), given).prop_map(|(dataset, given)| SiteAnswer { dataset, given })
}

fn site() -> impl Strategy<Value = SiteOutcome> {
    (dataset(), option::of(slug())).prop_map(|(dataset, refused)| SiteOutcome { dataset, refused })
}

pub(crate) fn call() -> impl Strategy<Value = Call> {
    prop_oneof![member_call(), node_call(), dataset_call(), access_call(), job_call()]
}

fn member_call() -> impl Strategy<Value = Call> {
    let reason = || word(ReasonCode::ALL);
    prop_oneof![
        new_account().prop_map(Call::AddAccount),
        (account(), reason()).prop_map(|(account, reason)| Call::SuspendAccount { account, reason }),
        account().prop_map(|account| Call::RestoreAccount { account }),
        (account(), few(word(Role::ALL))).prop_map(|(account, roles)| Call::SetAccountRoles { account, roles }),
        (account(), key(), encryption_key()).prop_map(|(account, key, encryption_key)| Call::RotateAccountKey {
            account,
            key,
            encryption_key
        }),
        change().prop_map(Call::Propose),
        (hash(), word(Ballot::ALL), option::of(reason())).prop_map(|(proposal, ballot, reason)| Call::Vote {
            proposal: ProposalId(proposal),
            ballot,
            reason
        }),
    ]
}

fn node_call() -> impl Strategy<Value = Call> {
    let reason = || word(ReasonCode::ALL);
    prop_oneof![
        application().prop_map(|application| Call::Apply { application: Box::new(application) }),
        reason().prop_map(|reason| Call::Leave { reason }),
        hash().prop_map(|proposal| Call::ObjectToReset { proposal: ProposalId(proposal) }),
        (hash(), signature())
            .prop_map(|(proposal, signature)| Call::WithdrawApplication { proposal: ProposalId(proposal), signature }),
        new_node().prop_map(Call::AddNode),
        (node(), reason()).prop_map(|(node, reason)| Call::RemoveNode { node, reason }),
        node().prop_map(|node| Call::DemoteNode { node }),
        (node(), address()).prop_map(|(node, address)| Call::SetNodeAddress { node, address }),
        (node(), key()).prop_map(|(node, key)| Call::RotateNodeKey { node, key }),
        any::<u64>().prop_map(|replaces| Call::StartOrdering { replaces }),
        any::<u64>().prop_map(|raft_id| Call::JoinVoters { raft_id }),
        recovery().prop_map(|recovery| Call::Recover { recovery: Box::new(recovery) }),
    ]
}

fn dataset_call() -> impl Strategy<Value = Call> {
    prop_oneof![
        (slug(), content(), any::<bool>()).prop_map(|(dataset, content, discoverable)| Call::PublishDataset {
            dataset,
            content,
            discoverable
        }),
        (dataset(), any::<u32>(), content()).prop_map(|(dataset, previous, content)| Call::UpdateDataset {
            dataset,
            previous,
            content
        }),
        (dataset(), option::of(any::<u32>()), word(ReasonCode::ALL))
            .prop_map(|(dataset, version, reason)| Call::WithdrawDataset { dataset, version, reason }),
        version().prop_map(|version| Call::ReportTampering { version }),
    ]
}

fn access_call() -> impl Strategy<Value = Call> {
    let request = || hash().prop_map(RequestId);
    let reason = || word(ReasonCode::ALL);
    prop_oneof![
        (scope(), any::<u32>(), few(rule())).prop_map(|(scope, previous, rules)| Call::SetContract {
            scope,
            previous,
            rules
        }),
        (dataset(), terms(), any::<bool>()).prop_map(|(dataset, terms, draft)| Call::RequestAccess {
            dataset,
            terms,
            draft
        }),
        (request(), terms()).prop_map(|(request, terms)| Call::ReviseRequest { request, terms }),
        (request(), limits()).prop_map(|(request, limits)| Call::ApproveRequest { request, limits }),
        (request(), reason()).prop_map(|(request, reason)| Call::RejectRequest { request, reason }),
        (request(), reason()).prop_map(|(request, reason)| Call::ReturnRequest { request, reason }),
        request().prop_map(|request| Call::CloseRequest { request }),
        (hash(), reason()).prop_map(|(grant, reason)| Call::RevokeGrant { grant: GrantId(grant), reason }),
        (version(), word(Purpose::ALL)).prop_map(|(version, purpose)| Call::Download { version, purpose }),
    ]
}

fn job_call() -> impl Strategy<Value = Call> {
    let job = || hash().prop_map(JobId);
    prop_oneof![
        specification().prop_map(Call::SubmitJob),
        (job(), answer()).prop_map(|(job, answer)| Call::AnswerJob { job, answer }),
        (job(), hash(), few(site()), any::<bool>()).prop_map(|(job, result, sites, summaries_deleted)| {
            Call::FinishJob { job, result, sites, summaries_deleted }
        }),
        (job(), word(JobFailure::ALL), few(site())).prop_map(|(job, failure, sites)| Call::FailJob {
            job,
            failure,
            sites
        }),
        job().prop_map(|job| Call::ReadResult { job }),
    ]
}

pub(crate) fn body() -> impl Strategy<Value = TransactionBody> {
    (hash(), signer(), any::<[u8; 16]>(), time(), call())
        .prop_map(|(chain, signer, salt, valid_until, call)| TransactionBody { chain, signer, salt, valid_until, call })
}

pub(crate) fn secret_key() -> impl Strategy<Value = SecretKey> {
    any::<[u8; 32]>().prop_map(|seed| SecretKey::from_seed(&seed))
}

pub(crate) fn signed() -> impl Strategy<Value = SignedTransaction> {
    (body(), secret_key()).prop_map(|(body, key)| body.sign(&key))
}

pub(crate) fn header() -> impl Strategy<Value = BlockHeader> {
    let roots = (hash(), hash(), hash(), hash());
    let numbers = (any::<[u64; 4]>(), any::<u32>());
    ((hash(), slug(), hash()), time(), (hash(), hash()), node(), numbers, roots).prop_map(
        |((genesis, chain, parent), time, (voter_set, next_voter_set), proposer, (numbers, rules_version), roots)| {
            BlockHeader {
                genesis,
                chain,
                height: numbers[0],
                parent,
                time,
                epoch: numbers[1],
                voter_set,
                next_voter_set,
                rules_version,
                proposer,
                raft_term: numbers[2],
                raft_index: numbers[3],
                transactions_root: roots.0,
                receipts_root: roots.1,
                history_root: roots.2,
                state_root: roots.3,
            }
        },
    )
}

fn transactions() -> impl Strategy<Value = Vec<Vec<u8>>> {
    few(vec(any::<u8>(), 0..64))
}

pub(crate) fn block() -> impl Strategy<Value = Block> {
    (header(), transactions()).prop_map(|(header, transactions)| Block { header, transactions })
}

pub(crate) fn batch() -> impl Strategy<Value = Batch> {
    (time(), node(), transactions()).prop_map(|(proposed, proposer, transactions)| Batch {
        proposed,
        proposer,
        transactions,
    })
}

pub(crate) fn header_signature() -> impl Strategy<Value = HeaderSignature> {
    (any::<u64>(), hash(), node(), signature()).prop_map(|(height, header, voter, signature)| HeaderSignature {
        height,
        header,
        voter,
        signature,
    })
}

pub(crate) fn certificate() -> impl Strategy<Value = Certificate> {
    let part = (node(), signature()).prop_map(|(voter, signature)| VoterSignature { voter, signature });
    (any::<u64>(), hash(), few(part)).prop_map(|(height, header, signatures)| Certificate {
        height,
        header,
        signatures,
    })
}

pub(crate) fn voter_set() -> impl Strategy<Value = VoterSet> {
    let voter = (node(), key()).prop_map(|(node, key)| Voter { node, key });
    (any::<u64>(), hash(), few(voter)).prop_map(|(epoch, lineage, voters)| VoterSet::new(epoch, lineage, voters))
}

pub(crate) fn decision() -> impl Strategy<Value = Decision> {
    let basis = prop_oneof![
        Just(Basis::OwnData),
        hash().prop_map(|grant| Basis::Grant { grant: GrantId(grant) }),
        (scope(), any::<u32>(), any::<u32>(), slug()).prop_map(|(scope, contract_version, index, rule)| {
            Basis::Rule { scope, contract_version, index, rule }
        }),
        Just(Basis::NothingPermits),
    ];
    (word(Effect::ALL), basis).prop_map(|(effect, basis)| Decision { effect, basis })
}

fn event() -> impl Strategy<Value = Event> {
    let about = (option::of(dataset()), option::of(any::<u32>()), option::of(hash()));
    let part = (option::of(slug()), option::of(account()), option::of(node()));
    let access = (option::of(word(Action::ALL)), option::of(word(Purpose::ALL)), option::of(word(ReasonCode::ALL)));
    (word(Operation::ALL), signer(), about, part, access, option::of(decision()), option::of(slug())).prop_map(
        |(
            operation,
            operator,
            (dataset, version, subject),
            (member, account, node),
            (action, purpose, reason),
            decision,
            rule,
        )| Event {
            operation,
            operator,
            dataset,
            version,
            member,
            account,
            node,
            subject,
            action,
            purpose,
            reason,
            decision,
            rule,
        },
    )
}

pub(crate) fn receipt() -> impl Strategy<Value = Receipt> {
    let outcome = prop_oneof![
        Just(Outcome::Applied),
        (slug(), "[ -~]{0,80}").prop_map(|(rule, explanation)| Outcome::Refused { rule, explanation }),
    ];
    (hash(), outcome, few(event()), hash()).prop_map(|(transaction, outcome, events, write_set)| Receipt {
        transaction: TransactionId(transaction),
        outcome,
        events,
        write_set,
    })
}

pub(crate) fn genesis() -> impl Strategy<Value = Genesis> {
    let node = (slug(), key(), word(NodeRole::ALL), address()).prop_map(|(node, key, role, address)| FoundingNode {
        node,
        key,
        role,
        address,
    });
    let founder =
        (slug(), few(new_account()), few(node)).prop_map(|(name, accounts, nodes)| Founder { name, accounts, nodes });
    (slug(), time(), any::<u32>(), any::<u8>(), parameters(), few(founder)).prop_map(
        |(chain, founded, rules_version, state_bucket_bits, parameters, members)| Genesis {
            chain,
            founded,
            rules_version,
            state_bucket_bits,
            parameters,
            members,
        },
    )
}
