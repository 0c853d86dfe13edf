//! The exit codes: one table, shown by `--help` and used by the systemd unit.

use std::process::ExitCode;

/// The result of the program, as its caller sees it.
///
/// Codes from 64 are from `sysexits.h`; 128 plus a signal's number is what shells report for that signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A file could not be read or written.
    Disk,
    /// The identity is installed, or was already.
    Done,
    /// Any other failure.
    Failure,
    /// The time limit was exceeded, or another agent is running in the same folder.
    GaveUp,
    /// Stopped by SIGINT while waiting.
    Interrupted,
    /// The request was denied or failed, or the credential was refused.
    Refused,
    /// Stopped by SIGTERM while waiting.
    Terminated,
    /// Invalid flags, or a configuration file that is missing or invalid.
    Usage,
}

impl Exit {
    /// Every code, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Failure,
        Self::Usage,
        Self::Disk,
        Self::GaveUp,
        Self::Refused,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The exit status of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failure => 1,
            Self::Usage => 64,
            Self::Disk => 74,
            Self::GaveUp => 75,
            Self::Refused => 77,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The meaning of the code, and the effect of a restart.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "the identity is installed, or was already",
            Self::Failure => "anything else; the last line says what",
            Self::Usage => {
                "wrong flags, or a kubeconfig, CA, token or join key file is missing or wrong; starting again cannot help"
            }
            Self::Disk => {
                "a file could not be written or read: full or read-only disk, missing rights"
            }
            Self::GaveUp => {
                "--timeout passed, or another agent works on the same --cert-dir; starting again can help"
            }
            Self::Refused => {
                "the request was denied or failed, or the API server refuses the credential"
            }
            Self::Interrupted => {
                "stopped by SIGINT while waiting; starting again goes on with the same key"
            }
            Self::Terminated => {
                "stopped by SIGTERM while waiting; starting again goes on with the same key"
            }
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table for `--help`: one line per code.
pub fn table() -> String {
    let lines = Exit::ALL.map(|exit| format!("  {:<4} {}", exit.code(), exit.meaning()));
    format!("Exit codes:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_a_code_of_its_own_and_stands_in_the_table() {
        let mut codes = Exit::ALL.map(Exit::code).to_vec();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes, [0, 1, 64, 74, 75, 77, 130, 143]);
        for exit in Exit::ALL {
            assert!(table().contains(&format!("\n  {:<4} {}", exit.code(), exit.meaning())));
        }
    }
}
