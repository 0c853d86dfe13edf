//! A machine that requests its certificate from a scripted API server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_node_agent::AgentError;
use rollcall_node_agent::agent::join;
use serde_json::Value;

use crate::api::{Api, Call, stored, with_condition};
use crate::authority::Authority;
use crate::machine::Machine;

pub(crate) const COLLECTION: &str = "POST /apis/certificates.k8s.io/v1/certificatesigningrequests*";
pub(crate) const ANY: &str = "GET /apis/certificates.k8s.io/v1/certificatesigningrequests*";

/// A machine and its cluster, with a script for the API server.
pub(crate) struct Scene {
    pub(crate) authority: Authority,
    pub(crate) machine: Machine,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let authority = Authority::new();
        let machine = Machine::new(&authority);
        Self { authority, machine }
    }

    /// Runs the agent against the script and returns its result.
    pub(crate) async fn play(&self, script: impl AsyncFnOnce(&mut Api)) -> Result<(), AgentError> {
        let (mut api, client) = Api::new();
        let around = self.machine.around(client.clone(), client, |_| ());
        let (ended, ()) = tokio::join!(join(&self.machine.settings, &around), script(&mut api));
        if let Err(error) = &ended {
            around.console.fail(error.reason(), &error.to_string());
        }
        ended
    }

    pub(crate) fn issue(&self, object: &Value) -> Value {
        self.issue_changed(object, |_| ())
    }

    pub(crate) fn issue_changed(
        &self,
        object: &Value,
        change: impl FnOnce(&mut rcgen::CertificateParams),
    ) -> Value {
        let mut issued = with_condition(object, "Approved", "OnTheRoll", "on the roll");
        let pem = self
            .authority
            .sign(&request_pem(object), "worker-0", change);
        issued["status"]["certificate"] = STANDARD.encode(pem).into();
        issued
    }

    /// Asserts that only the pending key is on disk.
    pub(crate) fn assert_nothing_installed(&self) {
        assert_eq!(
            self.machine.names("kubelet/pki"),
            ["kubelet-client-pending.key"]
        );
        assert_eq!(self.machine.names("etc"), Vec::<String>::new());
    }

    pub(crate) fn assert_installed(&self) {
        let names = self.machine.names("kubelet/pki");
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(names[1], "kubelet-client-current.pem");
        assert_eq!(self.machine.names("etc"), ["kubelet.conf"]);
    }
}

pub(crate) fn request_pem(object: &Value) -> Vec<u8> {
    STANDARD
        .decode(object["spec"]["request"].as_str().unwrap())
        .unwrap()
}

pub(crate) fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

/// Handles the request that the agent files.
pub(crate) async fn file(api: &mut Api) -> Value {
    accept(api.expect(COLLECTION).await)
}

pub(crate) fn accept(call: Call) -> Value {
    let object = stored(&call.body, "10");
    call.answer(201, &object);
    object
}
