#!/bin/bash
# Make this instance what it is to be: boot.sh ROLE. Everything comes from the bundle that this
# script lies in, but for AWS's agent of sessions. Run again, it changes nothing that is as it should be.
set -euo pipefail
role=$1
bundle=$(readlink -f "$(dirname "$0")/..")
packages=(prometheus-node-exporter)
locks=(gateway s3)
# Of each that the bundle brings; all else works without.
exporters=(prometheus-node-exporter.service)

case $role in
edge)
  packages+=(nginx-light prometheus-nginx-exporter)
  exporters+=(prometheus-nginx-exporter.service)
  units=(sightline-nginx.service)
  ;;
web)
  packages+=(libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 nfs-common stunnel4)
  locks+=(web)
  units=(sightline-identity.service sightline-web.service sightline-chainer.service)
  ;;
inference)
  locks+=(inference)
  units=(sightline-inference.service sightline-worker.service)
  ;;
monitoring)
  packages+=(prometheus prometheus-alertmanager prometheus-redis-exporter)
  exporters+=(prometheus-redis-exporter.service)
  # What Grafana's own package wants of Debian.
  if compgen -G "$bundle/grafana/grafana_*.deb" >/dev/null; then packages+=(adduser libfontconfig1 musl); fi
  units=(prometheus.service sightline-alertmanager.service)
  ;;
trainer)
  locks+=(trainer)
  # What a GPU needs, where the release brought it.
  if compgen -G "$bundle/wheels-trainer/jax_cuda12_plugin-*.whl" >/dev/null; then locks+=(gpu); fi
  units=(sightline-training.service)
  ;;
*)
  echo "boot: there is no role $role" >&2
  exit 2
  ;;
esac

say() { echo "boot: $*"; }

# ---- Programs of the system, from the bundle ------------------------------------------------------

# Nothing starts by being installed; systemd starts what is wanted, below.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
trap 'rm -f /usr/sbin/policy-rc.d' EXIT

if [ -e "$bundle/debs/Packages" ]; then
  say "packages"
  list=/run/sightline-debs.list
  echo "deb [trusted=yes] file:$bundle/debs ./" >"$list"
  options=(-o Dir::Etc::SourceList="$list" -o Dir::Etc::SourceParts=- -o APT::Get::List-Cleanup=0)
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq "${options[@]}" update
  apt-get -qq "${options[@]}" install --yes --no-install-recommends "${packages[@]}"
fi
# Debian's own units of what ours start: after the next start of the machine they would be in the way.
for unit in nginx.service prometheus-alertmanager.service; do
  if systemctl cat "$unit" >/dev/null 2>&1; then systemctl disable --quiet "$unit"; fi
done

# ---- Our own programs -----------------------------------------------------------------------------

if [ ! -e "$bundle/venv/done-$role" ]; then
  say "programs"
  python3 -m venv --without-pip --clear "$bundle/venv"
  python3 -m zipfile -e "$(compgen -G "$bundle/wheels/uv-*.whl" | head -n 1)" "$bundle/uv"
  uv=$(compgen -G "$bundle/uv/uv-*.data/scripts/uv" | head -n 1)
  chmod 755 "$uv"
  install=("$uv" pip install --quiet --no-cache --offline --no-index --find-links "$bundle/wheels")
  if [ -d "$bundle/wheels-trainer" ]; then install+=(--find-links "$bundle/wheels-trainer"); fi
  install+=(--python "$bundle/venv/bin/python")
  requirements=()
  for lock in "${locks[@]}"; do requirements+=(-r "$bundle/requirements/$lock.lock"); done
  "${install[@]}" --require-hashes "${requirements[@]}"
  "${install[@]}" --no-deps "$bundle"/wheels/sightline-*.whl
  touch "$bundle/venv/done-$role"
fi
ln -sfn "$bundle" /opt/sightline/current

# ---- Users, folders, settings, units --------------------------------------------------------------

say "settings"
install -D -m 644 "$bundle/systemd/sightline.sysusers" /etc/sysusers.d/sightline.conf
install -D -m 644 "$bundle/systemd/sightline.tmpfiles" /etc/tmpfiles.d/sightline.conf
systemd-sysusers
systemd-tmpfiles --create /etc/tmpfiles.d/sightline.conf
install -m 644 "$bundle"/systemd/*.service /etc/systemd/system/
install -m 644 "$bundle"/boot/units/* /etc/systemd/system/
(cd "$bundle/boot" && "$bundle/venv/bin/python" configure.py "$role")
if [ "$role" = web ]; then
  mkdir -p /var/lib/sightline/shared
  systemctl daemon-reload
  systemctl enable --quiet sightline-files-tunnel.service var-lib-sightline-shared.mount
  systemctl start sightline-files-tunnel.service var-lib-sightline-shared.mount
  install -d -m 700 -o sightline-identity -g sightline /var/lib/sightline/shared/audit
  ln -sfn /var/lib/sightline/shared/audit /var/lib/sightline/gateway/audit
fi
if [ "$role" = monitoring ]; then
  "$bundle/boot/grafana.sh" "$bundle"
  if systemctl cat grafana-server.service >/dev/null 2>&1; then units+=(grafana-server.service); fi
fi
systemctl daemon-reload
rm -f /usr/sbin/policy-rc.d
for unit in "${exporters[@]}"; do
  if systemctl cat "$unit" >/dev/null 2>&1; then units+=("$unit"); else say "no $unit"; fi
done
for unit in "${units[@]}"; do
  systemctl enable --quiet "$unit"
  # Again with the settings of this start, where it runs already.
  systemctl restart --no-block "$unit"
done

# ---- Sessions -------------------------------------------------------------------------------------

# The agent comes by TLS from AWS's own bucket, through the endpoint. Without it all else works.
if ! systemctl cat amazon-ssm-agent.service >/dev/null 2>&1; then
  if python3 "$bundle/boot/agent.py" /run/amazon-ssm-agent.deb; then
    dpkg -i /run/amazon-ssm-agent.deb >/dev/null
    systemctl enable --quiet --now amazon-ssm-agent.service
  else
    say "no agent of sessions"
  fi
fi
say "this is $role"
