# shellcheck shell=bash disable=SC2154
# Containers of one run of scripts/image/try, which sets what is read here: $docker, $run, $image,
# $folder, $held, $settings, $within_s.

declare -A ports=() # that a role answers at

docker() { command "$docker" "$@"; }

# start ROLE MEMORY [DOCKER ARGUMENT…] -- COMMAND…: in the machine's network, where the servers are on loopback.
start() {
    local role=$1 memory=$2 arguments=()
    shift 2
    while [[ $1 != -- ]]; do arguments+=("$1") && shift; done
    shift
    docker rm --force "$run-$role" >/dev/null 2>&1 || true
    docker run --detach --name "$run-$role" --label "$run" --network host --memory "$memory" --memory-swap "$memory" \
        "${held[@]}" "${settings[@]}" --env "FANFARE_OBSERVE_LISTEN=127.0.0.1:${ports[$role]}" \
        "${arguments[@]}" "$image" "$@" >/dev/null
}

# One command that ends by itself.
fanfare() {
    timeout "$within_s" "$docker" run --rm --label "$run" --network host "${held[@]}" --memory 128m \
        ${settings[@]+"${settings[@]}"} "$image" "$@"
}

# stop ROLE: as an orchestrator does it. What drains ends with 0, well before it is killed.
stop() {
    local since=$SECONDS ended
    docker stop --time 30 "$run-$1" >/dev/null
    ended=$(docker inspect --format '{{.State.ExitCode}} {{.State.OOMKilled}}' "$run-$1")
    [[ $ended == "0 false" ]] || fail_with_log "$1" "the $1 ended with (exit code, out of memory) $ended"
    say "$1: stopped in $((SECONDS - since)) s, exit code 0"
}

await_healthy() {
    await "the $1 is healthy, or gone" is_judged "$1"
    [[ $(health "$1") == "running healthy" ]] || fail_with_log "$1" "the $1 is $(health "$1")"
    say "$1: healthy"
}

is_judged() { [[ $(health "$1") != "running starting" ]]; }

health() { docker inspect --format '{{.State.Status}} {{.State.Health.Status}}' "$run-$1"; }

await_ready() { await "the $1 is ready" observe "$1" readyz; }

observe() { curl --silent --fail --max-time 5 "http://127.0.0.1:${ports[$1]}/$2"; }

# await WHAT COMMAND…: until it succeeds.
await() {
    local what=$1 deadline=$((SECONDS + within_s))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || fail_with_logs "not within $within_s s: $what"
        sleep 0.2
    done
}

# holds WHAT PATTERN TEXT
holds() { grep -qE "$2" <<<"$3" || fail "not so: $1"; }

free_port() {
    local port
    while true; do
        port=$((20000 + RANDOM % 12000))
        [[ " ${ports[*]} " != *" $port "* ]] || continue
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
    done
}

mib() { awk '{ printf "%.1f", $1 / 1048576 }'; }

clean_up() {
    local status=$?
    trap - EXIT
    trap '' HUP INT TERM
    docker ps --all --quiet --filter "label=$run" | xargs --no-run-if-empty "$docker" rm --force --volumes >/dev/null 2>&1 || true
    docker volume ls --quiet --filter "name=$run-" | xargs --no-run-if-empty "$docker" volume rm >/dev/null 2>&1 || true
    stop_servers
    cd /
    [[ -z $folder ]] || rm -rf "$folder"
    exit "$status"
}

say() { echo "scripts/image/try: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# fail_with FILE MESSAGE
fail_with() {
    tail -n 40 "$folder/$1" >&2
    fail "$2"
}

# fail_with_log ROLE MESSAGE
fail_with_log() {
    docker logs --tail 40 "$run-$1" >&2 || true
    fail "$2"
}

fail_with_logs() {
    local name
    for name in $(docker ps --all --filter "label=$run" --format '{{.Names}}'); do
        echo "--- $name" >&2
        docker logs --tail 20 "$name" >&2 || true
    done
    fail "$*"
}
