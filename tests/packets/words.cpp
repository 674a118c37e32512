#include "tests/packets/words.hpp"

#include <arpa/inet.h>

#include <charconv>
#include <cstdio>
#include <sstream>

namespace guideway::packets {

Words::Words(std::string_view text)
{
    std::istringstream stream{std::string(text)};
    std::string word;
    while (stream >> word) {
        words_.push_back(word);
    }
}

void Words::fail(std::string message)
{
    if (!error_) {
        error_ = std::move(message);
    }
}

std::string_view Words::peek() const
{
    return done() ? std::string_view{} : std::string_view{words_[at_]};
}

bool Words::accept(std::string_view word)
{
    if (done() || words_[at_] != word) {
        return false;
    }
    at_++;
    return true;
}

void Words::expect(std::string_view word)
{
    if (!accept(word)) {
        fail("expected '" + std::string(word) + "', found '" + std::string(peek()) + "'");
    }
}

std::string Words::next(std::string_view what)
{
    if (done()) {
        fail("expected " + std::string(what) + " at the end");
        return {};
    }
    return words_[at_++];
}

uint64_t Words::number(std::string_view what, uint64_t largest)
{
    const std::string word = next(what);
    const bool hex = word.starts_with("0x");
    const char *first = word.data() + (hex ? 2 : 0);
    const char *last = word.data() + word.size();
    uint64_t value = 0;
    const auto [end, problem] = std::from_chars(first, last, value, hex ? 16 : 10);
    if (first == last || problem != std::errc{} || end != last || value > largest) {
        fail("expected " + std::string(what) + ", a number up to " + std::to_string(largest) +
             ", found '" + word + "'");
        return 0;
    }
    return value;
}

Address Words::address(std::string_view what)
{
    const std::string word = next(what);
    Address address;
    address.is_ipv6 = word.find(':') != std::string::npos;
    if (inet_pton(address.is_ipv6 ? AF_INET6 : AF_INET, word.c_str(), address.bytes.data()) !=
        1) {
        fail("expected " + std::string(what) + ", an IP address, found '" + word + "'");
    }
    return address;
}

Mac Words::mac(std::string_view what)
{
    const std::string word = next(what);
    Mac mac{};
    char tail = 0;
    if (std::sscanf(word.c_str(), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &mac[0], &mac[1],
                    &mac[2], &mac[3], &mac[4], &mac[5], &tail) != 6) {
        fail("expected " + std::string(what) + ", a MAC address, found '" + word + "'");
    }
    return mac;
}

std::vector<uint8_t> Words::hex_bytes()
{
    std::vector<uint8_t> bytes;
    const std::string digits = next("hexadecimal digits");
    for (size_t i = 0; i < digits.size(); i += 2) {
        const auto pair = digits.substr(i, 2);
        if (pair.size() != 2 ||
            pair.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
            fail("'" + digits + "' is not whole bytes in hexadecimal");
            return {};
        }
        bytes.push_back(static_cast<uint8_t>(std::stoul(pair, nullptr, 16)));
    }
    return bytes;
}

Words Words::layer()
{
    Words part{""};
    while (!done()) {
        const std::string word = words_[at_++];
        if (word == "/") {
            break;
        }
        part.words_.push_back(word);
    }
    return part;
}

std::string Words::rest()
{
    std::string text;
    while (!done()) {
        text += (text.empty() ? "" : " ") + words_[at_++];
    }
    return text;
}

}  // namespace guideway::packets
