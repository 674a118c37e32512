# shellcheck shell=bash
# What can be done to a gateway of the lab while it serves. Sourced by scripts/lab. What is
# done to a gateway at present is in files: RUN/HOST/stopped, RUN/HOST/cut, RUN/HOST/answers.

require_gateway() {
    [[ -d $RUN/$1 && $1 == gw* ]] ||
        die "'$1' is not a gateway of this lab: gw1 to gw$BACKENDS"
}

# SIGSTOP: the kernel goes on taking connections, up to the backlog; nobody answers them.
stop_gateway() {
    local pid
    pid=$(process_id "$1" nginx) || die "$1: nginx does not run; 'accept' starts it"
    kill -STOP -- "-$pid"
    touch "$RUN/$1/stopped"
}

continue_gateway() {
    local pid
    rm -f "$RUN/$1/stopped"
    if pid=$(process_id "$1" nginx); then
        kill -CONT -- "-$pid"
    fi
}

# The ports are closed, and the connections with them.
refuse_at_gateway() {
    end_process "$1" nginx
    rm -f "$RUN/$1/stopped"
}

accept_at_gateway() {
    if ! process_id "$1" nginx >/dev/null; then
        start_nginx "$1"
        await_gateway "$1"
    fi
}

# Whatever comes by the links or would leave by them is lost; ARP is not.
cut_gateway() {
    command -v nft >/dev/null || die "nft is missing; scripts/bootstrap installs it"
    join_gateway "$1"
    in_host "$1" nft -f - <<'RULES'
table inet lab_cut {
    chain in {
        type filter hook prerouting priority raw
        iifname != "lo" drop
    }
    chain out {
        type filter hook output priority raw
        oifname != "lo" drop
    }
}
RULES
    touch "$RUN/$1/cut"
}

join_gateway() {
    in_host "$1" nft delete table inet lab_cut 2>/dev/null || true
    rm -f "$RUN/$1/cut"
}

workers_of() {
    pgrep -P "$1" | xargs
}

# has_new_workers MASTER OLD…: the old ones have closed their ports.
has_new_workers() {
    local master=$1 worker workers
    shift
    workers=" $(workers_of "$master") "
    for worker in "$@"; do
        if [[ $workers == *" $worker "* ]]; then
            grep -qa 'shutting down' "/proc/$worker/cmdline" 2>/dev/null || return 1
            workers=${workers/" $worker "/" "}
        fi
    done
    [[ $workers != " " && $workers != "  " ]]
}

# answer_at_gateway HOST normal|slow|status [NUMBER]: requests from now on; connections on
# which one is being answered go on as they were.
answer_at_gateway() {
    local host=$1 pid before i
    [[ ! -e $RUN/$host/stopped ]] || die "$host is stopped; 'continue' it first"
    shift
    [[ $(answers_of "$host") != "$*" ]] || return 0
    echo "$*" >"$RUN/$host/answers"
    write_nginx_configuration "$host"
    pid=$(process_id "$host" nginx) || return 0
    read -ra before <<<"$(workers_of "$pid")"
    kill -HUP "$pid"
    for ((i = 0; i < 100; i++)); do
        if has_new_workers "$pid" "${before[@]}"; then
            return 0
        fi
        sleep 0.05
    done
    die "$host: nginx did not take its new configuration: $(tail -n 2 "$RUN/$host/nginx.log")"
}

mend_gateway() {
    continue_gateway "$1"
    [[ ! -e $RUN/$1/cut ]] || join_gateway "$1"
    answer_at_gateway "$1" normal
    accept_at_gateway "$1"
}

# What is done to a gateway: ", stopped", ", slow 300", nothing.
trouble_of() {
    local host=$1 trouble=""
    [[ ! -e $RUN/$host/stopped ]] || trouble+=", stopped"
    [[ ! -e $RUN/$host/cut ]] || trouble+=", cut off"
    [[ $(answers_of "$host") == normal ]] || trouble+=", $(answers_of "$host")"
    echo "$trouble"
}
