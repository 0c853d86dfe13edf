//! What user-data is wrapped into: gzip, an EC2 launch template, a Secret.

use std::io::Write as _;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum as _;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use crate::cli::flag::FlagError;
use crate::cli::yaml;
use crate::{UserDataArgs, UserDataFormat};

/// Compresses, the same bytes to the same bytes: no time and no name go into it.
pub(super) fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .context("cannot compress the user-data")
}

/// The answer in the form that was asked for.
pub(super) fn wrap(args: &UserDataArgs, user_data: &[u8]) -> anyhow::Result<Vec<u8>> {
    let flavour = args.flavour.to_possible_value();
    let flavour = flavour.as_ref().map_or("", |value| value.get_name());
    let name = |default: String| args.name.clone().unwrap_or(default);
    match args.format {
        UserDataFormat::CloudConfig if args.name.is_some() => {
            let message = "is for --format launch-template and --format secret";
            Err(FlagError::new("--name", message).into())
        }
        UserDataFormat::CloudConfig => Ok(user_data.to_vec()),
        UserDataFormat::LaunchTemplate => {
            let template = launch_template(&name(format!("rollcall-{flavour}")), user_data);
            let json = serde_json::to_string_pretty(&template)
                .context("cannot write the launch template as JSON")?;
            Ok(format!("{json}\n").into_bytes())
        }
        UserDataFormat::Secret => {
            let name = name(format!("rollcall-{flavour}-user-data"));
            let text = yaml::write(&secret(&name, &args.namespace, user_data))
                .context("cannot write the Secret as YAML")?;
            Ok(text.into_bytes())
        }
    }
}

/// Input of `aws ec2 create-launch-template` and `create-launch-template-version` (EC2 API, `RequestLaunchTemplateData`).
fn launch_template(name: &str, user_data: &[u8]) -> Value {
    json!({
        "LaunchTemplateName": name,
        "LaunchTemplateData": {
            "MetadataOptions": {
                "HttpEndpoint": "enabled",
                // One hop ends at the machine: a container on it, with an address of its own, cannot read user-data.
                "HttpPutResponseHopLimit": 1,
                // IMDSv2 only: a request that somebody tricks a program into has no session token.
                "HttpTokens": "required",
            },
            "UserData": STANDARD.encode(user_data),
        },
    })
}

/// What Machines name as their `userDataSecret` (openshift/machine-api-operator). The Machine API must not take user-data
/// for a template: what looks like one in it is the machine's.
fn secret(name: &str, namespace: &str, user_data: &[u8]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {
            "disableTemplating": STANDARD.encode("true\n"),
            "userData": STANDARD.encode(user_data),
        },
    })
}
