#!/bin/bash
# Print the one-time link of the first admin: first-admin.sh NAME REGION, as the output first_admin says.
# It goes through a session, so that the link stands in no log of commands.
set -euo pipefail
name=$1 region=$2
instance=$(aws ec2 describe-instances --region "$region" --output text \
  --filters "Name=tag:Environment,Values=$name" Name=tag:Role,Values=web Name=instance-state-name,Values=running \
  --query 'Reservations[0].Instances[0].InstanceId')
if [ "$instance" = None ]; then
  echo "No instance of $name runs in $region." >&2
  exit 1
fi
exec aws ssm start-session --region "$region" --target "$instance" \
  --document-name AWS-StartInteractiveCommand \
  --parameters 'command=["sudo /opt/sightline/current/boot/invite-admin.sh"]'
