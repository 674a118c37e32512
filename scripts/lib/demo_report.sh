# shellcheck shell=bash
# What the demonstration shows of its results. Sourced by scripts/demo, which sets RESULTS (a
# directory with the JSON answers of the load and of the daemon) and the colours.

topology() {
    cat <<PICTURE

      ${BOLD}client${PLAIN}  10.0.0.2, 2001:db8::2
        │  ▲
        ▼  │                    service addresses 203.0.113.10 and
      ${BOLD}router${PLAIN} ◄────────┐         2001:db8:113::10
        │ to those    │
        │ addresses   │         answers go straight back
        ▼             │
      ${BOLD}edge1${PLAIN}           │
      ${GREEN}XDP program${PLAIN}     │         guidewayd keeps its tables
        ║ IP in IP    │
        ╠════► ${BOLD}gw1${PLAIN} ───┤
        ╠════► ${BOLD}gw2${PLAIN} ───┤         nginx, and the decapsulator
        ╚════► ${BOLD}gw3${PLAIN} ───┘

PICTURE
}

results() {
    local file=$1
    shift
    jq -r "$@" "$RESULTS/$file.json"
}

# bar SHARE: forty blocks are all of it.
bar() {
    local blocks i text=""
    blocks=$(awk "BEGIN { printf \"%d\", $1 * 40 + 0.5 }")
    for ((i = 0; i < 40; i++)); do
        if ((i < blocks)); then
            text+="█"
        else
            text+="·"
        fi
    done
    printf '%s%s%s' "$GREEN" "$text" "$PLAIN"
}

# Who answered the requests to one target, beside what the ring of its service promised.
# shellcheck disable=SC2016 # jq's own variables
answers_of() {
    local target=$1 service=$2 title=$3 gateway count requests share promised
    requests=$(results load --arg t "$target" '.targets[] | select(.target == $t) | .requests')
    printf '  %s%s%s, %s requests to %s\n' "$BOLD" "$title" "$PLAIN" "$requests" "$target"
    for gateway in $(results "$service" '.backends[].name'); do
        count=$(results load --arg t "$target" --arg g "$gateway" \
            '.targets[] | select(.target == $t) | .backends[$g] // 0')
        share=$(awk "BEGIN { print $requests ? $count / $requests : 0 }")
        promised=$(results "$service" --arg g "$gateway" \
            '.backends[] | select(.name == $g) | .share')
        printf '    %-5s %6d  %s %5.1f %%   the ring promised %5.1f %%\n' "$gateway" "$count" \
            "$(bar "$share")" "$(awk "BEGIN { print 100 * $share }")" \
            "$(awk "BEGIN { print 100 * $promised }")"
    done
    echo
}

latencies() {
    printf '  %sLatency%s, from connect to the last byte, in milliseconds\n' "$BOLD" "$PLAIN"
    results load '.latency_ms | "    fastest \(.min)   median \(.p50)   90 % \(.p90)   99 % \(.p99)   slowest \(.max)"'
    results load '"    \(.requests) requests in \(.elapsed_s) s, one connection each: \(.requests_per_s) a second on this machine"'
    echo
}

fast_path() {
    printf '  %sFast path%s\n' "$BOLD" "$PLAIN"
    results status '.interfaces[] | if .mode == "dpdk" then "    \(.name): DPDK, \(.device)"
        else "    \(.name): \(.mode) XDP, " +
        (if .attachment == "alone" then "alone on the interface (this kernel takes no dispatcher)"
         else "through the dispatcher, which other XDP programs can share" end) end'
    echo
}

reasons() {
    local name verdict packets meaning
    printf '  %sPackets%s that the edge has seen, and what became of them\n' "$BOLD" "$PLAIN"
    results counters '.reasons[] | select(.packets > 0) |
        "\(.packets)\t\(.verdict)\t\(.name)\t\(.meaning)"' |
        while IFS=$'\t' read -r packets verdict name meaning; do
            printf '    %8d  %-8s %-16s %s\n' "$packets" "$verdict" "$name" "$meaning"
        done
    echo
}

verdict() {
    if [[ $(results load .failures) == 0 ]]; then
        printf '  %sEvery request was answered.%s\n\n' "$GREEN$BOLD" "$PLAIN"
    else
        printf '  %s%s requests failed:%s\n' "$RED$BOLD" "$(results load .failures)" "$PLAIN"
        results load '.reasons | to_entries[] | "    \(.value)  \(.key)"'
        echo
    fi
}

full_report() {
    echo
    answers_of "$TARGET_IPV4" web IPv4
    answers_of "$TARGET_IPV6" web-v6 IPv6
    latencies
    fast_path
    reasons
    verdict
}

json_report() {
    jq -n --slurpfile load "$RESULTS/load.json" --slurpfile status "$RESULTS/status.json" \
        --slurpfile counters "$RESULTS/counters.json" --slurpfile ipv4 "$RESULTS/web.json" \
        --slurpfile ipv6 "$RESULTS/web-v6.json" '
        def promised: [.backends[] | {key: .name, value: .share}] | from_entries;
        {requests: $load[0].requests,
         failures: $load[0].failures,
         reasons: $load[0].reasons,
         backends: $load[0].backends,
         engine: $status[0].engine,
         xdp_mode: (if $status[0].engine == "xdp" then $status[0].interfaces[0].mode else null end),
         attachment: $status[0].interfaces[0].attachment,
         targets: $load[0].targets,
         promised: {web: ($ipv4[0] | promised), "web-v6": ($ipv6[0] | promised)},
         latency_ms: $load[0].latency_ms,
         elapsed_s: $load[0].elapsed_s,
         packets: ([$counters[0].reasons[] | select(.packets > 0)
                    | {key: .name, value: .packets}] | from_entries)}'
}
