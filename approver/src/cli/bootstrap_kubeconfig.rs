//! `bootstrap-kubeconfig`: makes the credential that a machine asks for its first certificate with.

mod account;
mod call;
mod machine;
mod order;
mod rights;
mod target;
mod token;

use anyhow::Context as _;
use jiff::Timestamp;
use kube::Client;

use self::order::{Order, What};
pub(super) use self::rights::{Deed, TOO_MUCH};
use self::target::Target;
use super::block_on;
use super::bootstrap::{Bootstrap, Credential};
use super::deliver::Delivery;
use super::print::complain;
use crate::BootstrapKubeconfigArgs;
use crate::config::Config;
use crate::connect::{self, Connection};

/// A credential that was made.
struct Made {
    credential: Credential,
    /// What was made, in one sentence without its secret.
    account: String,
    /// How to undo it.
    undo: String,
    warnings: Vec<String>,
}

/// Carries out `bootstrap-kubeconfig`.
pub(crate) fn bootstrap_kubeconfig(args: &BootstrapKubeconfigArgs) -> anyhow::Result<()> {
    let config = Config::load_or_default(args.config.as_deref())?;
    let order = Order::read(args, &config)?;
    let delivery = Delivery::open(args.to.as_deref(), args.force)?;
    let (target, made) = block_on(async {
        let connection = connect::load(args.kubeconfig.as_deref()).await?;
        let now = Timestamp::now();
        let target = Target::of(&connection, args, now)?;
        let client = Client::try_from(connection).context("cannot make a client")?;
        let management = match &args.management_kubeconfig {
            Some(path) => Connection::open(Some(path)).await?.client,
            None => client.clone(),
        };
        Ok((target, make(&client, &management, &order, now).await?))
    })?;
    for warning in order.warnings.iter().chain(&made.warnings) {
        complain("warning", warning);
    }
    let bootstrap = Bootstrap {
        server: target.server,
        authority: target.authority,
        tls_server_name: target.tls_server_name,
        credential: made.credential,
    };
    delivery
        .write(bootstrap.write(args.output)?.as_bytes())
        .with_context(|| {
            format!(
                "{}, and then its kubeconfig could not be handed over; undo it: {}",
                made.account, made.undo
            )
        })?;
    complain("made", &made.account);
    Ok(())
}

/// Checks the rights first, so that no credential is left behind that is of no use.
async fn make(
    client: &Client,
    management: &Client,
    order: &Order,
    now: Timestamp,
) -> anyhow::Result<Made> {
    let mut warnings = rights::ensure(client, &order.requestor, order.create_rights).await?;
    let mut made = match &order.what {
        What::Token(token) => {
            if let Some(name) = &token.machine {
                warnings.extend(machine::check(management, name, &order.machines).await?);
            }
            token::make(client, token, order.ttl, now).await?
        }
        What::Account(account) => account::make(client, account, order.ttl, now).await?,
    };
    warnings.append(&mut made.warnings);
    Ok(Made { warnings, ..made })
}

#[cfg(test)]
#[path = "bootstrap_kubeconfig_tests.rs"]
mod tests;
