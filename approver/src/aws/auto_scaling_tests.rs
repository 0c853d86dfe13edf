use super::*;
use crate::aws::testing::{FakeAws, Reply, connected};

const TAG: &str = "kubernetes.io/cluster/prod";

/// As Auto Scaling answers, shortened (Auto Scaling API Reference, `DescribeAutoScalingGroups`).
fn page(groups: &str, next: &str) -> String {
    format!(
        r#"<DescribeAutoScalingGroupsResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/">
  <DescribeAutoScalingGroupsResult><AutoScalingGroups>{groups}</AutoScalingGroups>{next}</DescribeAutoScalingGroupsResult>
  <ResponseMetadata><RequestId>7c6e177f-f082-11e1-ac58-example</RequestId></ResponseMetadata>
</DescribeAutoScalingGroupsResponse>"#
    )
}

fn group(name: &str, tag: &str, members: &[(&str, &str)]) -> String {
    let member = |(id, state): &(&str, &str)| {
        format!(
            "<member><InstanceId>{id}</InstanceId><AvailabilityZone>eu-west-1a</AvailabilityZone>\
             <LifecycleState>{state}</LifecycleState><HealthStatus>Healthy</HealthStatus></member>"
        )
    };
    let members: String = members.iter().map(member).collect();
    format!(
        "<member><AutoScalingGroupName>{name}</AutoScalingGroupName><MinSize>1</MinSize><Instances>{members}</Instances>\
         <LoadBalancerNames/><Tags><member><Key>{tag}</Key><Value>owned</Value><ResourceId>{name}</ResourceId></member>\
         </Tags></member>"
    )
}

async fn ask(
    replies: Vec<Reply>,
    selection: &Selection,
) -> (Result<Vec<Group>, Error>, Vec<String>) {
    let server = FakeAws::start(replies).await;
    let outcome = connected(&server).await.groups(selection).await;
    let bodies = server.asked().into_iter().map(|asked| asked.body);
    (outcome, bodies.collect())
}

fn selection(tag: Option<&str>, names: &[&str]) -> Selection {
    Selection {
        tag: tag.map(str::to_owned),
        names: names.iter().map(|&name| name.to_owned()).collect(),
    }
}

#[tokio::test]
async fn tagged_groups_are_found_on_all_pages() {
    let members = [("i-1", "InService"), ("i-2", "Terminating:Wait")];
    let replies = vec![
        Reply::ok(&page(
            &group("a", TAG, &members),
            "<NextToken>more</NextToken>",
        )),
        // What the filter should have left out is left out here.
        Reply::ok(&page(
            &(group("b", TAG, &[]) + &group("other", "Name", &members)),
            "",
        )),
    ];
    let (groups, asked) = ask(replies, &selection(Some(TAG), &[])).await;
    let groups = groups.unwrap();
    let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(groups[0].members[0].is_wanted() && !groups[0].members[0].is_leaving());
    assert!(!groups[0].members[1].is_wanted() && groups[0].members[1].is_leaving());
    assert_eq!(
        asked[0],
        "Action=DescribeAutoScalingGroups&Version=2011-01-01&MaxRecords=100&Filters.member.1.Name=tag-key\
         &Filters.member.1.Values.member.1=kubernetes.io%2Fcluster%2Fprod"
    );
    assert!(asked[1].ends_with("&NextToken=more"), "{}", asked[1]);
}

#[tokio::test]
async fn a_named_group_has_to_be_there_and_to_have_the_tag() {
    let both = page(&(group("a", TAG, &[]) + &group("b", "Name", &[])), "");
    let named = selection(None, &["a", "b"]);
    let (groups, asked) = ask(vec![Reply::ok(&both)], &named).await;
    assert_eq!(groups.unwrap().len(), 2);
    assert!(
        asked[0].ends_with("AutoScalingGroupNames.member.1=a&AutoScalingGroupNames.member.2=b")
    );
    for (selection, missing) in [
        (
            selection(Some(TAG), &["a", "b"]),
            "named b in region eu-west-1",
        ),
        (selection(None, &["a", "c", "d"]), "named c, d in region"),
        (selection(None, &[]), "no group is selected"),
    ] {
        let (outcome, _) = ask(vec![Reply::ok(&both)], &selection).await;
        let text = outcome.unwrap_err().to_string();
        assert!(text.contains(missing), "{text}");
    }
}

#[tokio::test]
async fn an_answer_without_its_list_is_no_proof_that_there_is_nothing() {
    for body in [
        "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult/></DescribeAutoScalingGroupsResponse>",
        "<DescribeAutoScalingGroupsResponse/>",
    ] {
        let (outcome, _) = ask(vec![Reply::ok(body)], &selection(Some(TAG), &[])).await;
        assert!(
            matches!(outcome, Err(Error::Malformed { .. })),
            "{outcome:?}"
        );
    }
}
