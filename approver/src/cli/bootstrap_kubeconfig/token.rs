//! A bootstrap token: a Secret that the API server takes as a credential (Kubernetes
//! `plugin/pkg/auth/authenticator/token/bootstrap`).

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow, bail};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use ring::rand::{SecureRandom, SystemRandom};
use rollcall_approver_core::machine_group;

use super::Made;
use super::call::{failed, limited};
use super::order::TokenOrder;
use crate::cli::bootstrap::Credential;

/// The namespace in which the API server looks for them.
const NAMESPACE: &str = "kube-system";
/// The type of their Secrets.
const TYPE: &str = "bootstrap.kubernetes.io/token";
/// Tells people which one Machine a token was made for, as NAMESPACE/NAME. The approver knows it by [`machine_group`].
const MACHINE: &str = "rollcall.dev/machine";

/// What a token is made of (`k8s.io/cluster-bootstrap/token/api`, `BootstrapTokenPattern`).
const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Characters of its id, which is no secret.
const ID: usize = 6;
/// Characters of its secret.
const SECRET: usize = 16;
/// How often another id is drawn when there is a token of that id already.
const ATTEMPTS: usize = 3;

/// Makes a token.
pub(super) async fn make(
    client: &Client,
    order: &TokenOrder,
    ttl: SignedDuration,
    now: Timestamp,
) -> anyhow::Result<Made> {
    let end = now
        .checked_add(ttl)
        .and_then(|end| Timestamp::from_second(end.as_second()))
        .context("--ttl is too long")?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let random = SystemRandom::new();
    for _ in 0..ATTEMPTS {
        let (id, secret) = (draw(&random, ID)?, draw(&random, SECRET)?);
        let object = object(order, &id, &secret, end);
        let name = object.metadata.name.clone().unwrap_or_default();
        match limited(secrets.create(&PostParams::default(), &object)).await? {
            Ok(_) => {
                let machine = order
                    .machine
                    .as_ref()
                    .map(|machine| format!(", made for the Machine {machine}"));
                return Ok(Made {
                    account: format!(
                        "the bootstrap token {id} (Secret {NAMESPACE}/{name}), valid until {end}{}",
                        machine.unwrap_or_default()
                    ),
                    undo: format!("kubectl -n {NAMESPACE} delete secret {name}"),
                    credential: Credential::of_token(format!("{id}.{secret}")),
                    warnings: Vec::new(),
                });
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => {
                return Err(failed(
                    &format!("create the Secret {NAMESPACE}/{name}"),
                    &error,
                ));
            }
        }
    }
    bail!(
        "{ATTEMPTS} bootstrap tokens with an id of their own were there already, which is no chance; look at {NAMESPACE}"
    )
}

fn object(order: &TokenOrder, id: &str, secret: &str, end: Timestamp) -> Secret {
    let mut data = BTreeMap::from([
        ("description", order.description.clone()),
        ("expiration", end.to_string()),
        ("token-id", id.to_owned()),
        ("token-secret", secret.to_owned()),
        ("usage-bootstrap-authentication", "true".to_owned()),
    ]);
    let machine = order.machine.as_ref();
    let own = machine.map(|machine| machine_group(&machine.reference()));
    let groups: Vec<String> = order.groups.iter().cloned().chain(own).collect();
    if !groups.is_empty() {
        data.insert("auth-extra-groups", groups.join(","));
    }
    Secret {
        metadata: ObjectMeta {
            name: Some(format!("bootstrap-token-{id}")),
            namespace: Some(NAMESPACE.to_owned()),
            annotations: machine
                .map(|name| BTreeMap::from([(MACHINE.to_owned(), name.to_string())])),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE.to_owned()),
        data: Some(
            data.into_iter()
                .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
                .collect(),
        ),
        ..Secret::default()
    }
}

/// Draws characters of the alphabet, each as likely as any other.
fn draw(random: &SystemRandom, length: usize) -> anyhow::Result<String> {
    /// The largest multiple of 36 that a byte can count to: what lies above would prefer some characters.
    const FAIR: u8 = 252;
    let mut text = String::new();
    while text.len() < length {
        let mut bytes = [0; 32];
        random
            .fill(&mut bytes)
            .map_err(|_| anyhow!("the operating system gives no random numbers"))?;
        let fair = bytes.iter().filter(|byte| **byte < FAIR);
        let drawn = fair.filter_map(|byte| ALPHABET.get(usize::from(byte.wrapping_rem(36))));
        let missing = length.saturating_sub(text.len());
        text.extend(drawn.take(missing).map(|byte| char::from(*byte)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_has_the_form_of_a_token_and_is_never_the_same() {
        let random = SystemRandom::new();
        let (one, other) = (
            draw(&random, SECRET).unwrap(),
            draw(&random, SECRET).unwrap(),
        );
        assert_eq!(one.len(), SECRET);
        assert!(one.bytes().all(|byte| ALPHABET.contains(&byte)), "{one}");
        assert_ne!(one, other);
        let many = draw(&random, 36 * 200).unwrap();
        for character in ALPHABET {
            let count = many.bytes().filter(|byte| byte == character).count();
            // 200 on average; a run of these bounds fails once in 10^10.
            assert!((100..=300).contains(&count), "{count}");
        }
    }
}
