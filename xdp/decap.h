// What the decapsulator counts: shared by the program and the tool that reads it.
#pragma once

// Every packet that the program sees ends with exactly one of these.
// X(constant, "name", "verdict", "meaning")
#define DECAP_OUTCOME_LIST(X)                                                                 \
    X(DECAPSULATED, "decapsulated", "strip",                                                  \
      "outer header taken off, the inner packet handed to the host")                          \
    X(NOT_TUNNELLED, "not_tunnelled", "pass", "not IP in IP")                                 \
    X(OTHER_DESTINATION, "other_destination", "pass",                                         \
      "IP in IP, but to an address that the decapsulator was not given")                      \
    X(OUTER_OPTIONS, "outer_options", "pass",                                                 \
      "IP in IP whose outer IPv4 header has options: left to the host")                       \
    X(OUTER_FRAGMENT, "outer_fragment", "pass",                                               \
      "a fragment of IP in IP, which only the host can put together")                         \
    X(MALFORMED, "malformed", "drop",                                                         \
      "IP in IP whose headers contradict themselves, are cut short or fail their checksum")   \
    X(ECN_INCAPABLE, "ecn_incapable", "drop",                                                 \
      "marked as congested on its way, and the inner packet cannot carry the mark (RFC 6040 " \
      "section 4.2)")

enum decap_outcome {
#define DECAP_OUTCOME_ENUM(constant, name, verdict, meaning) DECAP_##constant,
    DECAP_OUTCOME_LIST(DECAP_OUTCOME_ENUM)
#undef DECAP_OUTCOME_ENUM
        DECAP_OUTCOMES
};

// Names as the kernel keeps them (15 characters), by which the tool knows its own.
#define DECAP_PROGRAM_NAME "guideway_decap"
#define DECAP_ADDRESSES_NAME "decap_addresses"
#define DECAP_OUTCOMES_NAME "decap_outcomes"

#define DECAP_ADDRESSES_MAX 256
