"""AWS on this machine: moto's server, with the few answers that Terraform needs and moto lacks.

    python -m tests.infra.aws_stand_in PORT

Loopback, unless another address is given after the port. What it cannot tell: it enforces no
policy, no security group and no quota.
"""

import inspect
import json
import sys
from collections.abc import Callable
from typing import Any

from moto.autoscaling.models import FakeScalingPolicy
from moto.autoscaling.responses import AutoScalingResponse
from moto.budgets.responses import BudgetsResponse
from moto.core.responses import ActionResult
from moto.ec2.models import launch_templates
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.efs.responses import EFSResponse
from moto.elasticache import exceptions as elasticache_errors
from moto.elasticache.models import ElastiCacheBackend
from moto.elasticache.responses import ElastiCacheResponse
from moto.iam import access_control
from moto.route53.responses import Route53

Answer = Callable[..., Any]


def wrap(owner: Any, name: str) -> Callable[[Callable[..., Any]], None]:
    """Put a function, called with the one that it replaces first, in place of `owner.name`."""
    original = getattr(owner, name)

    def put(replacement: Callable[..., Any]) -> None:
        setattr(owner, name, lambda *args, **kw: replacement(original, *args, **kw))

    return put


# ---- budgets: tags, and who is told --------------------------------------------------------------

_budget_tags: dict[str, Any] = {}
_told: dict[tuple[str, str], Any] = {}


@wrap(BudgetsResponse, "create_budget")
def _create_budget(original: Answer, self: Any) -> Any:
    made = original(self)
    name = self._get_param("Budget")["BudgetName"]
    _budget_tags[name] = self._get_param("ResourceTags", [])
    for one in self._get_param("NotificationsWithSubscribers", []):
        _told[name, one["Notification"]["NotificationType"]] = one["Subscribers"]
    return made


@wrap(BudgetsResponse, "create_notification")
def _create_notification(original: Answer, self: Any) -> Any:
    kind = self._get_param("Notification")["NotificationType"]
    _told[self._get_param("BudgetName"), kind] = self._get_param("Subscribers")
    return original(self)


def _subscribers(self: Any) -> str:
    kind = self._get_param("Notification")["NotificationType"]
    return json.dumps({"Subscribers": _told.get((self._get_param("BudgetName"), kind), [])})


BudgetsResponse.describe_subscribers_for_notification = _subscribers  # type: ignore[attr-defined]


def _budget_tags_of(self: Any) -> str:
    name = self._get_param("ResourceARN").rsplit("/", 1)[-1]
    return json.dumps({"ResourceTags": _budget_tags.get(name, [])})


BudgetsResponse.list_tags_for_resource = _budget_tags_of  # type: ignore[attr-defined]

# ---- efs: a policy that is taken away -----------------------------------------------------------


def _delete_file_system_policy(self: Any) -> tuple[str, dict[str, Any]]:
    name = self._get_param("FileSystemId")
    self.efs_backend.file_systems_by_id[name].file_system_policy = None
    return "{}", {"Content-Type": "application/json"}


EFSResponse.delete_file_system_policy = _delete_file_system_policy  # type: ignore[attr-defined]

# ---- elasticache: parameter groups, user groups, changes of users, members -----------------------

#: Of the additions: kind of thing -> name -> what was asked for.
_made: dict[str, dict[str, dict[str, Any]]] = {"parameters": {}, "groups": {}}
#: Passwords and rights of each user, as the instances last set them.
opened: dict[str, dict[str, Any]] = {}


def _arn(self: Any, kind: str, name: str) -> str:
    return f"arn:aws:elasticache:{self.region}:{self.current_account}:{kind}:{name}"


def _tagged(self: Any, arn: str) -> None:
    tags = self._get_param("Tags", [])
    if tags:
        self.elasticache_backend.tagging_service.tag_resource(arn, tags)


def create_cache_parameter_group(self: Any) -> ActionResult:
    name = self._get_param("CacheParameterGroupName")
    group = {
        "CacheParameterGroupName": name,
        "CacheParameterGroupFamily": self._get_param("CacheParameterGroupFamily"),
        "Description": self._get_param("Description"),
        "IsGlobal": False,
        "ARN": _arn(self, "parametergroup", name),
    }
    _made["parameters"][name] = {"group": group, "values": {}}
    _tagged(self, group["ARN"])
    return ActionResult({"CacheParameterGroup": group})


def describe_cache_parameter_groups(self: Any) -> ActionResult:
    name = self._get_param("CacheParameterGroupName")
    if name and name not in _made["parameters"]:
        raise elasticache_errors.ElastiCacheException(
            "CacheParameterGroupNotFound", f"CacheParameterGroup {name} not found."
        )
    groups = [one["group"] for key, one in _made["parameters"].items() if name in (None, key)]
    return ActionResult({"CacheParameterGroups": groups})


def describe_cache_parameters(self: Any) -> ActionResult:
    values = _made["parameters"][self._get_param("CacheParameterGroupName")]["values"]
    return ActionResult(
        {
            "Parameters": [
                {
                    "ParameterName": name,
                    "ParameterValue": value,
                    "Source": "user",
                    "IsModifiable": True,
                    "DataType": "string",
                }
                for name, value in values.items()
            ],
            "CacheNodeTypeSpecificParameters": [],
        }
    )


def modify_cache_parameter_group(self: Any) -> ActionResult:
    name = self._get_param("CacheParameterGroupName")
    for one in self._get_param("ParameterNameValues", []):
        _made["parameters"][name]["values"][one["ParameterName"]] = one["ParameterValue"]
    return ActionResult({"CacheParameterGroupName": name})


def reset_cache_parameter_group(self: Any) -> ActionResult:
    name = self._get_param("CacheParameterGroupName")
    for one in self._get_param("ParameterNameValues", []):
        _made["parameters"][name]["values"].pop(one["ParameterName"], None)
    return ActionResult({"CacheParameterGroupName": name})


def delete_cache_parameter_group(self: Any) -> ActionResult:
    _made["parameters"].pop(self._get_param("CacheParameterGroupName"), None)
    return ActionResult({})


def delete_cache_subnet_group(self: Any) -> ActionResult:
    name = self._get_param("CacheSubnetGroupName")
    self.elasticache_backend.cache_subnet_groups.pop(name, None)
    return ActionResult({})


def create_user_group(self: Any) -> ActionResult:
    name = self._get_param("UserGroupId")
    group = {
        "UserGroupId": name,
        "Status": "active",
        "Engine": self._get_param("Engine"),
        "UserIds": self._get_param("UserIds", []),
        "MinimumEngineVersion": "7.2",
        "ReplicationGroups": [],
        "ARN": _arn(self, "usergroup", name),
    }
    _made["groups"][name] = group
    _tagged(self, group["ARN"])
    return ActionResult(group)


def describe_user_groups(self: Any) -> ActionResult:
    name = self._get_param("UserGroupId")
    if name and name not in _made["groups"]:
        raise elasticache_errors.ElastiCacheException(
            "UserGroupNotFound", f"User group {name} not found."
        )
    groups = [group for key, group in _made["groups"].items() if name in (None, key)]
    return ActionResult({"UserGroups": groups})


def delete_user_group(self: Any) -> ActionResult:
    group = _made["groups"].pop(self._get_param("UserGroupId"))
    return ActionResult(group | {"Status": "deleting"})


def modify_user(self: Any) -> ActionResult:
    name = self._get_param("UserId")
    user = self.elasticache_backend.users[name]
    rights = self._get_param("AccessString")
    mode = self._get_param("AuthenticationMode", {})
    if rights:
        user.access_string = rights
    opened[name] = {"rights": rights, "passwords": mode.get("Passwords", [])}
    return ActionResult(user)


for _addition in (
    create_cache_parameter_group,
    describe_cache_parameter_groups,
    describe_cache_parameters,
    modify_cache_parameter_group,
    reset_cache_parameter_group,
    delete_cache_parameter_group,
    delete_cache_subnet_group,
    create_user_group,
    describe_user_groups,
    delete_user_group,
    modify_user,
):
    setattr(ElastiCacheResponse, _addition.__name__, _addition)


@wrap(ElastiCacheBackend, "create_replication_group")
def _create_replication_group(original: Answer, self: Any, **asked: Any) -> Any:
    if asked.get("num_cache_clusters") and not asked.get("num_node_groups"):
        asked["replicas_per_node_group"] = asked["num_cache_clusters"] - 1
    made = original(self, **asked)
    known = inspect.signature(self.create_cache_cluster).parameters
    version = asked.get("engine_version") or "8.0"
    for member in made.member_clusters:
        details = {name: asked.get(name) for name in known} | {
            "cache_cluster_id": member,
            "replication_group_id": made.replication_group_id,
            "num_cache_nodes": 1,
            "log_delivery_configurations": [],
            "tags": [],
            "engine": asked.get("engine") or "valkey",
            "engine_version": version + (".0" if version.count(".") == 1 else ""),
        }
        node = self.create_cache_cluster(**details)
        node.at_rest_encryption_enabled = made.at_rest_encryption_enabled
        node.security_groups = [
            {"SecurityGroupId": group, "Status": "active"}
            for group in asked.get("security_group_ids") or []
        ]
    return made


@wrap(ElastiCacheBackend, "describe_replication_groups")
def _describe_replication_groups(
    original: Answer, self: Any, replication_group_id: str | None = None
) -> Any:
    found = original(self, replication_group_id)
    for gone in [one for one in found if one.status == "deleting"]:
        for name, node in list(self.cache_clusters.items()):
            if getattr(node, "replication_group_id", None) == gone.replication_group_id:
                self.cache_clusters.pop(name)
        self.replication_groups.pop(gone.replication_group_id, None)
    return found


@wrap(ElastiCacheBackend, "list_tags_for_resource")
def _elasticache_tags(original: Answer, self: Any, arn: str) -> Any:
    if ":parametergroup:" in arn or ":usergroup:" in arn:
        return self.tagging_service.list_tags_for_resource(arn)
    return original(self, arn)


# ---- auto scaling: instances that are replaced in turns ------------------------------------------

_refreshes: list[str] = []


def _start_instance_refresh(self: Any) -> ActionResult:
    _refreshes.append(self._get_param("AutoScalingGroupName"))
    return ActionResult({"InstanceRefreshId": f"00000000-0000-4000-8000-{len(_refreshes):012d}"})


AutoScalingResponse.start_instance_refresh = _start_instance_refresh  # type: ignore[attr-defined]

# ---- what would show as a change at the second plan ----------------------------------------------


@wrap(Route53, "_get_bool_param")
def _private_zone(original: Answer, self: Any, name: str, default: Any = None) -> Any:
    if name == "HostedZoneConfig.PrivateZone" and self._get_param("VPC.VPCId"):
        return True
    return original(self, name, default)


@wrap(FakeScalingPolicy, "__init__")
def _scaling_policy(original: Answer, self: Any, *args: Any, **asked: Any) -> None:
    original(self, *args, **asked)
    self.predictive_scaling_configuration = self.predictive_scaling_configuration or None
    self.enabled = True


@wrap(SecurityGroupRule, "__init__")
def _security_rule(original: Answer, self: Any, *args: Any, **asked: Any) -> None:
    original(self, *args, **asked)
    given = inspect.signature(original).bind(self, *args, **asked).arguments
    self.of_prefix_list = (given.get("prefix_list_id") or {}).get("Description")


def _why(self: Any) -> Any:
    """The reason of a rule, wherever it was given: moto looks at addresses alone."""
    told = self.ip_range.get("Description") or self.source_group.get("Description")
    return told or self.of_prefix_list


SecurityGroupRule.description = property(_why)  # type: ignore[method-assign,assignment]


@wrap(launch_templates.LaunchTemplateVersion, "__init__")
def _template_version(
    original: Answer,
    self: Any,
    template: Any,
    number: int,
    data: dict[str, Any],
    *args: Any,
    **kw: Any,
) -> None:
    # The tags of the template itself are no part of what an instance is launched with.
    kept = [
        one
        for one in data.get("TagSpecifications", [])
        if one.get("ResourceType") != "launch-template"
    ]
    data.pop("TagSpecifications", None)
    if kept:
        data["TagSpecifications"] = kept
    original(self, template, number, data, *args, **kw)


@wrap(access_control.IAMPolicyStatement, "is_action_permitted")
def _as_if_by_tls(
    original: Answer, self: Any, action: str, resource: str = "*", *args: Any, **kw: Any
) -> Any:
    condition = self._statement.get("Condition", {}).get("Bool", {})
    if self._statement.get("Effect") == "Deny" and condition.get("aws:SecureTransport") == "false":
        return access_control.PermissionResult.NEUTRAL
    return original(self, action, resource, *args, **kw)


if __name__ == "__main__":
    from moto.server import main

    main(["-H", sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1", "-p", sys.argv[1]])
