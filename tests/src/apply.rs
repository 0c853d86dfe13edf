//! Manifests: any number of YAML documents, applied the way `kubectl apply --server-side` does.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, ApiResource, Scope, pinned_kind};
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use crate::{ControlPlane, wait};

/// The owner of the fields (`metadata.managedFields`).
const FIELD_MANAGER: &str = "rollcall-e2e";

/// The deadline for the API server to serve a new kind: usually some milliseconds.
const KIND_DEADLINE: Duration = Duration::from_secs(20);

/// The namespace of namespaced objects that set none.
const DEFAULT_NAMESPACE: &str = "default";

impl ControlPlane {
    /// Applies all documents of `yaml` in order, as the administrator. Waits for a CustomResourceDefinition to be
    /// served, so that objects of its kind may follow at once.
    ///
    /// # Errors
    /// If a document is not a Kubernetes object, its kind is unknown, or the API server refuses it.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        let mut known = BTreeMap::new();
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(yaml).context("the manifest is not valid YAML")?;
        for document in documents.into_iter().flat_map(items) {
            self.apply_one(document, &mut known).await?;
        }
        Ok(())
    }

    /// Applies a file with one or more documents.
    ///
    /// # Errors
    /// If the file cannot be read, or as [`ControlPlane::apply`].
    pub async fn apply_file(&self, path: &Path) -> Result<()> {
        let yaml = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        self.apply(&yaml)
            .await
            .with_context(|| format!("cannot apply {}", path.display()))
    }

    async fn apply_one(
        &self,
        document: Value,
        known: &mut BTreeMap<(String, String), (ApiResource, ApiCapabilities)>,
    ) -> Result<()> {
        let object: DynamicObject = serde_json::from_value(document)
            .context("a document in the manifest is not a Kubernetes object")?;
        let types = object
            .types
            .clone()
            .context("a document in the manifest has no apiVersion and kind")?;
        let name = object.name_any();
        let title = format!("{} {name}", types.kind);
        let key = (types.api_version.clone(), types.kind.clone());
        let (resource, capabilities) = match known.get(&key) {
            Some(found) => found.clone(),
            None => {
                let gvk = GroupVersionKind::try_from(&types)
                    .with_context(|| format!("bad apiVersion of {title}"))?;
                let found = self.discover(&gvk).await?;
                known.entry(key).or_insert(found).clone()
            }
        };
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(self.admin(), &resource),
            Scope::Namespaced => {
                let namespace = object
                    .namespace()
                    .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
                Api::namespaced_with(self.admin(), &namespace, &resource)
            }
        };
        api.patch(
            &name,
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(&object),
        )
        .await
        .with_context(|| format!("cannot apply {title}"))?;
        if types.kind == "CustomResourceDefinition" {
            self.wait_for_kind(&name).await?;
        }
        Ok(())
    }

    /// Looks up a kind. Discovery can lag for a moment after its definition was applied.
    async fn discover(&self, gvk: &GroupVersionKind) -> Result<(ApiResource, ApiCapabilities)> {
        let what = format!(
            "the API server to serve {}/{} {}",
            gvk.group, gvk.version, gvk.kind
        );
        let client = self.admin();
        wait::poll(&what, KIND_DEADLINE, || async {
            Ok(pinned_kind(&client, gvk).await?)
        })
        .await
    }

    async fn wait_for_kind(&self, name: &str) -> Result<()> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.admin());
        let what = "condition Established";
        let definition = wait::object(&definitions, name, what, KIND_DEADLINE, |definition| {
            let conditions = definition
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten());
            conditions
                .into_iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True")
        })
        .await?;
        self.wait_for_storage(&definition).await
    }

    /// Waits until objects of every served version can be listed: at first the API server may answer that the storage is
    /// initializing (429).
    async fn wait_for_storage(&self, definition: &CustomResourceDefinition) -> Result<()> {
        let (group, names) = (&definition.spec.group, &definition.spec.names);
        let served = definition.spec.versions.iter();
        for version in served.filter(|version| version.served) {
            let kind = GroupVersionKind::gvk(group, &version.name, &names.kind);
            let resource = ApiResource::from_gvk_with_plural(&kind, &names.plural);
            let objects: Api<DynamicObject> = Api::all_with(self.admin(), &resource);
            let what = format!("a list of {}", names.plural);
            wait::poll(&what, KIND_DEADLINE, || async {
                objects.list(&ListParams::default().limit(1)).await?;
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

/// The objects in a document: none if it is empty, the items of a `List`, itself otherwise.
fn items(document: Value) -> Vec<Value> {
    if document.is_null() {
        return Vec::new();
    }
    let is_list = document
        .get("kind")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind == "List");
    match document.get("items").and_then(Value::as_array) {
        Some(items) if is_list => items.clone(),
        _ => vec![document],
    }
}
