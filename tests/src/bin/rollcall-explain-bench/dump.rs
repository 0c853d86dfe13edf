//! The dump: one List of requests and Machines, each as large as in a real cluster. Names, times and addresses are
//! constant; keys and signatures are not.

use std::io::{BufWriter, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_e2e::requests::NodeRequest;
use serde_json::{Value, json};

/// The time of the decisions.
pub(crate) const JUDGED_AT: &str = "2026-11-23T10:10:00Z";

/// One in this many requests is for a node that no Machine owns.
const STRANGERS: u32 = 10;

/// The first address of Machines.
const FIRST_ADDRESS: u32 = 0x0A00_0001;

/// The number of requests for nodes that no Machine owns.
pub(crate) fn strangers(machines: u32) -> u32 {
    machines.div_ceil(STRANGERS)
}

/// Writes the dump as YAML and as JSON. Returns the files in this order.
pub(crate) fn write(folder: &Path, machines: u32) -> Result<[PathBuf; 2]> {
    let files = ["dump.yaml", "dump.json"].map(|name| folder.join(name));
    let [yaml, json] = &files;
    let mut items = Vec::new();
    for index in 0..machines {
        items.push(request(index)?);
        items.push(machine(index));
    }
    write_yaml(yaml, &items).with_context(|| format!("cannot write {}", yaml.display()))?;
    write_json(json, &items).with_context(|| format!("cannot write {}", json.display()))?;
    Ok(files)
}

/// Writes YAML as kubectl does: the items begin in the first column.
fn write_yaml(path: &Path, items: &[String]) -> Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    file.write_all(b"apiVersion: v1\nitems:\n")?;
    for item in items {
        let mut mark = "- ";
        for line in item.lines() {
            writeln!(file, "{mark}{line}")?;
            mark = "  ";
        }
    }
    file.write_all(b"kind: List\nmetadata:\n  resourceVersion: \"\"\n")?;
    Ok(file.flush()?)
}

fn write_json(path: &Path, items: &[String]) -> Result<()> {
    let items: Vec<Value> = items
        .iter()
        .map(|item| serde_saphyr::from_str(item))
        .collect::<Result<_, _>>()?;
    let list = json!({
        "apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""},
    });
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    serde_json::to_writer_pretty(&mut file, &list)?;
    Ok(file.flush()?)
}

fn request(index: u32) -> Result<String> {
    let stranger = index.is_multiple_of(STRANGERS);
    let node = format!("{}-{index}", if stranger { "stranger" } else { "worker" });
    let pem = NodeRequest::client(&node)?.pem()?;
    let request = STANDARD.encode(pem);
    Ok(format!(
        "\
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata:
  creationTimestamp: \"2026-11-23T10:05:00Z\"
  generateName: csr-
  name: csr-{index}
  resourceVersion: \"{version}\"
  uid: 00000000-0000-4000-8000-{index:012}
spec:
  groups:
  - system:serviceaccounts
  - system:serviceaccounts:openshift-machine-config-operator
  - system:authenticated
  request: {request}
  signerName: kubernetes.io/kube-apiserver-client-kubelet
  usages:
  - digital signature
  - client auth
  username: system:serviceaccount:openshift-machine-config-operator:node-bootstrapper
status: {{}}
",
        version = index.saturating_add(1_000_000),
    ))
}

/// A Machine of OpenShift on AWS, as its controllers write it.
fn machine(index: u32) -> String {
    let ip = Ipv4Addr::from(FIRST_ADDRESS.saturating_add(index));
    let version = index.saturating_add(2_000_000);
    let gaps = [
        ("{index}", index.to_string()),
        ("{digits}", format!("{index:012}")),
        ("{hexadecimal}", format!("{index:017x}")),
        ("{ip}", ip.to_string()),
        ("{version}", version.to_string()),
    ];
    let template = include_str!("machine.yaml").to_owned();
    gaps.iter()
        .fold(template, |text, (gap, value)| text.replace(gap, value))
}
