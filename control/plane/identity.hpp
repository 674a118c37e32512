// Names of objects in the tables, by which the next daemon knows them again.
#pragma once

#include <cstdint>
#include <string_view>

namespace guideway::plane {

// FNV-1a, 64 bits, of texts that each end with a zero. Not 0, which is nobody's name.
class Identity {
  public:
    Identity &add(std::string_view text)
    {
        for (char c : text) {
            add_byte(static_cast<uint8_t>(c));
        }
        add_byte(0);
        return *this;
    }
    [[nodiscard]] uint64_t value() const { return hash_ == 0 ? 1 : hash_; }

  private:
    void add_byte(uint8_t byte) { hash_ = (hash_ ^ byte) * 0x100000001b3ULL; }
    uint64_t hash_ = 0xcbf29ce484222325ULL;
};

}  // namespace guideway::plane
