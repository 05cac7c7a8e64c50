#!/bin/sh
# start.sh FOLDER [OPTION...]: Alertmanager with those whom it tells filled in.
#
# Who is told stands in three variables: SIGHTLINE_ALERTS_PAGE (wakes somebody), SIGHTLINE_ALERTS_TICKET
# (waits for the morning) and SIGHTLINE_ALERTS_WATCHDOG (is told every minute that all this works). Each is
# the address of a webhook or, in AWS, of an SNS topic. Without one, its alerts are seen in Alertmanager and
# nobody is told; the log says so. AWS_ENDPOINT_URL, AWS's own variable, says where SNS is if not in AWS.
# FOLDER takes the filled configuration, which may hold secrets: it has to be in memory and of this user alone.
set -eu

template=$(dirname "$0")/alertmanager.yml
filled=$1/alertmanager.yml
shift
say() { echo "alertmanager: $*" >&2; }

for name in PAGE TICKET WATCHDOG; do
    address=$(printenv "SIGHTLINE_ALERTS_$name" || :)
    case $address in
    '') say "nobody is told of what is for $name: SIGHTLINE_ALERTS_$name is empty" ;;
    # What would end the text in quotes that it is put into, or is no part of an address.
    *[!A-Za-z0-9:/?#@!\$\&\(\)*+,\;=._~%-]*) say "SIGHTLINE_ALERTS_$name is no address" && exit 2 ;;
    http://?* | https://?* | arn:aws*:sns:?*:?*) ;;
    *) say "SIGHTLINE_ALERTS_$name is no http address and no topic" && exit 2 ;;
    esac
done

umask 077
awk '
{
    for (i = split("page ticket watchdog", names, " "); i > 0; i--) {
        mark = "http://" names[i] ".invalid/"
        at = index($0, mark)
        if (!at) continue
        address = ENVIRON["SIGHTLINE_ALERTS_" toupper(names[i])]
        if (address == "") next
        if (address ~ /^arn:/) {
            split(address, part, ":")
            api = ENVIRON["AWS_ENDPOINT_URL"]
            if (api != "") api = ", api_url: \"" api "\""
            $0 = "    sns_configs: [{topic_arn: \"" address "\", sigv4: {region: \"" part[4] "\"}, send_resolved: true" api "}]"
        } else {
            $0 = substr($0, 1, at - 1) address substr($0, at + length(mark))
        }
    }
    print
}' "$template" >"$filled"

program=$(command -v alertmanager || command -v prometheus-alertmanager)
exec "$program" --config.file="$filled" "$@"
