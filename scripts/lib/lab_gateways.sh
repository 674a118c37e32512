# shellcheck shell=bash
# What runs on the gateways: the decapsulator, nginx, echo on port 7, and lab_server. Sourced
# by scripts/lab; what can be done to a gateway is in lab_trouble.sh.

BIG_FILE_BYTES=52428800

# One certificate and one set of pages for all.
prepare_content() {
    local names address
    mkdir -p "$RUN/www/pages" "$RUN/tls"
    names=DNS:guideway.test
    for address in "${SERVICES_IPV4[@]}" "${SERVICES_IPV6[@]}"; do
        names+=",IP:$address"
    done
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
        -subj /CN=guideway.test -addext "subjectAltName=$names" \
        -keyout "$RUN/tls/key.pem" -out "$RUN/tls/cert.pem" 2>"$RUN/tls/openssl.log" ||
        die "openssl could not make a certificate: $(tail -1 "$RUN/tls/openssl.log")"
    # Random bytes, so that a damaged or missing piece cannot look right.
    head -c "$BIG_FILE_BYTES" /dev/urandom >"$RUN/www/big"
    local size
    for size in 100 1000 10000 100000; do
        printf '%*s' "$size" '' | tr ' ' g >"$RUN/www/pages/$size.txt"
    done
}

# What nginx answers: "normal", "slow MS" or "status CODE".
answers_of() {
    cat "$RUN/$1/answers" 2>/dev/null || echo normal
}

print_ports() {
    cat <<PORTS
        listen 80 backlog=4096;
        listen [::]:80 ipv6only=on backlog=4096;
        listen 443 ssl backlog=4096;
        listen [::]:443 ssl ipv6only=on backlog=4096;
        ssl_certificate $RUN/tls/cert.pem;
        ssl_certificate_key $RUN/tls/key.pem;
PORTS
}

print_pages() {
    cat <<PAGES
        add_header X-Gateway $1 always;
        root $RUN/www;
        location = / { default_type text/plain; return 200 "$1\n"; }
        location = /healthz { default_type text/plain; return 200 "ok\n"; }
        location /upload/ { root $RUN/$1; dav_methods PUT DELETE; }
PAGES
}

# print_servers HOST normal|slow|status [MS|CODE]
print_servers() {
    local host=$1 how=$2 number=${3:-}
    echo "    server {"
    print_ports
    case $how in
        normal) print_pages "$host" ;;
        status)
            cat <<STATUS
        add_header X-Gateway $host always;
        location / { default_type text/plain; return $number "$host\n"; }
STATUS
            ;;
        slow)
            # lab_server takes its time to permit each request.
            cat <<SLOW
        location / {
            auth_request /lab-delay;
            proxy_pass http://unix:$RUN/$host/pages.sock;
        }
        location = /lab-delay {
            internal;
            proxy_pass http://unix:$RUN/$host/delays.sock:/$number;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_read_timeout 100s;
        }
    }
    server {
        listen unix:$RUN/$host/pages.sock;
SLOW
            print_pages "$host"
            ;;
    esac
    echo "    }"
}

write_nginx_configuration() {
    local host=$1
    local home=$RUN/$host answers
    read -ra answers <<<"$(answers_of "$host")"
    mkdir -p "$home/upload" "$home/tmp"
    cat >"$home/nginx.conf" <<CONFIGURATION
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid $home/nginx.pid;
error_log $home/nginx.log warn;
events { worker_connections 10000; }
http {
    access_log off;
    types { text/plain txt; text/html html; }
    default_type application/octet-stream;
    sendfile on;
    client_max_body_size 256m;
    client_body_temp_path $home/tmp/body;
    proxy_temp_path $home/tmp/proxy;
    fastcgi_temp_path $home/tmp/fastcgi;
    uwsgi_temp_path $home/tmp/uwsgi;
    scgi_temp_path $home/tmp/scgi;
    keepalive_timeout 15s;
$(print_servers "$host" "${answers[@]}")
}
CONFIGURATION
}

start_nginx() {
    # One that was killed leaves it behind.
    rm -f "$RUN/$1/pages.sock"
    write_nginx_configuration "$1"
    start_process "$1" nginx nginx -p "$RUN/$1" -c "$RUN/$1/nginx.conf" -g 'daemon off;'
}

# Ports that answer once a gateway serves.
gateway_is_ready() {
    # shellcheck disable=SC2016 # for the inner shell
    in_host "$1" bash -c '
        for port in 80 443 7; do
            : <"/dev/tcp/203.0.113.10/$port" || exit 1
            : <"/dev/tcp/2001:db8:113::10/$port" || exit 1
        done' 2>/dev/null
}

start_gateway() {
    local host=$1 device
    for device in eth0 eth1; do
        in_host "$host" "$DECAP" attach "$device" >>"$RUN/$host/decap.log" 2>&1 ||
            die "$host: $(tail -1 "$RUN/$host/decap.log")"
    done
    start_nginx "$host"
    # Bound to the address, so that answers come from it.
    start_process "$host" echo-tcp4 socat TCP4-LISTEN:7,bind=203.0.113.10,fork,reuseaddr PIPE
    start_process "$host" echo-udp4 socat UDP4-RECVFROM:7,bind=203.0.113.10,fork PIPE
    start_process "$host" echo-tcp6 \
        socat 'TCP6-LISTEN:7,bind=[2001:db8:113::10],fork,reuseaddr' PIPE
    start_process "$host" echo-udp6 socat 'UDP6-RECVFROM:7,bind=[2001:db8:113::10],fork' PIPE
    start_process "$host" lab-server "$SERVER" --name "$host" --delays "$RUN/$host/delays.sock" \
        203.0.113.10:42 '[2001:db8:113::10]:42'
}

start_gateways() {
    local n
    prepare_content
    for ((n = 1; n <= BACKENDS; n++)); do
        mkdir -p "$RUN/gw$n"
        start_gateway "gw$n"
    done
    for ((n = 1; n <= BACKENDS; n++)); do
        await_gateway "gw$n"
    done
}

await_gateway() {
    local i
    for ((i = 0; i < 100; i++)); do
        if gateway_is_ready "$1"; then
            return 0
        fi
        sleep 0.1
    done
    die "$1 does not answer after 10 seconds: $(tail -qn 2 "$RUN/$1"/*.log)"
}
