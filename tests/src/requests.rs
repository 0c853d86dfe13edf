//! Raw certificate requests for nodes, valid and invalid, and their results.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestSpec,
};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SanType, SigningKey as _};
use rollcall_csr::{
    Binding, CertificationRequest, ClusterId, Evidence, NODES_GROUP, NodeName, Signer, Statement,
};
use serde_json::json;

use crate::pki::{IssuedCertificate, distinguished_name};
use crate::wait;

/// A request under construction. [`NodeRequest::client`] gives the one a kubelet would make; each method changes it.
#[derive(Clone, Debug)]
pub struct NodeRequest {
    name: Option<String>,
    common_name: String,
    organizations: Vec<String>,
    dns_names: Vec<String>,
    ip_addresses: Vec<IpAddr>,
    usages: Vec<String>,
    signer: String,
    expiration_seconds: Option<i32>,
    key_pem: String,
    statements: Vec<Statement>,
}

impl NodeRequest {
    /// A node's request for its client certificate, with a new key.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn client(node_name: &str) -> Result<Self> {
        let signer = Signer::KubeApiserverClientKubelet;
        let key = KeyPair::generate().context("cannot generate a key")?;
        Ok(Self {
            name: None,
            common_name: format!("system:node:{node_name}"),
            organizations: vec![NODES_GROUP.to_owned()],
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            usages: signer.usages().map(str::to_owned).to_vec(),
            signer: signer.name().to_owned(),
            expiration_seconds: None,
            key_pem: key.serialize_pem(),
            statements: Vec::new(),
        })
    }

    /// A node's request for its serving certificate, with a new key.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn serving(node_name: &str, dns_names: &[&str], ip_addresses: &[IpAddr]) -> Result<Self> {
        let signer = Signer::KubeletServing;
        Ok(Self {
            usages: signer.usages().map(str::to_owned).to_vec(),
            signer: signer.name().to_owned(),
            dns_names: dns_names.iter().map(|&name| name.to_owned()).collect(),
            ip_addresses: ip_addresses.to_vec(),
            ..Self::client(node_name)?
        })
    }

    /// Sets the name of the request object; otherwise the API server generates one that begins with `csr-`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Sets the common name.
    #[must_use]
    pub fn common_name(mut self, common_name: &str) -> Self {
        common_name.clone_into(&mut self.common_name);
        self
    }

    /// Adds an organization. A request can hold two.
    #[must_use]
    pub fn organization(mut self, organization: &str) -> Self {
        self.organizations.push(organization.to_owned());
        self
    }

    /// Adds a usage, as in `spec.usages`.
    #[must_use]
    pub fn usage(mut self, usage: &str) -> Self {
        self.usages.push(usage.to_owned());
        self
    }

    /// Adds a DNS name.
    #[must_use]
    pub fn dns_name(mut self, name: &str) -> Self {
        self.dns_names.push(name.to_owned());
        self
    }

    /// Adds an IP address.
    #[must_use]
    pub fn ip_address(mut self, address: IpAddr) -> Self {
        self.ip_addresses.push(address);
        self
    }

    /// Sets the signer.
    #[must_use]
    pub fn signer(mut self, signer: &str) -> Self {
        signer.clone_into(&mut self.signer);
        self
    }

    /// Sets the requested validity (`spec.expirationSeconds`, at least 600).
    #[must_use]
    pub fn expiration_seconds(mut self, seconds: i32) -> Self {
        self.expiration_seconds = Some(seconds);
        self
    }

    /// Uses an existing key, PEM (PKCS#8).
    #[must_use]
    pub fn key(mut self, key_pem: &str) -> Self {
        key_pem.clone_into(&mut self.key_pem);
        self
    }

    /// Adds a statement that proves possession of this certificate's key, bound to the current key, node and cluster.
    ///
    /// # Errors
    /// If the certificate is malformed, or the key does not match it.
    pub fn previous(mut self, identity: &IssuedCertificate, ca_pem: &str) -> Result<Self> {
        let certificate = der(&identity.certificate_pem)?;
        let binding = self.binding(ca_pem)?;
        let statement = Statement::previous_certificate(&certificate, &binding, |bytes| {
            sign(&identity.key_pem, bytes)
        })?;
        self.statements.push(statement);
        Ok(self)
    }

    /// Adds a statement that proves possession of this join key, PEM (PKCS#8).
    ///
    /// # Errors
    /// If it is not a key.
    pub fn join_key(mut self, key_pem: &str, ca_pem: &str) -> Result<Self> {
        let spki = KeyPair::from_pem(key_pem)?.subject_public_key_info();
        let binding = self.binding(ca_pem)?;
        let statement = Statement::join_key(&spki, &binding, |bytes| sign(key_pem, bytes))?;
        self.statements.push(statement);
        Ok(self)
    }

    /// The SubjectPublicKeyInfo of its key in base64, as a Machine pins a join key.
    ///
    /// # Errors
    /// If the key is malformed.
    pub fn public_key_base64(&self) -> Result<String> {
        let spki = KeyPair::from_pem(&self.key_pem)?.subject_public_key_info();
        Ok(STANDARD.encode(spki))
    }

    fn binding(&self, ca_pem: &str) -> Result<Binding> {
        let request = CertificationRequest::from_pem(self.pem()?.as_bytes())?;
        Ok(Binding {
            request_key: request.public_key().hash(),
            node: NodeName::from_username(&self.common_name)?,
            cluster: ClusterId::of_ca(&der(ca_pem)?),
        })
    }

    /// The key of the request, PEM (PKCS#8).
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The PKCS#10 request with its evidence, PEM.
    ///
    /// # Errors
    /// If a name does not fit into a request.
    pub fn pem(&self) -> Result<String> {
        let key = KeyPair::from_pem(&self.key_pem)
            .context("the key of the request is not a PKCS#8 key")?;
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(&self.common_name, &self.organizations)?;
        let names = self.dns_names.iter().map(|name| {
            Ok(SanType::DnsName(
                name.as_str()
                    .try_into()
                    .with_context(|| format!("{name:?} is not a DNS name"))?,
            ))
        });
        let addresses = self
            .ip_addresses
            .iter()
            .map(|address| Ok(SanType::IpAddress(*address)));
        params.subject_alt_names = names.chain(addresses).collect::<Result<_>>()?;
        let request = params
            .serialize_request(&key)
            .context("cannot sign the request")?;
        let pem = request.pem().context("cannot write the request as PEM")?;
        if self.statements.is_empty() {
            return Ok(pem);
        }
        Ok(Evidence::new(self.statements.clone())?.append_to(&pem)?)
    }

    /// The request object, ready to be created.
    ///
    /// # Errors
    /// If a name does not fit into a request.
    pub fn object(&self) -> Result<CertificateSigningRequest> {
        Ok(self.object_with(self.pem()?.into_bytes()))
    }

    /// The request object with any bytes in `spec.request`.
    pub fn object_with(&self, request: Vec<u8>) -> CertificateSigningRequest {
        let generate_name = self.name.is_none().then(|| "csr-".to_owned());
        CertificateSigningRequest {
            metadata: ObjectMeta {
                name: self.name.clone(),
                generate_name,
                ..ObjectMeta::default()
            },
            spec: CertificateSigningRequestSpec {
                request: ByteString(request),
                signer_name: self.signer.clone(),
                usages: Some(self.usages.clone()),
                expiration_seconds: self.expiration_seconds,
                ..CertificateSigningRequestSpec::default()
            },
            status: None,
        }
    }

    /// Creates the request as the user of `client`, and returns its name.
    ///
    /// # Errors
    /// If the API server refuses: a [`kube::Error`] that can be found with `downcast_ref`.
    pub async fn submit(&self, client: &kube::Client) -> Result<String> {
        let object = self.object()?;
        let created = api(client)
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| {
                format!(
                    "cannot create a request for {} at the signer {}",
                    self.common_name, self.signer
                )
            })?;
        created
            .metadata
            .name
            .context("the API server gave the request no name")
    }
}

/// The DER of the first block of a PEM text.
fn der(pem: &str) -> Result<Vec<u8>> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes())?;
    Ok(pem.contents)
}

fn sign(key_pem: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    Ok(KeyPair::from_pem(key_pem)?.sign(bytes)?)
}

/// All certificate requests.
pub fn api(client: &kube::Client) -> Api<CertificateSigningRequest> {
    Api::all(client.clone())
}

/// Returns reason and message of a condition (`Approved`, `Denied`, `Failed`) of a request, if present.
pub fn condition<'r>(
    request: &'r CertificateSigningRequest,
    kind: &str,
) -> Option<(&'r str, &'r str)> {
    let conditions = request.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == kind && condition.status == "True")?;
    Some((
        condition.reason.as_deref().unwrap_or_default(),
        condition.message.as_deref().unwrap_or_default(),
    ))
}

/// Returns true if the request is undecided.
pub fn is_pending(request: &CertificateSigningRequest) -> bool {
    condition(request, "Approved").is_none() && condition(request, "Denied").is_none()
}

/// Approves a request unconditionally, as an administrator could.
///
/// # Errors
/// If the API server refuses.
pub async fn approve(client: &kube::Client, name: &str) -> Result<CertificateSigningRequest> {
    let condition = json!({
        "type": "Approved", "status": "True", "reason": "ApprovedByTest", "message": "approved by a test",
    });
    let patch = json!({"status": {"conditions": [condition]}});
    api(client)
        .patch_approval(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .with_context(|| format!("cannot approve {name}"))
}

/// Waits until a request is approved.
///
/// # Errors
/// If that takes longer than `timeout`, with the request as it was last seen.
pub async fn wait_approved(
    client: &kube::Client,
    name: &str,
    timeout: Duration,
) -> Result<CertificateSigningRequest> {
    let approved = |request: &CertificateSigningRequest| condition(request, "Approved").is_some();
    wait::object(&api(client), name, "the approval", timeout, approved).await
}

/// Waits until a request has its certificate, and returns it, PEM.
///
/// # Errors
/// If that takes longer than `timeout`, with the request as it was last seen.
pub async fn wait_certificate(
    client: &kube::Client,
    name: &str,
    timeout: Duration,
) -> Result<String> {
    let issued = wait::object(&api(client), name, "the certificate", timeout, |request| {
        certificate(request).is_some()
    })
    .await?;
    let bytes = certificate(&issued).unwrap_or_default().to_vec();
    String::from_utf8(bytes).with_context(|| format!("the certificate in {name} is not PEM"))
}

fn certificate(request: &CertificateSigningRequest) -> Option<&[u8]> {
    let certificate = request.status.as_ref()?.certificate.as_ref()?;
    (!certificate.0.is_empty()).then_some(certificate.0.as_slice())
}

/// The Events of a request, unsorted.
///
/// # Errors
/// If the API server refuses.
pub async fn events(client: &kube::Client, name: &str) -> Result<Vec<Event>> {
    let events: Api<Event> = Api::all(client.clone());
    let selector = event_selector(KIND, name);
    let list = events.list(&ListParams::default().fields(&selector)).await;
    Ok(list
        .with_context(|| format!("cannot list the Events of {name}"))?
        .items)
}

/// Waits until a request has an Event with this reason.
///
/// # Errors
/// If that takes longer than `timeout`, with the Event that was seen last.
pub async fn wait_event(
    client: &kube::Client,
    name: &str,
    reason: &str,
    timeout: Duration,
) -> Result<Event> {
    wait_event_on(client, KIND, name, reason, timeout).await
}

/// Waits until an object of this kind has an Event with this reason, as `kubectl describe` shows.
///
/// # Errors
/// As [`wait_event`].
pub async fn wait_event_on(
    client: &kube::Client,
    kind: &str,
    name: &str,
    reason: &str,
    timeout: Duration,
) -> Result<Event> {
    let events: Api<Event> = Api::all(client.clone());
    let config = watcher::Config::default().fields(&event_selector(kind, name));
    let what = format!("an Event {reason} of {kind} {name}");
    wait::any(&events, config, &what, timeout, |event| {
        event.reason.as_deref() == Some(reason)
    })
    .await
}

/// The kind of a request.
const KIND: &str = "CertificateSigningRequest";

fn event_selector(kind: &str, name: &str) -> String {
    format!("involvedObject.kind={kind},involvedObject.name={name}")
}
