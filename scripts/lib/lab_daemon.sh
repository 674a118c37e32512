# shellcheck shell=bash
# The load balancer on an edge host of the lab. Sourced by scripts/lab.

# Where a host's daemon keeps its things; the instance's name is the host's.
daemon_socket() {
    echo "$RUN/$1/run/$1.sock"
}

daemon_bpffs() {
    echo "/sys/fs/bpf/guideway-lab-$INSTANCE/$1"
}

require_edge() {
    [[ -d $RUN/$1 && $1 == edge* ]] || die "'$1' is not an edge host of this lab"
}

# The configuration that a lab's edge starts with: all gateways, by their own links.
print_configuration() {
    local host=$1 n
    local edge=${host#edge}
    local interfaces=eth0
    # What leaves by an interface that is no port of the engine's is lost.
    [[ $ENGINE == xdp ]] || interfaces="eth0, eth1"
    cat <<CONFIGURATION
instance: $host
interfaces: [$interfaces]
engine: $ENGINE
tunnel_source: 10.1.$edge.2
tunnel_source6: "2001:db8:1:$edge::2"

services:
  - {name: web, listen: "tcp://203.0.113.10:80", forwarding: ipip, pool: gateways}
  - {name: web-v6, listen: "tcp://[2001:db8:113::10]:80", forwarding: ipip, pool: gateways-v6}
  - {name: tls, listen: "tcp://203.0.113.10:443", forwarding: ipip, pool: gateways}
  - {name: tls-v6, listen: "tcp://[2001:db8:113::10]:443", forwarding: ipip, pool: gateways-v6}
  - {name: echo, listen: "udp://203.0.113.10:7", forwarding: ipip, pool: gateways}
  - {name: echo-v6, listen: "udp://[2001:db8:113::10]:7", forwarding: ipip, pool: gateways-v6}
  - {name: names, listen: "udp://203.0.113.10:42", forwarding: ipip, pool: gateways}
  - {name: names-v6, listen: "udp://[2001:db8:113::10]:42", forwarding: ipip, pool: gateways-v6}
  # IPv6 to gateways that are reached by IPv4, and the other way round.
  - {name: web-v4-over-v6, listen: "tcp://203.0.113.11:80", forwarding: ipip, pool: gateways-v6}
  - {name: web-v6-over-v4, listen: "tcp://[2001:db8:113::11]:80", forwarding: ipip, pool: gateways}

pools:
  - name: gateways
    backends:
CONFIGURATION
    for ((n = 1; n <= BACKENDS; n++)); do
        echo "      - {name: gw$n, address: 10.2.$n.2}"
    done
    echo "  - name: gateways-v6"
    echo "    backends:"
    for ((n = 1; n <= BACKENDS; n++)); do
        echo "      - {name: gw$n, address: \"2001:db8:2:$n::2\"}"
    done
}

# start_daemon HOST [CONFIG]: waits until it answers, and shows its log when it does not.
start_daemon() {
    local host=$1 configuration=${2:-} i
    local options=(--instance "$host" --state-dir "$RUN/$host/state" --run-dir "$RUN/$host/run"
        --bpffs "$(daemon_bpffs "$host")")
    [[ -x $DAEMON ]] || die "$DAEMON is not built: run scripts/build"
    # One that is ending, after a detach, has a moment to do so.
    for ((i = 0; i < 30; i++)); do
        process_id "$host" guidewayd >/dev/null || break
        sleep 0.1
    done
    process_id "$host" guidewayd >/dev/null && die "$host: the daemon runs already"
    [[ -z $configuration ]] || options+=(--config "$(realpath "$configuration")")
    mkdir -p "$RUN/$host/state" "$RUN/$host/run"
    start_process "$host" guidewayd "$DAEMON" "${options[@]}"
    for ((i = 0; i < 100; i++)); do
        if guideway_cli "$host" status >/dev/null 2>&1; then
            return 0
        fi
        process_id "$host" guidewayd >/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$RUN/$host/guidewayd.log" >&2
    die "$host: the daemon does not answer; its log is above and in $RUN/$host/guidewayd.log"
}

# The CLI, speaking to a host's daemon.
guideway_cli() {
    local host=$1
    shift
    in_host "$host" "$CLI" --socket "$(daemon_socket "$host")" "$@"
}
