# shellcheck shell=bash
# A configuration that is wrong is refused with its place, and what was running goes on.

# bad NAME SED-EXPRESSION: the lab's configuration with one mistake, refused by check on that host and by
# apply, at a line, with nothing changed.
bad() {
    local name=$1 before
    base_configuration | sed "$2" >"$SCRATCH/$name.yaml"
    before=$(revision)
    refused guideway check --on-host "$SCRATCH/$name.yaml"
    refused guideway apply "$SCRATCH/$name.yaml"
    expect_match "$name.yaml:[0-9]+:[0-9]+: " "$SAID" "the refusal of $name"
    expect_equal "$before" "$(revision)" "revision after $name"
}

still_serves() {
    load_without_failure "$WEB:80" "[$WEB6]:80" --connections 200
}

test_mistakes_are_refused_with_their_place() {
    bad unknown_key 's/^interfaces:/colour: blue\ninterfaces:/'
    bad wrong_type 's/^interfaces:.*/interfaces: 7/'
    bad unknown_pool '0,/pool: gateways}/s//pool: nowhere}/'
    bad duplicate_service 's/name: tls,/name: web,/'
    bad overlapping_listen 's/10:443/10:80/'
    bad bad_address 's/10\.2\.1\.2/10.2.1.256/'
    bad bad_port 's/10:443/10:70000/'
    bad negative_weight 's/address: 10\.2\.1\.2/address: 10.2.1.2, weight: -1/'
    bad later_feature 's|forwarding: ipip|forwarding: nat|'
    bad broken_yaml 's/^pools:/pools: [/'
    still_serves
}

test_what_this_host_cannot_do_is_refused() {
    bad no_such_interface 's/^interfaces:.*/interfaces: [eth9]/'
    # The edge's own address: its kernel would take the packets.
    bad local_service 's/203\.0\.113\.10:443/10.1.1.2:443/'
    still_serves
}

test_not_even_yaml() {
    head -c 20000 /dev/urandom >"$SCRATCH/noise.yaml"
    refused guideway check "$SCRATCH/noise.yaml"
    : >"$SCRATCH/empty.yaml"
    refused guideway check "$SCRATCH/empty.yaml"
    refused guideway check "$SCRATCH/absent.yaml"
    still_serves
}

test_a_raced_apply_is_refused() {
    refused guideway apply --if-revision 0 "$(lab_directory)/edge1/edge.yaml"
    still_serves
}

test_bad_requests_to_change_backends() {
    refused guideway backend add gateways/gw1 10.2.1.2
    refused guideway backend add nowhere/gw9 10.2.9.2
    refused guideway backend add gateways/gw9 not-an-address
    refused guideway backend remove gateways/gw9
    refused guideway backend weight gateways/gw1 many
    refused guideway backend disable gw1
    still_serves
}
