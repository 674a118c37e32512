# shellcheck shell=bash
# Processes of the lab: started with a record of their id, ended by that id. Sourced by
# scripts/lab.

# When a process began, in clock ticks: an id together with this names one process only.
process_began() {
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # Field 22; the command's name before it, in parentheses, may hold blanks.
    read -ra fields <<<"${stat##*) }"
    # It has ended and let go of everything; some init processes take a second to notice.
    [[ ${fields[0]} != Z ]] || return 1
    echo "${fields[19]}"
}

# start_process HOST NAME COMMAND…  Its output goes to RUN/HOST/NAME.log.
start_process() {
    local host=$1 name=$2
    shift 2
    mkdir -p "$RUN/$host" "$RUN/pids"
    # A session of its own: a group that can be ended with all that it forked, and no
    # interrupt from the terminal. 9 is the lab's lock.
    setsid nsenter --net="/run/netns/$(namespace "$host")" -- "$@" \
        </dev/null >>"$RUN/$host/$name.log" 2>&1 9>&- &
    local pid=$!
    echo "$pid $(process_began "$pid" || echo 0)" >"$RUN/pids/$host.$name"
}

# process_id HOST NAME: its id, or nothing and failure when it does not run.
process_id() {
    local pid began
    read -r pid began 2>/dev/null <"$RUN/pids/$1.$2" || return 1
    [[ $(process_began "$pid") == "$began" ]] || return 1
    echo "$pid"
}

# end_process HOST NAME [SIGNAL]: the signal to its group, then KILL if that was not enough.
end_process() {
    local host=$1 name=$2 signal=${3:-TERM} pid i
    if pid=$(process_id "$host" "$name"); then
        kill "-$signal" -- "-$pid" 2>/dev/null || true
        # One that is stopped does not see it before it goes on.
        kill -CONT -- "-$pid" 2>/dev/null || true
        for ((i = 0; i < 50; i++)); do
            process_id "$host" "$name" >/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$pid" 2>/dev/null || true
    fi
    rm -f "$RUN/pids/$host.$name"
}

end_all_processes() {
    local record pids=() pid began host i
    for record in "$RUN"/pids/*; do
        [[ -e $record ]] || continue
        read -r pid began <"$record" || continue
        if [[ $(process_began "$pid") == "$began" ]]; then
            kill -TERM -- "-$pid" 2>/dev/null || true
            kill -CONT -- "-$pid" 2>/dev/null || true
        fi
    done
    # And what a person or a test started inside: nothing else can be in these namespaces.
    for ((i = 0; i < 30; i++)); do
        pids=()
        for host in $(existing_hosts); do
            mapfile -t -O "${#pids[@]}" pids < <(ip netns pids "$(namespace "$host")")
        done
        [[ ${#pids[@]} -gt 0 ]] || return 0
        if ((i == 5)); then
            kill -TERM "${pids[@]}" 2>/dev/null || true
        elif ((i == 25)); then
            kill -KILL "${pids[@]}" 2>/dev/null || true
        fi
        sleep 0.1
    done
}
