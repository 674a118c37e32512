# shellcheck shell=bash
# An address with a service is ours: what is not for a service has a stated answer. What is
# for other addresses is none of our business.
#
# A packet socket of DPDK's driver is given fragments put together.
# Of XDP: fragments_are_counted

answers_pings() {
    on client ping -c 3 -i 0.2 -W 2 "$@" >"$SCRATCH/ping" || fail "$(cat "$SCRATCH/ping")"
}

test_echo_is_answered() {
    counts echo_replied 3 answers_pings "$WEB"
    counts echo_replied 3 answers_pings "$WEB6"
}

# Odd lengths and all byte values: checksums that lose a carry fail on some.
test_echo_is_answered_whatever_its_size() {
    local size
    for size in 0 1 17 56 777 1401 1472; do
        answers_pings -s "$size" -p "ff00aa$(printf '%02x' $((size % 256)))" "$WEB"
    done
    for size in 0 1 17 56 777 1401 1452; do
        answers_pings -s "$size" -p "ff00aa$(printf '%02x' $((size % 256)))" "$WEB6"
    done
}

test_another_port_is_no_such_port() {
    counts no_such_port 1 refused fetch --max-time 1.5 "http://$WEB:8080/"
    counts no_such_port 1 refused fetch --max-time 1.5 "http://[$WEB6]:8080/"
}

test_another_protocol_is_no_such_port() {
    # UDP to a port that has a TCP service only.
    counts no_such_port 1 on client bash -c "echo x >/dev/udp/$WEB/80"
}

test_fragments_are_counted() {
    counts fragment 2 refused on client ping -c 1 -W 1 -s 3000 "$WEB"
    counts fragment 2 refused on client ping -c 1 -W 1 -s 3000 "$WEB6"
}

test_options_are_counted() {
    # Record route.
    counts ipv4_options 1 refused on client ping -R -c 1 -W 1 "$WEB"
}

# gw1 by its address on the second network, by way of the edge's kernel.
route_through_the_edge() {
    on router ip route replace 10.3.0.0/24 via 10.1.1.2
    on router ip -6 route replace 2001:db8:3::/64 via 2001:db8:1:1::2
}

test_other_traffic_through_the_edge_passes_untouched() {
    route_through_the_edge
    counts not_ours 1 answers_pings 10.3.0.101
    answers_pings 2001:db8:3::101
    answers_pings -s 4000 10.3.0.101
    answers_pings -s 4000 2001:db8:3::101
    expect_equal gw1 "$(fetch http://10.3.0.101/)" "a page over IPv4"
    expect_equal gw1 "$(fetch 'http://[2001:db8:3::101]/')" "a page over IPv6"
    expect_equal "$(sha256sum <"$(lab_directory)/www/big")" \
        "$(fetch http://10.3.0.101/big | sha256sum)" "a big file"
}

test_the_edge_itself_can_be_reached() {
    answers_pings 10.1.1.2
    answers_pings 2001:db8:1:1::2
    on edge1 timeout 20 socat TCP4-LISTEN:2222,reuseaddr,fork SYSTEM:'echo hello' &
    eventually 3 on client timeout 1 socat -u TCP4:10.1.1.2:2222 -
    # Only this address's own: the service address has no such port.
    counts no_such_port 1 refused on client timeout 1.5 socat -u "TCP4:$WEB:2222,connect-timeout=1" -
}
