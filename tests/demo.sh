#!/usr/bin/env bash
# `make demo`: three simulated apps in a process of their own, the real sign-ins, ten weeks of a made-up
# company with an incident for every policy, and what casbah finds of them. Everything it makes lies in
# target/demo.
set -euo pipefail
cd "$(dirname "$0")/.."

casbah=target/release/casbah
# Where casbah waits for the sign-in: hardly the port of anything else.
callback=${CASBAH_DEMO_CALLBACK_PORT:-$((20000 + RANDOM % 12000))}
demo=target/demo
rm -rf "$demo"
mkdir -p "$demo"

# The secret of all three apps: made up on the spot, handed over by the environment.
CASBAH_CLIENT_ID=casbah-demo
CASBAH_CLIENT_SECRET=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export CASBAH_CLIENT_ID CASBAH_CLIENT_SECRET
export CASBAH_DATA=$demo/data CASBAH_CONFIG=$demo/casbah.toml

echo "demo: making a company of 300 people who work with Smartsheet, NetDocuments and Entra ID" >&2
target/release/casbah-demo simulate --port "$callback" "$demo" >"$demo/simulator.log" 2>&1 &
simulator=$!
trap 'kill "$simulator" 2>/dev/null || true' EXIT

for _ in $(seq 400); do
    [ -s "$demo/addresses" ] && break
    kill -0 "$simulator" 2>/dev/null || { cat "$demo/simulator.log" >&2; exit 1; }
    sleep 0.05
done
# Addresses of the simulated apps, one NAME=VALUE a line.
# shellcheck source=/dev/null
. "$demo/addresses"

echo "demo: connecting Entra ID, as an application" >&2
"$casbah" connect entra --name directory --api-base "$entra" --sign-in "$entra" \
    --settings "{\"tenant\": \"$tenant\", \"non-interactive\": true}" \
    --requests-per-minute 6000
echo "demo: connecting NetDocuments, as an application" >&2
"$casbah" connect netdocuments --name documents --service --api-base "$netdocuments" \
    --sign-in "$netdocuments" --settings "{\"repository\": \"$repository\"}" \
    --requests-per-minute 6000
echo "demo: connecting Smartsheet; the simulator plays the administrator who consents" >&2
"$casbah" connect smartsheet --name sheets --api-base "$smartsheet/2.0" --sign-in "$smartsheet" \
    --requests-per-minute 6000 --port "$callback" --browser "target/release/smartsheet-sim visit"

"$casbah" run --once
echo
"$casbah" alert list --limit 200
"$casbah" alert list --limit 0 --format json >"$demo/alerts.json"
"$casbah" policy list --format json >"$demo/policies.json"
cat >&2 <<END

The data stays in $CASBAH_DATA. Try:
  export CASBAH_DATA=$CASBAH_DATA CASBAH_CONFIG=$CASBAH_CONFIG
  $casbah alert show ID                        an alert with its evidence
  $casbah behavior list                        what was noticed, but is no alert by itself
  $casbah activity list kind=export            activities of all apps
  $casbah directory show uma.rossi100@northwind.example
  $casbah enrich 203.0.113.203                 what is known of an address, and from where
  $casbah connection list
  $casbah policy list

Every incident that was planted, the policy that should find it, and the alert that did:

END
target/release/casbah-demo check --alerts "$demo/alerts.json" --policies "$demo/policies.json" "$demo"
