//! moto, an AWS mock: Auto Scaling Groups with a real API, and simulated instances.
//!
//! It is installed from PyPI into a virtual environment, once, and cached beside the Kubernetes programs.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::ControlPlane;
use crate::assets::{POLL, Ticker, cache_home, lock, progress};
use crate::command::{clean_command, find_program};
use crate::lease::Port;
use crate::process::Process;
use crate::programs::Program;
use crate::wait::poll;

/// The region of all resources.
pub const REGION: &str = "eu-west-1";
/// The zone of the groups' instances.
const ZONE: &str = "eu-west-1a";
/// An image that moto knows (moto, `ec2/resources/amis.json`).
const IMAGE: &str = "ami-12c6146b";

const REQUIREMENTS: &str = include_str!("../moto/requirements.txt");

/// The timeout of the start: Python reads some thousand files.
const START: Duration = Duration::from_secs(60);

/// A running moto.
#[derive(Debug)]
pub struct Moto {
    program: Program,
    url: String,
    /// Reserves the port.
    _port: Port,
}

impl Moto {
    /// Checks that moto can be installed, or is.
    ///
    /// # Errors
    /// The missing programs, with instructions.
    pub fn prerequisites() -> Result<(), String> {
        const MISSING: &str =
            "moto needs Python 3 with its modules venv and ensurepip: apt-get install python3-venv";
        let python = find_program("python3").ok_or(MISSING)?;
        let mut command = with_environment(&python);
        let found = command.args(["-c", "import ensurepip, venv"]).output();
        match found {
            Ok(output) if output.status.success() => Ok(()),
            _ => Err(MISSING.to_owned()),
        }
    }

    /// Starts an empty moto. Installs it first if needed, which takes a minute and prints progress on standard error.
    ///
    /// # Errors
    /// If Python is missing, or moto cannot be installed or started.
    pub async fn start(control_plane: &ControlPlane) -> Result<Self> {
        let python = tokio::task::spawn_blocking(|| installed(&mut progress))
            .await
            .context("the installation of moto panicked")??;
        let port = Port::take()?;
        let number = port.number().to_string();
        let mut command = clean_command(&python);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &number]);
        let program = Program::run("moto", &command, &control_plane.logs_dir())?;
        let moto = Self {
            program,
            url: format!("http://127.0.0.1:{number}"),
            _port: port,
        };
        poll("moto to answer", START, || async {
            moto.call("autoscaling", &[("Action", "DescribeAutoScalingGroups")])
                .await
        })
        .await?;
        Ok(moto)
    }

    /// Kills it: from then on, AWS is down.
    pub fn kill(self) {
        self.program.kill();
    }

    /// Creates an Auto Scaling Group with a tag.
    ///
    /// # Errors
    /// If moto refuses.
    pub async fn create_group(&self, name: &str, tag: &str, desired: usize) -> Result<()> {
        let configuration = format!("configuration-of-{name}");
        let parameters = [
            ("Action", "CreateLaunchConfiguration"),
            ("LaunchConfigurationName", &configuration),
            ("ImageId", IMAGE),
            ("InstanceType", "t2.micro"),
        ];
        self.call("autoscaling", &parameters).await?;
        let desired = desired.to_string();
        let parameters = [
            ("Action", "CreateAutoScalingGroup"),
            ("AutoScalingGroupName", name),
            ("LaunchConfigurationName", &configuration),
            ("MinSize", "0"),
            ("MaxSize", "10"),
            ("DesiredCapacity", &desired),
            ("AvailabilityZones.member.1", ZONE),
            ("Tags.member.1.Key", tag),
            ("Tags.member.1.Value", "owned"),
            ("Tags.member.1.PropagateAtLaunch", "true"),
            ("Tags.member.1.ResourceId", name),
            ("Tags.member.1.ResourceType", "auto-scaling-group"),
        ];
        self.call("autoscaling", &parameters).await.map(drop)
    }

    /// Scales a group: instances are launched or terminated at once.
    ///
    /// # Errors
    /// If moto refuses.
    pub async fn scale(&self, name: &str, desired: usize) -> Result<()> {
        let desired = desired.to_string();
        let parameters = [
            ("Action", "SetDesiredCapacity"),
            ("AutoScalingGroupName", name),
            ("DesiredCapacity", &desired),
        ];
        self.call("autoscaling", &parameters).await.map(drop)
    }

    /// Launches an instance, as Karpenter does. Returns its id and its private DNS name.
    ///
    /// # Errors
    /// If moto refuses.
    pub async fn launch(&self) -> Result<(String, String)> {
        let parameters = [
            ("Action", "RunInstances"),
            ("ImageId", IMAGE),
            ("InstanceType", "t2.micro"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("Placement.AvailabilityZone", ZONE),
        ];
        let answer = self.call("ec2", &parameters).await?;
        // The part before the id describes the network interface, whose element is different.
        let launched = answer.split_once("<instanceId>").and_then(|(_, own)| {
            let (id, own) = own.split_once('<')?;
            let (_, name) = own.split_once("<privateDnsName>")?;
            Some((id.to_owned(), name.split_once('<')?.0.to_owned()))
        });
        launched.with_context(|| format!("moto names no instance: {answer}"))
    }

    /// The `providerID` of an instance of moto.
    pub fn provider_id(instance: &str) -> String {
        format!("aws:///{ZONE}/{instance}")
    }

    /// The environment variables that direct a program to this moto, with accepted credentials.
    pub fn environment(&self) -> [(&str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", &self.url),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]
    }

    /// Terminates an instance without its group, as when a spot instance is reclaimed.
    ///
    /// # Errors
    /// If moto refuses.
    pub async fn terminate(&self, instance: &str) -> Result<()> {
        let parameters = [("Action", "TerminateInstances"), ("InstanceId.1", instance)];
        self.call("ec2", &parameters).await.map(drop)
    }

    async fn call(&self, service: &str, parameters: &[(&str, &str)]) -> Result<String> {
        // moto distinguishes services by the scope of the signature, and verifies no signature.
        let scope = format!("test/20260101/{REGION}/{service}/aws4_request");
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let request = Request::post(&self.url)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)?;
        let client: Client<_, String> = Client::builder(TokioExecutor::new()).build_http();
        let response = client
            .request(request)
            .await
            .context("moto does not answer")?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if !status.is_success() {
            bail!("moto refused {parameters:?}: {status}: {text}");
        }
        Ok(text)
    }
}

/// Returns the Python that has moto, after installing it if needed.
fn installed(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let home = cache_home()?;
    // Not a cryptographic hash: the worst case is one more installation.
    let mut hasher = DefaultHasher::new();
    REQUIREMENTS.hash(&mut hasher);
    let directory = home.join(format!("moto-{:016x}", hasher.finish()));
    let python = directory.join("bin/python");
    if python.is_file() {
        return Ok(python);
    }
    std::fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    let _lock = lock(&home.join("moto.lock"), progress)?;
    if !python.is_file() {
        install(&home, &directory, progress)?;
    }
    Ok(python)
}

/// Installs into a temporary folder beside `directory` and renames it at the end, so that a cache is complete or absent.
/// Its scripts contain the temporary path, but are not used.
fn install(home: &Path, directory: &Path, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let system = find_program("python3").context("there is no python3")?;
    let work = tempfile::Builder::new()
        .prefix("installing-moto-")
        .tempdir_in(home)
        .with_context(|| format!("cannot create a folder in {}", home.display()))?;
    let log = tempfile::NamedTempFile::new_in(home).context("cannot create a log")?;
    let venv = work.path().join("venv");
    let requirements = work.path().join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS).context("cannot write the requirements")?;
    let mut make = with_environment(&system);
    make.args(["-m", "venv"]).arg(&venv);
    finish("python3 -m venv", &make, log.path(), progress)?;
    let mut pip = with_environment(&venv.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ])
    .arg("--requirement")
    .arg(&requirements);
    finish("pip install", &pip, log.path(), progress)?;
    std::fs::rename(&venv, directory)
        .with_context(|| format!("cannot move moto to {}", directory.display()))
}

/// pip needs the caller's environment: its index, its proxies, its cache.
fn with_environment(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(std::env::vars_os());
    command
}

fn finish(name: &str, command: &Command, log: &Path, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let mut process = Process::spawn(name, command, log)?;
    let mut ticker = Ticker::new(format!(
        "installing moto, the pretended AWS of the tests, once ({name})"
    ));
    loop {
        match process.exited() {
            None => ticker.tick(progress),
            Some(status) if status.success() => return Ok(()),
            Some(_) => return Err(process.failure("failed")),
        }
        std::thread::sleep(POLL);
    }
}
