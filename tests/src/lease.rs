//! Numbers that only one process on this machine may use at a time: ports and private subnets.
//!
//! Asking the kernel for a free port and closing it again leaves a moment in which another test can take it. A lease is
//! a file lock that lives as long as the value, and the kernel releases it if the process dies.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};

/// The range of leased ports. It is below Linux's range for outgoing connections (32768 and up,
/// `net.ipv4.ip_local_port_range`), so that no connection can take a port while its server restarts.
const PORTS: Range<u32> = 21_000..29_000;

/// A number that is reserved while this value lives.
#[derive(Debug)]
pub(crate) struct Lease {
    number: u32,
    /// Holds the lock; closing the file releases it.
    _lock: File,
}

impl Lease {
    /// Takes the first number of `range` that is free and that `usable` accepts while the lease is held. The search
    /// starts at a place that differs per call.
    pub(crate) fn take(
        kind: &str,
        range: Range<u32>,
        usable: impl Fn(u32) -> bool,
    ) -> Result<Self> {
        let user = rustix::process::getuid().as_raw();
        let directory = std::env::temp_dir().join(format!("rollcall-{kind}-{user}"));
        Self::take_in(&directory, kind, range, usable)
    }

    fn take_in(
        directory: &Path,
        kind: &str,
        range: Range<u32>,
        usable: impl Fn(u32) -> bool,
    ) -> Result<Self> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let length = range.end.saturating_sub(range.start);
        let offset = search_offset(length);
        let numbers = range
            .clone()
            .cycle()
            .skip(offset)
            .take(usize::try_from(length).unwrap_or(usize::MAX));
        for number in numbers {
            if let Some(lease) = Self::try_number(&directory.join(number.to_string()), number)?
                && usable(number)
            {
                return Ok(lease);
            }
        }
        bail!(
            "all {length} {kind} numbers from {} are in use on this machine; look for left-over processes that hold locks in {}",
            range.start,
            directory.display()
        )
    }

    fn try_number(path: &Path, number: u32) -> Result<Option<Self>> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("cannot open the lock file {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self {
                number,
                _lock: file,
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}

/// Spreads the searches of all processes and calls over the range: most find a free number at once.
fn search_offset(length: u32) -> usize {
    /// Distance between two searches of one process; any odd number that is not small spreads well.
    const STRIDE: u32 = 257;
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let calls = CALLS.fetch_add(1, Ordering::Relaxed);
    let spread = std::process::id()
        .wrapping_mul(STRIDE)
        .wrapping_add(calls.wrapping_mul(STRIDE));
    usize::try_from(spread.checked_rem(length).unwrap_or(0)).unwrap_or(0)
}

/// A TCP port on loopback that is reserved while this value lives.
#[derive(Debug)]
pub(crate) struct Port {
    lease: Lease,
}

impl Port {
    pub(crate) fn take() -> Result<Self> {
        let lease = Lease::take("ports", PORTS, is_free)?;
        Ok(Self { lease })
    }

    pub(crate) fn number(&self) -> u16 {
        u16::try_from(self.lease.number()).unwrap_or(u16::MAX)
    }
}

/// Returns true if a server could listen on this port of loopback now.
fn is_free(number: u32) -> bool {
    let Ok(port) = u16::try_from(number) else {
        return false;
    };
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn two_leases_never_hold_the_same_number() {
        let leases: Vec<_> = (0..50).map(|_| Port::take().unwrap()).collect();
        let numbers: HashSet<_> = leases.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), leases.len());
    }

    #[test]
    fn a_lease_is_free_again_once_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let take = || Lease::take_in(directory.path(), "test", 7..8, |_| true);
        let first = take().unwrap();
        let error = take().unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        drop(first);
        assert_eq!(take().unwrap().number(), 7);
    }

    #[test]
    fn a_port_that_something_listens_on_is_passed_over() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let busy = u32::from(listener.local_addr().unwrap().port());
        assert!(!is_free(busy));
        drop(listener);
        assert!(is_free(busy));
    }
}
