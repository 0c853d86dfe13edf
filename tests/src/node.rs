//! A real node: a kubelet and a container runtime in namespaces of their own.

mod relay;

pub(crate) use relay::Relay;
