//! Reports status to systemd (sd_notify(3)), for `systemctl status`.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The socket of the service manager.
#[derive(Debug)]
pub(crate) struct Notify(UnixDatagram);

impl Notify {
    /// Connects to `$NOTIFY_SOCKET`; `None` if it is unset or unreachable: a status report is not worth failing for.
    pub(crate) fn from_environment() -> Option<Self> {
        Self::connect(&std::env::var_os("NOTIFY_SOCKET")?)
    }

    fn connect(name: &OsStr) -> Option<Self> {
        let address = match name.as_bytes().split_first()? {
            (b'@', rest) => SocketAddr::from_abstract_name(rest).ok()?,
            (b'/', _) => SocketAddr::from_pathname(name).ok()?,
            _ => return None,
        };
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect_addr(&address).ok()?;
        // A manager that does not read must not block the join.
        socket.set_nonblocking(true).ok()?;
        Some(Self(socket))
    }

    /// Reports the current step. One line; the caller has removed control characters.
    pub(crate) fn status(&self, text: &str) {
        self.0.send(format!("STATUS={text}").as_bytes()).ok();
    }

    /// Reports completion.
    pub(crate) fn ready(&self) {
        self.0.send(b"READY=1").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_hears_status_and_readiness() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::connect(path.as_os_str()).unwrap();
        notify.status("waiting: for x");
        notify.ready();
        let mut buffer = [0; 64];
        for expected in ["STATUS=waiting: for x", "READY=1"] {
            let length = manager.recv(&mut buffer).unwrap();
            assert_eq!(std::str::from_utf8(&buffer[..length]).unwrap(), expected);
        }
    }

    #[test]
    fn without_a_manager_there_is_nobody_to_tell() {
        assert!(Notify::connect(OsStr::new("relative")).is_none());
        assert!(Notify::connect(OsStr::new("")).is_none());
        assert!(Notify::connect(OsStr::new("/no/such/socket")).is_none());
    }
}
