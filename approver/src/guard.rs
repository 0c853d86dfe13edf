//! Tolerant deserialization: an object that cannot be parsed must not hide the others of its list.
//!
//! `kube::core::DeserializeGuard` does the same but copies each object, which was a fifth of this program's work when many
//! requests came at once.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

/// An object, or its metadata and the error of the rest.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<K>(pub(crate) Result<K, Malformed>);

/// The error of an object that does not match its kind.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Malformed {
    error: String,
    metadata: ObjectMeta,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = serde_json::Value::deserialize(deserializer)?;
        // The managed fields are half of many objects, and nothing here needs them.
        if let Some(metadata) = object
            .get_mut("metadata")
            .and_then(|value| value.as_object_mut())
        {
            metadata.remove("managedFields");
        }
        match K::deserialize(&object) {
            Ok(read) => Ok(Self(Ok(read))),
            Err(error) => {
                let metadata = object.get("metadata").map(ObjectMeta::deserialize);
                Ok(Self(Err(Malformed {
                    error: error.to_string(),
                    metadata: metadata
                        .transpose()
                        .map_err(D::Error::custom)?
                        .unwrap_or_default(),
                })))
            }
        }
    }
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(kind)
    }

    fn group(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::group(kind)
    }

    fn version(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::version(kind)
    }

    fn plural(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => object.meta(),
            Err(malformed) => &malformed.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => object.meta_mut(),
            Err(malformed) => &mut malformed.metadata,
        }
    }
}
