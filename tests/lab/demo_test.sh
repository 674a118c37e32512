# shellcheck shell=bash
# The demonstration: it works, says so in JSON, and leaves nothing behind.
#
# Lab: none

labs_of_demos() {
    find /run/guideway-lab -maxdepth 1 -name 'demo*' ! -name '*.lock' -printf '%f ' 2>/dev/null
}

test_json_is_one_object_and_nothing_failed() {
    local before
    before=$(labs_of_demos)
    "$ROOT/scripts/demo" --json --engine "$ENGINE" >"$SCRATCH/demo.json" 2>"$SCRATCH/progress" ||
        fail "exit status $?: $(cat "$SCRATCH/progress")"
    expect_equal 1 "$(jq -s length "$SCRATCH/demo.json")" "JSON objects on standard output"
    expect_at_least 5000 "$(jq .requests "$SCRATCH/demo.json")" "requests"
    expect_equal 0 "$(jq .failures "$SCRATCH/demo.json")" "failures"
    expect_equal "$ENGINE" "$(jq -r .engine "$SCRATCH/demo.json")" "engine"
    [[ $ENGINE == dpdk ]] ||
        expect_equal native "$(jq -r .xdp_mode "$SCRATCH/demo.json")" "XDP mode"
    expect_equal "gw1 gw2 gw3" "$(jq -r '.backends | keys | join(" ")' "$SCRATCH/demo.json")" \
        "who answered"
    expect_equal "$(jq .requests "$SCRATCH/demo.json")" \
        "$(jq '[.backends[]] | add' "$SCRATCH/demo.json")" "sum of answers"
    expect_equal "$before" "$(labs_of_demos)" "labs of demonstrations"
}

test_an_interrupted_demonstration_leaves_nothing() {
    local before delay demo status
    before=$(labs_of_demos)
    for delay in 1 4; do
        "$ROOT/scripts/demo" --keep >"$SCRATCH/output" 2>&1 &
        demo=$!
        sleep "$delay"
        kill -TERM "$demo"
        status=0
        wait "$demo" || status=$?
        expect_equal 143 "$status" "exit status after $delay s"
        expect_equal "$before" "$(labs_of_demos)" "labs of demonstrations after $delay s"
    done
}

test_bad_arguments_are_refused() {
    refused "$ROOT/scripts/demo" --colour
    refused "$ROOT/scripts/demo" fast
    refused "$ROOT/scripts/demo" --engine slow
}
