#!/usr/bin/env bash
# `make demo`: a simulated Smartsheet as its own process, the real sign-in, a week of a made-up
# company, and the alerts. Everything it makes lies in target/demo.
set -euo pipefail
cd "$(dirname "$0")/.."

casbah=target/release/casbah
callback=${CASBAH_DEMO_CALLBACK_PORT:-8765}
demo=target/demo
rm -rf "$demo"
mkdir -p "$demo"

# Secrets of the simulator: made up on the spot, handed over by the environment.
CASBAH_CLIENT_ID=casbah-demo
CASBAH_CLIENT_SECRET=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export CASBAH_CLIENT_ID CASBAH_CLIENT_SECRET
export CASBAH_DATA=$demo/data

echo "demo: starting a simulated Smartsheet with 400 people and a week of activity" >&2
SMARTSHEET_SIM_CLIENT_SECRET=$CASBAH_CLIENT_SECRET target/release/smartsheet-sim \
    --listen 127.0.0.1:0 --users 400 --days 7 --events 150000 --consent auto \
    --client-id "$CASBAH_CLIENT_ID" --redirect "http://127.0.0.1:$callback/callback/smartsheet/us" \
    --port-file "$demo/port" >"$demo/simulator.log" 2>&1 &
simulator=$!
trap 'kill "$simulator" 2>/dev/null || true' EXIT

for _ in $(seq 200); do
    [ -s "$demo/port" ] && break
    kill -0 "$simulator" 2>/dev/null || { cat "$demo/simulator.log" >&2; exit 1; }
    sleep 0.05
done
base=http://127.0.0.1:$(cat "$demo/port")

echo "demo: connecting; the simulator plays the administrator who consents" >&2
"$casbah" connect smartsheet --name demo --api-base "$base/2.0" --sign-in "$base" --port "$callback" \
    --browser "target/release/smartsheet-sim visit"

"$casbah" run --once
echo
"$casbah" alert list --limit 100
echo >&2
cat >&2 <<END
The data stays in $CASBAH_DATA. Try:
  export CASBAH_DATA=$CASBAH_DATA
  $casbah alert show ID                        an alert with its evidence
  $casbah activity list --since 24h kind=export
  $casbah connection list
  $casbah policy list
END
