#!/bin/sh
# start-proxy CONFIGURATION: Nginx, which is told to look again when a service has other addresses.
#
# Nginx asks for the address of a name once, when it reads its configuration. Where a service is
# started anew or has more instances, its name leads elsewhere; so the names are looked up every
# few seconds, and when an answer differs Nginx reads its configuration again.
set -eu
configuration=$1
every=${FOLLOW_SECONDS:-5}

addresses() {
    sed -n 's/^ *server "\([A-Za-z0-9.-]*\):[0-9]*";$/\1/p' "$configuration" | sort -u |
        while read -r name; do
            # Nothing where the name is not known at the moment: that is no news worth a reload.
            getent ahosts "$name" | awk -v name="$name" '{ print name, $1 }' | sort -u
        done
}

follow() {
    while sleep "$every"; do
        now=$(addresses)
        if [ -n "$now" ] && [ "$now" != "$known" ]; then
            if nginx -e stderr -c "$configuration" -s reload; then known=$now; fi
        fi
    done
}

# Uploads that a kill left behind go with their folder.
temp=$(sed -n 's/^ *client_body_temp_path "\(.*\)\/body";$/\1/p' "$configuration")
umask 077
rm -rf "${temp:?}"
mkdir -p "$temp"
# Before Nginx asks: what changes in between is then noticed.
known=$(addresses)
follow &
exec nginx -e stderr -c "$configuration"
