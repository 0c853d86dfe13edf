//! What is to be made, read from the flags and checked before anything is done.

use jiff::SignedDuration;
use k8s_openapi::api::rbac::v1::Subject;
use rollcall_approver_core::{
    BOOTSTRAPPERS, MachineReference, Requestor as Asking, Scope, machine_group,
};

use super::rights::Requestor;
use crate::BootstrapKubeconfigArgs;
use crate::cli::flag::FlagError;
use crate::cli::words::duration;
use crate::config::Config;

/// The shortest life of a ServiceAccount's token (Kubernetes `pkg/apis/authentication/validation`: 10 minutes).
const MIN_ACCOUNT_TTL: SignedDuration = SignedDuration::from_mins(10);

/// What is to be made.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) what: What,
    pub(super) ttl: SignedDuration,
    /// Who will ask with it.
    pub(super) requestor: Requestor,
    pub(super) create_rights: bool,
    /// Where the approver reads Machines.
    pub(super) machines: Vec<Scope>,
    pub(super) warnings: Vec<String>,
}

/// The kind of credential.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    Account(Name),
    Token(TokenOrder),
}

/// A bootstrap token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenOrder {
    pub(super) description: String,
    pub(super) groups: Vec<String>,
    pub(super) machine: Option<Name>,
}

/// The name of an object, with its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl std::fmt::Display for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl Order {
    /// Checks the flags.
    pub(super) fn read(args: &BootstrapKubeconfigArgs, config: &Config) -> Result<Self, FlagError> {
        let window = config.policy.rules.join_window;
        let ttl = match &args.ttl {
            None => window,
            Some(text) => read_ttl(text)?,
        };
        let what = match &args.service_account {
            Some(text) => {
                if ttl < MIN_ACCOUNT_TTL {
                    let message = "the API server gives ServiceAccounts no token for less than 10m";
                    return Err(FlagError::new("--ttl", message));
                }
                let name = Name::read("--service-account", text, None)?;
                What::Account(name)
            }
            None => What::Token(TokenOrder::read(args, config)?),
        };
        let requestor = what.requestor();
        let mut warnings = Vec::new();
        if ttl > window {
            warnings.push(format!(
                "the credential is valid for {}, and a machine has {} to join: whoever reads it can ask with it all that time",
                duration(ttl),
                duration(window)
            ));
        }
        let asking = Asking {
            // No rule can name a token whose id is drawn only now.
            username: requestor.username.clone().unwrap_or_default(),
            groups: requestor.groups.clone(),
        };
        if !config
            .policy
            .bootstrappers
            .iter()
            .any(|rule| rule.matches(&asking))
        {
            warnings.push(format!(
                "no entry of bootstrap.requestors in the approver's configuration accepts {}: its requests would be left \
                 alone",
                requestor.name
            ));
        }
        Ok(Self {
            what,
            ttl,
            requestor,
            create_rights: args.create_rights,
            machines: config.machines.clone(),
            warnings,
        })
    }
}

fn read_ttl(text: &str) -> Result<SignedDuration, FlagError> {
    let ttl = text.parse::<SignedDuration>().ok();
    ttl.filter(SignedDuration::is_positive).ok_or_else(|| {
        let message = format!("{text:?} is no positive duration; write 30m, 2h or 1h30m");
        FlagError::new("--ttl", message)
    })
}

impl TokenOrder {
    fn read(args: &BootstrapKubeconfigArgs, config: &Config) -> Result<Self, FlagError> {
        let namespaces = config.machines.iter().map(|scope| scope.namespace.as_str());
        let namespace = namespaces.into_iter().find(|name| !name.is_empty());
        let machine = args
            .machine
            .as_deref()
            .map(|text| Name::read_machine(text, namespace))
            .transpose()?;
        for group in &args.groups {
            if !is_bootstrap_group(group) {
                let message = format!(
                    "{group:?} is no group that a bootstrap token can give; it begins with {BOOTSTRAPPERS}: and goes on with \
                     a-z, 0-9, : and -"
                );
                return Err(FlagError::new("--group", message));
            }
        }
        let purpose = machine.as_ref().map_or_else(
            || "made by rollcall-approver bootstrap-kubeconfig".to_owned(),
            |machine| {
                format!("for the Machine {machine}; made by rollcall-approver bootstrap-kubeconfig")
            },
        );
        let description = match args.description.as_deref().map(str::trim) {
            None | Some("") => purpose,
            Some(text) => format!("{text} ({purpose})"),
        };
        Ok(Self {
            description,
            groups: args.groups.clone(),
            machine,
        })
    }
}

/// Kubernetes `k8s.io/cluster-bootstrap/token/api`, `BootstrapGroupPattern`.
fn is_bootstrap_group(group: &str) -> bool {
    let Some(rest) = group
        .strip_prefix(BOOTSTRAPPERS)
        .and_then(|rest| rest.strip_prefix(':'))
    else {
        return false;
    };
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    rest.len() <= 256
        && rest
            .bytes()
            .all(|byte| letter(byte) || b":-".contains(&byte))
        && rest.bytes().next_back().is_some_and(letter)
}

impl Name {
    /// A Machine; one that is in no namespace is written /NAME.
    fn read_machine(text: &str, default_namespace: Option<&str>) -> Result<Self, FlagError> {
        const FLAG: &str = "--machine";
        let machine = match text.strip_prefix('/') {
            Some(name) => Self {
                namespace: String::new(),
                ..Self::read(FLAG, name, Some("cluster"))?
            },
            None => Self::read(FLAG, text, default_namespace)?,
        };
        if !is_bootstrap_group(&machine_group(&machine.reference())) {
            let message = format!("{text:?} is too long for a token of its own");
            return Err(FlagError::new(FLAG, message));
        }
        Ok(machine)
    }

    /// The same as the core names Machines.
    pub(super) fn reference(&self) -> MachineReference {
        let Self { namespace, name } = self.clone();
        MachineReference { namespace, name }
    }

    fn read(flag: &str, text: &str, default_namespace: Option<&str>) -> Result<Self, FlagError> {
        let parts = match text.split_once('/') {
            Some((namespace, name)) => Some((namespace, name)),
            None => default_namespace.map(|namespace| (namespace, text)),
        };
        // An RFC 1123 subdomain, as far as it matters here: nothing in it means anything in a path.
        let fits = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte)
                })
        };
        match parts {
            Some((namespace, name)) if fits(namespace) && fits(name) => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => {
                let message = format!("{text:?} is no NAMESPACE/NAME");
                Err(FlagError::new(flag, message))
            }
        }
    }
}

impl What {
    /// Who the API server takes the holder of such a credential for.
    fn requestor(&self) -> Requestor {
        match self {
            Self::Account(account) => {
                let Name { namespace, name } = account;
                Requestor {
                    name: format!("the ServiceAccount {account}"),
                    username: Some(format!("system:serviceaccount:{namespace}:{name}")),
                    groups: vec![
                        "system:serviceaccounts".to_owned(),
                        format!("system:serviceaccounts:{namespace}"),
                        "system:authenticated".to_owned(),
                    ],
                    subject: subject("ServiceAccount", name, Some(namespace)),
                }
            }
            Self::Token(order) => {
                let own = [BOOTSTRAPPERS.to_owned(), "system:authenticated".to_owned()];
                // The narrowest group: what other tokens may do stays as it is.
                let group = order.groups.first().map_or(BOOTSTRAPPERS, String::as_str);
                Requestor {
                    name: format!("the group {group}"),
                    username: None,
                    groups: order.groups.iter().cloned().chain(own).collect(),
                    subject: subject("Group", group, None),
                }
            }
        }
    }
}

fn subject(kind: &str, name: &str, namespace: Option<&str>) -> Subject {
    Subject {
        api_group: namespace
            .is_none()
            .then(|| "rbac.authorization.k8s.io".to_owned()),
        kind: kind.to_owned(),
        name: name.to_owned(),
        namespace: namespace.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_those_that_kubernetes_takes() {
        for group in [
            "system:bootstrappers:a",
            "system:bootstrappers:kubeadm:default-node-token",
        ] {
            assert!(is_bootstrap_group(group), "{group}");
        }
        for group in [
            "system:bootstrappers",
            "system:bootstrappers:",
            "system:bootstrappers:a-",
            "system:bootstrappers:A",
            "system:masters",
            "system:bootstrappersx:a",
        ] {
            assert!(!is_bootstrap_group(group), "{group}");
        }
    }

    #[test]
    fn a_life_is_positive() {
        assert_eq!(read_ttl("1h30m").unwrap(), SignedDuration::from_mins(90));
        for text in ["0s", "-1h", "5", "", "for ever"] {
            assert!(read_ttl(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_have_a_namespace() {
        let read =
            |text, default| Name::read("--machine", text, default).map(|name| name.to_string());
        assert_eq!(read("a", Some("n")).unwrap(), "n/a");
        assert_eq!(read("m/a", Some("n")).unwrap(), "m/a");
        for text in ["", "/", "a/", "/a", "a/b/c", "A", "a b"] {
            assert!(read(text, Some("n")).is_err(), "{text}");
        }
        assert!(read("a", None).is_err());
    }
}
