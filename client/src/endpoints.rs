//! The node's read endpoints, one method each. Ids may be given as unique prefixes of at least 8 hexadecimal digits
//! where a parameter is `impl Display`.

use std::fmt::Display;

use galen_types::access::{Contract, Grant, Request};
use galen_types::api::{
    AuditEntry, AuditQuery, BlockDetail, BlockSummary, ChainStatus, ContractSet, DatasetDetail, DatasetSearch,
    DatasetSummary, DownloadTicket, FileVerification, JobDetail, NodeDetail, NodeStatus, Page, PeerStatus,
};
use galen_types::job::{Job, JobState};
use galen_types::member::{Account, Member};
use galen_types::proposal::Proposal;
use galen_types::{AccountName, DatasetName, Genesis, MemberName, NodeName, Parameters, TransactionId};
use reqwest::Method;

use crate::client::Client;
use crate::error::ClientError;
use crate::page::Paging;
use crate::transport::{Outgoing, Signing};

type Answer<T> = Result<T, ClientError>;

fn text(value: Option<&impl Display>) -> Option<String> {
    value.map(ToString::to_string)
}

/// Whether blocks are listed from the newest or the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockOrder {
    /// Newest first.
    Descending,
    /// Oldest first.
    Ascending,
}

/// What [`Client::requests`] looks for; all given parts must match.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// Only about this dataset.
    pub dataset: Option<DatasetName>,
    /// Only by this account.
    pub applicant: Option<AccountName>,
    /// Only in this state.
    pub state: Option<galen_types::access::RequestState>,
}

/// What [`Client::jobs`] looks for; all given parts must match.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only by this account.
    pub submitter: Option<AccountName>,
    /// Only in this state.
    pub state: Option<JobState>,
}

#[expect(clippy::missing_errors_doc, reason = "all fail alike: see ClientError")]
impl Client {
    /// Whether the node accepts transactions now; an error says why not.
    pub async fn ready(&self) -> Answer<()> {
        let mut outgoing = Outgoing::get(self.url(&["readyz"], &[]), Signing::Open);
        outgoing.timeout = Some(self.timeouts().request);
        self.exchange(outgoing).await.map(drop).map_err(|failure| failure.error)
    }

    /// The node, how far its chain has come, and how it takes part in ordering.
    pub async fn node_status(&self) -> Answer<NodeStatus> {
        self.get(Signing::Open, &["v1", "chain"], &[]).await
    }

    /// The node and how far its chain has come.
    pub async fn chain(&self) -> Answer<ChainStatus> {
        self.get(Signing::Open, &["v1", "chain"], &[]).await
    }

    /// The node and how far its own chain has come, whatever the client's consistency.
    pub(crate) async fn chain_here(&self) -> Answer<ChainStatus> {
        self.get_here(Signing::Open, &["v1", "chain"], &[]).await
    }

    /// The founding document.
    pub async fn genesis(&self) -> Answer<Genesis> {
        self.get_here(Signing::Open, &["v1", "genesis"], &[]).await
    }

    /// Blocks, a page of them.
    pub async fn blocks(&self, order: BlockOrder, paging: Paging) -> Answer<Page<BlockSummary>> {
        let order = match order {
            BlockOrder::Descending => "desc",
            BlockOrder::Ascending => "asc",
        };
        let [start_after, limit] = paging.query();
        let query = [("order", Some(order.to_owned())), start_after, limit];
        self.get(Signing::Required, &["v1", "blocks"], &query).await
    }

    /// One block.
    pub async fn block(&self, height: u64) -> Answer<BlockDetail> {
        self.get(Signing::Required, &["v1", "blocks", &height.to_string()], &[]).await
    }

    /// The members.
    pub async fn members(&self, paging: Paging) -> Answer<Page<Member>> {
        self.get(Signing::Required, &["v1", "members"], &paging.query()).await
    }

    /// One member.
    pub async fn member(&self, member: &MemberName) -> Answer<Member> {
        self.get(Signing::Required, &["v1", "members", member.as_str()], &[]).await
    }

    /// Accounts, of one member or of all that may be seen.
    pub async fn accounts(&self, member: Option<&MemberName>, paging: Paging) -> Answer<Page<Account>> {
        let [start_after, limit] = paging.query();
        self.get(Signing::Required, &["v1", "accounts"], &[("member", text(member)), start_after, limit]).await
    }

    /// One account.
    pub async fn account_record(&self, account: &AccountName) -> Answer<Account> {
        self.get(Signing::Required, &["v1", "accounts", &account.to_string()], &[]).await
    }

    /// The registered nodes, of one member or of all.
    pub async fn nodes(&self, member: Option<&MemberName>, paging: Paging) -> Answer<Page<NodeDetail>> {
        let [start_after, limit] = paging.query();
        self.get(Signing::Required, &["v1", "nodes"], &[("member", text(member)), start_after, limit]).await
    }

    /// One registered node.
    pub async fn node(&self, node: &NodeName) -> Answer<NodeDetail> {
        self.get(Signing::Required, &["v1", "nodes", &node.to_string()], &[]).await
    }

    /// The node's peers.
    pub async fn peers(&self) -> Answer<Vec<PeerStatus>> {
        self.get_here(Signing::Required, &["v1", "peers"], &[]).await
    }

    /// Proposals that members vote on.
    pub async fn proposals(&self, paging: Paging) -> Answer<Page<Proposal>> {
        self.get(Signing::Required, &["v1", "proposals"], &paging.query()).await
    }

    /// One proposal.
    pub async fn proposal(&self, id: impl Display) -> Answer<Proposal> {
        self.get(Signing::Required, &["v1", "proposals", &id.to_string()], &[]).await
    }

    /// The chain's parameters in force.
    pub async fn parameters(&self) -> Answer<Parameters> {
        self.get(Signing::Required, &["v1", "parameters"], &[]).await
    }

    /// Datasets that the account may discover.
    pub async fn datasets(&self, search: DatasetSearch) -> Answer<Page<DatasetSummary>> {
        let query = [
            ("text", search.text),
            ("member", search.member),
            ("column", search.column),
            ("data_use", search.data_use),
            ("start_after", search.start_after),
            ("limit", text(search.limit.as_ref())),
        ];
        self.get(Signing::Required, &["v1", "datasets"], &query).await
    }

    /// One dataset with all its versions.
    pub async fn dataset(&self, name: &DatasetName) -> Answer<DatasetDetail> {
        self.get(Signing::Required, &["v1", "datasets", name.member.as_str(), name.dataset.as_str()], &[]).await
    }

    /// What was ever done with a dataset.
    pub async fn dataset_history(&self, name: &DatasetName, paging: Paging) -> Answer<Page<AuditEntry>> {
        let segments = ["v1", "datasets", name.member.as_str(), name.dataset.as_str(), "history"];
        self.get(Signing::Required, &segments, &paging.query()).await
    }

    /// Has the node compare the stored files of a dataset of its own member with the chain. Takes as long as reading
    /// them does.
    pub async fn verify_dataset(&self, name: &DatasetName) -> Answer<FileVerification> {
        let segments = ["v1", "datasets", name.member.as_str(), name.dataset.as_str(), "verify"];
        let outgoing =
            Outgoing::new(Method::POST, self.url(&segments, &[]), Signing::Required, crate::transport::Content::Empty);
        self.exchange_json(outgoing).await.map_err(|failure| failure.error)
    }

    /// What governs access to a dataset.
    pub async fn contracts(&self, name: &DatasetName) -> Answer<ContractSet> {
        self.get(Signing::Required, &["v1", "contracts", name.member.as_str(), name.dataset.as_str()], &[]).await
    }

    /// The contract over all datasets of a member.
    pub async fn member_contract(&self, member: &MemberName) -> Answer<Contract> {
        self.get(Signing::Required, &["v1", "contracts", member.as_str()], &[]).await
    }

    /// Requests for access that the account may see.
    pub async fn requests(&self, filter: &RequestFilter, paging: Paging) -> Answer<Page<Request>> {
        let [start_after, limit] = paging.query();
        let query = [
            ("dataset", text(filter.dataset.as_ref())),
            ("applicant", text(filter.applicant.as_ref())),
            ("state", text(filter.state.as_ref())),
            start_after,
            limit,
        ];
        self.get(Signing::Required, &["v1", "requests"], &query).await
    }

    /// One request.
    pub async fn request(&self, id: impl Display) -> Answer<Request> {
        self.get(Signing::Required, &["v1", "requests", &id.to_string()], &[]).await
    }

    /// Grants that the account may see.
    pub async fn grants(
        &self,
        dataset: Option<&DatasetName>,
        grantee: Option<&AccountName>,
        paging: Paging,
    ) -> Answer<Page<Grant>> {
        let [start_after, limit] = paging.query();
        let query = [("dataset", text(dataset)), ("grantee", text(grantee)), start_after, limit];
        self.get(Signing::Required, &["v1", "grants"], &query).await
    }

    /// One grant.
    pub async fn grant(&self, id: impl Display) -> Answer<Grant> {
        self.get(Signing::Required, &["v1", "grants", &id.to_string()], &[]).await
    }

    /// Jobs that the account may see.
    pub async fn jobs(&self, filter: &JobFilter, paging: Paging) -> Answer<Page<Job>> {
        let [start_after, limit] = paging.query();
        let query = [
            ("submitter", text(filter.submitter.as_ref())),
            ("state", text(filter.state.as_ref())),
            start_after,
            limit,
        ];
        self.get(Signing::Required, &["v1", "jobs"], &query).await
    }

    /// One job.
    pub async fn job(&self, id: impl Display) -> Answer<JobDetail> {
        self.get(Signing::Required, &["v1", "jobs", &id.to_string()], &[]).await
    }

    /// What a certified download receipt releases, asked for once.
    pub async fn download_ticket(&self, receipt: &TransactionId) -> Answer<DownloadTicket> {
        self.get_here(Signing::Required, &["v1", "downloads", &receipt.to_string()], &[]).await
    }

    /// Who did what: the audit trail, as far as the account may see it.
    pub async fn audit(&self, query: AuditQuery) -> Answer<Page<AuditEntry>> {
        let query = [
            ("dataset", query.dataset),
            ("account", query.account),
            ("member", query.member),
            ("since", text(query.since.as_ref())),
            ("until", text(query.until.as_ref())),
            ("start_after", query.start_after),
            ("limit", text(query.limit.as_ref())),
        ];
        self.get(Signing::Required, &["v1", "audit"], &query).await
    }
}
