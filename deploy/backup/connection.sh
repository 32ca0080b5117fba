# shellcheck shell=bash
# How backup, restore and renew-epoch reach PostgreSQL: by FANFARE_DATABASE_URL, whose password goes into
# a file that only this user reads, since the arguments of a process are everybody's to see. Sourced by them.

scratch= # of this run, removed at its end

# Sets $address, without a password, for the programs' --dbname, and PGPASSFILE.
connect() {
    local url=${FANFARE_DATABASE_URL:-} rest user host query='' password=''
    case $url in
    postgres://* | postgresql://*) ;;
    sqlite:*) fail "an embedded database is a file: see \"Backup and restore\" in docs/OPERATIONS.md" ;;
    '') fail "set FANFARE_DATABASE_URL, such as postgres://fanfare@db.example/fanfare" ;;
    *) fail "FANFARE_DATABASE_URL is no address of PostgreSQL: it starts with postgres://" ;;
    esac
    rest=${url#*://}
    if [[ $rest == *\?* ]]; then query=${rest#*\?} rest=${rest%%\?*}; fi
    host=${rest##*@}
    if [[ $rest == *@* ]]; then
        user=${rest%@*}
        if [[ $user == *:* ]]; then password=${user#*:} user=${user%%:*}; fi
        host=$user@$host
    fi
    [[ $host == */?* ]] || fail "FANFARE_DATABASE_URL names no database: end it with /NAME"
    parameters
    address=postgres://$host${query:+?$query}

    umask 077
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/fanfare-backup.XXXXXX")
    [[ -z $password ]] || keep_password "$(decoded "$password")"
    export PGAPPNAME="${PGAPPNAME:-fanfare ${0##*/}}" PGCONNECT_TIMEOUT="${PGCONNECT_TIMEOUT:-10}"
    # Nobody is there to type one.
    asking=(--no-password --dbname="$address")
}

# Fanfare's driver takes some that PostgreSQL's programs do not know, or know by another name.
parameters() {
    local part parts=() kept=
    IFS='&' read -ra parts <<<"$query"
    for part in ${parts[@]+"${parts[@]}"}; do
        case $part in
        password=*) password=${part#*=} ;;
        *assword=*) fail "FANFARE_DATABASE_URL has a password that can't be handed on: use ~/.pgpass for it" ;;
        ssl-mode=*) kept+="&sslmode=${part#*=}" ;;
        ssl-root-cert=* | ssl-ca=*) kept+="&sslrootcert=${part#*=}" ;;
        ssl-cert=*) kept+="&sslcert=${part#*=}" ;;
        ssl-key=*) kept+="&sslkey=${part#*=}" ;;
        statement-cache-capacity=*) ;;
        *) kept+="&$part" ;;
        esac
    done
    query=${kept#&}
}

decoded() {
    local text=${1//\\/\\\\}
    printf '%b' "${text//%/\\x}"
}

# One line for any host and database.
keep_password() {
    local escaped=${1//\\/\\\\}
    unset PGPASSWORD
    export PGPASSFILE=$scratch/password
    printf '*:*:*:*:%s\n' "${escaped//:/\\:}" >"$PGPASSFILE"
}

# One value, or a failure that says what PostgreSQL says.
ask() {
    psql "${asking[@]}" --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --command="$1" ||
        fail "the database does not answer as it should"
}

require_programs() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "$program is missing (Debian: postgresql-client)"
    done
}

# The first number of a program's version.
version_of() { "$1" --version | grep -oE '[0-9]+' | head -n 1; }

server_version() {
    local number
    number=$(ask 'SHOW server_version_num') || exit
    echo $((number / 10000))
}

# The version and the epoch of the dataset that a dump holds.
dataset_of() {
    pg_restore --data-only --table=dataset --file=- "$1" | awk '
        /^COPY .*dataset \(/ {
            sub(/.*\(/, ""); sub(/\).*/, ""); columns = split($0, names, ", "); reading = 1; next
        }
        reading && $0 == "\\." { reading = 0 }
        reading {
            split($0, values, "\t")
            for (i = 1; i <= columns; i++) value[names[i]] = values[i]
            print "version " value["version"] " of epoch " value["epoch"]
            found++
        }
        END { exit found != 1 }'
}

size_of() { numfmt --to=iec-i --suffix=B "$(stat --format=%s "$1")"; }

say() { echo "${0##*/}: $*" >&2; }

fail() {
    say "$*"
    exit 1
}
