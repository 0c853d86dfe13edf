//! The steps before and after installing an identity: setting a copied one aside, then leaving the machine in its final
//! state.

use jiff::Timestamp;

use crate::console::Topic;
use crate::error::AgentError;
use crate::files;
use crate::record::{self, Record};
use crate::settings::Settings;
use crate::surroundings::Surroundings;
use crate::wipe;

/// The variable in `--name-file`.
const VARIABLE: &str = "ROLLCALL_NODE_NAME";

/// The mode of `--name-file`: world-readable.
const READABLE: u32 = 0o644;

/// Sets an identity aside that was installed on another instance: it came with a copied disk, and this machine must not
/// be mistaken for that one.
///
/// # Errors
/// If the old identity cannot be renamed.
pub(crate) fn set_copied_identity_aside(
    settings: &Settings,
    around: &Surroundings,
) -> Result<(), AgentError> {
    let record = settings.state_dir.as_deref().and_then(Record::read);
    let Some(record) = record.filter(|record| record.is_of_another(&settings.instance)) else {
        return Ok(());
    };
    let moved = record::set_aside(settings, around.clock.now())?;
    let moved: Vec<_> = moved
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let message = format!(
        "this disk was copied from {}, where {} was installed at {}; this is {}, a new machine: the old identity is not \
         used, it is in {} now",
        record.instance.describe(),
        record.node,
        record.installed_at,
        settings.instance.describe(),
        moved.join(" and ")
    );
    around.console.warn(Topic::Identity, &message);
    Ok(())
}

/// Writes the node name for kubelet, records the identity and removes the credential that is no longer needed.
///
/// # Errors
/// If the node name cannot be written. Other failures are only logged: the machine has its identity and should start.
pub(crate) fn leave(
    settings: &Settings,
    around: &Surroundings,
    now: Timestamp,
) -> Result<(), AgentError> {
    if let Some(file) = &settings.name_file {
        let text = format!("{VARIABLE}={}\n", settings.node);
        files::write_with_mode(file, text.as_bytes(), READABLE)?;
    }
    if let Some(state_dir) = &settings.state_dir
        && let Err(error) = Record::write(state_dir, settings, now)
    {
        let message = format!("{error}; a copy of this disk will not know that it is one");
        around.console.warn(Topic::Identity, &message);
    }
    if settings.keep_bootstrap {
        return Ok(());
    }
    let file = &settings.bootstrap_kubeconfig;
    match wipe::bootstrap(file) {
        Ok(false) => {}
        Ok(true) => {
            let message = format!("removed {}, which is not needed any more", file.display());
            around.console.say(Topic::Bootstrap, &message);
        }
        Err(error) => {
            let message =
                format!("{error}; remove it yourself: whoever reads it can ask for certificates");
            around.console.warn(Topic::Bootstrap, &message);
        }
    }
    Ok(())
}
