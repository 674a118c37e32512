# shellcheck shell=bash
# 50 MB down and up. Every link has an MTU of 1500, so what the client sends in full-sized
# packets does not fit into the tunnel: it works only if the client is told.

digest() {
    sha256sum "$1" | cut -d ' ' -f 1
}

# downloads URL: whole and undamaged.
downloads() {
    fetch --output "$SCRATCH/down" "$1"
    expect_equal "$(digest "$(lab_directory)/www/big")" "$(digest "$SCRATCH/down")" \
        "digest of what came down"
    rm "$SCRATCH/down"
}

# uploads HOST: whole and undamaged, to whichever gateway it was.
uploads() {
    local gateway file
    gateway=$(fetch --dump-header - --output /dev/null \
        --upload-file "$(lab_directory)/www/big" "http://$1/upload/file" |
        tr -d '\r' | sed -n 's/^X-Gateway: //p' | tail -1)
    expect_match '^gw[123]$' "$gateway" "who took the upload"
    file=$(lab_directory)/$gateway/upload/file
    expect_equal "$(digest "$(lab_directory)/www/big")" "$(digest "$file")" \
        "digest of what $gateway received"
    rm "$file"
}

test_download_over_ipv4() {
    downloads "http://$WEB/big"
}

test_download_over_ipv6() {
    downloads "http://[$WEB6]/big"
}

test_upload_over_ipv4_after_fragmentation_needed() {
    counts too_big 1 uploads "$WEB"
}

test_upload_over_ipv6_after_packet_too_big() {
    counts too_big 1 uploads "[$WEB6]"
}

test_upload_in_the_mixed_encapsulations() {
    counts too_big 1 uploads "$WEB_OVER_6"
    counts too_big 1 uploads "[$WEB6_OVER_4]"
}

test_the_client_learns_the_mtu_that_fits() {
    uploads "$WEB"
    expect_match 'mtu 1480' "$(on client ip route get "$WEB")" "path to $WEB"
    uploads "[$WEB6]"
    expect_match 'mtu 1460' "$(on client ip -6 route get "$WEB6")" "path to $WEB6"
}

# A gateway's full-sized packets do not fit the narrow link. The router's error goes to the
# service address, and must reach the gateway whose connection it is about.
test_a_narrow_link_in_the_clients_path_ipv4() {
    lab path-mtu 1400
    local before
    before=$(event_counter icmp_followed)
    downloads "http://$WEB/big"
    expect_at_least 1 $(($(event_counter icmp_followed) - before)) "ICMP errors followed"
    uploads "$WEB"
}

test_a_narrow_link_in_the_clients_path_ipv6() {
    lab path-mtu 1400
    local before
    before=$(event_counter icmp_followed)
    downloads "http://[$WEB6]/big"
    expect_at_least 1 $(($(event_counter icmp_followed) - before)) "ICMP errors followed"
    uploads "[$WEB6]"
}
