#!/usr/bin/env bash
# usage: .ci/upgrade.sh [orders]
# Upgrades while serving: a pinned earlier version (the baseline 0.2.0) takes 20 webhooks a second while this version's `migrate` runs and its two instances are
# replaced. Nothing may be lost, refused twice or counted wrongly, and PostgreSQL may not see a deadlock. UPGRADE_FROM names another commit.
set -euo pipefail
cd "$(dirname "$0")/.."

from=${UPGRADE_FROM:-fcc725df05db33b2c10e4a7decfc1ce72128c4d4}
orders=${1:-30000}
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1

if ! git cat-file -e "$from^{commit}" 2>/dev/null; then
    echo "upgrade: this clone does not have commit $from, from which the upgrade starts. Make it whole: git fetch --unshallow" >&2
    echo "(in a workflow: actions/checkout with fetch-depth: 0)" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git archive "$from" | tar -x -C "$work"
# The web assets of the earlier version, which nobody looks at here.
if [[ -d node_modules ]]; then ln -s "$PWD/node_modules" "$work/node_modules"; fi

build() { dotnet build "$1" --verbosity quiet -clp:ErrorsOnly -p:RunAnalyzers=false; }
echo "upgrade: building $from"
build "$work/XenoInsights"
[[ -f XenoInsights.Tests/bin/Debug/net10.0/XenoInsights.Tests.dll ]] || build XenoInsights.Tests

echo "upgrade: from $from to this version"
dotnet XenoInsights.Tests/bin/Debug/net10.0/XenoInsights.Tests.dll drill upgrade "$work/XenoInsights/bin/Debug/net10.0/XenoInsights.dll" "$orders"
echo "upgrade: fine"
