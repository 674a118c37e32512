// Reading a case file word by word. The first mistake is kept and ends the reading, so
// that a parser can be written without a check after each word.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace guideway::packets {

struct Address {
    bool is_ipv6 = false;
    std::array<uint8_t, 16> bytes{};  // IPv4: the first four

    [[nodiscard]] size_t size() const { return is_ipv6 ? 16 : 4; }
    bool operator==(const Address &) const = default;
};

using Mac = std::array<uint8_t, 6>;

class Words {
  public:
    explicit Words(std::string_view text);

    [[nodiscard]] bool done() const { return error_ || at_ == words_.size(); }
    [[nodiscard]] const std::optional<std::string> &error() const { return error_; }
    void fail(std::string message);

    // Consumes the next word if it is `word`.
    bool accept(std::string_view word);
    void expect(std::string_view word);
    std::string next(std::string_view what);
    uint64_t number(std::string_view what, uint64_t largest);
    Address address(std::string_view what);
    Mac mac(std::string_view what);
    std::vector<uint8_t> hex_bytes();

    // The words that are left, up to the next "/", which is consumed.
    Words layer();
    [[nodiscard]] std::string rest();
    [[nodiscard]] std::string_view peek() const;

  private:
    std::vector<std::string> words_;
    size_t at_ = 0;
    std::optional<std::string> error_;
};

}  // namespace guideway::packets
