//! OpenAPI 3.1 documents, from what the routes of an interface say about themselves.
//!
//! An adapter describes each of its routes as an [`Operation`], in the table that it serves requests from; the schemas come
//! from its own types ([`schemars`], JSON Schema 2020-12, as OpenAPI 3.1 uses it). Only documents and their tests need
//! this crate: adapters name it behind their feature `openapi`, which no device is built with.

mod body;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

pub use body::{
    Body, Content, EventStream, Jose, Json, Nothing, OptionalJson, Png, PrometheusText, Query, SchemaOf, Svg, Text,
    schema_of,
};

/// One method of one path.
#[derive(Clone, Debug)]
pub struct Operation {
    /// For example `GET`.
    pub method: String,
    /// Absolute, without parameters.
    pub path: &'static str,
    /// Unique within the interface, in upper camel case.
    pub name: &'static str,
    /// Lines of CommonMark; the first one is the summary.
    pub about: &'static [&'static str],
    /// What a request holds.
    pub takes: Option<Content>,
    /// The type whose members stand in the query.
    pub query: Option<SchemaOf>,
    /// The status of success.
    pub status: u16,
    /// Another status that the same answer may have.
    pub other_status: Option<u16>,
    /// What the answer of success holds.
    pub answers: Option<Content>,
    /// Every refusal that a request for it can meet.
    pub refusals: Vec<Refusal>,
}

/// A problem document by its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status code.
    pub status: u16,
    /// The code in the problem document.
    pub code: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Name and meaning of a header that comes with it.
    pub header: Option<(&'static str, &'static str)>,
}

/// A whole interface.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name.
    pub title: &'static str,
    /// What a reader has to know before the first request, as CommonMark.
    pub description: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Base URL, and what it means.
    pub server: (&'static str, &'static str),
    /// The variables of the base URL, each with a value that may stand there.
    pub variables: &'static [(&'static str, &'static str)],
    /// Every route.
    pub operations: Vec<Operation>,
    /// The type of the problem documents.
    pub problem: SchemaOf,
    /// What meets requests that are for none of the routes; listed below `components.responses`.
    pub elsewhere: Vec<Refusal>,
}

impl Interface {
    /// The OpenAPI document.
    #[must_use]
    pub fn document(&self) -> Value {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        let mut schemas = Schemas {
            sent: settings.clone().for_serialize().into_generator(),
            received: settings.for_deserialize().into_generator(),
        };
        let problem = (self.problem)(&mut schemas.sent).to_value();
        let mut paths = Map::new();
        for operation in &self.operations {
            let path = paths.entry(operation.path).or_insert_with(|| json!({}));
            path[operation.method.to_ascii_lowercase()] = schemas.operation(operation, &problem);
        }
        let responses: Map<_, _> = self
            .elsewhere
            .iter()
            .map(|refusal| (refusal.code.to_owned(), refused(&[*refusal], &problem)))
            .collect();
        let mut server = json!({ "url": self.server.0, "description": self.server.1 });
        for (name, value) in self.variables {
            server["variables"][*name] = json!({ "default": value });
        }
        json!({
            "openapi": "3.1.0",
            "info": { "title": self.title, "version": self.version, "description": self.description },
            "servers": [server],
            "paths": paths,
            "components": { "schemas": schemas.definitions(), "responses": responses },
        })
    }
}

/// What is sent and what is received differ: an absent member is read as null, but not left out when it is written.
struct Schemas {
    sent: SchemaGenerator,
    received: SchemaGenerator,
}

impl Schemas {
    fn operation(&mut self, operation: &Operation, problem: &Value) -> Value {
        let mut described = json!({
            "operationId": lower_camel(operation.name),
            "summary": operation.about.first().map_or("", |line| line.trim()),
        });
        if operation.about.len() > 1 {
            let lines: Vec<_> = operation.about.iter().map(|line| line.trim()).collect();
            described["description"] = lines.join("\n").into();
        }
        if let Some(members) = operation.query {
            described["parameters"] = parameters(members(&mut self.received).as_value());
        }
        if let Some(content) = operation.takes {
            described["requestBody"] = json!({
                "required": content.required,
                "content": content.described(&mut self.received),
            });
        }
        let mut responses = Map::new();
        let mut success = json!({ "description": operation.about.first().map_or("", |line| line.trim()) });
        if let Some(content) = operation.answers {
            success["content"] = content.described(&mut self.sent);
        }
        if let Some(other) = operation.other_status {
            responses.insert(other.to_string(), success.clone());
        }
        responses.insert(operation.status.to_string(), success);
        let mut statuses: Vec<_> = operation.refusals.iter().map(|refusal| refusal.status).collect();
        statuses.sort_unstable();
        statuses.dedup();
        for status in statuses {
            let refusals: Vec<_> = operation
                .refusals
                .iter()
                .filter(|refusal| refusal.status == status)
                .copied()
                .collect();
            responses.insert(status.to_string(), refused(&refusals, problem));
        }
        described["responses"] = responses.into();
        described
    }

    /// Every named schema, by name.
    fn definitions(mut self) -> Value {
        let mut all = self.received.take_definitions(true);
        all.append(&mut self.sent.take_definitions(true));
        let mut sorted: Vec<_> = all.into_iter().collect();
        sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
        Value::Object(sorted.into_iter().collect())
    }
}

/// The members of an object as parameters of a query.
fn parameters(object: &Value) -> Value {
    let members = object["properties"].as_object().into_iter().flatten();
    let parameters = members.map(|(name, member)| {
        let mut schema = member.clone();
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
    });
    parameters.collect()
}

/// The response for refusals of one status.
fn refused(refusals: &[Refusal], problem: &Value) -> Value {
    let lines: Vec<_> = refusals
        .iter()
        .map(|refusal| format!("- `{}`: {}.", refusal.code, refusal.title))
        .collect();
    let codes: Vec<_> = refusals.iter().map(|refusal| refusal.code).collect();
    let status = refusals.first().map(|refusal| refusal.status);
    let mut response = json!({
        "description": lines.join("\n"),
        "content": { "application/problem+json": { "schema": { "allOf": [
            problem,
            { "properties": { "status": { "const": status }, "code": { "enum": codes } } },
        ] } } },
    });
    for (name, meaning) in refusals.iter().filter_map(|refusal| refusal.header) {
        response["headers"][name] = json!({ "description": meaning, "schema": { "type": "string" } });
    }
    response
}

fn lower_camel(name: &str) -> String {
    let mut characters = name.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSALS: [Refusal; 3] = [
        Refusal {
            status: 409,
            code: "Busy",
            title: "It is busy",
            header: None,
        },
        Refusal {
            status: 429,
            code: "Often",
            title: "Too often",
            header: Some(("Retry-After", "Seconds.")),
        },
        Refusal {
            status: 409,
            code: "Gone",
            title: "It is gone",
            header: None,
        },
    ];

    fn document() -> Value {
        let operation = Operation {
            method: "POST".to_owned(),
            path: "/a",
            name: "OpenA",
            about: &[" Opens it.", " More."],
            takes: Json::<Vec<u8>>::content(),
            query: None,
            status: 201,
            other_status: None,
            answers: Text::content(),
            refusals: REFUSALS.into(),
        };
        Interface {
            title: "A",
            description: "",
            version: "1",
            server: ("http://localhost", ""),
            variables: &[],
            operations: vec![operation],
            problem: body::schema_of::<Option<String>>,
            elsewhere: vec![REFUSALS[0]],
        }
        .document()
    }

    #[test]
    fn it_gathers_refusals_by_their_status() {
        let responses = &document()["paths"]["/a"]["post"]["responses"];
        assert_eq!(responses.as_object().unwrap().len(), 3, "{responses}");
        let conflict = &responses["409"];
        assert_eq!(conflict["description"], "- `Busy`: It is busy.\n- `Gone`: It is gone.");
        let schema = &conflict["content"]["application/problem+json"]["schema"];
        let codes = json!({ "status": { "const": 409 }, "code": { "enum": ["Busy", "Gone"] } });
        assert_eq!(schema["allOf"][1]["properties"], codes);
        assert_eq!(responses["429"]["headers"]["Retry-After"]["description"], "Seconds.");
    }

    #[test]
    fn it_writes_the_members_of_a_query_as_parameters() {
        let object =
            json!({ "type": "object", "properties": { "from": { "type": "integer", "description": "First." } } });
        let expected = json!([{
            "name": "from", "in": "query", "required": false, "description": "First.", "schema": { "type": "integer" },
        }]);
        assert_eq!(parameters(&object), expected);
    }

    #[test]
    fn it_tells_summary_and_description_apart() {
        let operation = &document()["paths"]["/a"]["post"];
        assert_eq!(operation["operationId"], "openA");
        assert_eq!(operation["summary"], "Opens it.");
        assert_eq!(operation["description"], "Opens it.\nMore.");
    }
}
