//! The network of one node: a pair of interfaces, one end on the host and one in the node's namespace.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::namespaces::{Namespaces, program, run};
use crate::command::clean_command;
use crate::lease::Lease;
use crate::scratch::Scratch;

/// The first two bytes of all addresses: half of the block for network benchmarks (RFC 2544, RFC 6890), which no real
/// network uses. The third byte is the node's number.
const PREFIX: (u8, u8) = (198, 18);

/// Length of each network's prefix: the third byte is leased, so all of the fourth is free to use.
const PREFIX_LENGTH: u8 = 24;

/// The last byte of the address of the first virtual machine.
const FIRST_MACHINE: u8 = 10;

/// The bridge of virtual machines, inside the namespaces.
const SWITCH: &str = "switch";

/// The network of a node, created before the control plane so that its address is in the API server's certificate
/// ([`crate::Options::reachable_at`]).
#[derive(Debug)]
pub struct Network {
    // Dropped in this order: the folder is removed when no process can write to it.
    namespaces: Namespaces,
    scratch: Scratch,
    number: Lease,
}

impl Network {
    /// Creates the namespaces and the pair of interfaces. Needs root.
    ///
    /// # Errors
    /// If the kernel or a tool refuses; the error includes its output.
    pub async fn create() -> Result<Self> {
        Self::create_with(Self::connect_node).await
    }

    /// Creates the namespaces with a switch in them for virtual machines ([`crate::vm`]), instead of an address for one
    /// node. Needs root.
    ///
    /// # Errors
    /// As [`Network::create`].
    pub async fn create_switch() -> Result<Self> {
        Self::create_with(Self::connect_switch).await
    }

    async fn create_with(connect: fn(&Self) -> Result<()>) -> Result<Self> {
        tokio::task::spawn_blocking(move || {
            let network = Self::create_blocking()?;
            connect(&network)?;
            Ok(network)
        })
        .await
        .context("the set-up of a node's network panicked")?
    }

    fn create_blocking() -> Result<Self> {
        let ip = program("ip")?;
        let mut command = clean_command(&ip);
        command.args(["-4", "route", "show", "table", "all"]);
        let routes = command
            .output()
            .context("cannot list the routes of this machine")?;
        let routes = String::from_utf8_lossy(&routes.stdout).into_owned();
        let number = Lease::take("nodes", 0..256, |number| {
            let used = format!("{}.{}.{number}.", PREFIX.0, PREFIX.1);
            !routes.contains(&used) && !Path::new("/sys/class/net").join(interface(number)).exists()
        })?;
        let scratch = Scratch::create()?;
        let logs = scratch.path().join("logs");
        std::fs::create_dir(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        let namespaces = Namespaces::create(scratch.path(), &logs.join("namespaces.log"))?;
        let network = Self {
            namespaces,
            scratch,
            number,
        };
        network.connect(&ip)?;
        Ok(network)
    }

    /// The host's end, where the node, and the host, reach the API server.
    pub fn host_address(&self) -> IpAddr {
        self.address(1)
    }

    /// The node's own address.
    pub fn node_address(&self) -> IpAddr {
        self.address(2)
    }

    /// The address of a virtual machine on the switch, counted from 0.
    pub fn machine_address(&self, index: u8) -> IpAddr {
        self.address(FIRST_MACHINE.saturating_add(index))
    }

    /// Formats an address with the prefix length of this network.
    pub fn with_prefix_length(address: IpAddr) -> String {
        format!("{address}/{PREFIX_LENGTH}")
    }

    /// Gives the node one more address.
    ///
    /// # Errors
    /// If the address cannot be added.
    pub fn add_address(&self, address: IpAddr) -> Result<()> {
        let address = Self::with_prefix_length(address);
        self.namespaces
            .run("ip", &["addr", "add", &address, "dev", "eth0"])
    }

    /// Creates the interface of a virtual machine on the switch; it is removed with the network.
    pub(crate) fn add_plug(&self, name: &str) -> Result<()> {
        let inside = |arguments: &[&str]| self.namespaces.run("ip", arguments);
        inside(&["tuntap", "add", name, "mode", "tap"])?;
        inside(&["link", "set", name, "master", SWITCH, "up"])
    }

    /// Sets an interface `down` or `up`.
    pub(crate) fn set_plug(&self, name: &str, state: &str) -> Result<()> {
        // Link state, so that the machine sees the same as with an unplugged cable.
        self.namespaces.run("ip", &["link", "set", name, state])
    }

    /// The folder of the node's files. It is removed at the end.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// The folder with one log file per program.
    pub fn logs_dir(&self) -> PathBuf {
        self.dir().join("logs")
    }

    /// A command that runs in the node's namespaces, for programs that run "on the machine".
    ///
    /// # Errors
    /// If nsenter (util-linux) is not installed.
    pub fn command(&self, program: &Path) -> Result<Command> {
        self.namespaces.command(program)
    }

    pub(super) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    fn address(&self, last: u8) -> IpAddr {
        let number = u8::try_from(self.number.number()).unwrap_or(u8::MAX);
        IpAddr::V4(Ipv4Addr::new(PREFIX.0, PREFIX.1, number, last))
    }

    fn connect(&self, ip: &Path) -> Result<()> {
        let interface = interface(self.number.number());
        let on_host = |arguments: &[&str]| run(clean_command(ip).args(arguments));
        let node = self.namespaces.id().as_raw_nonzero().to_string();
        on_host(&[
            "link", "add", &interface, "type", "veth", "peer", "name", "eth0", "netns", &node,
        ])?;
        let host_address = Self::with_prefix_length(self.host_address());
        on_host(&["addr", "add", &host_address, "dev", &interface])?;
        on_host(&["link", "set", &interface, "up"])
    }

    fn connect_node(&self) -> Result<()> {
        let inside = |arguments: &[&str]| self.namespaces.run("ip", arguments);
        inside(&["link", "set", "lo", "up"])?;
        self.add_address(self.node_address())?;
        inside(&["link", "set", "eth0", "up"])?;
        // kubelet needs a default route; only the host's end answers.
        inside(&[
            "route",
            "add",
            "default",
            "via",
            &self.host_address().to_string(),
        ])
    }

    fn connect_switch(&self) -> Result<()> {
        let inside = |arguments: &[&str]| self.namespaces.run("ip", arguments);
        inside(&["link", "add", SWITCH, "type", "bridge"])?;
        inside(&["link", "set", "eth0", "master", SWITCH, "up"])?;
        inside(&["link", "set", SWITCH, "up"])
    }
}

/// The name of the host's end, shorter than 16 bytes (`IFNAMSIZ`).
fn interface(number: u32) -> String {
    format!("rollcall{number}")
}
