//! `user-data`: what a machine is told at its first boot, so that it joins this cluster.

mod agent;
mod document;
mod extra;
mod layout;
mod lifetime;
mod mime;
mod package;
mod parts;
mod plan;
mod review;

use jiff::{SignedDuration, Timestamp};

use super::block_on;
use super::deliver::Delivery;
use super::flag::FlagError;
use super::print::complain;
use crate::config::Config;
use crate::{UserDataArgs, UserDataFormat};

/// Most bytes of user-data that EC2 takes, before base64 (Amazon EC2 User Guide, "Work with instance user data": 16 KB in
/// raw form).
const EC2_LIMIT: usize = 16 * 1024;

/// User-data, and what speaks against using it as it is.
struct Rendered {
    bytes: Vec<u8>,
    /// The bootstrap kubeconfig in it.
    kubeconfig: String,
    warnings: Vec<String>,
}

/// Carries out `user-data`.
pub(crate) fn user_data(args: &UserDataArgs) -> anyhow::Result<()> {
    let window = Config::load_or_default(args.config.as_deref())?
        .policy
        .rules
        .join_window;
    let Rendered {
        bytes,
        kubeconfig,
        mut warnings,
    } = render(args, Timestamp::now(), window)?;
    let answer = package::wrap(args, &bytes)?;
    let delivery = Delivery::open(args.to.as_deref(), args.force)?;
    if args.gzip && args.format == UserDataFormat::CloudConfig && delivery.is_terminal() {
        let message = "the compressed bytes are not for a terminal; use --to FILE";
        return Err(FlagError::new("--gzip", message).into());
    }
    let mut checked = None;
    if !args.offline {
        let review = block_on(async { Ok(review::review(&kubeconfig).await?) })?;
        warnings.extend(review.warnings);
        checked = review.checked;
    }
    for warning in warnings {
        complain("warning", &warning);
    }
    if let Some(sentence) = checked {
        complain("checked", &sentence);
    }
    delivery.write(&answer)
}

/// Makes the user-data. The same inputs give the same bytes.
fn render(args: &UserDataArgs, now: Timestamp, window: SignedDuration) -> anyhow::Result<Rendered> {
    let parts = parts::read(&args.merge)?;
    let plan = plan::make(args, now)?;
    let mut warnings = lifetime::check(&plan.credential, now, window)?;
    warnings.extend(plan.warnings);
    for part in &parts {
        let twice = part.files.iter().filter(|path| plan.document.writes(path));
        warnings.extend(twice.map(|path| {
            format!(
                "{} writes {path} too; what is rendered here is written last, and counts",
                part.name
            )
        }));
    }
    let document = plan.document.render()?;
    let text = if parts.is_empty() {
        document
    } else {
        mime::join(&parts, &document)
    };
    let bytes = if args.gzip {
        package::gzip(text.as_bytes())?
    } else {
        text.into_bytes()
    };
    if bytes.len() > EC2_LIMIT {
        let advice = if args.gzip {
            "leave something out"
        } else {
            "use --gzip"
        };
        warnings.push(format!(
            "the user-data has {} bytes, and EC2 takes no more than {EC2_LIMIT}; {advice}",
            bytes.len()
        ));
    }
    Ok(Rendered {
        bytes,
        kubeconfig: plan.kubeconfig,
        warnings,
    })
}
