//! Real machines: a Debian image with node-agent in it, booted by qemu, with user-data from a NoCloud seed.
//!
//! The image is the one of `cloud-init/image/debootstrap`. A machine's screen is its serial console, its switch is in the
//! namespaces of a [`Network`], and everything ends with the values here.

mod console;
mod image;
mod prerequisites;
mod qmp;
mod seed;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::assets;
use crate::command::{clean_command, find_program};
use crate::node::Network;
use crate::process::Process;

pub use console::Console;
pub use image::Image;
pub use prerequisites::check as prerequisites;
pub use seed::{Seed, UserData};

/// What all machines have. They are emulated everywhere: a host that claims to virtualise may not be able to inside of
/// another one. Their memory (MiB) is what Debian, containerd and kubelet use, and as much again.
const HARDWARE: [&str; 19] = [
    "-accel",
    "tcg,thread=multi,tb-size=512",
    "-cpu",
    "max",
    "-device",
    "virtio-rng-pci,rng=random",
    "-display",
    "none",
    "-M",
    "q35",
    "-m",
    "1024",
    "-no-reboot",
    "-no-user-config",
    "-nodefaults",
    "-object",
    "rng-random,filename=/dev/urandom,id=random",
    "-smp",
    "2",
];

/// How long a machine may take to power off by itself.
const POWER_OFF: Duration = Duration::from_secs(120);

/// The kernel's command line: a serial console, interface names that the seed can know, and nothing that makes an
/// emulated processor slower for no use. Without `no_timer_check` an emulated machine under load may hang in the
/// check of its timer.
const KERNEL_COMMAND_LINE: &str = "console=ttyS0 root=/dev/vda net.ifnames=0 ipv6.disable=1 mitigations=off \
     random.trust_cpu=on audit=0 apparmor=0 no_timer_check quiet systemd.show_status=0";

/// A machine: its disk, and qemu while it is switched on.
#[derive(Debug)]
pub struct VirtualMachine {
    name: String,
    disk: PathBuf,
    folder: PathBuf,
    kernel: PathBuf,
    initrd: PathBuf,
    plug: String,
    mac: String,
    uuid: String,
    address: IpAddr,
    boots: u32,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    qemu: Process,
    console: Console,
    monitor: PathBuf,
}

impl VirtualMachine {
    /// A new machine with a disk of its own, number `index` on the switch. It is off.
    ///
    /// # Errors
    /// If the disk cannot be copied, or the plug cannot be made.
    pub fn create(image: &Image, network: &Network, index: u8, name: &str) -> Result<Self> {
        Self::with_disk(image, network, index, name, &image.disk())
    }

    /// A new machine whose disk is a copy of another machine's, as a snapshot gives it.
    ///
    /// # Errors
    /// As [`VirtualMachine::create`], and if the other one is on.
    pub fn clone_of(
        other: &Self,
        image: &Image,
        network: &Network,
        index: u8,
        name: &str,
    ) -> Result<Self> {
        if other.running.is_some() {
            bail!(
                "{} is on; only a disk that nobody writes to can be copied",
                other.name
            );
        }
        Self::with_disk(image, network, index, name, &other.disk)
    }

    fn with_disk(
        image: &Image,
        network: &Network,
        index: u8,
        name: &str,
        original: &Path,
    ) -> Result<Self> {
        let folder = network.dir().join(format!("machine-{index}"));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let disk = folder.join("disk.ext4");
        // A disk is mostly holes, and std's copy fills them.
        run(clean_command(&program("cp")?)
            .args(["--sparse=always", "--reflink=auto"])
            .arg(original)
            .arg(&disk))?;
        let plug = format!("plug{index}");
        network.add_plug(&plug)?;
        Ok(Self {
            name: name.to_owned(),
            disk,
            folder,
            kernel: image.kernel(),
            initrd: image.initrd(),
            plug,
            // Locally administered (IEEE 802).
            mac: format!("52:54:00:00:00:{index:02x}"),
            uuid: format!("5e0d4c1a-0000-4000-8000-0000000000{index:02x}"),
            address: network.machine_address(index),
            boots: 0,
            running: None,
        })
    }

    /// The name that errors use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address on the switch, which the seed gives it.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Switches it on with this seed.
    ///
    /// # Errors
    /// If qemu cannot be started.
    pub fn power_on(&mut self, network: &Network, seed: &Seed) -> Result<()> {
        self.boots = self.boots.saturating_add(1);
        let iso = seed.write(&self.folder, network, self.address)?;
        let screen = self.folder.join(format!("console-{}.log", self.boots));
        let monitor = self.folder.join("monitor");
        // A socket that is left from the last time is in the way.
        std::fs::remove_file(&monitor).ok();
        let mut command = network.command(&program("qemu-system-x86_64")?)?;
        command.args(self.hardware(&iso, &screen, &monitor));
        let log = network.logs_dir().join(format!("{}-qemu.log", self.name));
        let mut qemu = Process::spawn("qemu", &command, &log)?;
        qemu.stand_in();
        self.running = Some(Running {
            qemu,
            console: Console::new(screen),
            monitor,
        });
        Ok(())
    }

    /// qemu's arguments.
    fn hardware(&self, seed: &Path, screen: &Path, monitor: &Path) -> Vec<String> {
        let Self {
            disk,
            plug,
            mac,
            uuid,
            kernel,
            initrd,
            ..
        } = self;
        let drive = |id: &str, path: &Path, more: &str| {
            format!("id={id},file={},format=raw,if=none,{more}", path.display())
        };
        let own = [
            ("-append", KERNEL_COMMAND_LINE.to_owned()),
            ("-device", "virtio-blk-pci,drive=root".to_owned()),
            ("-device", "virtio-blk-pci,drive=seed".to_owned()),
            (
                "-device",
                format!("virtio-net-pci,netdev=net,mac={mac},romfile="),
            ),
            ("-drive", drive("root", disk, "cache=unsafe")),
            ("-drive", drive("seed", seed, "readonly=on")),
            ("-initrd", initrd.display().to_string()),
            ("-kernel", kernel.display().to_string()),
            (
                "-netdev",
                format!("tap,id=net,ifname={plug},script=no,downscript=no"),
            ),
            (
                "-qmp",
                format!("unix:{},server=on,wait=off", monitor.display()),
            ),
            ("-serial", format!("file:{}", screen.display())),
            ("-uuid", uuid.clone()),
        ];
        let own = own
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value]);
        HARDWARE.map(str::to_owned).into_iter().chain(own).collect()
    }

    /// What it says.
    ///
    /// # Errors
    /// If it is off, or qemu has ended: then with what that said.
    pub fn console(&mut self) -> Result<&Console> {
        let Some(running) = &mut self.running else {
            bail!("{} is off", self.name)
        };
        if running.qemu.exited().is_some() {
            return Err(running.qemu.failure("ended"));
        }
        Ok(&running.console)
    }

    /// Waits for a line with all these texts on its console, and returns it.
    ///
    /// # Errors
    /// If that takes longer than `timeout` or qemu ends, with the end of what it said.
    pub async fn line(&mut self, texts: &[&str], timeout: Duration) -> Result<String> {
        /// How often a console, which is a file, is looked at.
        const POLL: Duration = Duration::from_millis(20);
        let begin = Instant::now();
        loop {
            let console = self.console()?;
            if let Some(line) = console.find(texts) {
                return Ok(line);
            }
            if begin.elapsed() > timeout {
                let end = console.end();
                bail!(
                    "waited {timeout:?} for a line with {texts:?} on the console of {}, which ends with\n{end}",
                    self.name
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Presses the power button, and waits until the machine is off.
    ///
    /// # Errors
    /// If it does not power off in time.
    pub async fn power_off(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        qmp::execute(&running.monitor, "system_powerdown").await?;
        let begin = Instant::now();
        while running.qemu.exited().is_none() {
            if begin.elapsed() > POWER_OFF {
                bail!(
                    "{} does not power off; its console ends with\n{}",
                    self.name,
                    running.console.end()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// A file on its disk, read while it is off; `None` when there is none.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn file(&self, path: &str) -> Result<Option<String>> {
        let mut command = clean_command(&program("debugfs")?);
        command.args(["-R", &format!("cat {path}")]).arg(&self.disk);
        let output = command.output().context("cannot run debugfs")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if errors.contains("File not found") {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// The files below a folder of its disk that hold this text, as it is or in base64 wherever it begins; read while
    /// it is off.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn files_with(&self, folder: &str, text: &str) -> Result<Vec<String>> {
        /// Shorter texts are found by chance, or leave nothing to look for in base64.
        const SHORTEST: usize = 16;
        ensure!(text.len() >= SHORTEST, "{text:?} is too short to look for");
        let copy = tempfile::tempdir().context("cannot create a folder")?;
        let mut command = clean_command(&program("debugfs")?);
        command.args(["-R", &format!("rdump {folder} {}", copy.path().display())]);
        run(command.arg(&self.disk))?;
        let mut search = clean_command(&program("grep")?);
        search.args([
            "--recursive",
            "--files-with-matches",
            "--binary",
            "--fixed-strings",
        ]);
        for form in forms(text) {
            search.arg("--regexp").arg(form);
        }
        let output = search
            .arg(copy.path())
            .output()
            .context("cannot run grep")?;
        match output.status.code() {
            Some(0 | 1) => Ok(String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(str::to_owned)
                .collect()),
            _ => bail!("grep: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Pulls the plug of its network.
    ///
    /// # Errors
    /// If `ip` refuses.
    pub fn unplug(&self, network: &Network) -> Result<()> {
        network.set_plug(&self.plug, "down")
    }

    /// Puts the plug in again.
    ///
    /// # Errors
    /// If `ip` refuses.
    pub fn plug_in(&self, network: &Network) -> Result<()> {
        network.set_plug(&self.plug, "up")
    }
}

/// A text as it is, and what of it is the same in base64 wherever it begins in what was encoded.
fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned()];
    for before in 0..3 {
        let encoded = STANDARD.encode(format!("{}{text}", " ".repeat(before)));
        // Four characters for the bytes before, and up to four that depend on what comes after.
        let inner: String = encoded.chars().skip(4).collect();
        forms.push(inner.chars().take(inner.len().saturating_sub(8)).collect());
    }
    forms
}

impl Drop for VirtualMachine {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(running) = &self.running
        {
            let end = running.console.end();
            assets::progress(&format!("the console of {} ends with\n{end}", self.name));
        }
    }
}

fn program(name: &str) -> Result<PathBuf> {
    find_program(name).with_context(|| format!("{name} is not installed"))
}

fn run(command: &mut std::process::Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} failed ({}): {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
