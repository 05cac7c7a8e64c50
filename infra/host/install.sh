#!/bin/sh
# Install, upgrade or go back: install.sh --host-name NAME [--certificate FILE --certificate-key FILE]
#
# Sets up the whole system on one server (Debian 12, systemd) from the bundle that this script lies
# in, without a network. Run the script of a newer bundle to upgrade, and that of an older one to go
# back; what was stored stays. Run again, it changes nothing that is as it should be. The name and
# the certificate are asked for once.
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
while [ $# -gt 0 ]; do
    case $1 in
    --host-name) name=$2 ;;
    --certificate) certificate=$2 ;;
    --certificate-key) key=$2 ;;
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
fi
for program in curl nginx python3 redis-server; do
    command -v "$program" >/dev/null || fail "$program is missing, and the bundle does not bring it"
done
systemctl disable --quiet --now nginx.service redis-server.service 2>/dev/null || true

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
set -- prepare host --host-name "$name"
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
say "READY: https://$name (version $version)"
say "sightline invite-admin    prints a one-time link for the first admin"
if [ -e /etc/sightline/tls/ca.pem ]; then
    say "its certificate is from an authority made for this server: /etc/sightline/tls/ca.pem"
fi
say "Research use only. Not a medical device. A clinician decides."
