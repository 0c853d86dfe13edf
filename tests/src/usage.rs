//! The resources that a process used, from the kernel.

use anyhow::{Context as _, Result};

/// Clock ticks per second in `/proc/PID/stat` (Linux: `USER_HZ`, `include/uapi/asm-generic/param.h`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of CPU that a process has used so far, in user and kernel mode (Linux: `proc_pid_stat(5)`).
///
/// # Errors
/// If the process does not exist.
pub fn cpu_seconds(process: u32) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name of the program, in parentheses, may contain spaces. utime and stime are the 14th and 15th field.
    let ticks = text.rsplit_once(") ").and_then(|(_, fields)| {
        let mut fields = fields.split(' ').skip(11);
        let (user, kernel): (u32, u32) =
            (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(f64::from(user) + f64::from(kernel))
    });
    Ok(ticks.with_context(|| format!("{path} has no times"))? / TICKS_PER_SECOND)
}

/// The peak memory of a process so far, in MiB (Linux: `VmHWM` in `proc_pid_status(5)`).
///
/// # Errors
/// If the process does not exist.
pub fn peak_memory_mib(process: u32) -> Result<f64> {
    let path = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<u32> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    Ok(f64::from(kib.with_context(|| format!("{path} has no VmHWM"))?) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let own = std::process::id();
        assert!(cpu_seconds(own).unwrap() < 3600.0);
        assert!(peak_memory_mib(own).unwrap() > 0.5);
        assert!(
            cpu_seconds(u32::MAX)
                .unwrap_err()
                .to_string()
                .contains("/proc/4294967295/stat")
        );
    }
}
