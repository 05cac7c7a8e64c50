#!/bin/sh
# Install, upgrade or go back:
# install.sh --host-name NAME [--certificate FILE --certificate-key FILE] [--monitoring on|off]
#
# Sets up the whole system on one server (Debian 12, systemd) from the bundle that this script lies
# in, without a network. Run the script of a newer bundle to upgrade, and that of an older one to go
# back; what was stored stays. Run again, it changes nothing that is as it should be. The name, the
# certificate and whether it is watched are asked for once. With `--monitoring on` Prometheus,
# Alertmanager and exporters run, too, for this server alone. Whom Alertmanager tells stands in
# SIGHTLINE_ALERTS_PAGE, _TICKET and _WATCHDOG of the environment; given once, each stays.
set -eu

bundle=$(cd "$(dirname "$0")" && pwd)
version=$(cat "$bundle/VERSION")
home=/opt/sightline/$version
say() { echo "install: $*"; }
fail() {
    echo "install: $*" >&2
    exit 1
}

name=
certificate=
key=
monitoring=
while [ $# -gt 0 ]; do
    case $1 in
    --host-name) name=$2 ;;
    --certificate) certificate=$2 ;;
    --certificate-key) key=$2 ;;
    --monitoring) monitoring=$2 ;;
    *) fail "what is $1? See the first lines of this script" ;;
    esac
    shift 2
done
[ "$(id -u)" = 0 ] || fail "only root may install"
grep -q '^VERSION_CODENAME=bookworm' /etc/os-release || fail "this is no Debian 12"
if [ -z "$name" ]; then
    [ -e /etc/sightline/host-name ] || fail "--host-name says under which name people come here"
    name=$(cat /etc/sightline/host-name)
fi
monitoring=${monitoring:-$(cat /etc/sightline/monitoring 2>/dev/null || echo off)}
case $monitoring in on | off) ;; *) fail "--monitoring is on or off" ;; esac
# Debian's units that watch, and ours.
watchers="prometheus prometheus-node-exporter prometheus-nginx-exporter prometheus-redis-exporter"

say "version $version: is it as it was made?"
(cd "$bundle" && sha256sum --quiet --check SHA256SUMS) || fail "the bundle was changed or is not whole"

if [ "$bundle" != "$home" ]; then
    mkdir -p /opt/sightline
    rm -rf "$home.incoming"
    cp -R "$bundle" "$home.incoming"
    rm -rf "$home"
    mv "$home.incoming" "$home"
fi

say "programs of the system"
# Nothing starts by being installed; what is wanted starts below.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
trap 'rm -f /usr/sbin/policy-rc.d' EXIT
if [ -e "$home/debs/Packages" ]; then
    list=/run/sightline-debs.list
    echo "deb [trusted=yes] file:$home/debs ./" >"$list"
    apt() {
        DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dir::Etc::SourceList="$list" -o Dir::Etc::SourceParts=- \
            -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User=root "$@"
    }
    apt update
    apt install --yes --no-install-recommends curl fonts-dejavu-core libharfbuzz-subset0 libpango-1.0-0 \
        libpangoft2-1.0-0 nginx-light python3 redis-server >/dev/null
    # shellcheck disable=SC2086 # a list
    if [ "$monitoring" = on ]; then apt install --yes --no-install-recommends $watchers prometheus-alertmanager >/dev/null; fi
fi
programs="curl nginx python3 redis-server"
debians="nginx redis-server"
if [ "$monitoring" = on ]; then
    programs="$programs $watchers prometheus-alertmanager"
    debians="$debians prometheus-alertmanager"
fi
for program in $programs; do
    command -v "$program" >/dev/null || fail "$program is missing, and the bundle does not bring it"
done
# Debian's own units of what ours start.
for unit in $debians; do
    systemctl disable --quiet --now "$unit.service" 2>/dev/null || true
done

say "programs of ours"
if [ ! -e "$home/venv/whole" ]; then
    python3 -m venv --without-pip --clear "$home/venv"
    python3 -m zipfile -e "$home"/wheels/uv-*.whl "$home/uv"
    uv=$(find "$home/uv" -path '*.data/scripts/uv')
    chmod 755 "$uv"
    set -- --quiet --no-cache --offline --no-index --find-links "$home/wheels" --python "$home/venv/bin/python" --compile-bytecode
    "$uv" pip install "$@" --require-hashes -r "$home/requirements/gateway.lock" -r "$home/requirements/inference.lock" \
        -r "$home/requirements/web.lock" -r "$home/requirements/s3.lock"
    "$uv" pip install "$@" --no-deps "$home"/wheels/sightline-*.whl
    rm -rf "$home/uv"
    touch "$home/venv/whole"
fi

say "users, settings, units"
install -D -m 644 "$home/systemd/sightline.sysusers" /etc/sysusers.d/sightline.conf
install -D -m 644 "$home/systemd/sightline.tmpfiles" /etc/tmpfiles.d/sightline.conf
systemd-sysusers
install -d -m 755 /etc/sightline /var/lib/sightline
echo "$name" >/etc/sightline/host-name
echo "$monitoring" >/etc/sightline/monitoring
set -- prepare host --host-name "$name"
if [ "$monitoring" = on ]; then set -- "$@" --metrics-port 9110; fi
if [ -n "$certificate" ]; then set -- "$@" --certificate "$certificate" --certificate-key "$key"; fi
"$home/venv/bin/gateway" "$@"
chown -R sightline-redis:sightline /etc/sightline/redis /var/lib/sightline/redis
chown -R sightline-identity:sightline /var/lib/sightline/gateway
chown -R sightline-inference:sightline /var/lib/sightline/inference
chmod 755 /etc/sightline
systemd-tmpfiles --create /etc/tmpfiles.d/sightline.conf
cat >/usr/local/bin/sightline <<'WRAPPER'
#!/bin/sh
# The gateway's commands, with the settings of this installation: sightline invite-admin
set -eu
set -a
. /etc/sightline/chainer.env
. /etc/sightline/identity.env
exec runuser -u sightline-identity -- /opt/sightline/current/venv/bin/gateway "$@"
WRAPPER
chmod 755 /usr/local/bin/sightline

units="sightline-redis sightline-identity sightline-chainer sightline-inference sightline-web sightline-nginx"
if [ -e "$home/venv/lib/python3.11/site-packages/inference_service/worker.py" ]; then
    units="$units sightline-worker"
fi
for unit in $units; do install -m 644 "$home/systemd/$unit.service" /etc/systemd/system/; done
if [ "$monitoring" = on ]; then
    chown prometheus /etc/sightline/redis.json
    told=/etc/sightline/alerts.env
    touch "$told"
    (
        umask 077
        for which in PAGE TICKET WATCHDOG; do
            address=$(printenv "SIGHTLINE_ALERTS_$which" || sed -n "s/^SIGHTLINE_ALERTS_$which='\(.*\)'\$/\1/p" "$told")
            case $address in *[!A-Za-z0-9:/?#@!\$\&\(\)*+,\;=._~%-]*) fail "SIGHTLINE_ALERTS_$which is no address" ;; esac
            echo "SIGHTLINE_ALERTS_$which='$address'"
        done >"$told.new"
    )
    mv "$told.new" "$told"
    install -m 644 "$home/systemd/sightline-alertmanager.service" /etc/systemd/system/
    for unit in $watchers; do
        install -D -m 644 "$home/systemd/monitoring/$unit.conf" "/etc/systemd/system/$unit.service.d/sightline.conf"
    done
    units="$units $watchers sightline-alertmanager"
else
    # What was on before; a Prometheus that is not ours goes on.
    for unit in $watchers sightline-alertmanager; do
        ours="/etc/systemd/system/$unit.service.d/sightline.conf"
        if [ "$unit" = sightline-alertmanager ]; then ours=/etc/systemd/system/$unit.service; fi
        if [ -e "$ours" ]; then
            systemctl disable --quiet --now "$unit.service"
            # One of them calls it a failure to be ended.
            systemctl reset-failed "$unit.service" 2>/dev/null || true
            rm "$ours"
        fi
    done
fi
ln -sfn "$home" /opt/sightline/current.new
mv -T /opt/sightline/current.new /opt/sightline/current
rm -f /usr/sbin/policy-rc.d

say "start"
systemctl daemon-reload
for unit in $units; do
    systemctl enable --quiet "$unit.service"
    systemctl restart "$unit.service"
done
tries=0
until curl -fsSko /dev/null "https://127.0.0.1/sign-in" 2>/dev/null &&
    curl -fso /dev/null --unix-socket /run/sightline/inference.sock http://inference/readyz; do
    tries=$((tries + 1))
    [ "$tries" -lt 180 ] || fail "not ready after three minutes: journalctl -u 'sightline-*'"
    sleep 1
done
if [ "$monitoring" = on ]; then
    tries=0
    until curl -fso /dev/null http://127.0.0.1:9090/-/ready && curl -fso /dev/null http://127.0.0.1:9093/-/ready; do
        tries=$((tries + 1))
        [ "$tries" -lt 180 ] || fail "nothing watches after three minutes: journalctl -u prometheus -u sightline-alertmanager"
        sleep 1
    done
    say "Prometheus is on http://127.0.0.1:9090 of this server, Alertmanager on http://127.0.0.1:9093"
fi
say "READY: https://$name (version $version)"
say "sightline invite-admin    prints a one-time link for the first admin"
if [ -e /etc/sightline/tls/ca.pem ]; then
    say "its certificate is from an authority made for this server: /etc/sightline/tls/ca.pem"
fi
say "Research use only. Not a medical device. A clinician decides."
