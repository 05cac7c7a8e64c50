#!/bin/sh
# start SERVICE            run a service with the settings in /etc/sightline
# start SERVICE COMMAND    run a command with the settings of that service
# What the container's own environment says goes before what stands in the file.
set -eu

service=$1
shift
case $service in
worker) settings=/etc/sightline/inference.env ;;
*) settings=/etc/sightline/$service.env ;;
esac
if [ -r "$settings" ]; then
    given=$(export -p)
    set -a
    # shellcheck source=/dev/null
    . "$settings"
    set +a
    eval "$given"
fi
if [ $# -gt 0 ]; then
    exec "$@"
fi

case $service in
identity) app=gateway.identity.app:create_app ;;
inference) app=inference_service.app:create_app ;;
web) app=web_ui.app:create_app ;;
chainer) exec gateway audit chain ;;
worker) app=inference_service.worker:create_app ;;
*)
    echo "start: there is no service $service" >&2
    exit 2
    ;;
esac
# The options of gateway/stack.py; LISTEN is several words.
# shellcheck disable=SC2086
exec python3 -m uvicorn --factory "$app" $LISTEN \
    --proxy-headers --forwarded-allow-ips '*' --timeout-keep-alive 75 \
    --timeout-graceful-shutdown 3 --no-access-log --no-server-header --log-level warning
