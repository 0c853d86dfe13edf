//! Real machines: a Debian image with node-agent in it, booted by qemu, with user-data from a NoCloud seed.
//!
//! The image is from `cloud-init/image/debootstrap`. A machine's screen is its serial console, its switch is in the
//! namespaces of a [`Network`], and everything ends with the values here.

mod console;
mod disk;
mod image;
mod prerequisites;
mod qmp;
mod seed;
mod user_data;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::assets;
use crate::command::find_program;
use crate::node::Network;
use crate::process::Process;

use disk::Disk;

pub use console::Console;
pub use image::Image;
pub use prerequisites::check as prerequisites;
pub use seed::Seed;
pub use user_data::{CloudConfig, rendered};

/// The arguments that all machines share. They are always emulated: a host may report virtualization and not support it
/// when nested. Their memory (MiB) is twice what Debian, containerd and kubelet use.
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

/// The timeout for a machine to power off by itself.
const POWER_OFF: Duration = Duration::from_secs(120);

/// The kernel's command line: a serial console, predictable interface names for the seed, and no options that
/// needlessly slow an emulated processor. Without `no_timer_check` an emulated machine under load may hang in the check
/// of its timer.
const KERNEL_COMMAND_LINE: &str = "console=ttyS0 root=/dev/vda net.ifnames=0 ipv6.disable=1 mitigations=off \
     random.trust_cpu=on audit=0 apparmor=0 no_timer_check quiet systemd.show_status=0";

/// A machine: its disk, and qemu while it is powered on.
#[derive(Debug)]
pub struct VirtualMachine {
    name: String,
    disk: Disk,
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
    /// Creates a machine with its own disk, number `index` on the switch. It is off.
    ///
    /// # Errors
    /// If the disk or the network interface cannot be created.
    pub fn create(image: &Image, network: &Network, index: u8, name: &str) -> Result<Self> {
        let folder = folder(network, index)?;
        let disk = Disk::create(&image.disk(), &folder)?;
        Self::with_disk(image, network, index, name, folder, disk)
    }

    /// Creates a machine with a copy of another machine's disk, as from a snapshot.
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
        let folder = folder(network, index)?;
        let disk = other.disk.copy(&folder)?;
        Self::with_disk(image, network, index, name, folder, disk)
    }

    fn with_disk(
        image: &Image,
        network: &Network,
        index: u8,
        name: &str,
        folder: PathBuf,
        disk: Disk,
    ) -> Result<Self> {
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

    /// Its address on the switch, set by the seed.
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
        // A stale socket would block the new one.
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
            format!("id={id},file={},if=none,{more}", path.display())
        };
        let own = [
            ("-append", KERNEL_COMMAND_LINE.to_owned()),
            ("-device", "virtio-blk-pci,drive=root".to_owned()),
            ("-device", "virtio-blk-pci,drive=seed".to_owned()),
            (
                "-device",
                format!("virtio-net-pci,netdev=net,mac={mac},romfile="),
            ),
            (
                "-drive",
                drive("root", disk.path(), "format=qcow2,cache=unsafe"),
            ),
            ("-drive", drive("seed", seed, "format=raw,readonly=on")),
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

    /// The console output.
    ///
    /// # Errors
    /// If it is off, or qemu has ended; the error includes qemu's output.
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
    /// If that takes longer than `timeout` or qemu ends; the error includes the end of the output.
    pub async fn line(&mut self, texts: &[&str], timeout: Duration) -> Result<String> {
        /// The polling interval of a console, which is a file.
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

    /// Reads a file from its disk while it is off; `None` if the file does not exist.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn file(&self, path: &str) -> Result<Option<String>> {
        self.disk.file(path)
    }

    /// Returns the files below these folders of its disk that contain this text, plain or in base64 at any offset; read
    /// while it is off.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn files_with(&self, folders: &[&str], text: &str) -> Result<Vec<String>> {
        self.disk.files_with(folders, text)
    }

    /// Unplugs its network.
    ///
    /// # Errors
    /// If `ip` refuses.
    pub fn unplug(&self, network: &Network) -> Result<()> {
        network.set_plug(&self.plug, "down")
    }

    /// Plugs its network in again.
    ///
    /// # Errors
    /// If `ip` refuses.
    pub fn plug_in(&self, network: &Network) -> Result<()> {
        network.set_plug(&self.plug, "up")
    }
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

/// The folder of machine number `index`.
fn folder(network: &Network, index: u8) -> Result<PathBuf> {
    let folder = network.dir().join(format!("machine-{index}"));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
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
