# shellcheck shell=bash
# A picture of the lab as it is. Sourced by scripts/lab.

# The XDP program on a device: "guideway native", "none".
xdp_on() {
    local line
    line=$(ip_in "$1" -details link show dev "$2" 2>/dev/null)
    if [[ $line =~ prog/xdp\ id\ ([0-9]+)\ name\ ([^ ]+) ]]; then
        local name=${BASH_REMATCH[2]}
        if [[ $line == *xdpgeneric* ]]; then
            echo "$name, generic XDP"
        else
            echo "$name, native XDP"
        fi
    else
        echo "no XDP program"
    fi
}

# What forwards on an edge.
engine_of() {
    if [[ $ENGINE == xdp ]]; then
        xdp_on "$1" eth0
    elif pgrep -f "^$DPDK --instance=$1 .*--run-dir=$RUN/" >/dev/null; then
        echo "guideway-dpdk runs"
    else
        echo "no guideway-dpdk"
    fi
}

running() {
    if process_id "$1" "$2" >/dev/null; then
        echo "$3 runs"
    else
        echo "no $3"
    fi
}

tags_of() {
    case $(cat "$RUN/$1/tags") in
        vlan) echo "frames tagged 802.1Q 100" ;;
        qinq) echo "frames tagged QinQ 200.300" ;;
        *) echo "plain frames" ;;
    esac
}

gateway_word() {
    if gateway_is_ready "$1"; then
        echo "nginx and echo answer$(trouble_of "$1")"
    else
        echo "DOES NOT ANSWER$(trouble_of "$1")"
    fi
}

show_lab() {
    local n host stem mtu
    mtu=$(ip_in transit -o link show dev router | sed 's/.* mtu \([0-9]*\).*/\1/')
    cat <<PICTURE
lab '$INSTANCE': $EDGES edge(s), $BACKENDS gateway(s), engine $ENGINE; state in $RUN

  client    10.0.0.2, 2001:db8::2
    │
  transit   its link to the router has an MTU of $mtu
    │
  router    ${SERVICE_NET_IPV4} and ${SERVICE_NET_IPV6} go to the edge(s)
PICTURE
    for ((n = 1; n <= EDGES; n++)); do
        host=edge$n
        printf '    ├── %-7s 10.1.%s.2, 2001:db8:1:%s::2  (and 10.3.0.%s on the second network)\n' \
            "$host" "$n" "$n" "$n"
        printf '    │           %s; %s; %s\n' "$(tags_of "$host")" \
            "$(running "$host" guidewayd guidewayd)" "$(engine_of "$host")"
    done
    for ((n = 1; n <= BACKENDS; n++)); do
        host=gw$n
        stem='├──'
        ((n < BACKENDS)) || stem='└──'
        printf '    %s %-7s 10.2.%s.2, 2001:db8:2:%s::2  (and 10.3.0.%s)\n' "$stem" "$host" \
            "$n" "$n" "$((100 + n))"
        stem='│'
        ((n < BACKENDS)) || stem=' '
        printf '    %s           %s; %s\n' "$stem" "$(gateway_word "$host")" \
            "$(xdp_on "$host" eth0)"
    done
}

how_to_play() {
    local options=""
    [[ $INSTANCE == default ]] || options=" --instance $INSTANCE"
    cat <<TEXT
  scripts/lab status$options
  scripts/lab exec$options client curl -i http://203.0.113.10/
  scripts/lab exec$options client curl -g -i 'http://[2001:db8:113::10]/pages/1000.txt'
  scripts/lab daemon$options start edge1        the load balancer, with a configuration of the lab's
  scripts/lab guideway$options edge1 status     the CLI, to that daemon
  scripts/lab guideway$options edge1 backend weight gateways/gw1 20
  scripts/lab guideway$options edge1 counters
  scripts/lab exec$options gw1 tcpdump -ni eth0
  scripts/lab tags$options edge1 vlan           tag the edge's link (plain, vlan, qinq)
  scripts/lab path-mtu$options 1400             narrow the client's path
  scripts/lab down$options
TEXT
}
