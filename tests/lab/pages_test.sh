# shellcheck shell=bash
# Pages, TLS and UDP through the load balancer, over IPv4 and IPv6.

test_a_page_over_ipv4() {
    expect_match '^gw[123]$' "$(answerer "http://$WEB/")" "who answers"
}

test_a_page_over_ipv6() {
    expect_match '^gw[123]$' "$(answerer "http://[$WEB6]/")" "who answers"
}

test_ipv4_carried_in_ipv6_and_ipv6_in_ipv4() {
    expect_match '^gw[123]$' "$(answerer "http://$WEB_OVER_6/")" "who answers IPv4 over IPv6"
    expect_match '^gw[123]$' "$(answerer "http://[$WEB6_OVER_4]/")" "who answers IPv6 over IPv4"
}

test_many_connections_spread_as_the_ring_promises() {
    load_without_failure "$WEB:80" "[$WEB6]:80" "$WEB_OVER_6:80" "[$WEB6_OVER_4]:80" \
        --connections 3000 --concurrency 32
    local gateway
    # A third each; three standard deviations of 3000 draws are 77.
    for gateway in gw1 gw2 gw3; do
        expect_between 900 1100 "$(loaded ".backends.$gateway // 0")" "answers of $gateway"
    done
}

test_one_flow_has_one_gateway() {
    local port first
    for port in 20001 20002 20003 20004 20005; do
        first=$(answerer --local-port "$port" "http://$WEB/")
        # The same five-tuple again, once the old connection is over.
        expect_equal "$first" "$(answerer --local-port "$port" "http://$WEB/")" "port $port"
    done
}

test_tls_is_passed_through_to_the_gateway() {
    local certificate
    certificate=$(lab_directory)/tls/cert.pem
    expect_match '^gw[123]$' "$(answerer --cacert "$certificate" "https://$WEB/")" "over IPv4"
    expect_match '^gw[123]$' "$(answerer --cacert "$certificate" "https://[$WEB6]/")" "over IPv6"
}

udp_echo() {
    on client timeout 5 socat -t 2 -T 2 - "$1" <<<"$2"
}

test_udp_echo_over_ipv4_and_ipv6() {
    expect_equal "one" "$(udp_echo "UDP4:$WEB:7" one)" "echo over IPv4"
    expect_equal "two" "$(udp_echo "UDP6:[$WEB6]:7" two)" "echo over IPv6"
}

test_replies_go_straight_to_the_client() {
    local before after
    before=$(on edge1 cat /proc/net/dev | awk '/eth0:/ { print $2 }')
    fetch --output "$SCRATCH/big" "http://$WEB/big"
    after=$(on edge1 cat /proc/net/dev | awk '/eth0:/ { print $2 }')
    # The edge saw acknowledgements, not the 50 MB.
    expect_between 0 10000000 $((after - before)) "bytes received by the edge"
}
