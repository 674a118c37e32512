# shellcheck shell=bash
# The lab itself: it comes up, stays apart from others, and leaves nothing behind.

LAB_NEEDS=nothing

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
    # gw2 cannot be made: its name is taken.
    ip netns add "gwlab-$LAB-other-gw2"
    refused other up --backends 3
    ip netns del "gwlab-$LAB-other-gw2" 2>/dev/null || true
    nothing_is_left
    # As if the machine had stopped in the middle.
    other up --backends 1
    rm "/run/guideway-lab/$LAB-other/shape"
    refused other up --backends 1
    other down
    nothing_is_left
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
