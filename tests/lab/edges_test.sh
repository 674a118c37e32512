# shellcheck shell=bash
# Two edge hosts behind the router's ECMP.
# Lab: --edges 2

second() {
    lab guideway edge2 "$@"
}

second_edge_serves() {
    second status >/dev/null 2>&1 || lab daemon start edge2
    eventually 10 second_is_ready
}

second_is_ready() {
    second status --json | jq -e '.backends.total > 0 and .backends.total == .backends.forwarding'
}

forwarded() {
    "$1" status --json | jq .packets.forwarded
}

test_both_edges_carry_traffic() {
    second_edge_serves
    local first_before second_before
    first_before=$(forwarded guideway) second_before=$(forwarded second)
    load_without_failure "$WEB:80" "[$WEB6]:80" --connections 1000 --concurrency 16
    expect_at_least 1000 $(($(forwarded guideway) - first_before)) "packets by edge1"
    expect_at_least 1000 $(($(forwarded second) - second_before)) "packets by edge2"
}

# The ring is a function of the set of backends: where a router moves a flow to does not
# matter to a flow whose backends are the same.
test_a_flow_has_the_same_gateway_on_either_edge() {
    second_edge_serves
    local port answers=()
    for port in 30001 30002 30003 30004 30005 30006; do
        answers+=("$(answerer --local-port "$port" "http://$WEB/")")
    done
    on router ip route replace 203.0.113.8/29 via 10.1.1.2
    for port in 30001 30002 30003 30004 30005 30006; do
        expect_equal "${answers[port - 30001]}" \
            "$(answerer --local-port "$port" "http://$WEB/")" "port $port by edge1"
    done
    on router ip route replace 203.0.113.8/29 via 10.1.2.2
    for port in 30001 30002 30003 30004 30005 30006; do
        expect_equal "${answers[port - 30001]}" \
            "$(answerer --local-port "$port" "http://$WEB/")" "port $port by edge2"
    done
}
