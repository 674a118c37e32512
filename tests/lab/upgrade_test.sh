# shellcheck shell=bash
# Needs: tests/lab/other/guidewayd-other
# Of XDP: upgrade_and_downgrade_under_load killed_while_it_takes_over
#
# Another build takes over, whose tables have another layout, and back; other sizes are applied.
# Every packet is forwarded meanwhile, and every connection stays where it is.

OTHER=$ROOT/build/tests/lab/other/guidewayd-other

# A service that nobody listens to: what reaches a gateway is counted there and answered with an
# error only.
numbered_configuration() {
    base_configuration |
        sed 's/^services:$/&\n  - {name: numbered, listen: "udp:\/\/203.0.113.10:9", pool: gateways}/'
}

# numbered_begins SECONDS: a datagram a millisecond, of many flows.
numbered_begins() {
    gateways_received >"$SCRATCH/arrived_before"
    queues_dropped >"$SCRATCH/dropped_before"
    on client python3 -c '
import socket, sys, time
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(200)]
sent, end = 0, time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    try:
        sockets[sent % 200].sendto(b"%d" % sent, ("203.0.113.10", 9))
        sent += 1
    except ConnectionRefusedError:
        pass
    time.sleep(0.001)
print(sent)' "$1" >"$SCRATCH/sent" &
    NUMBERED=$!
}

# Datagrams for a port without a listener, on all gateways.
gateways_received() {
    local n
    for n in 1 2 3; do
        on "gw$n" cat /proc/net/snmp
    done | awk '/^Udp: [0-9]/ { sum += $3 } END { print sum }'
}

numbered_counted() {
    guideway counters --json | jq '.services[] | select(.name == "numbered") | .packets'
}

# What the lab's links had no room for, where their queues were full: on a busy machine there is
# such, and no program has seen it.
queues_dropped() {
    local host
    for host in client transit router edge1 gw1 gw2 gw3; do
        # shellcheck disable=SC2016 # for the inner shell
        on "$host" sh -c 'for link in /sys/class/net/*; do
            ethtool -S "$(basename "$link")" 2>/dev/null || true
        done'
    done | awk '/queue_[0-9]+_(drops|xdp_tx_errors|xdp_xmit_errors):/ { sum += $2 }
        END { print sum + 0 }'
}

# Every one that was sent has been counted and has arrived.
numbered_ends() {
    local counted_before=$1 sent arrived counted dropped
    wait "$NUMBERED" || fail "the sender of datagrams failed"
    sleep 0.5
    sent=$(cat "$SCRATCH/sent")
    arrived=$(($(gateways_received) - $(cat "$SCRATCH/arrived_before")))
    counted=$(($(numbered_counted) - counted_before))
    dropped=$(($(queues_dropped) - $(cat "$SCRATCH/dropped_before")))
    note "datagrams: $sent sent, $counted counted, $arrived arrived, $dropped without a queue"
    expect_at_least 1000 "$sent" "datagrams sent"
    expect_between $((sent - dropped)) "$sent" "$counted" "datagrams counted"
    expect_between $((sent - dropped)) "$sent" "$arrived" "datagrams that arrived"
}

# Connections that only their pins hold where they are, and all kinds of load, for SECONDS.
load_of_all_kinds_begins() {
    numbered_configuration >"$SCRATCH/numbered.yaml"
    apply "$SCRATCH/numbered.yaml"
    download_begins first
    guideway backend weight gateways/gw1 30
    download_begins second
    guideway backend weight gateways/gw1 100
    guideway backend weight gateways/gw2 10
    COUNTED=$(numbered_counted)
    numbered_begins "$1"
    load_begins "$WEB:80" "[$WEB6]:80" --connections 0 --duration "$1" --concurrency 4 \
        --pause-ms 5 --timeout-ms 3000
}

load_of_all_kinds_ends() {
    load_ends
    numbered_ends "$COUNTED"
    download_ends first
    download_ends second
}

# Long enough to last through a test.
download_begins() {
    fetch --max-time 60 --limit-rate 2M --output "$SCRATCH/$1" "http://$WEB/big" &
    echo $! >"$SCRATCH/$1.pid"
    sleep 0.3
}

download_ends() {
    wait "$(cat "$SCRATCH/$1.pid")" || fail "the $1 download broke"
    cmp "$SCRATCH/$1" "$(lab_directory)/www/big"
}

start_other() {
    GUIDEWAY_DAEMON=$OTHER lab daemon start edge1
}

version() {
    guideway status --json | jq -r .version
}

test_upgrade_and_downgrade_under_load() {
    load_of_all_kinds_begins 20
    for _ in 1 2; do
        lab daemon stop edge1
        start_other
        expect_match 'other$' "$(version)" "the version"
        expect_equal true "$(guideway status --json | jq .tables.adopted)" "tables were adopted"
        guideway backend weight gateways/gw2 100
        lab daemon kill edge1
        lab daemon start edge1
        guideway backend weight gateways/gw2 10
    done
    [[ $(version) != *other ]] || fail "this build is not back"
    load_of_all_kinds_ends
}

test_other_sizes_under_load() {
    load_of_all_kinds_begins 15
    {
        echo "capacity: {services: 512, pins: 262144, ring_slots: 1048576}"
        cat "$SCRATCH/numbered.yaml"
    } >"$SCRATCH/other_sizes.yaml"
    guideway apply "$SCRATCH/other_sizes.yaml"
    expect_equal 512 "$(guideway status --json | jq .tables.services.max)" "services that fit"
    lab daemon kill edge1
    lab daemon start edge1
    expect_equal 512 "$(guideway status --json | jq .tables.services.max)" "services that fit"
    guideway apply "$SCRATCH/numbered.yaml"
    expect_equal 256 "$(guideway status --json | jq .tables.services.max)" "services that fit"
    load_of_all_kinds_ends
}

# Killed at any moment of its start, again and again, one build after the other.
test_killed_while_it_takes_over() {
    local moment
    load_of_all_kinds_begins 25
    lab daemon kill edge1
    for moment in 0.2 0.4 0.6 0.8 1.0 1.3 1.6; do
        start_other >/dev/null 2>&1 &
        sleep "$moment"
        lab daemon kill edge1 || true
        wait $! || true
    done
    start_other
    for moment in 0.5 0.7 0.9 1.2; do
        lab daemon kill edge1 || true
        lab daemon start edge1 >/dev/null 2>&1 &
        sleep "$moment"
    done
    wait $! || true
    guideway status >/dev/null 2>&1 || lab daemon start edge1
    expect_equal "" "$(find "/sys/fs/bpf/guideway-lab-$LAB/edge1" -name 'region-former')" \
        "pins of former tables"
    load_of_all_kinds_ends
}
