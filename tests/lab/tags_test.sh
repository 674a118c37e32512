# shellcheck shell=bash
# The edge's link to the router is tagged: 802.1Q, then QinQ. What the DPDK engine sends by
# net_af_packet meets the tagger, and would have its tags twice.
#
# Of XDP: all

# on_the_wire FILTER COMMAND…: the command makes frames that match pass the edge's device.
on_the_wire() {
    local filter=$1 tcpdump
    shift
    on router timeout 10 tcpdump -c 1 -Q out -nei edge1 "$filter" >"$SCRATCH/frames" 2>&1 &
    tcpdump=$!
    sleep 0.7
    "$@"
    wait "$tcpdump" || fail "no frame matched '$filter': $(cat "$SCRATCH/frames")"
}

serves_all() {
    local big
    big=$(sha256sum <"$(lab_directory)/www/big")
    load_without_failure "$WEB:80" "[$WEB6]:80" "$WEB_OVER_6:80" "[$WEB6_OVER_4]:80" \
        --connections 400 --concurrency 16
    expect_equal "$big" "$(fetch "http://$WEB/big" | sha256sum)" "download over IPv4"
    expect_equal "$big" "$(fetch "http://[$WEB6]/big" | sha256sum)" "download over IPv6"
}

uploads_whole() {
    expect_equal 201 "$(fetch --output /dev/null --write-out '%{http_code}' --upload-file \
        "$(lab_directory)/www/big" "http://$1/upload/tagged.$RANDOM")" "upload to $1"
}

test_frames_tagged_802_1q() {
    lab tags edge1 vlan
    on_the_wire 'vlan 100 and (ip or ip6)' serves_all
    counts too_big 1 uploads_whole "$WEB"
    counts too_big 1 uploads_whole "[$WEB6]"
}

test_frames_with_two_tags() {
    lab tags edge1 qinq
    on_the_wire 'ether proto 0x88a8' serves_all
    counts too_big 1 uploads_whole "$WEB"
    counts too_big 1 uploads_whole "[$WEB6]"
}

test_echo_and_drops_in_tagged_frames() {
    local tags
    for tags in vlan qinq; do
        lab tags edge1 "$tags"
        counts echo_replied 2 on client ping -c 2 -i 0.2 -W 2 "$WEB"
        counts echo_replied 2 on client ping -c 2 -i 0.2 -W 2 "$WEB6"
        counts no_such_port 1 fetch --max-time 1 "http://$WEB:81/"
    done
}
