"""The whole life of a stack: applied, applied again without a change, destroyed without a trace."""

import json
import time

from tests.infra.bench import DEV, WEBHOOKS, Bench
from tests.infra.policies import broken

#: What a stack of this size has at least; fewer means that a module fell out.
LEAST_RESOURCES = 200


def apply(bench: Bench) -> None:
    """Everything is made, by one command, in an account with a hosted zone and nothing else."""
    bench.apply()
    made = bench.state()
    managed = [one for one in made if one["mode"] == "managed"]
    if len(managed) < LEAST_RESOURCES:
        raise AssertionError(f"only {len(managed)} resources were made")
    found = broken(made)
    if found:
        raise AssertionError("; ".join(found))
    store = bench.client("secretsmanager")
    kept = store.get_secret_value(SecretId="sightline-dev/alerts/webhooks")["SecretString"]
    assert json.loads(kept) == WEBHOOKS, kept
    files = bench.workplace.path(DEV).glob("terraform.tfstate*")
    leaks = [file.name for file in files if WEBHOOKS["ticket"] in file.read_text()]
    assert not leaks, f"a secret is in {leaks}"


def second_plan(bench: Bench) -> None:
    """A second apply would change nothing."""
    bench.apply()
    done = bench.workplace.run(
        DEV, "plan", "-no-color", "-input=false", "-detailed-exitcode", check=False
    )
    if done.returncode != 0:
        changes = [line for line in done.stdout.splitlines() if line.startswith("  # ")]
        raise AssertionError("a second plan changes: " + "; ".join(changes) + done.stderr)


def destroy(bench: Bench) -> None:
    """One command, and nothing is left: not in the state, and not in the account."""
    bench.apply()
    bench.workplace.run(DEV, "destroy", "-no-color", "-input=false", "-auto-approve")
    bench.applied = False
    left = bench.workplace.run(DEV, "state", "list").stdout.split()
    left += _left_in_the_account(bench)
    if left:
        raise AssertionError(f"left behind: {', '.join(left)}")


def _left_in_the_account(bench: Bench) -> list[str]:
    """What is still there of all that costs money or holds data. An empty account has a VPC."""
    ours = [{"Name": "tag:System", "Values": ["sightline"]}]
    running = ["pending", "running", "stopping", "stopped", "shutting-down"]
    ec2, balancing = bench.client("ec2"), bench.client("elbv2")
    time.sleep(1)  # instances of the groups are ended on the way
    found = {
        "vpc": [one["VpcId"] for one in ec2.describe_vpcs(Filters=ours)["Vpcs"]],
        "instance": [
            one["InstanceId"]
            for group in ec2.describe_instances(
                Filters=[*ours, {"Name": "instance-state-name", "Values": running}]
            )["Reservations"]
            for one in group["Instances"]
        ],
        "address": [one["PublicIp"] for one in ec2.describe_addresses(Filters=ours)["Addresses"]],
        "template": [
            one["LaunchTemplateName"] for one in ec2.describe_launch_templates()["LaunchTemplates"]
        ],
        "balancer": [
            one["LoadBalancerName"] for one in balancing.describe_load_balancers()["LoadBalancers"]
        ],
        "bucket": [one["Name"] for one in bench.client("s3").list_buckets()["Buckets"]],
        "role": [
            one["RoleName"]
            for one in bench.client("iam").list_roles()["Roles"]
            if one["RoleName"].startswith("sightline-")
        ],
        "secret": [
            one["Name"] for one in bench.client("secretsmanager").list_secrets()["SecretList"]
        ],
        "files": [
            one["FileSystemId"]
            for one in bench.client("efs").describe_file_systems()["FileSystems"]
        ],
        "redis": [
            one["ReplicationGroupId"]
            for one in bench.client("elasticache").describe_replication_groups()[
                "ReplicationGroups"
            ]
        ],
        "logs": [
            one["logGroupName"] for one in bench.client("logs").describe_log_groups()["logGroups"]
        ],
        "zone": [
            one["Name"]
            for one in bench.client("route53").list_hosted_zones()["HostedZones"]
            if "internal" in one["Name"]
        ],
    }
    return [f"{kind} {name}" for kind, names in found.items() for name in names]
