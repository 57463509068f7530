#!/usr/bin/env bash
# usage: .ci/rolling.sh
# Restarts three instances behind HAProxy, with docs/haproxy.cfg, one after the other while webhooks and requests for pages come in. No request
# may fail, and nothing that was acknowledged may be lost. Ends with 77 where HAProxy is not installed.
set -euo pipefail
cd "$(dirname "$0")/.."

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
haproxy=$(command -v haproxy || echo /usr/sbin/haproxy)
if [[ ! -x $haproxy ]]; then
    echo "rolling: HAProxy is missing. Install it (Debian, Ubuntu: the package haproxy) and run .ci/rolling.sh again." >&2
    exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tests=XenoInsights.Tests/bin/Debug/net10.0/XenoInsights.Tests.dll
[[ -f $tests ]] || dotnet build XenoInsights.Tests --verbosity quiet -clp:ErrorsOnly -p:RunAnalyzers=false
echo "rolling: publishing this version"
dotnet publish XenoInsights --configuration Release --output "$work" --verbosity quiet -p:RunAnalyzers=false

echo "rolling: restarting three instances one after the other"
dotnet "$tests" drill rolling "$work/XenoInsights.dll" "$haproxy"
echo "rolling: fine"
