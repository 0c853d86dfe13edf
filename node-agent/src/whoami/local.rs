//! Local sources: cloud-init's instance-data, and the firmware's tables.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clouds::Cloud;
use super::name::Refusal;

/// cloud-init's instance-data without secrets (cloud-init, `instance-data`; world-readable).
const INSTANCE_DATA: &str = "run/cloud-init/instance-data.json";

/// The firmware's tables in sysfs (SMBIOS).
const DMI: &str = "sys/class/dmi/id";

/// cloud-init's instance id without a data source, the same on every machine (`DataSourceNone`).
const NO_INSTANCE: &str = "iid-datasource-none";

/// The identity of an instance. A copy of its disk has the same files but runs as another instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// The cloud's instance id, from cloud-init.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<String>,
    /// The UUID in the firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
}

impl Instance {
    /// Returns true if both are the same instance, as far as known. The cloud's id takes precedence over the
    /// hardware's: a migrated instance keeps its id and may get another mainboard.
    pub fn same_as(&self, other: &Self) -> bool {
        match (&self.cloud, &other.cloud, &self.hardware, &other.hardware) {
            (Some(one), Some(other), _, _) | (_, _, Some(one), Some(other)) => one == other,
            _ => true,
        }
    }

    /// Returns a description to find it by.
    pub fn describe(&self) -> String {
        match (&self.cloud, &self.hardware) {
            (Some(id), _) => format!("instance {id}"),
            (None, Some(uuid)) => format!("hardware {uuid}"),
            (None, None) => "an instance without an id".to_owned(),
        }
    }
}

pub(super) fn instance(host: &Path) -> Instance {
    let cloud = instance_data(host)
        .ok()
        .and_then(|data| text_at(&data, "/v1/instance_id"))
        .filter(|id| id != NO_INSTANCE);
    let hardware = dmi(host, "product_uuid")
        .map(|uuid| uuid.to_ascii_lowercase())
        // Firmware without a UUID shows one repeated digit.
        .filter(|uuid| {
            let mut digits = uuid.chars().filter(char::is_ascii_hexdigit);
            let first = digits.next();
            digits.any(|digit| Some(digit) != first)
        });
    Instance { cloud, hardware }
}

pub(super) fn has_cloud_init(host: &Path) -> bool {
    host.join(INSTANCE_DATA).exists()
}

pub(super) fn cloud_init_name(host: &Path) -> Result<String, Refusal> {
    let data = instance_data(host).map_err(Refusal::Absent)?;
    text_at(&data, "/v1/local_hostname")
        .ok_or_else(|| Refusal::Absent(format!("there is no local_hostname in /{INSTANCE_DATA}")))
}

/// Returns the cloud named by the firmware (the strings are those of cloud-init's `ds-identify`).
pub(super) fn cloud(host: &Path) -> Option<Cloud> {
    let vendor = dmi(host, "sys_vendor").unwrap_or_default();
    let product = dmi(host, "product_name").unwrap_or_default();
    match (vendor.as_str(), product.as_str()) {
        ("Amazon EC2", _) => Some(Cloud::Ec2PrivateDns),
        (_, "Google Compute Engine") => Some(Cloud::Gce),
        // Hyper-V outside Azure has the same vendor, but not the tag.
        ("Microsoft Corporation", _)
            if dmi(host, "chassis_asset_tag").as_deref() == Some(AZURE_TAG) =>
        {
            Some(Cloud::Azure)
        }
        ("OpenStack Foundation", _) | (_, "OpenStack Nova" | "OpenStack Compute") => {
            Some(Cloud::OpenStack)
        }
        _ => None,
    }
}

/// The chassis tag of all Azure virtual machines.
const AZURE_TAG: &str = "7783-7084-3265-9085-8269-3286-77";

fn instance_data(host: &Path) -> Result<Value, String> {
    let text = fs::read(host.join(INSTANCE_DATA))
        .map_err(|error| format!("/{INSTANCE_DATA} cannot be read: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("/{INSTANCE_DATA} is no JSON: {error}"))
}

fn text_at(data: &Value, pointer: &str) -> Option<String> {
    let text = data.pointer(pointer)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn dmi(host: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(host.join(DMI).join(name)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
