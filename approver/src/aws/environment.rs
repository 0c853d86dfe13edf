//! The environment variables that every AWS tool reads.

use std::fmt;
use std::sync::Arc;

use ::http::Uri;

use super::Error;

/// The value of a variable.
type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The source of variables: the process's environment, or a test's own.
#[derive(Clone)]
pub(crate) struct Environment(Arc<Lookup>);

impl Environment {
    /// The environment of this process.
    pub(crate) fn of_process() -> Self {
        Self(Arc::new(|name| std::env::var(name).ok()))
    }

    /// These variables and no others.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let variables: std::collections::HashMap<String, String> = variables
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self(Arc::new(move |name| variables.get(name).cloned()))
    }

    /// A variable; an empty one counts as none.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// Returns true if the variable is `true`.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The endpoint of a service, in the order of AWS SDKs (AWS SDKs and Tools Reference Guide, "Service-specific
    /// endpoints"): a variable for the service, one for all, else the service's own host.
    pub(super) fn endpoint(&self, service: Service, region: &str) -> Result<Uri, Error> {
        let named = [service.variable(), "AWS_ENDPOINT_URL"]
            .into_iter()
            .find_map(|name| Some((name, self.get(name)?)));
        let (name, text) = match named {
            Some((name, text)) => (name, text),
            None => ("the region", service.url(region)),
        };
        url(name, &text)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// An `http` or `https` URL with a host.
pub(super) fn url(name: &str, text: &str) -> Result<Uri, Error> {
    let wrong = || {
        Error::Setting(format!(
            "{name}: {text:?} is no URL such as https://ec2.eu-west-1.amazonaws.com"
        ))
    };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err(wrong()),
    }
}

/// A service with a query API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    AutoScaling,
    Ec2,
    Sts,
}

impl Service {
    /// The name that requests are signed for, and the host begins with.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AutoScaling => "autoscaling",
            Self::Ec2 => "ec2",
            Self::Sts => "sts",
        }
    }

    /// The version of its API.
    pub(super) fn version(self) -> &'static str {
        match self {
            Self::AutoScaling => "2011-01-01",
            Self::Ec2 => "2016-11-15",
            Self::Sts => "2011-06-15",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::AutoScaling => "AWS_ENDPOINT_URL_AUTO_SCALING",
            Self::Ec2 => "AWS_ENDPOINT_URL_EC2",
            Self::Sts => "AWS_ENDPOINT_URL_STS",
        }
    }

    fn url(self, region: &str) -> String {
        // AWS in China has a domain of its own. Regions that are reached otherwise still need AWS_ENDPOINT_URL.
        let domain = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        format!("https://{}.{region}.{domain}/", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_of_a_service_outweighs_the_one_for_all_and_that_the_region() {
        let plain = Environment::of(&[("AWS_ENDPOINT_URL", "")]);
        let at = |environment: &Environment, service, region| {
            environment.endpoint(service, region).unwrap().to_string()
        };
        assert_eq!(
            at(&plain, Service::Ec2, "eu-west-1"),
            "https://ec2.eu-west-1.amazonaws.com/"
        );
        assert_eq!(
            at(&plain, Service::AutoScaling, "cn-north-1"),
            "https://autoscaling.cn-north-1.amazonaws.com.cn/"
        );
        let set = Environment::of(&[
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            ("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:2/ec2"),
        ]);
        assert_eq!(
            at(&set, Service::Ec2, "eu-west-1"),
            "http://127.0.0.1:2/ec2"
        );
        assert_eq!(at(&set, Service::Sts, "eu-west-1"), "http://127.0.0.1:1/");
    }

    #[test]
    fn an_endpoint_that_is_no_url_names_its_variable() {
        for bad in ["moto:5000", "ftp://host", "http://", "no url"] {
            let environment = Environment::of(&[("AWS_ENDPOINT_URL_STS", bad)]);
            let error = environment.endpoint(Service::Sts, "eu-west-1").unwrap_err();
            let text = error.to_string();
            assert!(text.contains("AWS_ENDPOINT_URL_STS"), "{text}");
        }
    }
}
