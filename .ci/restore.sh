#!/usr/bin/env bash
# usage: .ci/restore.sh
# Backs a database up and restores it to another server as docs/operations.md says, then asks `verify` and compares every table.
# With the system's PostgreSQL by pg_dump and pg_restore, and by pg_basebackup and the archive of the log to a moment; without its client
# programs by a base backup of the PostgreSQL that npm brings.
set -euo pipefail
cd "$(dirname "$0")/.."

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
built=XenoInsights.Tests/bin/Debug/net10.0
[[ -f $built/XenoInsights.Tests.dll ]] || dotnet build XenoInsights.Tests --verbosity quiet -clp:ErrorsOnly -p:RunAnalyzers=false
product() { dotnet "$built/XenoInsights.dll" "$@"; }
drill() { dotnet "$built/XenoInsights.Tests.dll" drill "$@"; }

work=$(mktemp -d)
chmod 755 "$work" # PostgreSQL does not run as root, and the account that it runs as has to get in
servers=()
finish() {
    for server in "${servers[@]}"; do kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT

# The newest PostgreSQL of the system that has all that is needed.
bin=
for folder in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) $(dirname "$(command -v pg_dump || echo /none/pg_dump)"); do
    if [[ -x $folder/pg_dump && -x $folder/pg_restore && -x $folder/psql && -x $folder/initdb && -x $folder/postgres ]]; then bin=$folder; break; fi
done
if [[ -n $bin ]]; then
    echo "restore: with $("$bin/postgres" --version) in $bin"
else
    echo "restore: with the PostgreSQL that npm brings; the system has no complete one"
fi

# Starts a server of its own in a folder and prints how its superuser reaches it.
start() {
    local folder=$1 options=(--Postgres:DataRoot "$1")
    if [[ -n $bin ]]; then options+=(--Postgres:Bin "$bin"); fi
    mkdir -p "$folder"
    rm -f "$folder.connection"
    dotnet "$built/XenoInsights.dll" postgres "${options[@]}" > "$folder.connection" 2> "$folder.errors" &
    servers+=($!)
    for _ in $(seq 600); do
        if [[ -s $folder.connection ]]; then return; fi
        if ! kill -0 "${servers[-1]}" 2>/dev/null; then break; fi
        sleep 0.2
    done
    echo "restore: the server does not start" >&2; cat "$folder.errors" >&2; exit 1
}
stop() { kill "${servers[-1]}"; wait "${servers[-1]}" || true; unset 'servers[-1]'; }
# A part of a connection string.
part() { tr ';' '\n' < "$1.connection" | sed -n "s/^$2=//p"; }
# The connection string of the login "xeno" on a server.
as_xeno() { echo "Host=127.0.0.1;Port=$(part "$1" Port);Database=xenoinsights;Username=xeno;Password=drill"; }
superuser() { sed "s/Database=[^;]*/Database=${2:-xenoinsights}/" "$1.connection"; }
# Makes the client programs talk to a server as its superuser.
connect() { export PGHOST=127.0.0.1 PGPORT PGUSER PGPASSWORD; PGPORT=$(part "$1" Port) PGUSER=$(part "$1" Username) PGPASSWORD=$(part "$1" Password); }

key="k1:$(head -c 32 /dev/urandom | base64)"
verify() { ASPNETCORE_ENVIRONMENT=Production ConnectionStrings__XenoInsights=$(as_xeno "$1") Encryption__Keys__0=$key product verify; }
# Every table with its number of rows and a sum of their contents.
contents() {
    drill sql "$(superuser "$1")" "
        select table_name || ' ' || (xpath('/row/c/text()', query_to_xml(format('select count(*) || '' '' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) c from %I t', table_name), false, true, '')))[1]::text
        from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE' order by 1"
}
compare() {
    verify "$1"
    contents "$1" > "$1.contents"
    if ! diff "$work/source.contents" "$1.contents"; then echo "restore: rows differ" >&2; exit 1; fi
}

make_roles="create role xeno login password 'drill' createrole"
start "$work/source"
drill sql "$(superuser "$work/source")" "$make_roles"
drill sql "$(superuser "$work/source")" "alter database xenoinsights owner to xeno"
ASPNETCORE_ENVIRONMENT=Production ConnectionStrings__XenoInsights=$(as_xeno "$work/source") product migrate > "$work/migrate.log" || { cat "$work/migrate.log"; exit 1; }
drill fill "$(as_xeno "$work/source")" "$key"
verify "$work/source" > "$work/verify.log" || { cat "$work/verify.log"; exit 1; }

if [[ -n $bin ]]; then
    echo "restore: pg_dump and pg_restore"
    connect "$work/source"
    "$bin/pg_dump" --format=custom --file="$work/xenoinsights.dump" xenoinsights
    contents "$work/source" > "$work/source.contents"

    start "$work/restored"
    connect "$work/restored"
    "$bin/dropdb" xenoinsights # made with the server; a restore begins with an empty one
    "$bin/psql" --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --dbname=postgres <<'SQL'
create role xeno login password 'drill' createrole;
create role xeno_app nologin;
create role xeno_system nologin;
grant xeno_app, xeno_system to xeno;
create database xenoinsights owner xeno;
SQL
    "$bin/pg_restore" --exit-on-error --dbname=xenoinsights "$work/xenoinsights.dump"
    compare "$work/restored"
    stop
fi

data=$(echo "$work"/source/pg*[0-9])
copy=$work/copy/${data##*/}
mkdir -p "$work/copy"
cp "$work/source/pg.password" "$work/copy/"
if [[ -n $bin ]]; then
    echo "restore: pg_basebackup and the archive of the log, to the moment before a mistake"
    archive=$work/archive
    mkdir -m 777 "$archive"
    drill sql "$(superuser "$work/source")" "alter system set archive_mode = on"
    drill sql "$(superuser "$work/source")" "alter system set archive_command = 'test ! -f $archive/%f && cp %p $archive/%f.part && mv $archive/%f.part $archive/%f'"
    stop
    start "$work/source"
    connect "$work/source"
    "$bin/pg_basebackup" --pgdata="$copy" --checkpoint=fast --wal-method=stream
    drill sql "$(superuser "$work/source")" "update orders set name = name || ', after the backup'"
    contents "$work/source" > "$work/source.contents"
    moment=$(drill sql "$(superuser "$work/source")" "select clock_timestamp()::text")
    drill sql "$(superuser "$work/source")" "delete from order_sales"
    last=$(drill sql "$(superuser "$work/source")" "select pg_walfile_name(pg_switch_wal())")
    for _ in $(seq 300); do if [[ -f $archive/$last ]]; then break; fi; sleep 0.2; done
    cat >> "$copy/postgresql.auto.conf" <<CONF
archive_mode = off
restore_command = 'cp $archive/%f %p'
recovery_target_time = '$moment'
recovery_target_action = 'promote'
CONF
    touch "$copy/recovery.signal"
else
    echo "restore: a base backup with the log that was written meanwhile"
    contents "$work/source" > "$work/source.contents"
    drill base-backup "$(superuser "$work/source")" "$data" "$copy"
fi
start "$work/copy"
for _ in $(seq 300); do
    if [[ $(drill sql "$(superuser "$work/copy")" "select pg_is_in_recovery()::text") == false ]]; then break; fi
    sleep 0.5
done
compare "$work/copy"
echo "restore: fine"
