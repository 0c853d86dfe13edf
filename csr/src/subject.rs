//! The subject of a request: one organization, one common name and nothing else.

/// The organization, and so the group, of every kubelet (Kubernetes: `user.NodesGroup`).
pub const NODES_GROUP: &str = "system:nodes";

/// A subject of exactly one organization and one common name, both of plain string types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The value of the only O attribute.
    pub organization: String,
    /// The value of the only CN attribute.
    pub common_name: String,
}
