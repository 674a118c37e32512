// Why a packet went where it went. Every packet that the core sees ends with exactly one
// of these reasons; every reason but `forwarded` has a counter of its own. Forwarded
// packets are counted per service and per backend, and the reader sums them (the counter
// at `forwarded` holds what services that were removed had forwarded).
//
// The list is the only place where reasons are named: counters, the API, the CLI and
// docs/reasons.md are made from it. The order is part of the tables' ABI: add at the end.
#pragma once

// X(constant, "name", "verdict", "meaning")
#define GW_REASON_LIST(X)                                                                    \
    X(FORWARDED, "forwarded", "forward", "encapsulated and sent to a backend")               \
    X(NOT_OURS, "not_ours", "pass", "no service has this destination address")               \
    X(UNMATCHED_PASS, "unmatched_pass", "pass",                                              \
      "a service address, but no service on this port, and 'unmatched: pass' is set")        \
    X(INACTIVE, "inactive", "pass",                                                          \
      "another generation of the program is the one that acts, or none is configured")       \
    X(ECHO_REPLIED, "echo_replied", "reply",                                                 \
      "answered: ICMP echo request to a service address")                                    \
    X(TOO_BIG, "too_big", "reply",                                                           \
      "does not fit with its outer header; answered with ICMP fragmentation needed or "      \
      "packet too big")                                                                      \
    X(TOO_BIG_UNANSWERED, "too_big_unanswered", "drop",                                      \
      "does not fit with its outer header, and gets no answer: the limit on ICMP answers "   \
      "was reached, or it is an ICMP error itself, or shorter than what an answer quotes")   \
    X(NO_SUCH_PORT, "no_such_port", "drop",                                                  \
      "a service address, but no service on this port or protocol")                          \
    X(NO_BACKEND, "no_backend", "drop", "the service has no backend that can be used")       \
    X(NO_NEIGHBOUR, "no_neighbour", "drop", "the next hop to the backend is not resolved")   \
    X(FRAGMENT, "fragment", "drop",                                                          \
      "a fragment to a service address: later fragments name no port")                       \
    X(IPV4_OPTIONS, "ipv4_options", "drop", "IPv4 options on a packet to a service address") \
    X(IPV6_EXTENSION, "ipv6_extension", "drop",                                              \
      "an IPv6 extension header on a packet to a service address")                           \
    X(MALFORMED, "malformed", "drop",                                                        \
      "a header to a service address contradicts itself or is cut short")                    \
    X(MARTIAN_SOURCE, "martian_source", "drop",                                              \
      "the source address cannot be a sender (RFC 1122 3.2.1.3, RFC 4291 2.5, 2.7)")         \
    X(ICMP_UNHANDLED, "icmp_unhandled", "drop",                                              \
      "ICMP to a service address that is neither an echo request nor an error")              \
    X(ICMP_QUOTE, "icmp_quote", "drop",                                                      \
      "an ICMP error to a service address whose quoted packet names no flow of ours")        \
    X(NO_HEADROOM, "no_headroom", "drop", "no room could be made for the outer header")      \
    X(NO_PIN, "no_pin", "drop",                                                              \
      "a new connection found no room for its pin in the second in which a move ends; its "  \
      "client asks again")                                                                   \
    X(DENIED, "denied", "drop", "the source is on the deny list")                            \
    X(LIMITED, "limited", "drop", "the source exceeds one of its limits")                    \
    X(SHED, "shed", "drop",                                                                  \
      "a new connection beyond the rate that the service admits over all sources")

enum gw_reason {
#define GW_REASON_ENUM(constant, name, verdict, meaning) GW_REASON_##constant,
    GW_REASON_LIST(GW_REASON_ENUM) GW_REASON_COUNT
#undef GW_REASON_ENUM
};

// Things that happen beside a packet's one reason.
// X(constant, "name", "meaning")
#define GW_EVENT_LIST(X)                                                                    \
    X(ICMP_FOLLOWED, "icmp_followed",                                                       \
      "ICMP errors sent to the backend of the flow they quote")                             \
    X(PIN_LOOKED_UP, "pin_looked_up",                                                       \
      "packets whose slot is not stable: the flow's pin was "                               \
      "looked up")                                                                          \
    X(PIN_HIT, "pin_hit", "lookups that found the flow's pin")                              \
    X(PIN_MADE, "pin_made", "flows that were pinned")                                       \
    X(PIN_REFUSED, "pin_refused",                                                           \
      "flows that found no room for a pin: where a move had "                               \
      "begun, it takes that much longer")                                                   \
    X(PIN_EXPIRED, "pin_expired", "pins taken away by the sweep, their flows being silent") \
    X(PIN_DEAD, "pin_dead",                                                                 \
      "pins taken away because their backend died or was cut, or their service is gone")    \
    X(PIN_RELEASED, "pin_released", "pins taken away because their slot became stable")     \
    X(SYN_REPEATED, "syn_repeated", "SYNs seen again within the time of retransmissions")   \
    X(SOURCE_TRACKED, "source_tracked", "sources that were given a place of their own")     \
    X(SOURCE_SHARED, "source_shared",                                                       \
      "packets of sources without a place of their own, which share a limit's state with "  \
      "others")                                                                             \
    X(SOURCE_UNNAMED, "source_unnamed",                                                     \
      "packets in excess of a limit whose source had no room among those that are shown")   \
    X(LIMIT_OBSERVED, "limit_observed", "packets in excess of a limit that only observes")

enum gw_event {
#define GW_EVENT_ENUM(constant, name, meaning) GW_EVENT_##constant,
    GW_EVENT_LIST(GW_EVENT_ENUM) GW_EVENT_COUNT
#undef GW_EVENT_ENUM
};

// Room in the tables, so that a new reason does not change their layout.
#define GW_REASONS_MAX 64
#define GW_EVENTS_MAX 32
