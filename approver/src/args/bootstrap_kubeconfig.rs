//! The forms of a bootstrap kubeconfig.

use clap::ValueEnum;

/// How a kubeconfig is written; kubelet and node-agent read both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KubeconfigFormat {
    /// JSON.
    Json,
    /// YAML.
    #[default]
    Yaml,
}
