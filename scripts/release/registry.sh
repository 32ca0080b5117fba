# shellcheck shell=bash
# What the scripts beside this file ask of a registry, through skopeo. They say who they are in $me.

say() { echo "scripts/release/${me:?}: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

need() {
    local program
    for program; do
        command -v "$program" >/dev/null || fail "$program is missing"
    done
}

# with_tls SIDE NAME: skopeo's option for that registry. One on this machine has no certificate.
with_tls() {
    case $2 in
    localhost:* | 127.0.0.1:*) echo "--$1tls-verify=false" ;;
    *) echo "--$1tls-verify=true" ;;
    esac
}

# digest_of NAME:TAG: nothing where there is no such tag. Whatever else goes wrong ends the script.
digest_of() {
    local told error
    error=$(mktemp)
    if told=$(skopeo inspect --raw "$(with_tls "" "$1")" "docker://$1" 2>"$error" | digest); then
        rm -f "$error"
        echo "$told"
    elif grep -qiE 'manifest unknown|name unknown|not found' "$error"; then
        rm -f "$error"
    else
        cat "$error" >&2
        rm -f "$error"
        fail "the registry can't be asked for $1"
    fi
}

# pushed NAME:TAG: the digest of a commit's image, which has to be there.
pushed() {
    local there
    there=$(digest_of "$1")
    [[ -n $there ]] || fail "$1 was never pushed: its commit has not been through .github/workflows/image.yml"
    echo "$there"
}

digest() { sha256sum | sed 's/^/sha256:/; s/ .*//'; }

# refuse_to_move NAME:TAG DIGEST: a tag that was given means one image for ever.
refuse_to_move() {
    local there
    there=$(digest_of "$1")
    [[ -z $there || $there == "$2" ]] || fail "$1 is $there already, and not $2; tags are never moved"
}
