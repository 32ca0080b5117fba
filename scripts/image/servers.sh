# shellcheck shell=bash disable=SC2034,SC2154
# A PostgreSQL and a Redis for as long as a script runs, on loopback. Sets $database_url and $redis_url, and
# $started to their processes. Needs $folder, `fail` and `free_port`.

started=()

start_servers() {
    local programs as_user=(env)
    programs=$(find /usr/lib/postgresql/*/bin -name initdb 2>/dev/null | sort -V | tail -n 1)
    [[ -n $programs ]] || programs=$(command -v initdb) || fail "PostgreSQL is missing; give --database-url"
    programs=$(dirname "$programs")
    command -v redis-server >/dev/null || fail "Redis is missing; give --redis-url"
    # PostgreSQL refuses to run as root.
    mkdir "$folder/postgres"
    if [[ $EUID -eq 0 ]]; then
        local user=postgres
        id "$user" >/dev/null 2>&1 || user=nobody
        as_user=(setpriv "--reuid=$(id -u "$user")" "--regid=$(id -g "$user")" --clear-groups)
        chown "$user" "$folder/postgres"
    fi
    start_postgres
    start_redis
}

start_postgres() {
    local port data=$folder/postgres/data
    port=$(free_port)
    (
        cd "$folder/postgres" || exit
        "${as_user[@]}" "$programs/initdb" --pgdata="$data" --username=fanfare --auth=trust --encoding=UTF8 \
            --locale=C.UTF-8 --no-sync
    ) >"$folder/postgres.log" 2>&1 || fail_with postgres.log "initdb failed"
    (
        cd "$folder/postgres" || exit
        exec "${as_user[@]}" "$programs/postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 \
            -c unix_socket_directories="$folder/postgres" -c fsync=off
    ) >"$folder/postgres.log" 2>&1 &
    started+=("$!")
    await "PostgreSQL is ready" grep -qs '^ready' "$data/postmaster.pid"
    "${as_user[@]}" "$programs/createdb" --host=127.0.0.1 --port="$port" --username=fanfare fanfare
    database_url=postgres://fanfare@127.0.0.1:$port/fanfare
}

start_redis() {
    local port
    port=$(free_port)
    redis-server --bind 127.0.0.1 --port "$port" --save '' --appendonly no --dir "$folder" >"$folder/redis.log" 2>&1 &
    started+=("$!")
    await "Redis is ready" grep -qs 'Ready to accept connections' "$folder/redis.log"
    redis_url=redis://127.0.0.1:$port
}

stop_servers() {
    local server
    for server in ${started[@]+"${started[@]}"}; do
        kill -INT "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    done
}
