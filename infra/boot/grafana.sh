#!/bin/sh
# grafana.sh BUNDLE [ROOT]: install Grafana from its package in the bundle, with its settings, what it asks and
# its dashboards. Where the bundle is without, say so. ROOT: of the file system, for tests. Whoever calls it starts grafana-server.service.
set -eu
bundle=$1
root=${2:-}
package=$(find "$bundle/grafana" -name 'grafana_*.deb' 2>/dev/null | head -n 1 || :)
if [ -z "$package" ]; then
    echo "grafana: the bundle brings none (make release GRAFANA=FILE); Prometheus and its alerts work without" >&2
    exit 0
fi
version=$(dpkg-deb --field "$package" Version)
if [ "$(dpkg-query --show --showformat='${Version}' grafana 2>/dev/null || :)" != "$version" ]; then
    dpkg --install "$package" >/dev/null
fi
files=$bundle/monitoring/grafana
install -m 644 "$files/grafana.ini" "$root/etc/grafana/grafana.ini"
for folder in provisioning dashboards; do
    # Whole: what a later release is without does not stay.
    rm -rf "$root/etc/grafana/$folder"
    cp -R "$files/$folder" "$root/etc/grafana/$folder"
done
chmod -R a+rX "$root/etc/grafana/provisioning" "$root/etc/grafana/dashboards"
dropin=$root/etc/systemd/system/grafana-server.service.d
install -d "$dropin"
printf '[Service]\nEnvironmentFile=/etc/sightline/grafana.env\n' >"$dropin/sightline.conf"
