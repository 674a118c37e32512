# shellcheck shell=bash
# The words that lab tests are written in. Sourced by tests/lab/run, which sets ROOT, LAB
# (the instance's name), SCRATCH (a directory of the test's own) and ENGINE (xdp or dpdk).

# shellcheck disable=SC2034 # used by the tests
{
    WEB=203.0.113.10
    WEB6=2001:db8:113::10
    # IPv4 carried in IPv6, and the other way round.
    WEB_OVER_6=203.0.113.11
    WEB6_OVER_4=2001:db8:113::11
}

# What a test says when it gives up; the first line is the reason that is shown.
fail() {
    echo "FAILED: $*"
    exit 1
}

note() {
    echo "  · $*"
}

lab() {
    local verb=$1
    shift
    "$ROOT/scripts/lab" "$verb" --instance "$LAB" "$@"
}

on() {
    lab exec "$@"
}

guideway() {
    lab guideway edge1 "$@"
}

lab_directory() {
    echo "/run/guideway-lab/$LAB"
}

fetch() {
    on client curl --globoff --silent --show-error --max-time 20 "$@"
}

# Who answers a request: "gw2".
answerer() {
    fetch "$@"
}

# load TARGET… [OPTION…]: http_load's account, in $SCRATCH/load.json; its status is ours.
load() {
    # Taken up here: what is said of a failing command must not get into the account.
    local status=0
    on client http_load "$@" >"$SCRATCH/load.json" || status=$?
    return "$status"
}

loaded() {
    jq -r "$1" "$SCRATCH/load.json"
}

# Runs `load` and fails when a single request did.
load_without_failure() {
    if ! load "$@"; then
        fail "requests failed: $(jq -c '{requests, failures, reasons}' "$SCRATCH/load.json")"
    fi
    note "$(jq -c '{requests, backends, latency_ms}' "$SCRATCH/load.json")"
}

# The same in the background, until `load_ends`.
load_begins() {
    { load "$@" || exit; } &
    LOAD=$!
    sleep 0.3
}

load_ends() {
    local status=0
    wait "$LOAD" || status=$?
    ((status == 0)) ||
        fail "requests failed: $(jq -c '{requests, failures, reasons}' "$SCRATCH/load.json")"
    note "$(jq -c '{requests, backends}' "$SCRATCH/load.json")"
}

# hold NAME VERB TARGET… [OPTION…]: flow_load in the background, under that name, until
# `release`; returns once all its flows are open.
declare -A HELD
hold() {
    local name=$1 i
    shift
    # The background has no business with our ERR trap: the status is looked at in `release`.
    { on client flow_load "$@" --ready "$SCRATCH/$name.ready" --until "$SCRATCH/$name.until" \
        >"$SCRATCH/$name.json" || exit; } &
    HELD[$name]=$!
    for ((i = 0; i < 300; i++)); do
        [[ ! -e $SCRATCH/$name.ready ]] || return 0
        kill -0 "${HELD[$name]}" 2>/dev/null || break
        sleep 0.1
    done
    touch "$SCRATCH/$name.until"
    wait "${HELD[$name]}" || true
    fail "flows '$name' did not all open: $(held_account "$name")"
}

held_account() {
    jq -c 'del(.elapsed_s)' "$SCRATCH/$1.json" 2>/dev/null || echo "no account"
}

held() {
    jq -r "$2" "$SCRATCH/$1.json"
}

# lets_go NAME…: ends these flows in good order; what became of them is then told by `held`.
lets_go() {
    local name
    for name in "$@"; do
        kill -0 "${HELD[$name]}" 2>/dev/null ||
            fail "flows '$name' were over before they should: $(held_account "$name")"
    done
    for name in "$@"; do
        touch "$SCRATCH/$name.until"
    done
    for name in "$@"; do
        wait "${HELD[$name]}" || true
        note "$name: $(held_account "$name")"
    done
}

# release NAME…: the same, and not one may have broken.
release() {
    local name
    lets_go "$@"
    for name in "$@"; do
        expect_equal 0 "$(held "$name" .broken)" "flows of '$name' that broke"
    done
}

expect_equal() {
    [[ $1 == "$2" ]] || fail "$3: expected '$1', found '$2'"
}

expect_at_least() {
    (($2 >= $1)) || fail "$3: expected $1 or more, found $2"
}

# expect_between LEAST MOST FOUND WHAT
expect_between() {
    (($3 >= $1 && $3 <= $2)) || fail "$4: expected $1 to $2, found $3"
}

expect_match() {
    [[ $2 =~ $1 ]] || fail "$3: expected /$1/ in: $2"
}

# refused COMMAND…: fails when it succeeds; what it said is in $SAID, on one line.
refused() {
    local status=0
    SAID=$("$@" 2>&1) && fail "'$*' was not refused; it said: $SAID"
    status=$?
    ((status < 100)) || fail "'$*' ended with status $status: $SAID"
    SAID=$(tr '\n' ' ' <<<"$SAID")
    note "refused: $SAID"
}

# counter NAME: packets that ended with that reason since the tables were made.
counter() {
    guideway counters --json | jq -er --arg name "$1" \
        '.reasons[] | select(.name == $name) | .packets'
}

event_counter() {
    guideway counters --json | jq -er --arg name "$1" \
        '.events[] | select(.name == $name) | .count'
}

# counts NAME AT_LEAST COMMAND…: the command makes that counter grow by that much.
counts() {
    local name=$1 least=$2 before
    shift 2
    before=$(counter "$name")
    "$@" || true
    expect_at_least "$least" $(($(counter "$name") - before)) "packets counted as $name"
}

revision() {
    guideway status --json | jq -r .revision
}

# eventually SECONDS COMMAND…: succeeds once the command does.
eventually() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < until)) || fail "in time this did not come true: $*"
        sleep 0.1
    done
}

all_backends_forward() {
    guideway status --json |
        jq -e '.backends.total > 0 and .backends.total == .backends.forwarding'
}

# The configuration of the lab, for tests that change it.
base_configuration() {
    cat "$(lab_directory)/edge1/edge.yaml"
}

apply() {
    guideway apply "$@"
    eventually 10 all_backends_forward
}

# What the client has learned of paths is forgotten.
forget_paths() {
    local host
    for host in client gw1 gw2 gw3; do
        on "$host" ip route flush cache
        on "$host" ip -6 route flush cache
    done
}

# What was done to gateways is undone.
mend_gateways() {
    local home
    for home in "$(lab_directory)"/gw*; do
        lab gateway "${home##*/}" normal
    done
}

# As every test begins: the lab's own configuration in force, plain frames, wide links, whole
# gateways.
begin_afresh() {
    mend_gateways
    lab tags edge1 plain
    lab path-mtu 1500
    forget_paths
    if ! guideway status >/dev/null 2>&1; then
        lab daemon start edge1
    fi
    guideway apply --reset-overrides "$(lab_directory)/edge1/edge.yaml"
    eventually 10 all_backends_forward
}
