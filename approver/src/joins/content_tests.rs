use rollcall_approver_core::{Finding, MachineReference, MachineUid, Node};

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000_i64.saturating_add(seconds)).unwrap()
}

fn join(stage: JoinStage) -> Join {
    Join {
        machine: MachineReference {
            namespace: String::new(),
            name: "m-0".to_owned(),
        },
        uid: MachineUid("u".to_owned()),
        stage,
        waiting: None,
        approved: None,
        node: None,
        adopted: false,
        other_node: None,
        deadline: Some(at(7200)),
    }
}

fn approved_join() -> Join {
    Join {
        approved: Some((at(60), Some("csr-0".to_owned()))),
        ..join(JoinStage::Approved)
    }
}

fn registered(uid: &str) -> Join {
    let node = Node::new(uid, at(90));
    Join {
        stage: JoinStage::Registered,
        node: Some(("worker-0".parse().unwrap(), node)),
        ..approved_join()
    }
}

fn said<'s>(status: &'s ExpectedMachineStatus, type_: &str) -> (Status, &'s str, &'s str) {
    let mut conditions = status.conditions.iter();
    let found = conditions.find(|known| known.type_ == type_).unwrap();
    (found.status, &found.reason, &found.message)
}

#[test]
fn a_record_goes_through_its_stages() {
    let status = content(&join(JoinStage::Provisioned), &Default::default(), at(1));
    assert_eq!(status.stage.as_deref(), Some("Provisioned"));
    assert_eq!(said(&status, APPROVED).0, Status::False);
    assert_eq!(said(&status, EXPIRED).0, Status::False);

    let finding = Finding::new(Reason::Contested, "another key");
    let waiting = Join {
        waiting: Some(("csr-0".to_owned(), finding)),
        ..join(JoinStage::Requested)
    };
    let status = content(&waiting, &status, at(2));
    assert_eq!(status.stage.as_deref(), Some("Requested"));
    assert_eq!(status.request.as_deref(), Some("csr-0"));
    assert_eq!(
        said(&status, APPROVED),
        (Status::False, "Contested", "csr-0: another key")
    );

    let status = content(&approved_join(), &status, at(60));
    assert_eq!(status.stage.as_deref(), Some("Approved"));
    let (holds, reason, _) = said(&status, APPROVED);
    assert_eq!((holds, reason), (Status::True, "FirstCertificate"));

    let issued = Join {
        stage: JoinStage::Issued,
        ..approved_join()
    };
    let status = content(&issued, &status, at(61));
    assert_eq!(status.stage.as_deref(), Some("Issued"));

    let status = content(&registered("n-0"), &status, at(90));
    assert_eq!(status.stage.as_deref(), Some("Registered"));
    let node = status.node_ref.as_ref().unwrap();
    assert_eq!((node.name.as_str(), node.uid.as_str()), ("worker-0", "n-0"));
}

#[test]
fn times_of_conditions_are_those_of_their_changes() {
    let first = content(&join(JoinStage::Provisioned), &Default::default(), at(1));
    let second = content(&join(JoinStage::Provisioned), &first, at(500));
    assert_eq!(first, second, "nothing changed, so nothing is written");
    let third = content(&approved_join(), &second, at(600));
    let time = |status: &ExpectedMachineStatus, type_: &str| {
        let mut conditions = status.conditions.iter();
        let found = conditions.find(|known| known.type_ == type_).unwrap();
        found.last_transition_time
    };
    assert_eq!(time(&third, APPROVED), at(600));
    assert_eq!(time(&third, EXPIRED), at(1));
}

#[test]
fn a_machine_that_does_not_join_in_time_has_expired() {
    let open = content(&join(JoinStage::Provisioned), &Default::default(), at(7199));
    assert_eq!(said(&open, EXPIRED).0, Status::False);
    let over = content(&join(JoinStage::Provisioned), &open, at(7200));
    let (holds, reason, message) = said(&over, EXPIRED);
    assert_eq!((holds, reason), (Status::True, "OutsideJoinWindow"));
    assert!(message.contains("spec.joinBy"), "{message}");
    // An approved machine is on its way.
    let approved = content(&approved_join(), &over, at(9000));
    assert_eq!(said(&approved, EXPIRED).0, Status::False);
}

#[test]
fn what_is_forgotten_elsewhere_is_not_taken_back() {
    let serving = Join {
        stage: JoinStage::Serving,
        ..registered("n-0")
    };
    let served = content(&serving, &Default::default(), at(100));
    // An hour later both requests are gone, and so is the claim of a bound Machine.
    let later = Join {
        approved: None,
        ..registered("n-0")
    };
    assert_eq!(content(&later, &served, at(8000)), served);
    // A Node that was ready once has joined, whatever its later state: its own conditions show that.
    let ready = Join {
        stage: JoinStage::Ready,
        ..registered("n-0")
    };
    let ready = content(&ready, &served, at(101));
    assert_eq!(ready.stage.as_deref(), Some("Ready"));
    for stage in [JoinStage::Serving, JoinStage::Registered] {
        let lame = Join {
            stage,
            ..registered("n-0")
        };
        assert_eq!(content(&lame, &ready, at(102)), ready);
    }
    // The Node is gone for a while: the binding stays.
    let gone = Join {
        node: None,
        approved: None,
        ..join(JoinStage::Issued)
    };
    let status = content(&gone, &served, at(8001));
    assert_eq!(status.node_ref, served.node_ref);
    assert_eq!(status.stage.as_deref(), Some("Issued"));
    // A Node that registered again under its name has to show again that it serves.
    let anew = content(&registered("n-1"), &served, at(8002));
    assert_eq!(anew.stage.as_deref(), Some("Registered"));
    assert_eq!(anew.node_ref.unwrap().uid, "n-1");
}

#[test]
fn a_certificate_that_was_issued_is_not_taken_back_with_its_request() {
    let issued = Join {
        stage: JoinStage::Issued,
        ..approved_join()
    };
    let issued = content(&issued, &Default::default(), at(61));
    let forgotten = Join {
        approved: Some((at(60), None)),
        ..approved_join()
    };
    assert_eq!(content(&forgotten, &issued, at(4000)), issued);
    // Another request was approved since, and has no certificate yet.
    let again = Join {
        approved: Some((at(200), Some("csr-1".to_owned()))),
        ..approved_join()
    };
    let again = content(&again, &issued, at(201));
    assert_eq!(again.stage.as_deref(), Some("Approved"));
}

#[test]
fn a_node_from_before_its_record_is_no_refusal() {
    let adopted = Join {
        approved: None,
        ..registered("n-0")
    };
    let status = content(&adopted, &Default::default(), at(100));
    assert_eq!(status.stage.as_deref(), Some("Registered"));
    let (holds, reason, _) = said(&status, APPROVED);
    assert_eq!((holds, reason), (Status::Unknown, "Registered"));
    assert_eq!(said(&status, EXPIRED).0, Status::False);
}

#[test]
fn an_adopted_node_was_never_waited_for() {
    let ready = Join {
        stage: JoinStage::Ready,
        approved: None,
        adopted: true,
        ..registered("n-0")
    };
    let status = content(&ready, &Default::default(), at(91));
    assert_eq!(status.stage.as_deref(), Some("Ready"));
    assert_eq!(status.node_ref.as_ref().unwrap().uid, "n-0");
    let (holds, reason, message) = said(&status, APPROVED);
    assert_eq!((holds, reason), (Status::True, "Adopted"));
    assert!(message.contains("before this record"), "{message}");
    assert_eq!(said(&status, EXPIRED).0, Status::False);
    // It stays so while the Node is not ready, or gone for a while.
    let lame = Join {
        stage: JoinStage::Registered,
        ..ready.clone()
    };
    let after = content(&lame, &status, at(200));
    assert_eq!(after.stage.as_deref(), Some("Ready"));
    assert_eq!(said(&after, APPROVED).1, "Adopted");
    let gone = Join {
        stage: JoinStage::Issued,
        node: None,
        adopted: false,
        ..ready
    };
    let after = content(&gone, &status, at(300));
    let (holds, reason, _) = said(&after, APPROVED);
    assert_eq!((holds, reason), (Status::True, "Adopted"));
}

#[test]
fn a_node_that_is_there_is_named_with_the_command_that_binds_it() {
    let beside = Join {
        other_node: Some("worker-0".parse().unwrap()),
        ..join(JoinStage::Provisioned)
    };
    let status = content(&beside, &Default::default(), at(1));
    let (holds, reason, message) = said(&status, APPROVED);
    assert_eq!((holds, reason), (Status::False, "Provisioned"));
    let command = "rollcall-approver expect --from-nodes --node worker-0";
    assert!(message.contains(command), "{message}");
    assert!(!message.contains("nobody has asked"), "{message}");
}
