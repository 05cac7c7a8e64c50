#!/bin/bash
# On an instance of the kind web: print the one-time link of the first admin.
set -euo pipefail
set -a
# shellcheck source=/dev/null
. /etc/sightline/identity.env
set +a
exec setpriv --reuid sightline-identity --regid sightline --clear-groups \
  /opt/sightline/current/venv/bin/gateway invite-admin
