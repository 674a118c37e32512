# shellcheck shell=bash
# A pin table with far too little room: what cannot be remembered stays where it is.
# Lab: --backends 4

PINS=1024

# The lab's own configuration from now on: with pins left of an earlier test, a smaller table
# would be refused.
with_a_small_pin_table() {
    local own
    own=$(lab_directory)/edge1/edge.yaml
    if ! grep -q '^capacity' "$own"; then
        {
            echo "capacity: {pins: $PINS}"
            echo "connections: {learning_period: 8s, idle_timeout: 9s}"
            base_configuration
        } >"$SCRATCH/small.yaml"
        mv "$SCRATCH/small.yaml" "$own"
        # New tables take a while on a busy machine, longer than the CLI may want to wait.
        guideway apply "$own" || true
    fi
    eventually 60 pins_fit "$PINS"
    eventually 10 all_backends_forward
}

pins_fit() {
    [[ $(guideway connections --json | jq .pins.max) == "$1" ]]
}

# Spoofed SYNs from 198.18.0.0/16, which nobody has, at most that many a second.
flood_begins() {
    local gateway_mac own_mac
    gateway_mac=$(on transit ip -json link show dev client | jq -r '.[0].address')
    own_mac=$(on client ip -json link show dev eth0 | jq -r '.[0].address')
    cat >"$SCRATCH/flood.trafgen" <<FLOOD
{
    eth(da=$gateway_mac, sa=$own_mac, type=0x0800)
    0x45, 0x00, const16(40), drnd(2), 0x40, 0x00, 64, 6, csumip(14, 33),
    198, 18, drnd(2), 203, 0, 113, 10,
    drnd(2), const16(80), drnd(4), const32(0), 0x50, 0x02, const16(8192),
    csumtcp(14, 34), const16(0)
}
FLOOD
    # Bounded by number, should nobody end it.
    # shellcheck disable=SC2016 # for the inner shell
    { on client bash -c 'echo $$ >"$1/flood.pid" && shift && exec trafgen "$@"' bash "$SCRATCH" \
        --dev eth0 --conf "$SCRATCH/flood.trafgen" --cpus 1 --gap "$((1000000 / $1))us" \
        --num "$((60 * $1))" >"$SCRATCH/flood.log" 2>&1 || exit; } &
    FLOOD=$!
}

flood_ends() {
    kill -0 "$(cat "$SCRATCH/flood.pid")" 2>/dev/null ||
        fail "the flood was over: $(cat "$SCRATCH/flood.log")"
    # It leaves the sending to a child.
    pkill -P "$(cat "$SCRATCH/flood.pid")" || true
    wait "$FLOOD" || true
}

# Half of the gateways drain: about half of the flows would need a pin.
move_half_of_the_slots() {
    local name
    for name in gw1 gw2; do
        guideway backend weight "gateways/$name" 0
        guideway backend weight "gateways-v6/$name" 0
    done
}

# Longer than a learning period, its grace, and what a sweep takes.
let_learning_end() {
    sleep 12
}

# event_grows NAME AT_LEAST BEFORE
event_grows() {
    expect_at_least "$2" $(($(event_counter "$1") - $3)) "$1"
}

test_a_pin_table_of_an_eighth_of_the_load() {
    with_a_small_pin_table
    local made refused
    made=$(event_counter pin_made) refused=$(event_counter pin_refused)
    hold asking talk "$WEB:80" "[$WEB6]:80" "$WEB_OVER_6:80" "[$WEB6_OVER_4]:80" \
        --flows $((8 * PINS)) --every-ms 7200 --duration 100
    move_half_of_the_slots
    let_learning_end
    event_grows pin_made $((PINS / 2)) "$made"
    event_grows pin_refused 1 "$refused"
    release asking
}

test_a_syn_flood_during_a_move() {
    with_a_small_pin_table
    local refused
    refused=$(event_counter pin_refused)
    # Silent for longer than a handshake takes, which is when a pin that is not confirmed may go.
    hold asking talk "$WEB:80" "[$WEB6]:80" --flows 600 --every-ms 5000 --duration 100
    hold downloads download "$WEB:80" "[$WEB6]:80" --flows 300 --rate 6000 --bytes 360000 \
        --expect "$(lab_directory)/www/big" --duration 100
    flood_begins 2000
    sleep 1
    move_half_of_the_slots
    # When the first SYNs of the flood make room, some of these find it: where they are, only
    # their pins say.
    sleep 4
    hold later talk "$WEB:80" "[$WEB6]:80" --flows 300 --every-ms 5000 --duration 100
    sleep 8
    # And back, with the flood going on.
    guideway apply --reset-overrides "$(lab_directory)/edge1/edge.yaml"
    sleep 4
    flood_ends
    event_grows pin_refused 1 "$refused"
    release asking later downloads
}
