//! `approve` and `deny`: a person decides, and the cluster remembers who and why.

mod account;
mod hand;

use anyhow::bail;
use jiff::Timestamp;
use rollcall_approver_core::{Decision, Finding, Reason, RequestUid, Settlement, Verdict};

use self::account::{Account, Outcome, close};
use self::hand::{Hand, Written};
use super::live::Live;
use super::scene::{Entry, Scene};
use super::{block_on, live};
use crate::config::Config;
use crate::connect::Connection;
use crate::write::Side;
use crate::{ApproveArgs, DenyArgs};

/// How often a request is read and judged again when somebody changes it meanwhile.
const ATTEMPTS: usize = 3;

/// Carries out `approve`.
pub(crate) fn approve(args: &ApproveArgs) -> anyhow::Result<()> {
    let config = Config::load_or_default(args.look.cluster.config.as_deref())?;
    let accounts = block_on(async {
        let Live { client, mut scene } = live::open(&args.look, config).await?;
        let hand = Hand::of_whoever_asks(client).await?;
        let names = if args.all_pending {
            pending(&scene)
        } else {
            args.requests.clone()
        };
        let mut accounts = Vec::new();
        for name in names {
            let approval = Approval {
                hand: &hand,
                name: &name,
                overrule: args.reason.as_deref().filter(|_| args.overrule),
                sweep: args.all_pending,
            };
            accounts.push(approval.carry_out(&mut scene).await);
        }
        Ok(accounts)
    })?;
    close(args.output, &accounts)
}

/// The pending requests of nodes, without those that are left to others.
fn pending(scene: &Scene) -> Vec<String> {
    let now = Timestamp::now();
    let ours = |entry: &&Entry| {
        let decision = scene.decision(entry, now);
        decision.is_some_and(|decision| *decision.verdict() != Verdict::Ignore)
    };
    let entries = scene.entries.iter().filter(ours);
    entries.map(|entry| entry.name.clone()).collect()
}

/// One request to approve.
struct Approval<'a> {
    hand: &'a Hand,
    name: &'a str,
    /// Why policy is overridden, if it is.
    overrule: Option<&'a str>,
    /// Whether it is one of all that are pending: then it may as well stay pending.
    sweep: bool,
}

impl Approval<'_> {
    async fn carry_out(&self, scene: &mut Scene) -> Account {
        for _ in 0..ATTEMPTS {
            let Some(entry) = scene.entry(self.name).cloned() else {
                return Account::unknown(self.name);
            };
            let opinion = Account::new(&entry, scene.machine(&entry));
            let Some(uid) = entry.uid() else {
                return opinion.end(Outcome::Refused, Reason::SignerNotServed, foreign(&entry));
            };
            if let Some(past) = &entry.past {
                return opinion.already(past, "approved");
            }
            let now = Timestamp::now();
            let Some(decision) = scene.cluster.judge(uid, now) else {
                let message = "it was decided by somebody else just now".to_owned();
                return opinion.end(Outcome::Failed, Reason::AlreadyDecided, message);
            };
            let message = match self.grounds(&scene.told(&entry, &decision)) {
                Ok(message) => message,
                Err(message) => {
                    settle(scene, uid, Settlement::Undone);
                    let outcome = if self.sweep {
                        Outcome::Left
                    } else {
                        Outcome::Refused
                    };
                    return opinion.end(outcome, decision.reason(), message);
                }
            };
            let warning = !matches!(decision.verdict(), Verdict::Approve(_));
            let finding = Finding::new(Reason::ManualApproval, message.clone());
            match self
                .hand
                .write(&entry, Side::Approved, finding, warning)
                .await
            {
                Written::Done => {
                    settle(scene, uid, Settlement::Written);
                    scene.approved(&entry, now);
                    return opinion.end(Outcome::Approved, Reason::ManualApproval, message);
                }
                Written::Failed(settlement, trouble) => {
                    settle(scene, uid, settlement);
                    return opinion.end(Outcome::Failed, decision.reason(), trouble);
                }
                Written::Changed => {
                    settle(scene, uid, Settlement::Undone);
                    match self.hand.read(self.name).await {
                        Ok(Some(entry)) => scene.replace(entry, now),
                        Ok(None) => return Account::unknown(self.name),
                        Err(trouble) => {
                            return opinion.end(Outcome::Failed, decision.reason(), trouble);
                        }
                    }
                }
            }
        }
        Account::restless(self.name)
    }

    /// What the condition says, or why it is not written.
    fn grounds(&self, decision: &Decision) -> Result<String, String> {
        let who = self.hand.who();
        let policy = format!("{}: {}", decision.reason(), decision.explanation());
        match (decision.verdict(), self.overrule) {
            (Verdict::Approve(_), None) => {
                Ok(format!("approved by {who}; policy agrees: {policy}"))
            }
            (Verdict::Approve(_), Some(why)) => {
                Ok(format!("approved by {who}: {why}; policy agrees: {policy}"))
            }
            (Verdict::Deny | Verdict::Hold(_) | Verdict::Ignore, Some(why)) => {
                Ok(format!("approved by {who}: {why}; this overrides {policy}"))
            }
            (verdict @ (Verdict::Deny | Verdict::Hold(_) | Verdict::Ignore), None) => Err(format!(
                "policy says {}: {}; {} in docs/reasons.md says what to do; if you know better, use --override \
                 --reason TEXT",
                verdict.as_str(),
                decision.explanation(),
                decision.reason()
            )),
        }
    }
}

/// The requests that a settlement wakes are judged when their turn comes.
fn settle(scene: &mut Scene, uid: &RequestUid, settlement: Settlement) {
    drop(scene.cluster.settle(uid, settlement));
}

fn foreign(entry: &Entry) -> String {
    format!(
        "it asks the signer {}, which is not for nodes; whoever serves that signer decides (kubectl certificate)",
        entry.signer
    )
}

/// Carries out `deny`.
pub(crate) fn deny(args: &DenyArgs) -> anyhow::Result<()> {
    let accounts = block_on(async {
        let client = Connection::open(args.kubeconfig.as_deref()).await?.client;
        let hand = Hand::of_whoever_asks(client).await?;
        let mut accounts = Vec::new();
        for name in &args.requests {
            accounts.push(deny_one(&hand, name, &args.reason).await);
        }
        if accounts.is_empty() {
            bail!("no request was named");
        }
        Ok(accounts)
    })?;
    close(args.output, &accounts)
}

async fn deny_one(hand: &Hand, name: &str, why: &str) -> Account {
    for _ in 0..ATTEMPTS {
        let entry = match hand.read(name).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return Account::unknown(name),
            Err(trouble) => {
                return Account::named(name).end(Outcome::Failed, Reason::ManualDenial, trouble);
            }
        };
        let account = Account::new(&entry, None);
        if entry.known.is_none() {
            return account.end(Outcome::Refused, Reason::SignerNotServed, foreign(&entry));
        }
        if let Some(past) = &entry.past {
            return account.already(past, "denied");
        }
        let message = format!("denied by {}: {why}", hand.who());
        let finding = Finding::new(Reason::ManualDenial, message.clone());
        match hand.write(&entry, Side::Denied, finding, true).await {
            Written::Done => return account.end(Outcome::Denied, Reason::ManualDenial, message),
            Written::Failed(_, trouble) => {
                return account.end(Outcome::Failed, Reason::ManualDenial, trouble);
            }
            Written::Changed => {}
        }
    }
    Account::restless(name)
}

#[cfg(test)]
#[path = "manual_tests.rs"]
mod tests;
