//! `galen access`: requests for access, and grants.

use clap::{Args, Subcommand};
use galen_client::{Client, ClientError, RequestFilter, Wait};
use galen_types::access::{AccessTerms, Grant, GrantLimits, Request, RequestState};
use galen_types::vocabulary::{Action, DataUse, Purpose, ReasonCode, Statistic};
use galen_types::{AccountName, Call, ColumnName, DatasetName, GrantId, Timestamp};
use serde::Serialize;

use crate::arguments::Global;
use crate::command::{LIST_ITEMS, first_items, recorded};
use crate::error::CliError;
use crate::identifier::IdentifierPrefix;
use crate::output::Output;
use crate::session;
use crate::table::{Table, fields, joined, or_dash, short, time};
use crate::terms::{data_use, data_use_text, sorted};
use crate::time_text::Future;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask for access to a dataset
    Request {
        /// Which, e.g. harlem/opt
        dataset: DatasetName,
        #[command(flatten)]
        terms: Terms,
        /// Keep it as a draft; submit it later with `galen access revise`
        #[arg(long)]
        draft: bool,
    },
    /// List the requests that you may see
    List {
        /// Only for this dataset
        #[arg(long)]
        dataset: Option<DatasetName>,
        /// Only by this account
        #[arg(long, value_name = "ACCOUNT")]
        applicant: Option<AccountName>,
        /// Only in this state: draft, submitted, returned, approved, rejected, revoked, expired, closed
        #[arg(long)]
        state: Option<RequestState>,
        /// Most requests
        #[arg(long, default_value_t = LIST_ITEMS)]
        limit: usize,
    },
    /// Show a request and its grant
    Show {
        /// Its id or the id's first digits
        request: IdentifierPrefix,
    },
    /// Approve a request for your member's data
    Approve {
        /// Its id or the id's first digits
        request: IdentifierPrefix,
        /// When the grant ends, e.g. 90d or 2027-01-01
        #[arg(long, value_name = "TIME")]
        expires: Option<Future>,
        /// How often the grant may be used
        #[arg(long, value_name = "N")]
        uses: Option<u32>,
        /// Smallest cohort that may be answered
        #[arg(long, value_name = "ROWS")]
        cohort_min: Option<u32>,
    },
    /// Reject a request for your member's data
    Reject {
        /// Its id or the id's first digits
        request: IdentifierPrefix,
        /// Why, as a code
        #[arg(long)]
        reason: ReasonCode,
    },
    /// Send a request back to be amended
    Return {
        /// Its id or the id's first digits
        request: IdentifierPrefix,
        /// Why, as a code
        #[arg(long)]
        reason: ReasonCode,
    },
    /// Amend your own draft or returned request, and submit it
    Revise {
        /// Its id or the id's first digits
        request: IdentifierPrefix,
        #[command(flatten)]
        terms: Terms,
    },
    /// Withdraw your own request
    Close {
        /// Its id or the id's first digits
        request: IdentifierPrefix,
    },
    /// List the grants that you may see
    Grants {
        /// Only for this dataset
        #[arg(long)]
        dataset: Option<DatasetName>,
        /// Only to this account
        #[arg(long, value_name = "ACCOUNT")]
        grantee: Option<AccountName>,
        /// Most grants
        #[arg(long, default_value_t = LIST_ITEMS)]
        limit: usize,
    },
    /// Revoke a grant; holds from the next block
    Revoke {
        /// The grant's or its request's id, or the id's first digits
        grant: IdentifierPrefix,
        /// Why, as a code
        #[arg(long)]
        reason: ReasonCode,
    },
}

/// What access is for.
#[derive(Debug, Args)]
pub(crate) struct Terms {
    /// discover, compute or download
    #[arg(long)]
    action: Action,
    /// Why: TREAT, ETREAT, HRESCH, CLINTRCH, PUBHLTH, HOPERAT, HPAYMT, PATRQT, BTG
    #[arg(long)]
    purpose: Purpose,
    /// A column that is read; all where none is given
    #[arg(long = "column", value_name = "COLUMN")]
    columns: Vec<ColumnName>,
    /// Statistics that are computed; all where none is given
    #[arg(long = "stat", value_name = "STATISTIC", value_delimiter = ',')]
    statistics: Vec<Statistic>,
    /// A DUO condition that you affirm, e.g. IRB
    #[arg(long = "duo", value_name = "TERM", value_parser = data_use)]
    data_use: Vec<DataUse>,
}

impl Terms {
    fn into_terms(self) -> AccessTerms {
        AccessTerms {
            action: self.action,
            purpose: self.purpose,
            columns: sorted(self.columns),
            statistics: sorted(self.statistics),
            data_use: sorted(self.data_use),
        }
    }
}

/// A request with its grant.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    request: Request,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_record: Option<Grant>,
}

pub(crate) async fn run(command: Command, global: &Global, output: Output) -> Result<(), CliError> {
    let (client, _) = session::client(global)?;
    let (call, done) = match command {
        Command::List { dataset, applicant, state, limit } => {
            let filter = RequestFilter { dataset, applicant, state };
            let requests = first_items(limit, output, |paging| client.requests(&filter, paging)).await?;
            return output.list(&requests, "there are no such requests that you may see", request_table);
        }
        Command::Grants { dataset, grantee, limit } => {
            let fetch = |paging| client.grants(dataset.as_ref(), grantee.as_ref(), paging);
            let grants = first_items(limit, output, fetch).await?;
            return output.list(&grants, "there are no such grants that you may see", grant_table);
        }
        Command::Show { request } => {
            let request = client.request(&request).await?;
            let grant_record = match request.grant {
                Some(grant) => Some(client.grant(grant).await?),
                None => None,
            };
            let shown = Shown { request, grant_record };
            return output.document(&shown, || human(&shown));
        }
        Command::Request { dataset, terms, draft } => {
            let state = if draft { "drafted" } else { "submitted" };
            let call = Call::RequestAccess { dataset, terms: terms.into_terms(), draft };
            let status = client.apply(call, Wait::Committed).await?;
            return recorded(output, &status, &format!("request {} {state}", status.id));
        }
        Command::Approve { request, expires, uses, cohort_min } => {
            let request = client.request(&request).await?.id;
            let expires = expires.map(|expires| expires.relative_to(Timestamp::now()));
            let call = Call::ApproveRequest { request, limits: GrantLimits { expires, uses_max: uses, cohort_min } };
            let status = client.apply(call, Wait::Committed).await?;
            return recorded(output, &status, &format!("request {request} approved by grant {}", status.id));
        }
        Command::Reject { request, reason } => {
            let request = client.request(&request).await?.id;
            (Call::RejectRequest { request, reason }, format!("request {request} rejected: {reason}"))
        }
        Command::Return { request, reason } => {
            let request = client.request(&request).await?.id;
            (Call::ReturnRequest { request, reason }, format!("request {request} returned: {reason}"))
        }
        Command::Revise { request, terms } => {
            let request = client.request(&request).await?.id;
            (Call::ReviseRequest { request, terms: terms.into_terms() }, format!("request {request} submitted"))
        }
        Command::Close { request } => {
            let request = client.request(&request).await?.id;
            (Call::CloseRequest { request }, format!("request {request} closed"))
        }
        Command::Revoke { grant, reason } => {
            let grant = grant_of(&client, &grant).await?;
            (Call::RevokeGrant { grant, reason }, format!("grant {grant} revoked: {reason}"))
        }
    };
    recorded(output, &client.apply(call, Wait::Committed).await?, &done)
}

/// The grant of an id, or of the request of that id.
async fn grant_of(client: &Client, id: &IdentifierPrefix) -> Result<GrantId, CliError> {
    match client.grant(id).await {
        Ok(grant) => return Ok(grant.id),
        Err(ClientError::Problem(problem)) if problem.status == 404 => {}
        Err(error) => return Err(error.into()),
    }
    let request = client.request(id).await?;
    request
        .grant
        .ok_or_else(|| CliError::failed(format!("request {} has no grant: it is {}", request.id, request.state)))
}

fn request_table(requests: &[Request]) -> Table {
    let mut table = Table::new(&["request", "state", "dataset", "applicant", "action", "purpose", "changed", "reason"]);
    for request in requests {
        table.row([
            short(&request.id),
            request.state.to_string(),
            request.dataset.to_string(),
            request.applicant.to_string(),
            request.terms.action.to_string(),
            request.terms.purpose.to_string(),
            time(request.changed),
            or_dash(request.reason),
        ]);
    }
    table
}

fn grant_table(grants: &[Grant]) -> Table {
    let mut table = Table::new(&["grant", "dataset", "grantee", "action", "purpose", ">uses", "expires", "revoked"]);
    for grant in grants {
        table.row([
            short(&grant.id),
            grant.dataset.to_string(),
            grant.grantee.to_string(),
            grant.terms.action.to_string(),
            grant.terms.purpose.to_string(),
            uses(grant),
            grant.limits.expires.map_or_else(|| "never".to_owned(), time),
            or_dash(grant.revoked),
        ]);
    }
    table
}

fn uses(grant: &Grant) -> String {
    match grant.limits.uses_max {
        Some(most) => format!("{} of {most}", grant.uses),
        None => grant.uses.to_string(),
    }
}

fn human(shown: &Shown) -> String {
    let Shown { request, grant_record } = shown;
    let terms = &request.terms;
    let all = |text: String| if text == "-" { "all".to_owned() } else { text };
    let mut text = fields(&[
        ("request", Some(request.id.to_string())),
        ("dataset", Some(request.dataset.to_string())),
        ("applicant", Some(request.applicant.to_string())),
        ("state", Some(request.state.to_string())),
        ("reason", request.reason.map(|reason| reason.to_string())),
        ("action", Some(terms.action.to_string())),
        ("purpose", Some(terms.purpose.to_string())),
        ("columns", Some(all(joined(&terms.columns)))),
        ("statistics", (terms.action == Action::Compute).then(|| all(joined(&terms.statistics)))),
        ("affirmed", Some(joined(terms.data_use.iter().map(data_use_text)))),
        ("filed", Some(time(request.filed))),
        ("changed", Some(time(request.changed))),
    ]);
    if let Some(grant) = grant_record {
        text.push('\n');
        text.push_str(&fields(&[
            ("grant", Some(grant.id.to_string())),
            ("given", Some(format!("{} by {}", time(grant.asserted), grant.by))),
            ("expires", Some(grant.limits.expires.map_or_else(|| "never".to_owned(), time))),
            ("uses", Some(uses(grant))),
            ("cohort", grant.limits.cohort_min.map(|rows| format!("at least {rows} rows"))),
            ("revoked", grant.revoked.map(|reason| reason.to_string())),
        ]));
    }
    text
}
