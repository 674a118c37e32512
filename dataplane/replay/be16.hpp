// A 16-bit field of a header, wherever it lies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace guideway::replay {

[[nodiscard]] inline uint16_t be16_at(std::span<const uint8_t> bytes, size_t offset)
{
    return static_cast<uint16_t>(bytes[offset] << 8 | bytes[offset + 1]);
}

}  // namespace guideway::replay
