# shellcheck shell=bash
# The daemon comes and goes; packets do not care.
#
# Of XDP: a_second_daemon_for_the_interface_is_refused a_program_that_was_taken_off_is_put_back
# Of XDP: a_missing_interface_does_not_stop_the_others

# Small requests all the time, for that many seconds, both families.
traffic_begins() {
    load_begins "$WEB:80" "[$WEB6]:80" --connections 0 --duration "$1" --concurrency 4 \
        --pause-ms 5 --timeout-ms 3000
}

test_sigterm_leaves_the_fast_path_forwarding() {
    traffic_begins 4
    lab daemon stop edge1
    load_ends
    load_without_failure "$WEB:80" "[$WEB6]:80" --connections 200
    lab daemon start edge1
    expect_equal true "$(guideway status --json | jq .tables.adopted)" "tables were adopted"
}

test_kill_and_restart_under_traffic() {
    local before
    before=$(guideway counters --json | jq '[.services[].packets] | add')
    traffic_begins 9
    for _ in 1 2 3; do
        lab daemon kill edge1
        sleep 0.5
        lab daemon start edge1
    done
    load_ends
    eventually 10 all_backends_forward
    expect_at_least "$before" "$(guideway counters --json | jq '[.services[].packets] | add')" \
        "packets counted, over all restarts"
}

test_an_empty_restart_changes_no_ring() {
    local before
    before=$(guideway service list --json | jq -c '[.services[] | {name, backends}]')
    lab daemon kill edge1
    lab daemon start edge1
    expect_equal "$before" "$(guideway service list --json |
        jq -c '[.services[] | {name, backends}]')" "what the rings promise"
}

# One long download, across a crash.
test_a_download_survives_a_crash() {
    fetch --limit-rate 15M --output "$SCRATCH/big" "http://$WEB/big" &
    local download=$!
    sleep 0.5
    lab daemon kill edge1
    sleep 0.5
    lab daemon start edge1
    wait "$download" || fail "the download broke"
    cmp "$SCRATCH/big" "$(lab_directory)/www/big"
}

other_daemon() {
    on edge1 timeout 10 "$ROOT/build/control/guidewayd" "$@"
}

test_a_second_daemon_for_the_instance_is_refused() {
    local run
    run=$(lab_directory)/edge1
    refused other_daemon --instance edge1 --state-dir "$run/state" --run-dir "$run/run" \
        --bpffs "/sys/fs/bpf/guideway-lab-$LAB/edge1"
    expect_match 'edge1' "$SAID" "the refusal"
    # Nor from a container that does not see the first one's socket.
    refused other_daemon --instance edge1 --config "$(lab_directory)/edge1/edge.yaml" \
        --state-dir "$SCRATCH/state" --run-dir "$SCRATCH/run" \
        --bpffs "/sys/fs/bpf/guideway-lab-$LAB/edge1"
    load_without_failure "$WEB:80" --connections 100
}

test_a_second_daemon_for_the_interface_is_refused() {
    base_configuration | sed 's/^instance: .*/instance: other/' >"$SCRATCH/other.yaml"
    refused other_daemon --instance other --config "$SCRATCH/other.yaml" \
        --state-dir "$SCRATCH/state" --run-dir "$SCRATCH/run" \
        --bpffs "/sys/fs/bpf/guideway-lab-$LAB/other"
    expect_match 'eth0' "$SAID" "the refusal"
    load_without_failure "$WEB:80" --connections 100
}

test_detach_removes_program_and_pins() {
    local pins=/sys/fs/bpf/guideway-lab-$LAB/edge1
    guideway detach
    eventually 5 refuses_service
    [[ $(on edge1 ip link show dev eth0) != *prog/xdp* ]] || fail "eth0 still has a program"
    expect_equal "" "$(find "$pins" -type f 2>/dev/null)" "pinned objects"
    # The daemon has ended with it, and can be started again.
    lab daemon stop edge1
    lab daemon start edge1
    eventually 10 all_backends_forward
    load_without_failure "$WEB:80" --connections 100
}

refuses_service() {
    ! fetch --max-time 1 "http://$WEB/"
}

test_the_hash_key_changes_through_a_detach() {
    {
        echo 'hash_key: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"'
        base_configuration
    } >"$SCRATCH/other_key.yaml"
    refused guideway apply "$SCRATCH/other_key.yaml"
    expect_match 'guideway detach' "$SAID" "the refusal"
    guideway detach
    lab daemon stop edge1
    lab daemon start edge1 "$SCRATCH/other_key.yaml"
    eventually 10 all_backends_forward
    load_without_failure "$WEB:80" --connections 100
    guideway detach
    lab daemon stop edge1
    lab daemon start edge1
    eventually 10 all_backends_forward
}

test_detach_without_a_daemon() {
    lab daemon kill edge1
    other_daemon --instance edge1 --detach --bpffs "/sys/fs/bpf/guideway-lab-$LAB/edge1" \
        --run-dir "$(lab_directory)/edge1/run"
    [[ $(on edge1 ip link show dev eth0) != *prog/xdp* ]] || fail "eth0 still has a program"
    lab daemon start edge1
    eventually 10 all_backends_forward
    load_without_failure "$WEB:80" --connections 100
}

test_a_program_that_was_taken_off_is_put_back() {
    on edge1 ip link set dev eth0 xdp off
    eventually 20 serves_again
    eventually 10 all_backends_forward
    expect_equal '[]' "$(guideway status --json | jq -c .problems)" "problems"
}

serves_again() {
    fetch --max-time 1 "http://$WEB/"
}

# The state is lost, the fast path is not: the next daemon says so, and can take it away.
test_a_fast_path_without_its_state() {
    local state
    state=$(lab_directory)/edge1/state
    lab daemon kill edge1
    mv "$state/edge1.db" "$SCRATCH/"
    load_without_failure "$WEB:80" --connections 100
    lab daemon start-empty edge1
    expect_match 'an earlier daemon has left' "$(guideway status --json | jq -r '.problems[]')" \
        "the problem"
    guideway apply "$(lab_directory)/edge1/edge.yaml"
    expect_equal true "$(guideway status --json | jq .tables.adopted)" "tables were adopted"
    eventually 10 all_backends_forward
    load_without_failure "$WEB:80" --connections 100

    lab daemon kill edge1
    rm "$state/edge1.db"
    lab daemon start-empty edge1
    guideway detach
    eventually 5 refuses_service
    [[ $(on edge1 ip link show dev eth0) != *prog/xdp* ]] || fail "eth0 still has a program"
    lab daemon stop edge1
    lab daemon start edge1
    eventually 10 all_backends_forward
}

# An interface that goes takes neither the other one nor the operator's changes with it.
test_a_missing_interface_does_not_stop_the_others() {
    on edge1 ip link add extra0 type veth peer name extra1
    base_configuration | sed 's/^interfaces: .*/interfaces: [eth0, extra0]/' >"$SCRATCH/two.yaml"
    guideway apply "$SCRATCH/two.yaml"
    on edge1 ip link del extra0
    eventually 20 a_problem_names extra0
    lab daemon stop edge1
    lab daemon start edge1
    eventually 10 all_backends_forward
    a_problem_names extra0 || fail "the restarted daemon does not miss extra0"
    guideway backend weight gateways/gw1 50
    load_without_failure "$WEB:80" --connections 100
    on edge1 ip link add extra0 type veth peer name extra1
    eventually 20 carries_a_program extra0
    eventually 5 has_no_problems
    on edge1 ip link del extra0
}

a_problem_names() {
    guideway status --json | jq -r '.problems[]' | grep -q "$1"
}

has_no_problems() {
    [[ $(guideway status --json | jq '.problems | length') == 0 ]]
}

carries_a_program() {
    [[ $(on edge1 ip link show dev "$1") == *prog/xdp* ]]
}

# Nothing can be stored: what is in force goes on, and changes are refused in words.
test_a_full_disk_stops_no_packet() {
    local state
    state=$(lab_directory)/edge1/state
    lab daemon stop edge1
    cp -a "$state" "$SCRATCH/state"
    mount -t tmpfs -o size=1m guideway-test "$state"
    # shellcheck disable=SC2064 # as it is now
    trap "umount -l '$state' 2>/dev/null" EXIT
    cp -a "$SCRATCH/state/." "$state"
    lab daemon start edge1
    eventually 10 all_backends_forward
    load_begins "$WEB:80" --connections 0 --duration 5 --concurrency 4 --pause-ms 5
    dd if=/dev/zero of="$state/full" bs=4k status=none 2>/dev/null || true
    if guideway backend weight gateways/gw1 77 2>"$SCRATCH/refused"; then
        fail "a change was accepted that cannot be stored"
    fi
    note "$(head -c 200 "$SCRATCH/refused")"
    grep -q 'what was in force goes on' "$SCRATCH/refused" || fail "the refusal does not say so"
    expect_equal 100 "$(guideway backend list --json | jq -r \
        '.backends[] | select(.pool == "gateways" and .name == "gw1") | .weight')" "weight of gw1"
    lab daemon kill edge1
    lab daemon start edge1
    wait "$LOAD"
    expect_equal 0 "$(loaded .failures)" "failed requests"
    rm "$state/full"
    guideway backend weight gateways/gw1 77
    lab daemon stop edge1
    cp -a "$state/." "$SCRATCH/state"
    umount "$state"
    trap - EXIT
    cp -a "$SCRATCH/state/." "$state"
    lab daemon start edge1
    guideway backend weight gateways/gw1 100
}

# UDP packets have nobody who would send them again.
test_twenty_kills_lose_no_packet() {
    hold stream datagrams "$WEB:42" "[$WEB6]:42" --flows 40 --rate 1000 --duration 100
    for _ in {1..20}; do
        lab daemon kill edge1
        sleep 0.1
        lab daemon start edge1
    done
    lets_go stream
    expect_at_least 2000 "$(held stream .sent)" "packets sent"
    expect_equal 0 "$(held stream .lost)" "packets lost"
    expect_equal 0 "$(held stream .moved)" "flows that changed their gateway"
}
