"""Each rule over a plan sees what it is there for, and lets what is right through."""

from typing import Any

import pytest

from tests.infra import policies
from tests.infra.policies import Resource


def one(kind: str, at: str = "module.x.this", index: Any = None, **values: Any) -> Resource:
    return {"type": kind, "address": at, "mode": "managed", "index": index, "values": values}


def template(**changes: Any) -> Resource:
    right: dict[str, Any] = {
        "network_interfaces": [{"associate_public_ip_address": "false"}],
        "metadata_options": [{"http_tokens": "required", "http_put_response_hop_limit": 1}],
        "block_device_mappings": [{"ebs": [{"encrypted": "true"}]}],
        "key_name": None,
    }
    return one("aws_launch_template", **(right | changes))


def ingress(at: str = "module.x.this", **changes: Any) -> Resource:
    right = {
        "from_port": 8001,
        "to_port": 8001,
        "cidr_ipv4": None,
        "description": "Pages are asked for",
        "ip_protocol": "tcp",
    }
    return one("aws_vpc_security_group_ingress_rule", at, **(right | changes))


def policy(action: Any, on: Any) -> Resource:
    text = '{"Statement": {"Action": %s, "Resource": %s}}'
    return one("aws_iam_role_policy", policy=text % (action, on))


def user(**changes: Any) -> Resource:
    right = {"access_string": "off -@all", "authentication_mode": [{"type": "iam"}]}
    return one("aws_memorydb_user", **(right | changes))


EDGE = one("aws_lb", "module.edge.aws_lb.this", internal=False)
PUBLIC = 'module.firewall.x.this["internet-balancer-443"]'
LOCKS: dict[str, Any] = {
    "block_public_acls": True,
    "block_public_policy": True,
    "ignore_public_acls": True,
    "restrict_public_buckets": True,
}

WRONG: list[tuple[policies.Rule, list[Resource]]] = [
    (policies.only_the_edge_is_public, [EDGE, one("aws_lb", "module.app.x", internal=False)]),
    (policies.only_the_edge_is_public, []),
    (
        policies.only_the_edge_is_public,
        [EDGE, template(network_interfaces=[{"associate_public_ip_address": "true"}])],
    ),
    (policies.only_the_edge_is_public, [EDGE, template(network_interfaces=[])]),
    (policies.only_the_edge_is_public, [EDGE, one("aws_subnet", map_public_ip_on_launch=True)]),
    (policies.only_the_edge_is_public, [EDGE, one("aws_eip", "module.monitoring.aws_eip.this")]),
    (policies.only_the_edge_is_public, [EDGE, one("aws_instance")]),
    (policies.the_world_comes_to_tls_alone, [ingress(PUBLIC, cidr_ipv4="0.0.0.0/0")]),
    (
        policies.the_world_comes_to_tls_alone,
        [ingress(PUBLIC, cidr_ipv4="0.0.0.0/0", from_port=443, to_port=8443)],
    ),
    (
        policies.the_world_comes_to_tls_alone,
        [ingress("module.y", cidr_ipv4="0.0.0.0/0", from_port=443, to_port=443)],
    ),
    (policies.the_world_comes_to_tls_alone, [ingress(cidr_ipv4="10.0.0.4/32")]),
    (policies.the_world_comes_to_tls_alone, [one("aws_security_group", ingress=[{}])]),
    (policies.every_rule_has_a_reason, [ingress(description=None)]),
    (policies.every_rule_has_a_reason, [ingress(ip_protocol="-1")]),
    (policies.metadata_need_a_token, [template(metadata_options=[])]),
    (
        policies.metadata_need_a_token,
        [template(metadata_options=[{"http_tokens": "optional"}])],
    ),
    (
        policies.everything_is_encrypted,
        [template(block_device_mappings=[{"ebs": [{"encrypted": None}]}])],
    ),
    (policies.everything_is_encrypted, [one("aws_sns_topic", kms_master_key_id=None)]),
    (policies.everything_is_encrypted, [one("aws_s3_bucket", index="models")]),
    (policies.everything_is_encrypted, [one("aws_kms_key", enable_key_rotation=False)]),
    (
        policies.everything_is_encrypted,
        [one("aws_lb_listener", "module.edge.x", port=443, protocol="TCP")],
    ),
    (policies.no_bucket_is_public, [one("aws_s3_bucket", index="models")]),
    (
        policies.no_bucket_is_public,
        [one("aws_s3_bucket_public_access_block", **(LOCKS | {"block_public_policy": False}))],
    ),
    (policies.no_wildcard_meets_a_wildcard, [policy('"s3:*"', '"arn:aws:s3:::ours"')]),
    (policies.no_wildcard_meets_a_wildcard, [policy('["s3:GetObject"]', '"*"')]),
    (
        policies.no_wildcard_meets_a_wildcard,
        [policy('["ec2:DescribeInstances", "ec2:RunInstances"]', '["*"]')],
    ),
    (policies.no_door_but_sessions, [template(key_name="mine")]),
    (policies.no_door_but_sessions, [ingress(from_port=0, to_port=1024)]),
    (policies.no_secret_is_in_it, [one("aws_secretsmanager_secret_version", secret_string="a")]),
    (policies.no_secret_is_in_it, [user(access_string="on ~* +@all")]),
    (
        policies.no_secret_is_in_it,
        [user(authentication_mode=[{"type": "password", "passwords": ["a"]}])],
    ),
    (policies.no_secret_is_in_it, [one("random_password")]),
    (policies.everything_is_named, [one("aws_vpc", tags_all={"Name": "vpc"})]),
    (policies.grafana_sees_who_comes, []),
    (
        policies.grafana_sees_who_comes,
        [one("aws_lb_target_group", port=3000, preserve_client_ip="false")],
    ),
    (policies.training_ends, []),
    (
        policies.training_ends,
        [
            one("aws_autoscaling_group", "module.trainer.x", min_size=1, max_size=1),
            one("aws_autoscaling_group", "module.trainer.y", min_size=0, max_size=1),
        ],
    ),
]


@pytest.mark.parametrize(
    ("rule", "resources"), WRONG, ids=[f"{rule.__name__}-{n}" for n, (rule, _) in enumerate(WRONG)]
)
def test_what_is_wrong_is_seen(rule: policies.Rule, resources: list[Resource]) -> None:
    assert list(rule(resources))


def test_each_rule_is_shown_something_wrong() -> None:
    assert {rule for rule, _ in WRONG} == set(policies.RULES)


def test_what_is_right_is_let_through() -> None:
    trainer = [
        one("aws_autoscaling_group", f"x.trainer.{n}", min_size=0, max_size=1) for n in (1, 2)
    ]
    alarms = [one("aws_cloudwatch_metric_alarm", f"x.trainer.{n}") for n in (1, 2)]
    kinds = ("public_access_block", "server_side_encryption_configuration", "versioning", "policy")
    bucket = [
        one("aws_s3_bucket", index="models"),
        *(one(f"aws_s3_bucket_{kind}", index="models", **LOCKS) for kind in kinds),
    ]
    right = [
        EDGE,
        template(),
        ingress(),
        ingress(PUBLIC, cidr_ipv4="0.0.0.0/0", from_port=443, to_port=443),
        policy('["s3:GetObject"]', '["arn:aws:s3:::ours/*"]'),
        policy('["ec2:DescribeInstances"]', '"*"'),
        user(),
        one("aws_eip", 'module.network.aws_eip.nat["a"]'),
        one("aws_vpc", tags_all={"System": "sightline"}),
        *bucket,
        *trainer,
        *alarms,
        one("aws_budgets_budget"),
        one("aws_lb_target_group", port=3000, preserve_client_ip="true"),
        one("aws_lb_target_group", port=8001, preserve_client_ip="false"),
    ]
    assert policies.broken(right) == []


def test_data_sources_are_not_looked_at() -> None:
    looked_up = one("aws_subnet", map_public_ip_on_launch=True) | {"mode": "data"}
    assert list(policies.only_the_edge_is_public([EDGE, looked_up])) == []
