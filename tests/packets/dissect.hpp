// What the bytes of a frame mean, field by field, for a person who compares two frames.
#pragma once

#include <string>
#include <vector>

#include "tests/packets/notation.hpp"

namespace guideway::packets {

struct Field {
    size_t offset = 0;
    std::string name;   // "ipv4.ttl"; a nested header of the same kind: "ipv4'.ttl"
    std::string value;  // hexadecimal, or an address
};

// Every byte belongs to exactly one field. Never fails: what is not understood is "data".
[[nodiscard]] std::vector<Field> dissect(const Bytes &frame);

// The fields in which the frames differ, one a line; empty when they are equal.
[[nodiscard]] std::string describe_difference(const Bytes &expected, const Bytes &actual);

}  // namespace guideway::packets
