# shellcheck shell=bash
# The DPDK engine comes, goes, changes and is changed for XDP; connections do not care.
# Lab: --engine dpdk

# with_engine NAME SED-EXPRESSION…: the lab's configuration, changed so, in a file of that name.
with_engine() {
    local name=$1
    shift
    base_configuration | sed "$@" >"$SCRATCH/$name.yaml"
}

engine() {
    guideway status --json | jq -r ".dpdk.$1"
}

engine_runs() {
    [[ $(engine state) == running ]]
}

another_engine_runs() {
    engine_runs && [[ $(engine pid) != "$1" ]]
}

processes() {
    pgrep -f "^$ROOT/build/dataplane/guideway-dpdk .*--run-dir=$(lab_directory)/" || true
}

test_the_engine_changes_under_load() {
    with_engine xdp 's/^engine: dpdk/engine: xdp/'
    hold asking talk "$WEB:80" "[$WEB6]:80" --flows 200 --every-ms 400 --duration 60
    hold stream datagrams "$WEB:42" "[$WEB6]:42" --flows 40 --rate 1000 --duration 60
    for _ in 1 2; do
        guideway apply "$SCRATCH/xdp.yaml"
        expect_equal native "$(guideway status --json | jq -r '.interfaces[0].mode')" "mode"
        expect_equal "" "$(processes)" "engines"
        sleep 1
        guideway apply "$(lab_directory)/edge1/edge.yaml"
        [[ $(on edge1 ip link show dev eth0) != *prog/xdp* ]] || fail "eth0 still has a program"
        engine_runs || fail "the engine does not run: $(guideway status)"
        sleep 1
    done
    release asking
    lets_go stream
    expect_at_least 2000 "$(held stream .sent)" "packets sent"
    expect_equal 0 "$(held stream .moved)" "flows that changed their gateway"
}

test_an_engine_that_crashes_is_started_again() {
    local before
    before=$(engine pid)
    hold asking talk "$WEB:80" "[$WEB6]:80" --flows 200 --every-ms 400 --duration 60
    kill -KILL "$before"
    eventually 10 another_engine_runs "$before"
    release asking
    load_without_failure "$WEB:80" "[$WEB6]:80" --connections 200
    guideway history --json | jq -e '[.events[].kind] | contains(["engine_ended", "engine_started"])' ||
        fail "no events tell of it"
    expect_equal '[]' "$(guideway status --json | jq -c .problems)" "problems"
}

# While no daemon runs nobody starts an engine; the next daemon does.
test_an_engine_that_crashes_without_a_daemon() {
    local before
    before=$(engine pid)
    lab daemon kill edge1
    load_without_failure "$WEB:80" --connections 100
    kill -KILL "$before"
    lab daemon start edge1
    eventually 10 another_engine_runs "$before"
    eventually 10 all_backends_forward
    load_without_failure "$WEB:80" "[$WEB6]:80" --connections 200
}

test_what_cannot_start_is_refused_and_all_goes_on() {
    local before
    before=$(revision)
    with_engine wrong 's/^engine: dpdk/&\ndpdk: {ports: [{interface: eth0, device: net_nothing}]}/'
    hold asking talk "$WEB:80" "[$WEB6]:80" --flows 200 --every-ms 400 --duration 60
    refused guideway apply "$SCRATCH/wrong.yaml"
    expect_match 'net_nothing' "$SAID" "the refusal"
    expect_equal "$before" "$(revision)" "revision"
    engine_runs || fail "the engine of before does not run: $(guideway status)"
    release asking
    # Nor does XDP go for an engine that does not come.
    with_engine xdp 's/^engine: dpdk/engine: xdp/'
    guideway apply "$SCRATCH/xdp.yaml"
    load_begins "$WEB:80" --connections 0 --duration 4 --concurrency 4 --pause-ms 5
    refused guideway apply "$SCRATCH/wrong.yaml"
    load_ends
    expect_equal native "$(guideway status --json | jq -r '.interfaces[0].mode')" "mode"
    expect_equal "" "$(processes)" "engines"
}

test_other_settings_and_sizes_keep_connections() {
    local before
    before=$(engine pid)
    with_engine other 's/^engine: dpdk/&\ndpdk: {memory: 32MiB, idle: sleep}\ncapacity: {pins: 65536}/'
    hold asking talk "$WEB:80" "[$WEB6]:80" --flows 200 --every-ms 400 --duration 60
    guideway apply "$SCRATCH/other.yaml"
    [[ $(engine pid) != "$before" ]] || fail "the engine was not started anew"
    # The tables alone: no new engine.
    before=$(engine pid)
    sed -i 's/pins: 65536/pins: 131072/' "$SCRATCH/other.yaml"
    guideway apply "$SCRATCH/other.yaml"
    expect_equal "$before" "$(engine pid)" "the engine's process"
    load_without_failure "$WEB:80" "[$WEB6]:80" --connections 200
    release asking
}

test_detach_ends_the_engine() {
    guideway detach
    expect_equal "" "$(processes)" "engines"
    lab daemon stop edge1
    lab daemon start edge1
    eventually 10 all_backends_forward
    load_without_failure "$WEB:80" --connections 100
}

test_an_engine_of_the_service_manager() {
    local pid daemon_pins=/sys/fs/bpf/guideway-lab-$LAB/edge1
    with_engine external 's/^engine: dpdk/&\ndpdk: {start: external}/'
    guideway apply "$SCRATCH/external.yaml"
    pid=$(engine pid)
    expect_equal external "$(engine start)" "who starts it"
    kill -KILL "$pid"
    eventually 5 a_problem_tells_of_it
    on edge1 setsid "$ROOT/build/dataplane/guideway-dpdk" --instance edge1 --bpffs "$daemon_pins" \
        --run-dir "$(lab_directory)/edge1/run" --port eth0=net_af_packet --port eth1=net_af_packet \
        </dev/null >"$SCRATCH/engine.log" 2>&1 &
    eventually 10 another_engine_runs "$pid"
    load_without_failure "$WEB:80" "[$WEB6]:80" --connections 200
    pid=$(engine pid)
    # The daemon takes it over when it is to: as it runs otherwise, by one of its own.
    guideway apply "$(lab_directory)/edge1/edge.yaml"
    eventually 10 another_engine_runs "$pid"
    load_without_failure "$WEB:80" --connections 100
}

a_problem_tells_of_it() {
    guideway status --json | jq -r '.problems[]' | grep -q 'for the service manager to start'
}
