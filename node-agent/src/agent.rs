//! The complete join, from the files on disk to an installed identity.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::afterwards;
use crate::bootstrap::Bootstrap;
use crate::certificate::{CertificateError, Chain};
use crate::cluster::{Cluster, check_program, prepare};
use crate::console::Topic;
use crate::credential::FUTURE;
use crate::error::AgentError;
use crate::evidence;
use crate::fault::Place;
use crate::files::{self, Lock};
use crate::follow::follow;
use crate::identity::{self, Installed};
use crate::pending_key::{self, Origin, PendingKey};
use crate::requests::Requests;
use crate::review::review;
use crate::server_clock;
use crate::settings::Settings;
use crate::store;
use crate::surroundings::{Identity, Surroundings};
use crate::words;

/// The interval between checks of a clock that is behind.
const CLOCK_CHECK: Duration = Duration::from_secs(1);

/// The number of checks of the local clock per query of the API server's clock.
const CHECKS_PER_QUESTION: u32 = 10;

/// The number of attempts to lock the folder, [`LOCK_PAUSE`] apart: two seconds in all.
const LOCK_TRIES: u32 = 20;

/// See [`LOCK_TRIES`].
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Makes this machine a node of its cluster, unless it is one already. Retries indefinitely: the caller limits
/// that by dropping the future, which is safe while it waits.
///
/// # Errors
/// The error that ends the run; its message includes the remedy.
pub async fn join(settings: &Settings, around: &Surroundings) -> Result<(), AgentError> {
    check_targets(settings)?;
    afterwards::set_copied_identity_aside(settings, around)?;
    wait_for_clock(settings, around).await;
    let now = around.clock.now();
    // Before the lock, so that a machine that has its identity never waits for another process.
    if let Installed::Complete {
        certificate,
        not_after,
    } = examine(settings, now)
    {
        return found(settings, around, &certificate, not_after);
    }
    let held = if settings.cert_dir.is_dir() {
        Some(lock(settings).await?)
    } else {
        None
    };
    match examine(settings, now) {
        Installed::Complete {
            certificate,
            not_after,
        } => {
            return found(settings, around, &certificate, not_after);
        }
        Installed::KubeconfigMissing {
            certificate,
            not_after,
            why,
        } => {
            let message = format!(
                "{} is the identity of {}, but {why}",
                certificate.display(),
                settings.node
            );
            around.console.say(Topic::Identity, &message);
            let bootstrap = Bootstrap::read(&settings.bootstrap_kubeconfig)?;
            install_kubeconfig(settings, around, &bootstrap, now)?;
            remove_rest(settings, around);
            return done(settings, around, not_after);
        }
        Installed::NotYetValid { why, .. } | Installed::Nothing { why } => {
            around.console.say(
                Topic::Identity,
                &format!("{} has none to use: {why}", settings.node),
            );
        }
    }
    let cluster = prepare(settings, around, now)?;
    store::make_folder(&settings.cert_dir)?;
    let _held = match held {
        Some(held) => held,
        None => lock(settings).await?,
    };
    let key = key(settings, around, now)?;
    let (chain, not_after) = certify(settings, around, &cluster, &key).await?;
    install(settings, around, &cluster.bootstrap, &key, &chain)?;
    done(settings, around, not_after)
}

/// Refuses targets that cannot be written, before the first call to the API server.
fn check_targets(settings: &Settings) -> Result<(), AgentError> {
    let targets = [Some(&settings.kubeconfig), settings.name_file.as_ref()];
    targets
        .into_iter()
        .flatten()
        .try_for_each(|path| files::check_target(path))?;
    Ok(())
}

/// Waits while the identity is not valid yet. Usually this machine's clock is behind, as after boot without a hardware
/// clock, so asking for another certificate would be wrong. If the API server's clock confirms that the certificate is
/// from the future, waiting is useless, and a new one is requested.
async fn wait_for_clock(settings: &Settings, around: &Surroundings) {
    let mut checks = 0_u32;
    while let Installed::NotYetValid { not_before, why } = examine(settings, around.clock.now()) {
        if checks == 0 {
            around.console.warn(Topic::Identity, &why);
            around
                .console
                .wait_for("the clock of this machine to be set");
        }
        if checks.is_multiple_of(CHECKS_PER_QUESTION)
            && let Some((server, at)) = server_clock(settings, around).await
            && not_before > at
            && words::distance(not_before, at) > FUTURE
        {
            let message = format!(
                "{server} says that it is {}, so the certificate is wrong and not this machine's clock; asking for another",
                words::moment(at)
            );
            around.console.warn(Topic::Identity, &message);
            return;
        }
        checks = checks.saturating_add(1);
        tokio::time::sleep(CLOCK_CHECK).await;
    }
}

/// Returns the API server and its time, if there is a bootstrap kubeconfig to connect with.
async fn server_clock(settings: &Settings, around: &Surroundings) -> Option<(String, Timestamp)> {
    let bootstrap = Bootstrap::read(&settings.bootstrap_kubeconfig).ok()?;
    check_program(settings, &bootstrap).ok()?;
    let client = (around.connect)(&bootstrap, Identity::Bootstrap)
        .await
        .ok()?;
    let at = server_clock::ask(&client).await?;
    Some((bootstrap.server, at))
}

fn examine(settings: &Settings, now: Timestamp) -> Installed {
    identity::examine(
        &settings.kubeconfig,
        &settings.cert_dir,
        &settings.node,
        now,
    )
}

fn found(
    settings: &Settings,
    around: &Surroundings,
    certificate: &Path,
    not_after: Timestamp,
) -> Result<(), AgentError> {
    remove_rest(settings, around);
    let message = format!(
        "{} is the identity of {} already",
        certificate.display(),
        settings.node
    );
    around.console.say(Topic::Identity, &message);
    done(settings, around, not_after)
}

/// Runs the final steps and writes the last line.
fn done(
    settings: &Settings,
    around: &Surroundings,
    not_after: Timestamp,
) -> Result<(), AgentError> {
    afterwards::leave(settings, around, around.clock.now())?;
    let Settings {
        node, kubeconfig, ..
    } = settings;
    let message = format!(
        "identity of {} installed, certificate valid until {}; start kubelet with --kubeconfig {}",
        node.username(),
        words::moment(not_after),
        kubeconfig.display()
    );
    around.console.say(Topic::Done, &message);
    Ok(())
}

/// Locks the certificate folder; retries for a short time, in case another agent is about to exit.
async fn lock(settings: &Settings) -> Result<Lock, AgentError> {
    for _ in 0..LOCK_TRIES {
        if let Some(lock) = Lock::acquire(&settings.cert_dir)? {
            return Ok(lock);
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Err(AgentError::Locked(settings.cert_dir.clone()))
}

fn key(
    settings: &Settings,
    around: &Surroundings,
    now: Timestamp,
) -> Result<PendingKey, AgentError> {
    let (key, origin) = PendingKey::load_or_make(&settings.cert_dir, now)?;
    let path = key.path().display();
    match origin {
        Origin::Made => around
            .console
            .say(Topic::Key, &format!("new key in {path}")),
        Origin::Reused => around
            .console
            .say(Topic::Key, &format!("going on with the key in {path}")),
        Origin::Replaced { aside, why } => {
            let message = format!(
                "new key in {path}: the old one is not used because {why}, it is {} now",
                aside.display()
            );
            around.console.warn(Topic::Key, &message);
        }
    }
    Ok(key)
}

/// Requests the certificate and checks it. Returns it and its expiry.
async fn certify(
    settings: &Settings,
    around: &Surroundings,
    cluster: &Cluster,
    key: &PendingKey,
) -> Result<(Chain, Timestamp), AgentError> {
    let Settings {
        node,
        resubmit_after,
        expiration_seconds,
        ..
    } = settings;
    let Cluster {
        bootstrap, place, ..
    } = cluster;
    let client = (around.connect)(bootstrap, Identity::Bootstrap).await?;
    let request = evidence::add(settings, around, cluster, key)?;
    let clock = around.clock.clone();
    let spki_der = key.spki_der();
    let mut requests = Requests::new(
        client,
        spki_der.clone(),
        request,
        *expiration_seconds,
        clock,
    );
    let (name, pem) = follow(&mut requests, &around.console, place, *resubmit_after).await?;
    let wrong = |error| AgentError::Certificate {
        name: name.clone(),
        error,
    };
    let chain = Chain::from_pem(&pem).map_err(wrong)?;
    let not_after = chain
        .check(&spki_der, node, around.clock.now())
        .map_err(wrong)?;
    check_authority(settings, around, cluster, key, &chain, &name).await?;
    let until = words::moment(not_after);
    around.console.say(
        Topic::Certificate,
        &format!("issued for {name}, checked, valid until {until}"),
    );
    Ok((chain, not_after))
}

/// Checks that the certificate is from this cluster: by the known CA, otherwise by asking the API server who it
/// identifies.
async fn check_authority(
    settings: &Settings,
    around: &Surroundings,
    cluster: &Cluster,
    key: &PendingKey,
    chain: &Chain,
    name: &str,
) -> Result<(), AgentError> {
    let Cluster {
        bootstrap,
        client_authority,
        place,
        ..
    } = cluster;
    let now = around.clock.now();
    if let Some((file, authorities)) = client_authority {
        return if chain.leads_to(authorities, now) {
            Ok(())
        } else {
            let error = CertificateError::UnknownAuthority(file.display().to_string());
            Err(AgentError::Certificate {
                name: name.to_owned(),
                error,
            })
        };
    }
    if chain.leads_to(&bootstrap.authorities, now) {
        return Ok(());
    }
    let message = format!(
        "{name} was signed by another CA than the one in {}; asking {} whether it knows the new identity",
        place.authority_name, place.server
    );
    around.console.say(Topic::Certificate, &message);
    let (certificate, key) = (store::certificates_pem(chain), key.pem());
    let identity = Identity::Node {
        certificate: certificate.as_bytes(),
        key: &key,
    };
    let client = (around.connect)(bootstrap, identity).await?;
    let place = Place {
        credential_name: "the new certificate".to_owned(),
        ..place.clone()
    };
    review(client, &around.console, &settings.node, &place).await
}

/// Installs all files, in an order in which every intermediate state can be resumed from.
fn install(
    settings: &Settings,
    around: &Surroundings,
    bootstrap: &Bootstrap,
    key: &PendingKey,
    chain: &Chain,
) -> Result<(), AgentError> {
    let console = &around.console;
    let now = around.clock.now();
    let bundle = store::bundle(chain, &key.pem());
    let pem = store::install_certificate(&settings.cert_dir, &bundle, now, &around.reached)?;
    console.say(
        Topic::Install,
        &format!("certificate and key in {}", pem.display()),
    );
    let link = store::install_link(&settings.cert_dir, &pem, &around.reached)?;
    console.say(Topic::Install, &format!("{} points to it", link.display()));
    install_kubeconfig(settings, around, bootstrap, now)?;
    store::remove_pending_key(key.path(), &around.reached)?;
    Ok(())
}

fn install_kubeconfig(
    settings: &Settings,
    around: &Surroundings,
    bootstrap: &Bootstrap,
    now: Timestamp,
) -> Result<(), AgentError> {
    let path = &settings.kubeconfig;
    let contents = crate::kubeconfig::for_kubelet(
        &bootstrap.cluster,
        &store::current_link(&settings.cert_dir),
    )?;
    let kept = store::install_kubeconfig(path, &contents, now, &around.reached)?;
    let kept = kept
        .map(|kept| format!("; the one before is {} now", kept.display()))
        .unwrap_or_default();
    around.console.say(
        Topic::Install,
        &format!("kubeconfig in {}{kept}", path.display()),
    );
    Ok(())
}

/// Removes the key left by a run that was killed after installing. A disk error is only logged: the identity is in
/// place.
fn remove_rest(settings: &Settings, around: &Surroundings) {
    let path = settings.cert_dir.join(pending_key::FILE_NAME);
    if path.exists()
        && let Err(error) = files::remove(&path)
    {
        around.console.warn(
            Topic::Key,
            &format!("{error}; the key in it is not used any more"),
        );
    }
}
