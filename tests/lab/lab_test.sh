# shellcheck shell=bash
# The lab itself: it comes up, stays apart from others, and leaves nothing behind.
#
# Lab: none

other() {
    local verb=$1
    shift
    "$ROOT/scripts/lab" "$verb" --instance "$LAB-other" "$@"
}

nothing_is_left() {
    expect_equal "" "$(find /run/netns -name "gwlab-$LAB-other-*" 2>/dev/null)" "namespaces"
    [[ ! -e /run/guideway-lab/$LAB-other ]] || fail "its directory is still there"
    expect_equal "" "$(pgrep -f "/run/guideway-lab/$LAB-other/" || true)" "processes"
}

test_two_labs_side_by_side() {
    other up --backends 1
    lab up --backends 2
    expect_equal gw1 "$(other exec client curl -s --max-time 5 http://10.2.1.2/)" "the first"
    expect_equal gw2 "$(lab exec client curl -s --max-time 5 http://10.2.2.2/)" "the second"
    expect_match "gw2 .*nginx and echo answer" "$(lab status | tr '\n' ' ')" "status"
    other down
    nothing_is_left
    expect_equal gw2 "$(lab exec client curl -s --max-time 5 http://10.2.2.2/)" "the second, still"
    lab down
}

test_down_can_be_called_again() {
    other down
    other down
    nothing_is_left
}

test_a_lab_that_fails_half_way_is_taken_down() {
    # Everything is there but a decapsulator that works.
    mkdir -p "$SCRATCH/build/tools" "$SCRATCH/build/tests/lab"
    printf '#!/bin/sh\necho no such luck >&2\nexit 1\n' >"$SCRATCH/build/tools/guideway-decap"
    chmod +x "$SCRATCH/build/tools/guideway-decap"
    cp "$ROOT"/build/tests/lab/{*.bpf.o,lab_server} "$SCRATCH/build/tests/lab/"
    export GUIDEWAY_BUILD=$SCRATCH/build
    refused other up --backends 3
    expect_match 'gw1: no such luck' "$SAID" "the reason"
    unset GUIDEWAY_BUILD
    nothing_is_left
    # As if the machine had stopped in the middle.
    other up --backends 1
    rm "/run/guideway-lab/$LAB-other/shape"
    refused other up --backends 1
    other down
    nothing_is_left
}

test_an_interrupted_up_leaves_nothing() {
    local delay up
    for delay in 0.3 0.8 1.6; do
        other up --backends 2 &
        up=$!
        sleep "$delay"
        kill -TERM "$up" 2>/dev/null || true
        wait "$up" || true
        # It may have been done already.
        other down
        nothing_is_left
    done
}

test_bad_arguments_are_refused() {
    refused other up --backends 0
    refused other up --backends many
    refused other up --edges 10
    refused other up --colour blue
    refused other fly
    refused other exec client true
    refused "$ROOT/scripts/lab" up --instance '../x'
    nothing_is_left
}
