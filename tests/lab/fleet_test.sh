# shellcheck shell=bash
# Backends come and go, get other weights, and are reached by other ways.
# Lab: --backends 4

# The lab's configuration without gw4.
three_gateways() {
    base_configuration | grep -v 'name: gw4,' >"$SCRATCH/edge.yaml"
    apply "$SCRATCH/edge.yaml"
}

answers() {
    loaded ".backends.$1 // 0"
}

load_ipv4() {
    load_without_failure "$WEB:80" --connections 1200 --concurrency 32
}

test_a_backend_is_added() {
    three_gateways
    load_ipv4
    expect_equal 0 "$(answers gw4)" "answers of gw4 before"
    guideway backend add gateways/gw4 10.2.4.2 --weight 100
    eventually 10 all_backends_forward
    load_ipv4
    expect_between 220 380 "$(answers gw4)" "answers of gw4, a quarter"
}

test_a_backend_is_removed() {
    guideway backend remove gateways/gw2
    load_ipv4
    expect_equal 0 "$(answers gw2)" "answers of gw2 once removed"
    expect_between 300 500 "$(answers gw1)" "answers of gw1, a third"
}

test_a_backend_is_disabled_and_enabled() {
    guideway backend disable gateways/gw3
    load_ipv4
    expect_equal 0 "$(answers gw3)" "answers of gw3 while disabled"
    guideway backend enable gateways/gw3
    eventually 10 all_backends_forward
    load_ipv4
    expect_between 220 380 "$(answers gw3)" "answers of gw3, a quarter"
}

test_weights_are_kept_to() {
    guideway backend weight gateways/gw1 300
    load_ipv4
    # 300 of 600.
    expect_between 520 680 "$(answers gw1)" "answers of gw1, a half"
    guideway backend weight gateways/gw1 0
    load_ipv4
    expect_equal 0 "$(answers gw1)" "answers of gw1 with weight zero"
}

test_changes_under_traffic_lose_nothing_to_the_others() {
    load_begins "$WEB:80" "[$WEB6]:80" --connections 0 --duration 4 --concurrency 8 --pause-ms 5
    guideway backend weight gateways/gw1 50
    guideway backend disable gateways/gw2
    sleep 0.5
    guideway backend enable gateways/gw2
    guideway backend weight gateways/gw1 100
    # Requests take milliseconds: few live across a change, and nothing is promised for these
    # yet. Far more would fail if a change emptied a ring.
    wait "$LOAD" || true
    note "$(jq -c '{requests, failures, reasons}' "$SCRATCH/load.json")"
    expect_at_least 500 "$(loaded .requests)" "requests"
    expect_between 0 20 "$(loaded .failures)" "failed requests"
}

test_overrides_outlive_a_restart() {
    guideway backend disable gateways/gw3
    lab daemon stop edge1
    lab daemon start edge1
    load_ipv4
    expect_equal 0 "$(answers gw3)" "answers of gw3"
    expect_equal disabled "$(guideway backend list --json | jq -r \
        '.backends[] | select(.pool == "gateways" and .name == "gw3") | .state')" "state of gw3"
}

# By the second network: frames leave by eth1.
test_backends_behind_a_second_interface() {
    local n before after
    base_configuration | sed -e 's/10\.2\.\([0-9]\)\.2/10.3.0.10\1/' \
        -e 's/2001:db8:2:\([0-9]\)::2/2001:db8:3::10\1/' >"$SCRATCH/edge.yaml"
    apply "$SCRATCH/edge.yaml"
    expect_equal eth1 "$(guideway backend list --json |
        jq -r '[.backends[] | select(.state != "leaving").next_hop.interface] | unique | join(" ")')" "interface of next hops"
    before=$(on gw1 "$ROOT/build/tools/guideway-decap" status eth1 --json |
        jq '.outcomes[] | select(.name == "decapsulated") | .packets')
    load_without_failure "$WEB:80" "[$WEB6]:80" "$WEB_OVER_6:80" "[$WEB6_OVER_4]:80" \
        --connections 800
    after=$(on gw1 "$ROOT/build/tools/guideway-decap" status eth1 --json |
        jq '.outcomes[] | select(.name == "decapsulated") | .packets')
    expect_at_least 400 $((after - before)) "packets that gw1 got by its eth1"
    for n in 1 2 3 4; do
        expect_between 120 280 "$(answers "gw$n")" "answers of gw$n"
    done
    expect_equal "$(sha256sum <"$(lab_directory)/www/big")" \
        "$(fetch "http://$WEB/big" | sha256sum)" "a big file"
}

test_a_gateway_that_moves_is_followed() {
    # Another MAC address, as when a machine is replaced.
    on gw1 ip link set eth0 address 02:00:00:00:00:99
    on gw1 ping -c 1 -W 1 10.2.1.1 || true
    # The next hop of all is the router; on the second network it is the gateway itself.
    base_configuration | sed 's/10\.2\.\([0-9]\)\.2/10.3.0.10\1/' >"$SCRATCH/edge.yaml"
    apply "$SCRATCH/edge.yaml"
    load_ipv4
    on gw2 ip link set eth1 address 02:00:00:00:00:77
    on gw2 arping -c 1 -U -I eth1 10.3.0.102 2>/dev/null ||
        on edge1 ip neigh replace 10.3.0.102 lladdr 02:00:00:00:00:77 dev eth1 nud reachable
    eventually 10 next_hop_is gw2 02:00:00:00:00:77
    load_ipv4
}

next_hop_is() {
    guideway backend list --json | jq -e --arg name "$1" --arg mac "$2" \
        '.backends[] | select(.pool == "gateways" and .name == $name and .state != "leaving") |
         .next_hop.mac == $mac'
}
