//! The commands for people: what would be decided and why, and deciding by hand. Each builds a [`scene::Scene`], from
//! the cluster or from files, and asks it. And what a machine's first boot needs: a credential, and user-data.

mod bootstrap;
mod bootstrap_kubeconfig;
mod certificates;
mod deliver;
mod documents;
mod dump;
mod expect;
mod explain;
mod flag;
mod input;
mod kinds;
mod kubelets;
mod list;
mod live;
mod manual;
mod opinion;
mod parallel;
mod print;
mod scene;
mod serving;
mod table;
mod user_data;
mod words;
mod yaml;

use anyhow::Context as _;

pub(crate) use bootstrap_kubeconfig::bootstrap_kubeconfig;
pub(crate) use expect::expect;
pub(crate) use explain::explain;
pub(crate) use flag::FlagError;
pub(crate) use input::InputError;
pub(crate) use list::list;
pub(crate) use manual::{approve, deny};
pub(crate) use user_data::user_data;

/// Runs something that talks to the API server.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(work)
}
