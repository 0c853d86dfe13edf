//! A cluster in memory: it stores requests and signs each at once, or denies it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::DATE;
use http::{Method, Request, Response};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::machine::NOW;

type Hook = Box<dyn Fn() + Send + Sync>;

pub(crate) struct Cluster {
    pub(crate) authority: Authority,
    calls: AtomicUsize,
    date: Mutex<Timestamp>,
    denies: AtomicBool,
    requests: Mutex<BTreeMap<String, Value>>,
    when_asked: Mutex<Option<Hook>>,
}

impl Cluster {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            authority: Authority::new(),
            calls: AtomicUsize::new(0),
            date: Mutex::new(NOW.parse().unwrap()),
            denies: AtomicBool::new(false),
            requests: Mutex::default(),
            when_asked: Mutex::default(),
        })
    }

    /// From now on every request is denied.
    pub(crate) fn deny(&self) {
        self.denies.store(true, Ordering::Relaxed);
    }

    /// Runs a hook once, before the next call is answered.
    pub(crate) fn when_asked(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.when_asked.lock().unwrap() = Some(Box::new(hook));
    }

    /// Sets the clock of the API server.
    pub(crate) fn set_date(&self, date: &str) {
        *self.date.lock().unwrap() = date.parse().unwrap();
    }

    /// The number of calls, without those for the time.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// The number of filed requests.
    pub(crate) fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The text of `spec.request` of each filed request, in the order of their names.
    pub(crate) fn filed(&self) -> Vec<Vec<u8>> {
        let requests = self.requests.lock().unwrap();
        requests
            .values()
            .map(|request| {
                STANDARD
                    .decode(request["spec"]["request"].as_str().unwrap())
                    .unwrap()
            })
            .collect()
    }

    pub(crate) fn client(self: &Arc<Self>) -> Client {
        let cluster = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = Arc::clone(&cluster);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let (code, answer) = cluster.answer(&parts.method, &parts.uri.to_string(), &body);
                let body = Body::from(answer.to_string().into_bytes());
                let date = cluster
                    .date
                    .lock()
                    .unwrap()
                    .strftime("%a, %d %b %Y %H:%M:%S GMT");
                let answer = Response::builder()
                    .status(code)
                    .header(DATE, date.to_string());
                Ok::<_, Infallible>(answer.body(body).unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, method: &Method, uri: &str, body: &[u8]) -> (u16, Value) {
        if uri == "/version" {
            // The response to an unknown credential.
            return (401, json!({ "kind": "Status", "code": 401 }));
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        if let Some(hook) = self.when_asked.lock().unwrap().take() {
            hook();
        }
        let mut requests = self.requests.lock().unwrap();
        if method == Method::GET {
            let found: Vec<_> = requests
                .iter()
                .filter(|(name, _)| uri.contains(*name))
                .map(|(_, it)| it)
                .collect();
            return (
                200,
                json!({ "metadata": { "resourceVersion": "1" }, "items": found }),
            );
        }
        let request: Value = serde_json::from_slice(body).unwrap();
        let name = request["metadata"]["name"].as_str().unwrap().to_owned();
        if requests.contains_key(&name) {
            return (
                409,
                json!({ "kind": "Status", "reason": "AlreadyExists", "code": 409 }),
            );
        }
        let request = self.decide(request);
        requests.insert(name, request.clone());
        (201, request)
    }

    fn decide(&self, mut request: Value) -> Value {
        let verdict = if self.denies.load(Ordering::Relaxed) {
            "Denied"
        } else {
            "Approved"
        };
        request["metadata"]["creationTimestamp"] = NOW.into();
        request["metadata"]["resourceVersion"] = "1".into();
        request["status"]["conditions"] = json!([{ "type": verdict, "status": "True" }]);
        if verdict == "Approved" {
            let pem = STANDARD
                .decode(request["spec"]["request"].as_str().unwrap())
                .unwrap();
            let certificate = self.authority.sign(&pem, "worker-0", |_| ());
            request["status"]["certificate"] = STANDARD.encode(certificate).into();
        }
        request
    }
}
