//! The Machine that a token is for: whether there is one already.

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use rollcall_approver_core::Scope;

use super::call::{explain, limited};
use super::order::Name;
use crate::sources;

/// A warning, if none of the approver's sources has such a Machine: then it may come later, or its name is wrong.
pub(super) async fn check(
    client: &Client,
    name: &Name,
    scopes: &[Scope],
) -> anyhow::Result<Option<String>> {
    let mut troubles = Vec::new();
    let mut looked = false;
    for scope in scopes {
        let here = scope.namespace.is_empty() || scope.namespace == name.namespace;
        let known = sources::of(scope.source).filter(|_| here);
        let Some((known, version)) = known.and_then(|known| Some((known, known.versions.first()?)))
        else {
            continue;
        };
        looked = true;
        let kind = GroupVersionKind::gvk(known.group, version, known.kind);
        let resource = ApiResource::from_gvk(&kind);
        let machines: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &name.namespace, &resource);
        match limited(machines.get_metadata_opt(&name.name)).await? {
            Ok(Some(_)) => return Ok(None),
            Ok(None) => {}
            Err(error) => troubles.push(explain(&error)),
        }
    }
    Ok(Some(match (looked, troubles.first()) {
        (false, _) => format!(
            "the approver reads no Machines in the namespace {}",
            name.namespace
        ),
        (true, Some(trouble)) => {
            format!("whether there is a Machine {name} is not known: {trouble}")
        }
        (true, None) => {
            format!("there is no Machine {name} yet, unless that is not its name")
        }
    }))
}
