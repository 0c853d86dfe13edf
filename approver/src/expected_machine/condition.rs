//! Conditions of Kubernetes APIs (`meta/v1` `Condition`), with the limits that Kubernetes sets.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// One thing that is true, false or unknown of an object.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub(crate) type_: String,
    /// Whether it is so.
    pub(crate) status: Status,
    /// One word for why.
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    )]
    pub(crate) reason: String,
    /// A sentence for people.
    #[schemars(length(max = 32768))]
    pub(crate) message: String,
    /// When `status` changed last.
    #[schemars(schema_with = "date_time")]
    pub(crate) last_transition_time: Timestamp,
}

/// The status of a condition.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
pub(crate) enum Status {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// It is unknown if the condition holds.
    Unknown,
}

impl From<bool> for Status {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// A list of conditions in which each type occurs once.
pub(super) fn list(generator: &mut SchemaGenerator) -> Schema {
    let item = Condition::json_schema(generator);
    json_schema!({
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}
