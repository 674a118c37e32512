# shellcheck shell=bash
# The decapsulator's tool, on a gateway.
# Of XDP: a_foreign_program_is_left_alone

decap() {
    on gw1 "$ROOT/build/tools/guideway-decap" "$@"
}

stripped() {
    decap status eth0 --json | jq '.outcomes[] | select(.name == "decapsulated") | .packets'
}

test_status_counts_what_was_stripped() {
    local before
    before=$(stripped)
    load_without_failure "$WEB:80" "[$WEB6]:80" --connections 300
    expect_at_least 300 $(($(stripped) - before)) "packets that gw1 stripped"
    expect_match 'native XDP' "$(decap status eth0)" "how it is attached"
}

test_attaching_again_replaces_it_without_a_gap() {
    local before i
    before=$(stripped)
    load_begins "$WEB:80" --connections 0 --duration 3 --concurrency 4 --pause-ms 2
    for i in 1 2 3 4 5; do
        expect_match 'replaced' "$(decap attach eth0)" "attach number $i"
    done
    load_ends
    expect_at_least "$before" "$(stripped)" "the count, kept"
}

test_generic_mode_strips_too() {
    decap attach eth0 --generic
    expect_match 'generic XDP' "$(decap status eth0)" "how it is attached"
    load_without_failure "$WEB:80" "[$WEB6]:80" "$WEB_OVER_6:80" --connections 300
    decap attach eth0
    expect_match 'native XDP' "$(decap status eth0)" "how it is attached"
    load_without_failure "$WEB:80" --connections 100
}

test_a_foreign_program_is_left_alone() {
    on edge1 "$ROOT/build/tools/guideway-decap" status eth1 2>/dev/null && fail "eth1 has one"
    refused on edge1 "$ROOT/build/tools/guideway-decap" attach eth0
    expect_match "another XDP program, 'guideway" "$SAID" "the refusal"
    refused on edge1 "$ROOT/build/tools/guideway-decap" detach eth0
    load_without_failure "$WEB:80" --connections 100
}

test_detach_and_bad_arguments() {
    decap detach eth1
    refused decap detach eth1
    refused decap status eth1
    refused decap attach eth7
    refused decap attach eth1 --address 10.2.3.999
    decap attach eth1
}

test_only_addresses_that_it_was_given() {
    # gw1 gets an address after the fact: tunnelled packets to it are left to the host.
    on gw1 ip address add 10.2.1.77/24 dev eth0
    expect_match '10.2.1.77; attach again' "$(decap status eth0)" "status"
    decap attach eth0
    expect_match '10.2.1.77' "$(decap status eth0 --json | jq -c .addresses)" "addresses taken"
    on gw1 ip address del 10.2.1.77/24 dev eth0
    decap attach eth0 --address 192.0.2.9
    expect_match '192.0.2.9' "$(decap status eth0 --json | jq -c .addresses)" "addresses taken"
    decap attach eth0
}
