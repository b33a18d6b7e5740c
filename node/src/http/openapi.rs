//! The OpenAPI document, made from the table of routes and the schemas of the types that they speak in.

use std::collections::BTreeMap;

use galen_types::Genesis;
use galen_types::api::Problem;
use http::Method;
use utoipa::PartialSchema;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, RefOr, Required,
    ResponseBuilder, Schema,
};

use super::body::BodyRule;
use super::respond::{JSON, OCTETS, PROBLEM};
use super::route::{Access, Answer, Route, Schemas, Table, one};

/// The name of the scheme in the document.
const SCHEME: &str = "accountSignature";

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        _ => HttpMethod::Get,
    }
}

fn answer(answer: &Answer, schemas: &mut Schemas) -> ResponseBuilder {
    let response = ResponseBuilder::new().description("As asked");
    match answer.content_type {
        None => response,
        Some(content_type) => {
            let schema = answer.schema.map(|schema| schema(schemas));
            response.content(content_type, Content::new(schema))
        }
    }
}

/// `get_v1_datasets_member_dataset`.
fn operation_id(route: &Route) -> String {
    let words: Vec<_> = route
        .path
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    format!("{}_{}", route.method.as_str().to_ascii_lowercase(), words.join("_"))
}

fn operation(route: &Route, schemas: &mut Schemas) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .summary(Some(route.summary))
        .operation_id(Some(operation_id(route)))
        .response(route.answer.status.to_string(), answer(&route.answer, schemas))
        .response(
            "default",
            ResponseBuilder::new()
                .description("What went wrong, with a stable code and a hint")
                .content(PROBLEM, Content::new(Some(one::<Problem>(schemas)))),
        );
    for name in route.path_parameters() {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(String::schema())),
        );
    }
    for parameter in &route.query {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(parameter.name)
                .parameter_in(ParameterIn::Query)
                .required(if parameter.needed { Required::True } else { Required::False })
                .description(Some(parameter.description))
                .schema(Some(String::schema())),
        );
    }
    let body = match route.body {
        BodyRule::None => None,
        BodyRule::Json { .. } => Some((JSON, route.body_schema.map(|schema| schema(schemas)))),
        BodyRule::Octets { .. } | BodyRule::Upload => Some((OCTETS, None)),
    };
    if let Some((content_type, schema)) = body {
        let body = RequestBodyBuilder::new().required(Some(Required::True)).content(content_type, Content::new(schema));
        operation = operation.request_body(Some(body.build()));
    }
    let signed = SecurityRequirement::new(SCHEME, Vec::<String>::new());
    match route.access {
        Access::Open => operation,
        Access::Optional => operation.security(SecurityRequirement::default()).security(signed),
        Access::Account => operation.security(signed),
        Access::Operator => operation
            .security(signed)
            .description(Some("For administrators of the member whose node is asked.".to_owned())),
        Access::Roles(roles) => {
            let words: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
            operation.security(signed).description(Some(format!("For the role {}.", words.join(" or "))))
        }
    }
}

/// The document.
pub(crate) fn document(table: &Table, genesis: &Genesis) -> OpenApi {
    let mut schemas = Schemas::new();
    let mut paths = PathsBuilder::new();
    for route in table.routes() {
        // Operations of one path are merged by the builder.
        paths = paths.path(route.path, PathItem::new(method(&route.method), operation(route, &mut schemas)));
    }
    let by_name: BTreeMap<String, RefOr<Schema>> = schemas.into_iter().collect();
    let mut components = ComponentsBuilder::new().security_scheme(
        SCHEME,
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "Authorization",
            "`Galen account=alice@harlem, time=<RFC 3339>, nonce=<32 hex>, signature=ed25519:<hex>` over genesis, the node's name, method, path with query, time, nonce and the body's BLAKE3",
        ))),
    );
    for (name, schema) in by_name {
        components = components.schema(name, schema);
    }
    let info = InfoBuilder::new()
        .title(format!("Galen node of chain {}", genesis.chain))
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Permissioned sharing of health data. Errors are RFC 9457 problem documents. What an account may not see does not exist for it (404).",
        ))
        .license(Some(License::new("Apache-2.0 OR MIT")));
    OpenApiBuilder::new().info(info.build()).paths(paths.build()).components(Some(components.build())).build()
}
