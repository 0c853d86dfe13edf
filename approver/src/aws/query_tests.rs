use ::http::header::AUTHORIZATION;

use super::*;
use crate::aws::testing::{FakeAws, Reply, connected};

const ACTION: Action = Action {
    service: Service::Ec2,
    name: "DescribeInstances",
};

/// As EC2 writes an error (EC2 API Reference, "Error codes", "Example error response").
const EC2_ERROR: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>CODE</Code><Message>MESSAGE</Message></Error></Errors><RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>"#;
/// As Auto Scaling and STS write one.
const QUERY_ERROR: &str = r#"<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/">
  <Error><Type>Sender</Type><Code>CODE</Code><Message>MESSAGE</Message></Error>
  <RequestId>9e1e9c2c-example</RequestId>
</ErrorResponse>"#;

#[derive(Debug, Deserialize)]
struct Empty {}

fn error(template: &str, code: &str, message: &str) -> String {
    template.replace("CODE", code).replace("MESSAGE", message)
}

async fn call(replies: Vec<Reply>) -> (Result<Empty, Error>, usize) {
    let server = FakeAws::start(replies).await;
    let aws = connected(&server).await;
    let outcome = aws.call(ACTION, &Vec::new()).await;
    (outcome, server.asked().len())
}

/// The vectors `post-vanilla` and `post-x-www-form-urlencoded` of AWS's Signature Version 4 test suite.
#[test]
fn signatures_are_those_of_the_test_suite_of_aws() {
    let time = "2015-08-30T12:36:00Z".parse::<Timestamp>().unwrap().into();
    let signed = |body: &'static str, content_type: Option<&str>| {
        let mut request = Request::post("https://example.amazonaws.com/");
        request = request.header(HOST, "example.amazonaws.com");
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let mut request = request.body(Bytes::from_static(body.as_bytes())).unwrap();
        let credentials = Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            None,
            None,
            "test",
        );
        sign_request(&mut request, credentials, ("service", "us-east-1"), time).unwrap();
        request.headers()[AUTHORIZATION]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        signed("", None),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
    );
    assert_eq!(
        signed("Param1=value1", Some("application/x-www-form-urlencoded")),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
    );
}

#[tokio::test]
async fn a_call_is_a_signed_form() {
    let server = FakeAws::start([Reply::ok("<R/>")]).await;
    let aws = connected(&server).await;
    let parameters = vec![("Filter.1.Name".to_owned(), "tag:a b/c&d".to_owned())];
    aws.call::<Empty>(ACTION, &parameters).await.unwrap();
    let asked = server.asked().remove(0);
    assert_eq!(
        asked.body,
        "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag%3Aa+b%2Fc%26d"
    );
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/"));
    let authorization = asked.header("authorization");
    assert!(
        authorization.contains("/eu-west-1/ec2/aws4_request"),
        "{authorization}"
    );
}

#[tokio::test(start_paused = true)]
async fn throttled_and_failing_calls_are_made_again() {
    for refusal in [
        Reply::status(503, &error(EC2_ERROR, "RequestLimitExceeded", "slow down")),
        Reply::status(400, &error(QUERY_ERROR, "Throttling", "Rate exceeded")),
        Reply::status(429, "not even XML"),
        Reply::status(500, "<html>oops</html>"),
        Reply::status(503, &error(EC2_ERROR, "Unavailable", "m")),
    ] {
        let (outcome, calls) =
            call(vec![refusal.clone(), refusal.clone(), Reply::ok("<R/>")]).await;
        assert!(outcome.is_ok() && calls == 3, "{outcome:?} after {calls}");
        let (outcome, calls) = call(vec![refusal; 10]).await;
        assert!(
            outcome.unwrap_err().is_transient() && calls == 1 + RETRIES,
            "{calls}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_asked_again_and_says_why() {
    for template in [EC2_ERROR, QUERY_ERROR] {
        let body = error(template, "UnauthorizedOperation", "You may not do this.");
        let (outcome, calls) = call(vec![Reply::status(403, &body)]).await;
        let text = outcome.unwrap_err().to_string();
        assert_eq!(calls, 1);
        assert_eq!(
            text,
            "DescribeInstances was refused: You may not do this. (UnauthorizedOperation, HTTP status 403)"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_is_named() {
    for (code, message) in [
        ("RequestExpired", "Request has expired."),
        (
            "SignatureDoesNotMatch",
            "Signature expired: 20150830T123600Z is now earlier than 20150830T124000Z",
        ),
    ] {
        let date = Timestamp::now()
            .checked_sub(SignedDuration::from_mins(20))
            .unwrap();
        let date = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&date)
            .unwrap();
        let reply = Reply::status(403, &error(EC2_ERROR, code, message)).dated(&date);
        let (outcome, calls) = call(vec![reply]).await;
        let text = outcome.unwrap_err().to_string();
        assert_eq!(calls, 1);
        assert!(
            text.contains("120") && text.contains("s ahead of its own"),
            "{text}"
        );
    }
    // A wrong secret key has the same code, and nothing to do with the clock.
    let body = error(EC2_ERROR, "SignatureDoesNotMatch", "Check your key.");
    let (outcome, _) = call(vec![Reply::status(403, &body)]).await;
    assert!(matches!(outcome, Err(Error::Refused { .. })), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_xml_is_malformed() {
    for body in ["", "{}", "<R>", "<R><a></b></R>"] {
        let (outcome, calls) = call(vec![Reply::ok(body)]).await;
        assert!(
            matches!(outcome, Err(Error::Malformed { .. })),
            "{body}: {outcome:?}"
        );
        assert_eq!(calls, 1);
    }
}
