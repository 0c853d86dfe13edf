//! Whose credentials go to machines, by what the API server answers.

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// An API server to which everybody is this user, who may do what these words are part of.
fn cluster(
    user: &'static str,
    groups: &'static [&'static str],
    may: &'static [&'static str],
) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| async move {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect_bytes().await.unwrap();
        let question: Value = serde_json::from_slice(&body).unwrap();
        let attributes = question["spec"]["resourceAttributes"].to_string();
        let answer = if path.ends_with("selfsubjectreviews") {
            json!({"metadata": {}, "status": {"userInfo": {"username": user, "groups": groups}}})
        } else {
            let allowed = may.iter().any(|word| attributes.contains(word));
            json!({"metadata": {}, "spec": {}, "status": {"allowed": allowed}})
        };
        let answer = Response::new(Body::from(answer.to_string().into_bytes()));
        Ok::<_, std::convert::Infallible>(answer)
    });
    Client::new(service, "default")
}

#[tokio::test]
async fn administrators_and_nodes_are_refused_by_what_the_api_server_knows() {
    for (groups, may, refused) in [
        (&["system:masters"][..], &[][..], true),
        (
            &["kubeadm:cluster-admins", "system:authenticated"],
            &[],
            true,
        ),
        (&["system:nodes"], &[], true),
        (&["system:serviceaccounts"], &["\"*\""], true),
        (&["system:bootstrappers"], &[], false),
        (&[], &["nodeclient"], false),
        (&["admins"], &["approval"], false),
    ] {
        let answer = ask(&cluster("ada", groups, may)).await;
        match answer {
            Err(Answer::Refused(why)) => assert!(refused && why.contains("ada"), "{why}"),
            Err(Answer::Unknown(why)) => panic!("{why}"),
            Ok(review) => {
                assert!(!refused, "{groups:?}");
                assert_eq!(review.warnings.len(), may.len(), "{review:?}");
                assert!(review.checked.is_some_and(|said| said.contains("ada")));
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_said() {
    let unreachable = "current-context: a\ncontexts: [{name: a, context: {cluster: b, user: c}}]\n\
                       clusters: [{name: b, cluster: {server: 'https://127.0.0.1:1'}}]\n\
                       users: [{name: c, user: {token: t}}]\n";
    let review = review(unreachable).await.unwrap();
    assert_eq!(review.checked, None);
    let said = review.warnings.concat();
    assert!(
        said.contains("was not checked") && said.contains("refused"),
        "{said}"
    );
}
