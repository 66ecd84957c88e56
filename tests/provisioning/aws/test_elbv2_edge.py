from __future__ import annotations

from typing import TYPE_CHECKING

from provisioning.aws.elbv2 import Elbv2

if TYPE_CHECKING:
    from tests.provisioning.aws.conftest import StubService


def test_the_edge_lists_all_pages_and_asks_for_tags_twenty_at_a_time(stub: StubService) -> None:
    client, stubber = stub("elbv2")
    arns = [f"arn:aws:elasticloadbalancing:::loadbalancer/app/a/{number:02}" for number in range(21)]
    balancers = [{"LoadBalancerArn": arn, "LoadBalancerName": arn[-2:]} for arn in arns]
    stubber.add_response("describe_load_balancers", {"LoadBalancers": balancers[:20], "NextMarker": "m"}, {})
    stubber.add_response("describe_load_balancers", {"LoadBalancers": balancers[20:]}, {"Marker": "m"})
    for some in (arns[:20], arns[20:]):
        tags = [{"ResourceArn": arn, "Tags": [{"Key": "k", "Value": arn[-2:]}]} for arn in some]
        stubber.add_response("describe_tags", {"TagDescriptions": tags}, {"ResourceArns": some})
    edge = Elbv2(client)
    assert [record.name for record in edge.load_balancers()] == [arn[-2:] for arn in arns]
    assert edge.tags(arns)[arns[20]] == {"k": "20"}


def test_the_edge_says_who_is_healthy(stub: StubService) -> None:
    client, stubber = stub("elbv2")
    answer = [
        {"Target": {"Id": name, "Port": 8000}, "TargetHealth": {"State": state}}
        for name, state in (("i-1", "healthy"), ("i-2", "initial"))
    ]
    stubber.add_response(
        "describe_target_health", {"TargetHealthDescriptions": answer}, {"TargetGroupArn": "tg"}
    )
    assert Elbv2(client).target_health("tg") == {"i-1": "healthy", "i-2": "initial"}
