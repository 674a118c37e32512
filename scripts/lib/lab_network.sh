# shellcheck shell=bash
# The lab's hosts and links. Sourced by scripts/lab, which sets INSTANCE, RUN, BACKENDS, EDGES
# and ENGINE. docs/lab.md has the drawing and the address plan.

SERVICES_IPV4=(203.0.113.10 203.0.113.11 203.0.113.12 203.0.113.13)
SERVICES_IPV6=(2001:db8:113::10 2001:db8:113::11 2001:db8:113::12 2001:db8:113::13)
SERVICE_NET_IPV4=203.0.113.8/29
SERVICE_NET_IPV6=2001:db8:113::10/124

namespace() {
    echo "gwlab-$INSTANCE-$1"
}

# nsenter rather than `ip netns exec`, which would hide bpffs behind a fresh /sys.
in_host() {
    local host=$1
    shift
    nsenter --net="/run/netns/$(namespace "$host")" -- "$@"
}

ip_in() {
    local host=$1
    shift
    ip -n "$(namespace "$host")" "$@"
}

# Settings before any device exists, so that devices are born with them.
add_host() {
    local host=$1
    ip netns add "$(namespace "$host")"
    # shellcheck disable=SC2016 # for the inner shell
    in_host "$host" bash -c '
        cd /proc/sys/net
        for scope in all default; do
            echo 0 >"ipv4/conf/$scope/rp_filter"
            echo 0 >"ipv4/conf/$scope/send_redirects"
            echo 0 >"ipv4/conf/$scope/accept_redirects"
            echo 0 >"ipv6/conf/$scope/accept_dad"
            echo 0 >"ipv6/conf/$scope/accept_ra"
            echo 0 >"ipv6/conf/$scope/accept_redirects"
        done
        echo 4096 >core/somaxconn
        # Measured PMTUs are not remembered across runs by the TCP metrics.
        echo 1 >ipv4/tcp_no_metrics_save'
    ip_in "$host" link set lo up
}

forward_packets() {
    in_host "$1" bash -c '
        cd /proc/sys/net
        echo 1 >ipv4/ip_forward
        echo 1 >ipv6/conf/all/forwarding
        # Large and small errors alike are wanted in a lab: no limit on ICMP.
        echo 0 >ipv4/icmp_ratelimit
        echo 0 >ipv6/icmp/ratelimit'
}

# add_link HOST DEVICE IPV4/LENGTH IPV6/LENGTH   HOST DEVICE IPV4/LENGTH IPV6/LENGTH
# An address "-" leaves that end without.
add_link() {
    local left=$1 left_device=$2 right=$5 right_device=$6
    ip link add "$left_device" netns "$(namespace "$left")" type veth \
        peer name "$right_device" netns "$(namespace "$right")"
    set_up_device "$left" "$left_device" "$3" "$4"
    set_up_device "$right" "$right_device" "$7" "$8"
}

set_up_device() {
    local host=$1 device=$2 ipv4=$3 ipv6=$4
    # tx off: whole checksums on the wire, as a program that reads packets must find them.
    # The others off: tags on the wire too.
    in_host "$host" ethtool -K "$device" tx off txvlan off tx-vlan-stag-hw-insert off >/dev/null
    add_addresses "$host" "$device" "$ipv4" "$ipv6"
}

add_addresses() {
    local host=$1 device=$2 ipv4=$3 ipv6=$4
    if [[ $ipv4 != - ]]; then
        ip_in "$host" address add "$ipv4" dev "$device"
        ip_in "$host" address add "$ipv6" dev "$device" nodad
    fi
    ip_in "$host" link set "$device" up
}

default_route() {
    ip_in "$1" route replace default via "$2"
    ip_in "$1" -6 route replace default via "$3"
}

build_client_side() {
    add_host client
    add_host transit
    add_host router
    forward_packets transit
    forward_packets router
    in_host router bash -c '
        echo 1 >/proc/sys/net/ipv4/fib_multipath_hash_policy
        echo 1 >/proc/sys/net/ipv6/fib_multipath_hash_policy'
    # Some thousands of connections from one address, one after the other.
    in_host client bash -c 'echo "1024 65535" >/proc/sys/net/ipv4/ip_local_port_range'
    # No TIME_WAIT: whichever side closes first, the client may use a port again at once.
    in_host client bash -c 'echo 0 >/proc/sys/net/ipv4/tcp_max_tw_buckets'
    add_link client eth0 10.0.0.2/24 2001:db8::2/64 transit client 10.0.0.1/24 2001:db8::1/64
    add_link transit router 10.0.1.1/24 2001:db8:0:1::1/64 \
        router transit 10.0.1.2/24 2001:db8:0:1::2/64
    default_route client 10.0.0.1 2001:db8::1
    default_route transit 10.0.1.2 2001:db8:0:1::2
    ip_in router route add 10.0.0.0/24 via 10.0.1.1
    ip_in router -6 route add 2001:db8::/64 via 2001:db8:0:1::1
}

# The second network: a switch to which every edge and every gateway has a direct link.
build_switch() {
    add_host switch
    ip_in switch link add net2 type bridge mcast_snooping 0
    ip_in switch link set net2 up
}

join_switch() {
    local host=$1 number=$2
    add_link "$host" eth1 "10.3.0.$number/24" "2001:db8:3::$number/64" switch "$host" - -
    ip_in switch link set "$host" master net2
}

build_edge() {
    local n=$1 host=edge$1
    add_host "$host"
    forward_packets "$host"
    add_link router "$host" "10.1.$n.1/24" "2001:db8:1:$n::1/64" \
        "$host" eth0 "10.1.$n.2/24" "2001:db8:1:$n::2/64"
    join_switch "$host" "$n"
    # What the fast path sends by a link is not taken otherwise; see tests/lab/pass.bpf.c.
    ip_in router link set dev "$host" xdpdrv object "$PASS" section xdp.frags
    ip_in switch link set dev "$host" xdpdrv object "$PASS" section xdp.frags
    default_route "$host" "10.1.$n.1" "2001:db8:1:$n::1"
    # Without the fast path a packet to a service address would go round between edge and
    # router until its hops are used up. A port of net_af_packet leaves the kernel a copy of what
    # the engine forwards, and no answer is due to that.
    local action=unreachable
    [[ $ENGINE == xdp ]] || action=blackhole
    ip_in "$host" rule add iif eth0 to "$SERVICE_NET_IPV4" "$action"
    ip_in "$host" -6 rule add iif eth0 to "$SERVICE_NET_IPV6" "$action"
}

build_gateway_host() {
    local n=$1 host=gw$1 address
    add_host "$host"
    # The service addresses are on lo, and the network is not told.
    # shellcheck disable=SC2016 # for the inner shell
    in_host "$host" bash -c '
        cd /proc/sys/net/ipv4/conf
        for scope in all default; do
            echo 1 >"$scope/arp_ignore"
            echo 2 >"$scope/arp_announce"
        done'
    add_link router "$host" "10.2.$n.1/24" "2001:db8:2:$n::1/64" \
        "$host" eth0 "10.2.$n.2/24" "2001:db8:2:$n::2/64"
    join_switch "$host" $((100 + n))
    default_route "$host" "10.2.$n.1" "2001:db8:2:$n::1"
    for address in "${SERVICES_IPV4[@]}"; do
        ip_in "$host" address add "$address/32" dev lo
    done
    for address in "${SERVICES_IPV6[@]}"; do
        ip_in "$host" address add "$address/128" dev lo nodad
    done
}

# tag_link EDGE plain|vlan|qinq: the tags of frames on the edge's link to the router. They
# are put on and taken off at both ends by tests/lab/tagger.bpf.c, because VLAN devices are
# not in every kernel.
tag_link() {
    local edge=$1 tags=$2 end host device
    for end in "router $edge" "$edge eth0"; do
        read -r host device <<<"$end"
        in_host "$host" tc qdisc del dev "$device" clsact 2>/dev/null || true
        if [[ $tags != plain ]]; then
            in_host "$host" tc qdisc add dev "$device" clsact
            in_host "$host" tc filter add dev "$device" egress \
                bpf direct-action object-file "$TAGGER" section "tc/$tags"
            in_host "$host" tc filter add dev "$device" ingress \
                bpf direct-action object-file "$TAGGER" section tc/untag
        fi
    done
    echo "$tags" >"$RUN/$edge/tags"
    route_services
}

# The router sends service addresses to all edges, by flow. Two tags leave 1496 bytes: veth
# has room for one beyond its MTU of 1500.
route_services() {
    local n mtu=1500 hops_ipv4=() hops_ipv6=()
    for ((n = 1; n <= EDGES; n++)); do
        [[ $(cat "$RUN/edge$n/tags") != qinq ]] || mtu=1496
        hops_ipv4+=(nexthop via "10.1.$n.2")
        hops_ipv6+=(nexthop via "2001:db8:1:$n::2")
    done
    ip_in router route replace "$SERVICE_NET_IPV4" mtu lock "$mtu" "${hops_ipv4[@]}"
    ip_in router -6 route replace "$SERVICE_NET_IPV6" mtu lock "$mtu" "${hops_ipv6[@]}"
}

# The link between the client's provider and the router, for paths that are narrower.
set_path_mtu() {
    ip_in transit link set router mtu "$1"
    ip_in router link set transit mtu "$1"
}

build_network() {
    local n
    build_client_side
    build_switch
    for ((n = 1; n <= EDGES; n++)); do
        mkdir -p "$RUN/edge$n"
        build_edge "$n"
        echo plain >"$RUN/edge$n/tags"
    done
    route_services
    for ((n = 1; n <= BACKENDS; n++)); do
        build_gateway_host "$n"
    done
}

# Namespaces of this instance, whatever the state that an `up` left behind.
existing_hosts() {
    local path prefix
    prefix=$(namespace "")
    for path in "/run/netns/$prefix"*; do
        if [[ -e $path ]]; then
            # "a" must not take "a-b" for its own: hosts have no dash.
            local host=${path#"/run/netns/$prefix"}
            [[ $host == *-* ]] || echo "$host"
        fi
    done
}

remove_network() {
    local host
    for host in $(existing_hosts); do
        ip netns del "$(namespace "$host")" || true
    done
}
