# shellcheck shell=bash
# Connections that are held open while backends come, go, change weight and drain.
# Lab: --backends 4

# with_periods LEARNING IDLE: the lab's configuration with these periods.
with_periods() {
    {
        echo "connections: {learning_period: $1, idle_timeout: $2}"
        base_configuration
    } >"$SCRATCH/edge.yaml"
    apply "$SCRATCH/edge.yaml"
}

both_pools() {
    local verb=$1 name=$2
    shift 2
    guideway backend "$verb" "gateways/$name" "$@" >/dev/null
    guideway backend "$verb" "gateways-v6/$name" "$@" >/dev/null
}

both_add() {
    guideway backend add "gateways/gw$1" "10.2.$1.2" --weight "$2" >/dev/null
    guideway backend add "gateways-v6/gw$1" "2001:db8:2:$1::2" --weight "$2" >/dev/null
}

# The change of that number, of ten that begin and end with all four gateways.
change() {
    case $(($1 % 10)) in
        0) both_pools weight gw1 30 ;;
        1) both_pools remove gw3 ;;
        2) both_pools weight gw2 250 ;;
        3) both_pools drain gw4 ;;
        4) both_add 3 100 ;;
        5) both_pools enable gw4 ;;
        6) both_pools remove gw2 ;;
        7) both_pools weight gw1 100 ;;
        8) both_pools weight gw3 40 ;;
        9) both_add 2 100 ;;
    esac
}

changes() {
    local i
    for ((i = 0; i < $1; i++)); do
        change "$i"
    done
}

test_a_thousand_downloads_and_a_hundred_changes() {
    with_periods 3s 4s
    hold downloads download "$WEB:80" "[$WEB6]:80" "$WEB_OVER_6:80" "[$WEB6_OVER_4]:80" \
        --flows 1000 --expect "$(lab_directory)/www/big" --rate 6000 --bytes 360000 --duration 60
    # Both pools at once: two changes each.
    changes 50
    release downloads
    expect_at_least 500 "$(event_counter pin_made)" "pins made"
    expect_equal 360000000 "$(held downloads .bytes)" "bytes that came"
}

# Each connection sends a packet every 0.9 learning periods: one asks a page each time, the
# other sends a third of a request. Whatever was moved at the beginning is forgotten at the
# end, but for its pins.
test_connections_that_speak_once_a_learning_period() {
    with_periods 5s 6s
    hold asking talk "$WEB:80" "[$WEB6]:80" --flows 300 --every-ms 4500 --duration 60
    hold dripping talk "$WEB:80" "[$WEB6]:80" --flows 300 --every-ms 4500 --pieces 3 \
        --duration 60
    both_pools remove gw2
    both_pools weight gw1 10
    sleep 9
    both_add 2 100
    both_pools weight gw3 0
    sleep 9
    release asking dripping
}

test_source_ports_are_used_again_while_slots_move() {
    local i
    with_periods 3s 4s
    hold ports reuse "$WEB:80" "[$WEB6]:80" "$WEB_OVER_6:80" "[$WEB6_OVER_4]:80" --flows 300 \
        --every-ms 400 --patience-ms 6000 --duration 60
    for ((i = 0; i < 20; i++)); do
        change "$i"
        sleep 0.2
    done
    sleep 1
    release ports
    expect_at_least 3000 "$(held ports .answers)" "connections"
    expect_at_least 1 "$(held ports .moved)" "connections to another gateway than a port's first"
}
