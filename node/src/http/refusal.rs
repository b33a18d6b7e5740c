//! Everything that the HTTP face itself refuses: one variant a rule, each with its status, stable code and hint. What a
//! service refuses comes through as [`ServiceError`].

use std::time::Duration;

use galen_contracts::StateError;
use galen_types::api::Problem;

use super::services::ServiceError;

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    // --- routing
    #[error("nothing is served at this path")]
    UnknownPath,
    #[error("this path is not served with that method; allowed: {allowed}")]
    MethodNotAllowed { allowed: String },

    // --- the request's form
    #[error("the path with its query has {bytes} bytes; at most {limit} are accepted")]
    TargetTooLong { bytes: usize, limit: usize },
    #[error("the request's head is not well-formed HTTP/1.1")]
    HeadMalformed,
    #[error("the request's header fields are too many or too long")]
    HeadTooLarge,
    #[error("the request's head did not arrive within {} s", .0.as_secs())]
    HeadSlow(Duration),
    #[error("the query is malformed: {0}")]
    QueryMalformed(&'static str),
    #[error("the query parameter `{name}` is unknown here; known: {known}")]
    ParameterUnknown { name: String, known: String },
    #[error("the query parameter `{0}` is given twice")]
    ParameterRepeated(String),
    #[error("the query parameter `{0}` is missing")]
    ParameterMissing(&'static str),
    #[error("`{name}` is not acceptable: {problem}")]
    ParameterInvalid { name: &'static str, problem: String },
    #[error("the content type must be `{0}`")]
    ContentType(&'static str),
    #[error("the body is larger than the {limit} bytes accepted here")]
    BodyTooLarge { limit: u64 },
    #[error("the body did not arrive in time")]
    BodySlow,
    #[error("the body ended early or was malformed")]
    BodyBroken,
    #[error("the body has {got} bytes, not the {announced} announced")]
    BodyLength { announced: u64, got: u64 },
    #[error("the JSON body is malformed: {0}")]
    JsonMalformed(String),
    #[error("the body is malformed: {0}")]
    BodyMalformed(String),
    #[error("the range is malformed or lies outside the {bytes} bytes")]
    RangeInvalid { bytes: u64 },

    // --- who asks
    #[error("this needs a request signed by an account")]
    AuthenticationMissing,
    #[error("{0}")]
    AuthenticationMalformed(String),
    #[error("the request's time {0}")]
    RequestStale(&'static str),
    #[error("this request was already made: its nonce is used")]
    RequestReplayed,
    #[error("the account is unknown, or the signature does not verify under its key")]
    AuthenticationFailed,
    #[error("the account, or its member, is suspended or has left")]
    AccountNotActive,
    #[error("this needs the role {0}")]
    RoleMissing(String),
    #[error("this node serves {0}; ask the node of the owner's member")]
    WrongMember(String),
    #[error("too many failed authentications from this address")]
    TooManyFailures,
    #[error("too many requests by this account")]
    TooManyRequests,
    #[error("too many {0} from this address, or from all together")]
    TooOften(&'static str),
    #[error("too many {0} at this time")]
    TooManyAtOnce(&'static str),

    // --- what is asked for
    #[error("there is no such {0}, or it is not for this account to see")]
    NotFound(&'static str),
    #[error("`{prefix}` begins the identifiers of several {what}s")]
    Ambiguous { what: &'static str, prefix: String },
    #[error("the receipt is not certified yet")]
    NotCertified,
    #[error("the chain refused it: {rule}: {explanation}")]
    ReceiptRefused { rule: String, explanation: String },

    // --- membership
    #[error("the application is for the chain {given}; this node is of {own}")]
    ApplicationForAnotherChain { given: String, own: String },
    #[error("this node brings applications of those whom its member invited, and this one has no invitation in force")]
    NotInvited,
    #[error("the application is not signed by both keys that it names")]
    ApplicationBadSignature,
    #[error("the withdrawal is not signed by the administrator whom the application names")]
    WithdrawalBadSignature,
    #[error("the application is {state}; only an open one can be taken back")]
    ApplicationDecided { state: String },
    #[error("the contacts are not those that the application's commitment stands for")]
    ContactsDiffer,
    #[error("the contacts have {bytes} bytes; at most {limit} are taken")]
    ContactsTooLong { bytes: usize, limit: usize },
    #[error("the application would be refused: {rule}: {explanation}")]
    ApplicationRefused { rule: String, explanation: String },
    #[error("this node does not know under which address others reach it")]
    AddressUnknown,
    #[error(
        "of the {voters} voters that would remain, {connected} are connected to this node, and {needed} are needed; \
         missing: {missing}"
    )]
    QuorumWouldBeLost { voters: usize, connected: usize, needed: usize, missing: String },

    // --- the node
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("the node could not answer; its log says why")]
    Internal,
}

impl Refusal {
    /// HTTP status, stable code, title of the kind.
    fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::UnknownPath => (404, "path-unknown", "unknown path"),
            Self::MethodNotAllowed { .. } => (405, "method-not-allowed", "method not allowed"),
            Self::TargetTooLong { .. } => (414, "path-too-long", "path too long"),
            Self::HeadMalformed => (400, "head-malformed", "malformed request"),
            Self::HeadTooLarge => (431, "head-too-large", "request head too large"),
            Self::HeadSlow(_) => (408, "head-slow", "request head too slow"),
            Self::QueryMalformed(_) => (400, "query-malformed", "malformed query"),
            Self::ParameterUnknown { .. } => (400, "parameter-unknown", "unknown parameter"),
            Self::ParameterRepeated(_) => (400, "parameter-repeated", "repeated parameter"),
            Self::ParameterMissing(_) => (400, "parameter-missing", "missing parameter"),
            Self::ParameterInvalid { .. } => (400, "parameter-invalid", "invalid parameter"),
            Self::ContentType(_) => (415, "content-type-unsupported", "unsupported content type"),
            Self::BodyTooLarge { .. } => (413, "body-too-large", "body too large"),
            Self::BodySlow => (408, "body-slow", "body too slow"),
            Self::BodyBroken => (400, "body-broken", "broken body"),
            Self::BodyLength { .. } => (400, "body-length-differs", "body length differs"),
            Self::JsonMalformed(_) => (400, "json-malformed", "malformed JSON"),
            Self::BodyMalformed(_) => (400, "body-malformed", "malformed body"),
            Self::RangeInvalid { .. } => (416, "range-invalid", "range not satisfiable"),
            Self::AuthenticationMissing => (401, "authentication-missing", "authentication missing"),
            Self::AuthenticationMalformed(_) => (401, "authentication-malformed", "authentication malformed"),
            Self::RequestStale(_) => (401, "request-stale", "request stale"),
            Self::RequestReplayed => (401, "request-replayed", "request replayed"),
            Self::AuthenticationFailed => (401, "authentication-failed", "authentication failed"),
            Self::AccountNotActive => (403, "account-not-active", "account not active"),
            Self::RoleMissing(_) => (403, "role-missing", "role missing"),
            Self::WrongMember(_) => (403, "wrong-member", "another member's node"),
            Self::TooManyFailures => (429, "too-many-failures", "too many failures"),
            Self::TooManyRequests => (429, "too-many-requests", "too many requests"),
            Self::TooOften(_) => (429, "rate-exceeded", "too many requests"),
            Self::TooManyAtOnce(_) => (503, "too-many-at-once", "busy"),
            Self::NotFound(_) => (404, "not-found", "not found"),
            Self::Ambiguous { .. } => (409, "identifier-ambiguous", "ambiguous identifier"),
            Self::NotCertified => (409, "receipt-not-certified", "receipt not certified yet"),
            Self::ReceiptRefused { .. } => (403, "receipt-refused", "refused by the chain"),
            Self::ApplicationForAnotherChain { .. } => (422, "application-wrong-chain", "another chain"),
            Self::NotInvited => (403, "application-not-invited", "not invited"),
            Self::ApplicationBadSignature => (422, "application-bad-signature", "signature does not verify"),
            Self::WithdrawalBadSignature => (422, "withdrawal-bad-signature", "signature does not verify"),
            Self::ApplicationDecided { .. } => (409, "application-decided", "application decided"),
            Self::ContactsDiffer => (422, "contacts-differ", "contacts differ"),
            Self::ContactsTooLong { .. } => (422, "contacts-too-long", "contacts too long"),
            Self::ApplicationRefused { .. } => (409, "application-refused", "application refused"),
            Self::AddressUnknown => (409, "address-unknown", "address unknown"),
            Self::QuorumWouldBeLost { .. } => (409, "quorum-would-be-lost", "quorum would be lost"),
            Self::Service(error) => (error.kind.status(), error.code, error.kind.title()),
            Self::Internal => (500, "internal", "internal error"),
        }
    }

    /// What to do next.
    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::UnknownPath => "see /v1/openapi.json for what is served",
            Self::TargetTooLong { .. } => "shorten the query",
            Self::HeadTooLarge => "send at most 64 header fields and 32 KiB of head",
            Self::ParameterUnknown { .. } | Self::ParameterMissing(_) | Self::QueryMalformed(_) => {
                "see /v1/openapi.json for the parameters of this path"
            }
            Self::BodyTooLarge { .. } => "split or shrink the content",
            Self::BodySlow | Self::HeadSlow(_) => "send the request without pauses, over a faster link",
            Self::AuthenticationMissing | Self::AuthenticationMalformed(_) => {
                "sign the request with the account's key: `Authorization: Galen account=..., time=..., nonce=..., signature=...`"
            }
            Self::RequestStale(_) => "set the clock (NTP), and sign each request when it is sent",
            Self::RequestReplayed => "sign each request anew with a fresh random nonce",
            Self::AuthenticationFailed => {
                "check the account's name, its key file, and that the node is of the same chain"
            }
            Self::AccountNotActive => "ask an administrator of your member",
            Self::RoleMissing(_) => "ask an administrator of your member for the role, or use another account",
            Self::ApplicationForAnotherChain { .. } => "ask the member for a new invitation",
            Self::NotInvited => "ask an administrator of the node's member for an invitation (galen member invite)",
            Self::ApplicationBadSignature | Self::ContactsDiffer => {
                "make the application anew with `galen member apply`"
            }
            Self::WithdrawalBadSignature => "sign with the key that the application was made with",
            Self::ApplicationDecided { .. } => "a member leaves with `galen member leave`",
            Self::AddressUnknown => "set `http.public_url` in node.toml",
            Self::QuorumWouldBeLost { .. } => {
                "the chain would stop. Bring the missing voters back, or add a voter first; then ask again"
            }
            Self::TooManyFailures | Self::TooManyRequests | Self::TooOften(_) | Self::TooManyAtOnce(_) => {
                "wait as `Retry-After` says, then try again"
            }
            Self::Ambiguous { .. } => "give more digits",
            Self::NotCertified => "ask for the transaction with wait=certified, then try again",
            Self::Service(error) => return error.hint.clone(),
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// When to try again, seconds.
    pub(crate) fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::TooManyFailures | Self::TooOften(_) => Some(10),
            Self::TooManyRequests | Self::TooManyAtOnce(_) => Some(1),
            Self::Service(error) => error.retry_after_s,
            _ => None,
        }
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        self.kind().1
    }

    /// Whether the rest of the request's body is unwanted, so that the connection is of no further use.
    pub(crate) fn closes_connection(&self) -> bool {
        matches!(
            self,
            Self::BodyTooLarge { .. } | Self::BodySlow | Self::BodyBroken | Self::BodyLength { .. } | Self::HeadSlow(_)
        )
    }

    /// The document that is served.
    pub(crate) fn problem(&self) -> Problem {
        let (status, code, title) = self.kind();
        let mut problem = Problem::new(status, code, title, self.to_string());
        problem.hint = self.hint();
        problem
    }
}

impl From<StateError> for Refusal {
    fn from(error: StateError) -> Self {
        Self::Service(ServiceError::internal(&error))
    }
}
