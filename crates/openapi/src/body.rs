//! What requests and answers hold, as types that a route's table can name.

use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

/// A type's schema, or a reference to it.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A media type, with what is known of its contents.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// For example `application/json`.
    pub media_type: &'static str,
    /// Whether a request has to have it.
    pub required: bool,
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Opaque,
    Text,
    Json(SchemaOf),
    Events(SchemaOf),
}

impl Content {
    pub(crate) fn described(&self, generator: &mut SchemaGenerator) -> Value {
        let described = match self.shape {
            Shape::Opaque => json!({}),
            Shape::Text => json!({ "schema": { "type": "string" } }),
            Shape::Json(schema) => json!({ "schema": schema(generator) }),
            // OpenAPI 3.1 has no word of its own for the items of a stream.
            Shape::Events(schema) => json!({ "schema": { "type": "string" }, "x-event": schema(generator) }),
        };
        json!({ self.media_type: described })
    }
}

/// What a request or an answer holds.
pub trait Body {
    /// None where it is empty.
    fn content() -> Option<Content>;

    /// The type whose members stand in the query instead, each of them optional.
    fn query() -> Option<SchemaOf> {
        None
    }
}

/// No body; one that comes all the same is not read.
#[derive(Debug)]
pub struct Nothing;

/// No body; the members of this type stand in the query.
#[derive(Debug)]
pub struct Query<T>(PhantomData<T>);

/// A JSON document of this type.
#[derive(Debug)]
pub struct Json<T>(PhantomData<T>);

/// A JSON document of this type; no body counts as an empty object.
#[derive(Debug)]
pub struct OptionalJson<T>(PhantomData<T>);

/// Server-sent events. This type stands for one of them: `event` is its name, `data` its data.
#[derive(Debug)]
pub struct EventStream<T>(PhantomData<T>);

impl Body for Nothing {
    fn content() -> Option<Content> {
        None
    }
}

impl<T: JsonSchema> Body for Query<T> {
    fn content() -> Option<Content> {
        None
    }

    fn query() -> Option<SchemaOf> {
        Some(T::json_schema)
    }
}

impl<T: JsonSchema> Body for Json<T> {
    fn content() -> Option<Content> {
        some("application/json", true, Shape::Json(schema_of::<T>))
    }
}

impl<T: JsonSchema> Body for OptionalJson<T> {
    fn content() -> Option<Content> {
        some("application/json", false, Shape::Json(schema_of::<T>))
    }
}

impl<T: JsonSchema> Body for EventStream<T> {
    fn content() -> Option<Content> {
        some("text/event-stream", true, Shape::Events(schema_of::<T>))
    }
}

macro_rules! media_types {
    ($($(#[$doc:meta])* $name:ident $media_type:literal $shape:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Body for $name {
            fn content() -> Option<Content> {
                some($media_type, true, Shape::$shape)
            }
        }
    )*};
}

media_types! {
    /// A picture in pixels.
    Png "image/png" Opaque;
    /// A picture of shapes.
    Svg "image/svg+xml" Text;
    /// Text for a terminal.
    Text "text/plain; charset=utf-8" Text;
    /// Metrics in the text format of Prometheus.
    PrometheusText "text/plain; version=0.0.4; charset=utf-8" Text;
    /// A JWE in compact serialisation.
    Jose "application/jose" Text;
}

const fn some(media_type: &'static str, required: bool, shape: Shape) -> Option<Content> {
    Some(Content {
        media_type,
        required,
        shape,
    })
}

/// The type's schema, or a reference to it.
pub fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
