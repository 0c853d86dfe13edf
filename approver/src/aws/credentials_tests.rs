use std::time::Instant;

use super::*;
use crate::aws::testing::{FakeAws, Reply};

fn in_an_hour() -> String {
    in_minutes(60)
}

fn in_minutes(minutes: i64) -> String {
    let time = jiff::SignedDuration::from_mins(minutes);
    let end = jiff::Timestamp::now().checked_add(time).unwrap();
    end.to_string()
}

fn cache(variables: &[(&str, &str)]) -> CredentialsCache {
    let environment = Environment::of(variables);
    let http = Http::new(&environment).unwrap();
    CredentialsCache::new(http, environment, "eu-west-1".into())
}

async fn refused(variables: &[(&str, &str)]) -> String {
    cache(variables).get().await.unwrap_err().to_string()
}

fn role(end: &str) -> Reply {
    Reply::ok(&format!(
        r#"{{"Code": "Success", "LastUpdated": "2026-11-01T00:00:00Z", "Type": "AWS-HMAC", "AccessKeyId": "ASIA1",
            "SecretAccessKey": "secret", "Token": "session", "Expiration": "{end}"}}"#
    ))
}

fn assumed(end: &str) -> Reply {
    Reply::ok(&format!(
        r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>system:serviceaccount:rollcall:rollcall-approver</SubjectFromWebIdentityToken>
    <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn><AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser>
    <Credentials>
      <SessionToken>session</SessionToken><SecretAccessKey>secret</SecretAccessKey>
      <Expiration>{end}</Expiration><AccessKeyId>ASIA2</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>"#
    ))
}

#[tokio::test]
async fn the_environment_comes_first_and_half_a_pair_is_an_error() {
    let credentials = cache(&[
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "session"),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"),
    ]);
    let credentials = credentials.get().await.unwrap();
    assert_eq!(credentials.access_key_id(), "AKID");
    assert_eq!(credentials.session_token(), Some("session"));
    let text = refused(&[("AWS_ACCESS_KEY_ID", "AKID")]).await;
    assert!(text.contains("only one is set"), "{text}");
}

#[tokio::test]
async fn version_2_of_the_metadata_service_is_asked_with_a_session() {
    let server = FakeAws::start([
        Reply::ok("the session"),
        Reply::ok("node-role\n"),
        role(&in_an_hour()),
    ])
    .await;
    let cache = cache(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url)]);
    let credentials = cache.get().await.unwrap();
    assert_eq!(credentials.access_key_id(), "ASIA1");
    assert_eq!(credentials.session_token(), Some("session"));
    cache.get().await.unwrap();
    let asked = server.asked();
    let paths: Vec<&str> = asked.iter().map(|asked| asked.path.as_str()).collect();
    let role = "/latest/meta-data/iam/security-credentials/node-role";
    assert_eq!(paths, [TOKEN, ROLES, role], "they are kept");
    assert_eq!(asked[0].method, "PUT");
    for question in &asked[1..] {
        assert_eq!(question.header("x-aws-ec2-metadata-token"), "the session");
    }
}

const TOKEN: &str = "/latest/api/token";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

#[tokio::test]
async fn what_the_metadata_service_lacks_is_named_and_version_1_is_never_asked() {
    let session = || Reply::ok("session");
    let cases = [
        (vec![Reply::status(403, "")], "switched off"),
        (vec![Reply::status(404, "")], "opens no session"),
        (
            vec![session(), Reply::status(401, "")],
            "its own session token",
        ),
        (vec![session(), Reply::status(404, "")], "no IAM role"),
        (vec![session(), Reply::ok("\n")], "no IAM role"),
        (
            vec![
                session(),
                Reply::ok("r"),
                Reply::ok(r#"{"Code": "Failed"}"#),
            ],
            "Failed",
        ),
        (
            vec![session(), Reply::ok("r"), Reply::ok("<html/>")],
            "cannot be understood",
        ),
        (vec![session(), Reply::ok("r"), role("soon")], "no time"),
    ];
    for (replies, expected) in cases {
        let server = FakeAws::start(replies).await;
        let text = refused(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url)]).await;
        assert!(text.contains(expected), "{text}");
        for asked in server.asked().iter().filter(|asked| asked.method == "GET") {
            assert_eq!(asked.header("x-aws-ec2-metadata-token"), "session");
        }
    }
    let text = refused(&[("AWS_EC2_METADATA_DISABLED", "true")]).await;
    assert!(text.contains("AWS_EC2_METADATA_DISABLED"), "{text}");
}

#[tokio::test]
async fn a_metadata_service_that_fails_or_is_slow_once_is_asked_again() {
    let server = FakeAws::start([
        Reply::status(503, ""),
        Reply::ok("late").after(Duration::from_secs(4)),
        Reply::ok("session"),
        Reply::ok("r"),
        role(&in_an_hour()),
    ])
    .await;
    let begin = Instant::now();
    cache(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url)])
        .get()
        .await
        .unwrap();
    assert!(begin.elapsed() < Duration::from_secs(30));
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn a_service_that_never_answers_names_the_hop_limit() {
    let never = Reply::ok("").after(Duration::from_secs(60));
    let server = FakeAws::start(vec![never; 3]).await;
    let text = refused(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url)]).await;
    assert!(text.contains("HttpPutResponseHopLimit"), "{text}");
}

#[tokio::test]
async fn a_token_is_exchanged_unsigned_and_read_anew_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let path = file.display().to_string();
    let soon = in_minutes(1);
    let server = FakeAws::start([assumed(&soon), assumed(&in_an_hour())]).await;
    let cache = cache(&[
        ("AWS_ENDPOINT_URL_STS", &server.url),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &path),
    ]);
    let missing = cache.get().await.unwrap_err().to_string();
    assert!(missing.contains(&path), "{missing}");
    for token in ["first", "second"] {
        std::fs::write(&file, format!("{token}\n")).unwrap();
        let credentials = cache.get().await.unwrap();
        assert_eq!(credentials.access_key_id(), "ASIA2");
        let asked = server.asked().pop().unwrap();
        assert_eq!(asked.header("authorization"), "");
        let expected = format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr\
             &RoleSessionName=rollcall-approver&WebIdentityToken={token}"
        );
        assert_eq!(asked.body, expected);
    }
    cache.get().await.unwrap();
    assert_eq!(
        server.asked().len(),
        2,
        "credentials with an hour left are kept"
    );
}

#[tokio::test]
async fn credentials_that_cannot_be_renewed_are_used_to_their_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "token").unwrap();
    let denied = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>m</Message></Error></ErrorResponse>";
    let soon = in_minutes(1);
    let server = FakeAws::start([assumed(&soon), Reply::status(400, denied)]).await;
    let path = file.display().to_string();
    let variables = [
        ("AWS_ENDPOINT_URL", server.url.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &path),
    ];
    let cache = cache(&variables);
    cache.get().await.unwrap();
    cache.get().await.unwrap();
    assert_eq!(server.asked().len(), 2);
    // Without any that are still valid, the refusal is told.
    let server = FakeAws::start([Reply::status(400, denied)]).await;
    let text = refused(&[
        ("AWS_ENDPOINT_URL", &server.url),
        variables[1],
        variables[2],
    ])
    .await;
    assert!(
        text.contains("InvalidIdentityToken") && text.contains("role/r"),
        "{text}"
    );
}
