//! A route: everything that is said about a path and method stands in one place, from which requests are dispatched,
//! the OpenAPI document is made and the tests derive their matrix.

use std::sync::Arc;

use futures::future::BoxFuture;
use galen_types::NodeName;
use galen_types::api::Page;
use galen_types::member::{Account, Role};
use http::Method;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, Ref, RefOr, schema::Type};
use utoipa::{PartialSchema, ToSchema};

use super::app::Call;
use super::body::{BodyRule, RequestBody};
use super::consistency::READ;
use super::limits::JSON_BODY_BYTES_MAX;
use super::query::{PAGE, Parameter};
use super::refusal::Refusal;
use super::respond::{JSON, OCTETS, Response};
use super::services::ChainView;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everyone who reaches the port; a signature is not looked at.
    Open,
    /// Everyone; with an account's signature more is told.
    Optional,
    /// Accounts that take part.
    Account,
    /// Accounts with one of these roles.
    Roles(&'static [Role]),
    /// Administrators of the member whose node is asked.
    Operator,
}

impl Access {
    /// Whether a proven account may ask.
    pub(crate) fn check(self, account: &Account, node: &NodeName) -> Result<(), Refusal> {
        let roles = self.roles();
        if !roles.is_empty() && !roles.iter().any(|role| account.has_role(*role)) {
            let words: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
            return Err(Refusal::RoleMissing(words.join(" or ")));
        }
        if self == Self::Operator && account.name.member != node.member {
            return Err(Refusal::WrongMember(node.member.to_string()));
        }
        Ok(())
    }

    /// The roles of which one is needed; none where any account, or nobody, is asked for.
    pub(crate) fn roles(self) -> &'static [Role] {
        match self {
            Self::Roles(roles) => roles,
            Self::Operator => &[Role::Admin],
            Self::Open | Self::Optional | Self::Account => &[],
        }
    }
}

/// What does the work.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// Reads the chain, on a thread that may block.
    Read(fn(&Call, &dyn ChainView) -> Result<Response, Refusal>),
    /// Everything else.
    Act(fn(Arc<Call>, RequestBody) -> BoxFuture<'static, Result<Response, Refusal>>),
}

/// Schemas by name, as they are collected.
pub(crate) type Schemas = Vec<(String, RefOr<Schema>)>;

/// Gives a reference to a type's schema and collects it with those it names.
pub(crate) type SchemaOf = fn(&mut Schemas) -> RefOr<Schema>;

/// A type's schema.
pub(crate) fn one<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
    Ref::from_schema_name(T::name()).into()
}

/// A list of a type.
pub(crate) fn list<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    ArrayBuilder::new().items(one::<T>(schemas)).into()
}

/// A page of a type; its shape is that of [`Page`].
pub(crate) fn page<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    let name = format!("Page{}", T::name());
    let item = one::<T>(schemas);
    let page = ObjectBuilder::new()
        .property("height", u64::schema())
        .required("height")
        .property("items", ArrayBuilder::new().items(item))
        .required("items")
        .property("next", ObjectBuilder::new().schema_type(Type::String));
    schemas.push((name.clone(), page.into()));
    Ref::from_schema_name(name).into()
}

/// What a route answers when all is well.
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) schema: Option<SchemaOf>,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) method: Method,
    /// With parameters in braces, e.g. `/v1/blocks/{height}`.
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) access: Access,
    pub(crate) query: Vec<Parameter>,
    pub(crate) body: BodyRule,
    pub(crate) body_schema: Option<SchemaOf>,
    pub(crate) answer: Answer,
    pub(crate) handler: Handler,
}

impl Route {
    fn new(method: Method, path: &'static str, summary: &'static str, handler: Handler) -> Self {
        Self {
            method,
            path,
            summary,
            access: Access::Account,
            query: Vec::new(),
            body: BodyRule::None,
            body_schema: None,
            answer: Answer { status: 204, content_type: None, schema: None },
            handler,
        }
    }

    pub(crate) fn get(path: &'static str, summary: &'static str, handler: Handler) -> Self {
        let route = Self::new(Method::GET, path, summary, handler);
        if matches!(handler, Handler::Read(_)) { route.consistent() } else { route }
    }

    pub(crate) fn post(path: &'static str, summary: &'static str, handler: Handler) -> Self {
        Self::new(Method::POST, path, summary, handler)
    }

    pub(crate) fn put(path: &'static str, summary: &'static str, handler: Handler) -> Self {
        Self::new(Method::PUT, path, summary, handler)
    }

    pub(crate) fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    pub(crate) fn query(mut self, parameters: &[Parameter]) -> Self {
        self.query.extend_from_slice(parameters);
        self
    }

    /// Lets the asker say how old the answer may be: on everything that reads the chain.
    pub(crate) fn consistent(self) -> Self {
        self.query(&READ)
    }

    /// Adds the parameters of a list.
    pub(crate) fn paged(self) -> Self {
        self.query(&PAGE)
    }

    pub(crate) fn octets(mut self, limit: usize) -> Self {
        self.body = BodyRule::Octets { limit };
        self
    }

    pub(crate) fn upload(mut self) -> Self {
        self.body = BodyRule::Upload;
        self
    }

    pub(crate) fn takes<T: ToSchema>(self) -> Self {
        self.takes_at_most::<T>(JSON_BODY_BYTES_MAX)
    }

    pub(crate) fn takes_at_most<T: ToSchema>(mut self, limit: usize) -> Self {
        self.body = BodyRule::Json { limit };
        self.body_schema = Some(one::<T>);
        self
    }

    fn answers(mut self, status: u16, content_type: &'static str, schema: Option<SchemaOf>) -> Self {
        self.answer = Answer { status, content_type: Some(content_type), schema };
        self
    }

    pub(crate) fn gives<T: ToSchema>(self) -> Self {
        self.answers(200, JSON, Some(one::<T>))
    }

    pub(crate) fn creates<T: ToSchema>(self) -> Self {
        self.answers(201, JSON, Some(one::<T>))
    }

    pub(crate) fn gives_list<T: ToSchema>(self) -> Self {
        self.answers(200, JSON, Some(list::<T>))
    }

    pub(crate) fn gives_page<T: ToSchema>(self) -> Self
    where
        Page<T>: ToSchema,
    {
        self.answers(200, JSON, Some(page::<T>))
    }

    pub(crate) fn gives_octets(self) -> Self {
        self.answers(200, OCTETS, None)
    }

    pub(crate) fn gives_other(self, content_type: &'static str) -> Self {
        self.answers(200, content_type, None)
    }

    /// The path's parameters, in order.
    pub(crate) fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')))
    }
}

/// The routes, in the order in which they are tried.
pub(crate) struct Table {
    routes: Vec<Route>,
}

/// What a request was matched with.
pub(crate) struct Matched<'table> {
    pub(crate) route: &'table Route,
    /// The path's parameters as sent, in order.
    pub(crate) parameters: Vec<String>,
}

/// Whether a path fits a route's; gathers the parameters' values.
fn fits(pattern: &str, path: &str, parameters: &mut Vec<String>) -> bool {
    parameters.clear();
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {
                parameters.push(given.to_owned());
            }
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return false,
        }
    }
}

impl Table {
    pub(crate) fn new(routes: Vec<Route>) -> Self {
        Self { routes }
    }

    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    pub(crate) fn find(&self, method: &Method, path: &str) -> Result<Matched<'_>, Refusal> {
        let mut parameters = Vec::new();
        let mut allowed = Vec::new();
        for route in &self.routes {
            if fits(route.path, path, &mut parameters) {
                if route.method == method {
                    return Ok(Matched { route, parameters });
                }
                allowed.push(route.method.as_str());
            }
        }
        if allowed.is_empty() {
            Err(Refusal::UnknownPath)
        } else {
            Err(Refusal::MethodNotAllowed { allowed: allowed.join(", ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fit_whole_and_segment_by_segment() {
        let mut parameters = Vec::new();
        let mut fit = |pattern: &str, path: &str| fits(pattern, path, &mut parameters).then(|| parameters.join("|"));
        assert_eq!(fit("/v1/blocks/{height}", "/v1/blocks/7").as_deref(), Some("7"));
        assert_eq!(fit("/v1/datasets/{m}/{d}/history", "/v1/datasets/a/b/history").as_deref(), Some("a|b"));
        assert_eq!(fit("/v1/blocks", "/v1/blocks").as_deref(), Some(""));
        for path in ["/v1/blocks/", "/v1/blocks/7/", "/v1/blocks//", "/v1//7", "v1/blocks/7", "/V1/blocks/7", ""] {
            assert_eq!(fit("/v1/blocks/{height}", path), None, "{path}");
        }
    }
}
