#!/usr/bin/env bash
# usage: .ci/publish.sh
# Publishes the app as the Dockerfile does, and checks that it is for production: it contains neither the fake Shopify nor its data, the
# built-in sign-in or the embedded PostgreSQL; it names what configuration is missing, and with all of it serves.
set -euo pipefail
cd "$(dirname "$0")/.."

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
limit=4000000

work=$(mktemp -d)
server=
finish() {
    if [[ -n $server ]]; then kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap finish EXIT
fail() { echo "publish: $*" >&2; exit 1; }

dotnet publish XenoInsights --configuration Release --output "$work/app" --verbosity quiet -clp:ErrorsOnly

files=$(cd "$work/app" && find . -type f | sort)
if forbidden=$(grep -iE 'graphql|openiddict|demo|online-retail|\.csv' <<< "$files"); then fail "contains $forbidden"; fi
names='FakeShopifyHost|HardCases|OnlineRetail|DevelopmentIdentityProvider|DevelopmentEncryptionKey|DemoStoreConnector|EmbeddedPostgres|demo\.test'
if grep -aqE "$names" "$work/app/XenoInsights.dll"; then
    fail "XenoInsights.dll contains $(grep -aoE "$names" "$work/app/XenoInsights.dll" | sort -u | tr '\n' ' ')"
fi
size=$(wc -c < "$work/app/XenoInsights.dll")
if ((size >= limit)); then fail "XenoInsights.dll has $size bytes, $limit or more"; fi
echo "publish: XenoInsights.dll has $size bytes, beside $(grep -c '\.dll$' <<< "$files") other assemblies"

# Runs the app with variables and expects it to end with a message. "command" names the app's command, if any.
refuses() {
    local message=$1
    shift
    # Whatever ends with an exception is reported by the shell as aborted; the output says why.
    if { (cd "$work" && exec env -u ASPNETCORE_ENVIRONMENT "$@" timeout 60 dotnet app/XenoInsights.dll ${command:-} > output 2>&1); } 2> /dev/null; then
        fail "starts with: $*"
    fi
    if grep -qF "$message" "$work/output"; then return; fi
    cat "$work/output" >&2
    fail "does not say '$message' with: $*"
}

connection='ConnectionStrings__XenoInsights=Host=127.0.0.1;Port=1;Database=none;Username=none'
complete=("$connection" App__PublicUrl=https://xeno.test Oidc__Authority=https://sign-in.test Oidc__ClientId=x Oidc__ClientSecret=y
    Shopify__ClientId=x Shopify__ClientSecret=y "Encryption__Keys__0=k1:$(head -c 32 /dev/urandom | base64)")
refuses 'ConnectionStrings:XenoInsights (or DATABASE_URL) must be set' ASPNETCORE_ENVIRONMENT=Production
for key in Oidc:Authority Shopify:ClientId Encryption:Keys; do
    given=()
    for variable in "${complete[@]}"; do if [[ $variable != "${key/:/__}"* ]]; then given+=("$variable"); fi; done
    refuses "$key" "${given[@]}"
done
refuses 'does not contain what its configuration asks for' "${complete[@]}" ASPNETCORE_ENVIRONMENT=Development
refuses 'Postgres:DataRoot asks for the embedded PostgreSQL' Postgres__DataRoot=/var/lib/xeno
refuses 'FakeShopify:Enabled asks for the fake Shopify' "${complete[@]}" FakeShopify__Enabled=true
command=postgres refuses 'This build does not contain the embedded PostgreSQL' ASPNETCORE_ENVIRONMENT=Production

# Completely configured, without a database: it lives, says its version and is not ready.
port=$(shuf -i 20000-29999 -n 1)
env ASPNETCORE_ENVIRONMENT=Production ASPNETCORE_URLS="http://127.0.0.1:$port" "${complete[@]}" \
    dotnet "$work/app/XenoInsights.dll" > "$work/log" 2>&1 &
server=$!
answer=
for _ in $(seq 150); do
    if answer=$(curl -sf "http://127.0.0.1:$port/health"); then break; fi
    if ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.2
done
version=$(sed -nE 's:.*<Version>(.*)</Version>.*:\1:p' Directory.Build.props)
if [[ $answer != "{\"status\":\"Healthy\",\"version\":\"$version\"}" ]]; then cat "$work/log" >&2; fail "/health answered '$answer'"; fi
ready=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/health/ready")
if [[ $ready != 503 ]]; then fail "/health/ready answered $ready without a database"; fi
echo "publish: fine"
