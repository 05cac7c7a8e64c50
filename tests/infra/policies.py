"""What a plan must keep to, whatever is changed in it: rules over the resources that it would make.

Each rule takes every resource and yields a sentence for each that breaks it.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

Resource = dict[str, Any]
Rule = Callable[[list[Resource]], Iterator[str]]

#: Ports that the whole world may come to.
PUBLIC_PORTS = {443, 80}
EVERYBODY = {"0.0.0.0/0", "::/0"}


def of(resources: list[Resource], *types: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Address and values of the resources of some types."""
    for one in resources:
        if one["type"] in types and one.get("mode", "managed") == "managed":
            yield one["address"], one.get("values", {})


def only_the_edge_is_public(resources: list[Resource]) -> Iterator[str]:
    """One load balancer faces the internet; no instance has an address there."""
    facing = [at for at, lb in of(resources, "aws_lb") if not lb.get("internal")]
    if [at for at in facing if "module.edge." not in at] or len(facing) != 1:
        yield f"public load balancers: {facing}"
    for at, one in of(resources, "aws_launch_template"):
        for card in one.get("network_interfaces") or [{}]:
            if str(card.get("associate_public_ip_address")).lower() != "false":
                yield f"{at} may give an instance a public address"
    for at, one in of(resources, "aws_subnet"):
        if one.get("map_public_ip_on_launch"):
            yield f"{at} gives public addresses to whatever starts in it"
    for at, _ in of(resources, "aws_eip"):
        if ".nat" not in at:
            yield f"{at} is a public address that is no NAT gateway's"
    for at, _ in of(resources, "aws_instance", "aws_security_group_rule"):
        yield f"{at} is of a kind that these rules do not look into"


def the_world_comes_to_tls_alone(resources: list[Resource]) -> Iterator[str]:
    """From everywhere only to 443, and to 80 for the redirect; and only to the balancer."""
    for at, rule in of(resources, "aws_vpc_security_group_ingress_rule"):
        if {rule.get("cidr_ipv4"), rule.get("cidr_ipv6")} & EVERYBODY:
            if rule["from_port"] != rule["to_port"] or rule["from_port"] not in PUBLIC_PORTS:
                yield f"{at} lets everybody in to {rule['from_port']}-{rule['to_port']}"
            if "internet-balancer" not in at:
                yield f"{at} lets everybody in past the load balancer"
        elif rule.get("cidr_ipv4") or rule.get("cidr_ipv6"):
            yield f"{at} names addresses, not a group"
    for at, group in of(resources, "aws_security_group"):
        if group.get("ingress") or group.get("egress"):
            yield f"{at} has rules of its own, beside the table"


def every_rule_has_a_reason(resources: list[Resource]) -> Iterator[str]:
    """Whoever reads a security group sees why each rule is in it."""
    kinds = ("aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule")
    for at, rule in of(resources, *kinds):
        if len(rule.get("description") or "") < 8:
            yield f"{at} gives no reason"
        if rule.get("ip_protocol") != "tcp":
            yield f"{at} lets more than TCP through"


def metadata_need_a_token(resources: list[Resource]) -> Iterator[str]:
    """IMDSv2 alone, and not past one hop."""
    for at, one in of(resources, "aws_launch_template"):
        (options,) = one.get("metadata_options") or [{}]
        if (
            options.get("http_tokens") != "required"
            or options.get("http_put_response_hop_limit") != 1
        ):
            yield f"{at} answers metadata without a token, or past one hop"


#: Type of resource -> what has to be so for it to be encrypted.
_ENCRYPTED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "aws_launch_template": lambda one: all(
        str(disk["ebs"][0].get("encrypted")).lower() == "true"
        for disk in one["block_device_mappings"]
    ),
    "aws_efs_file_system": lambda one: bool(one["encrypted"]),
    "aws_memorydb_cluster": lambda one: bool(one["tls_enabled"]) and bool(one.get("acl_name")),
    "aws_elasticache_replication_group": lambda one: (
        one["at_rest_encryption_enabled"] in (True, "true")
        and bool(one["transit_encryption_enabled"])
    ),
    "aws_s3_object": lambda one: one["server_side_encryption"] == "aws:kms",
}
#: Types of resource that name a key of ours; it may be known only after apply.
_KEYED = {
    "aws_cloudwatch_log_group": "kms_key_id",
    "aws_secretsmanager_secret": "kms_key_id",
    "aws_sns_topic": "kms_master_key_id",
    "aws_memorydb_cluster": "kms_key_arn",
    "aws_elasticache_replication_group": "kms_key_id",
    "aws_efs_file_system": "kms_key_id",
}


def everything_is_encrypted(resources: list[Resource]) -> Iterator[str]:
    """Disks, folders, buckets, queues, logs and Redis; by our key where there is a choice."""
    for kind, holds in _ENCRYPTED.items():
        for at, one in of(resources, kind):
            if not holds(one):
                yield f"{at} is not encrypted"
    for kind, field in _KEYED.items():
        for at, one in of(resources, kind):
            # Not in the plan: it is known after apply. Null in the plan: nobody gave one.
            if field in one and not one[field]:
                yield f"{at} has no key"
    yield from _every_bucket_has(resources, "aws_s3_bucket_server_side_encryption_configuration")
    yield from _every_bucket_has(resources, "aws_s3_bucket_versioning")
    yield from _every_bucket_has(resources, "aws_s3_bucket_policy")
    for at, one in of(resources, "aws_kms_key"):
        if not one["enable_key_rotation"]:
            yield f"{at} is never rotated"
    for at, one in of(resources, "aws_lb_listener"):
        if "module.edge." in at and one["port"] == 443 and one["protocol"] != "TLS":
            yield f"{at} does not speak TLS"


def _every_bucket_has(resources: list[Resource], kind: str) -> Iterator[str]:
    have = {one.get("index") for one in resources if one["type"] == kind}
    for one in resources:
        if one["type"] == "aws_s3_bucket" and one.get("index") not in have:
            yield f"{one['address']} has no {kind}"


def no_bucket_is_public(resources: list[Resource]) -> Iterator[str]:
    """All four locks on every bucket."""
    yield from _every_bucket_has(resources, "aws_s3_bucket_public_access_block")
    for at, one in of(resources, "aws_s3_bucket_public_access_block"):
        locks = ("block_public_acls", "block_public_policy", "ignore_public_acls")
        if not all(one[lock] for lock in (*locks, "restrict_public_buckets")):
            yield f"{at} is open"


#: AWS knows no narrower resource for these.
_ONLY_WHOLE = {"ec2:DescribeInstances", "ec2:DescribeAvailabilityZones"}


def no_wildcard_meets_a_wildcard(resources: list[Resource]) -> Iterator[str]:
    """A role's policy names what may be done and to what."""
    for at, one in of(resources, "aws_iam_role_policy", "aws_iam_policy"):
        text = one.get("policy")
        if not text:
            continue  # known after apply; the applied stack is looked at, too
        for statement in as_list(json.loads(text)["Statement"]):
            actions, on = as_list(statement["Action"]), as_list(statement["Resource"])
            if any(action == "*" or action.endswith(":*") for action in actions):
                yield f"{at} allows {actions}"
            if "*" in on and not set(actions) <= _ONLY_WHOLE:
                yield f"{at} allows {actions} on everything"


def no_door_but_sessions(resources: list[Resource]) -> Iterator[str]:
    """No SSH: no key, no port."""
    for at, one in of(resources, "aws_launch_template"):
        if one.get("key_name"):
            yield f"{at} has a key for SSH"
    for at, rule in of(resources, "aws_vpc_security_group_ingress_rule"):
        if rule["from_port"] <= 22 <= rule["to_port"]:
            yield f"{at} opens SSH"
    for at, _ in of(resources, "aws_key_pair"):
        yield f"{at} is a key for SSH"


def no_secret_is_in_it(resources: list[Resource]) -> Iterator[str]:
    """Places of secrets, never values."""
    for at, one in of(resources, "aws_secretsmanager_secret_version", "aws_ssm_parameter"):
        if (
            one.get("secret_string")
            or one.get("secret_binary")
            or one.get("type") == "SecureString"
        ):
            yield f"{at} holds a secret"
    for at, one in of(resources, "aws_memorydb_user", "aws_elasticache_user"):
        if one.get("passwords") or any(m.get("passwords") for m in one["authentication_mode"]):
            yield f"{at} holds a password"
        if not one["access_string"].startswith("off"):
            yield f"{at} is open before it has a password"
    for at, one in of(resources, "aws_elasticache_replication_group"):
        if one.get("auth_token"):
            yield f"{at} holds a password"
    for one in resources:
        if one["type"] in ("random_password", "tls_private_key"):
            yield f"{one['address']} is a secret in the state"


def everything_is_named(resources: list[Resource]) -> Iterator[str]:
    """Whoever sees it in the bill or in a list knows whose it is."""
    for one in resources:
        tags = (
            one.get("values", {}).get("tags_all")
            if one.get("mode", "managed") == "managed"
            else None
        )
        if isinstance(tags, dict) and tags.get("System") != "sightline":
            yield f"{one['address']} has no tag System"


def grafana_sees_who_comes(resources: list[Resource]) -> Iterator[str]:
    """It believes the edge alone, so the balancer keeps the address of who comes."""
    groups = [one for _, one in of(resources, "aws_lb_target_group") if one["port"] == 3000]
    if len(groups) != 1 or str(groups[0].get("preserve_client_ip")).lower() != "true":
        yield "who comes to Grafana comes with the balancer's address"


def training_ends(resources: list[Resource]) -> Iterator[str]:
    """No trainer starts by apply, none stays, and somebody is told what it costs."""
    groups = [one for at, one in of(resources, "aws_autoscaling_group") if ".trainer." in at]
    if len(groups) != 2 or any(one["min_size"] != 0 or one["max_size"] != 1 for one in groups):
        yield "the trainer's groups do not rest at no instance"
    alarms = [one for at, one in of(resources, "aws_cloudwatch_metric_alarm") if ".trainer." in at]
    if len(alarms) != len(groups):
        yield "a group of the trainer has no alarm that ends it"
    if not list(of(resources, "aws_budgets_budget")):
        yield "nobody is told what training costs"


RULES: tuple[Rule, ...] = (
    only_the_edge_is_public,
    the_world_comes_to_tls_alone,
    every_rule_has_a_reason,
    metadata_need_a_token,
    everything_is_encrypted,
    no_bucket_is_public,
    no_wildcard_meets_a_wildcard,
    no_door_but_sessions,
    no_secret_is_in_it,
    everything_is_named,
    grafana_sees_who_comes,
    training_ends,
)


def as_list(value: Any) -> list[Any]:
    """A policy's field, which may be one value or several."""
    return value if isinstance(value, list) else [value]


def broken(resources: list[Resource], rules: tuple[Rule, ...] = RULES) -> list[str]:
    """Every sentence of every rule about these resources."""
    return [f"{rule.__name__}: {said}" for rule in rules for said in rule(resources)]
