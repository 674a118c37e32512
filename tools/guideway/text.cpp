#include "tools/guideway/text.hpp"

#include <fmt/format.h>
#include <wchar.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <cmath>

namespace guideway::cli {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::string_view kGap = "  ";

struct Character {
    char32_t code = 0;
    size_t bytes = 0;  // 0: not UTF-8
};

// The first character of `text`, which is not empty. RFC 3629: no overlong forms, no
// surrogates.
Character first_character(std::string_view text)
{
    const auto lead = static_cast<uint8_t>(text[0]);
    if (lead < 0x80) {
        return {lead, 1};
    }
    const size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
    if (bytes == 0 || text.size() < bytes) {
        return {};
    }
    char32_t code = lead & (0x7f >> bytes);
    for (size_t i = 1; i < bytes; ++i) {
        const auto next = static_cast<uint8_t>(text[i]);
        if ((next & 0xc0) != 0x80) {
            return {};
        }
        code = code << 6 | (next & 0x3f);
    }
    constexpr std::array<char32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < kLeast[bytes] || code > 0x10ffff || surrogate ? Character{}
                                                                : Character{code, bytes};
}

bool is_control(char32_t code)
{
    // C0, DEL, C1, and the marks that change the direction of text.
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

}  // namespace

size_t display_width(std::string_view text)
{
    static const bool ready = std::setlocale(LC_CTYPE, "C.UTF-8") != nullptr;
    size_t width = 0;
    while (!text.empty()) {
        const auto character = first_character(text);
        const int columns =
            ready && character.bytes > 0 ? ::wcwidth(static_cast<wchar_t>(character.code)) : 1;
        width += columns < 0 ? 1 : static_cast<size_t>(columns);
        text.remove_prefix(std::max<size_t>(character.bytes, 1));
    }
    return width;
}

std::string printable(std::string_view text)
{
    std::string safe;
    while (!text.empty()) {
        const auto character = first_character(text);
        if (character.bytes == 0 || is_control(character.code)) {
            safe += kReplacement;
        } else {
            safe += text.substr(0, character.bytes);
        }
        text.remove_prefix(std::max<size_t>(character.bytes, 1));
    }
    return safe;
}

std::string grouped(uint64_t number)
{
    std::string digits = std::to_string(number);
    for (size_t i = digits.size(); i > 3; i -= 3) {
        digits.insert(i - 3, 1, ',');
    }
    return digits;
}

std::string bytes_text(uint64_t bytes)
{
    constexpr std::array<std::string_view, 6> kUnits = {"KiB", "MiB", "GiB",
                                                        "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        return fmt::format("{} B", bytes);
    }
    auto value = static_cast<double>(bytes) / 1024;
    size_t unit = 0;
    // What would be printed as 1024.0 is one of the next unit.
    while (value >= 1023.95 && unit + 1 < kUnits.size()) {
        value /= 1024;
        ++unit;
    }
    return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string duration_text(double seconds)
{
    if (!(seconds >= 0) || seconds > 1e12) {
        return "?";
    }
    const auto whole = static_cast<uint64_t>(seconds);
    if (whole < 60) {
        return fmt::format("{}s", whole);
    }
    if (whole < 3600) {
        return fmt::format("{}m {}s", whole / 60, whole % 60);
    }
    if (whole < 86400) {
        return fmt::format("{}h {}m", whole / 3600, whole / 60 % 60);
    }
    return fmt::format("{}d {}h", whole / 86400, whole / 3600 % 24);
}

std::string percent_text(double share)
{
    return std::isfinite(share) ? fmt::format("{:.1f} %", share * 100) : "?";
}

std::string count_text(uint64_t number, std::string_view noun)
{
    return fmt::format("{} {}{}", grouped(number), noun, number == 1 ? "" : "s");
}

std::string coloured(std::string_view text, Colour colour, bool enabled)
{
    if (!enabled || colour == Colour::kNone || text.empty()) {
        return std::string(text);
    }
    // SGR codes of ECMA-48, in the order of Colour.
    constexpr std::array<std::string_view, 5> kCodes = {"", "32", "33", "31", "2"};
    return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<size_t>(colour)], text);
}

void Table::add(std::vector<Cell> cells)
{
    cells.resize(columns_.size());
    for (auto &cell : cells) {
        cell.text = printable(cell.text);
    }
    rows_.push_back(std::move(cells));
}

std::string Table::to_string(bool colours) const
{
    std::vector<Cell> titles;
    std::vector<size_t> widths;
    for (const auto &column : columns_) {
        titles.push_back({column.title, Colour::kFaint});
        widths.push_back(display_width(column.title));
    }
    for (const auto &row : rows_) {
        for (size_t i = 0; i < row.size(); ++i) {
            widths[i] = std::max(widths[i], display_width(row[i].text));
        }
    }
    std::string text;
    const auto add_line = [&](const std::vector<Cell> &cells) {
        std::string pending;  // spaces, written only when something follows
        for (size_t i = 0; i < cells.size(); ++i) {
            const std::string padding(widths[i] - display_width(cells[i].text), ' ');
            const bool right = columns_[i].align == Align::kRight;
            pending += right ? padding : "";
            if (!cells[i].text.empty()) {
                text += pending + coloured(cells[i].text, cells[i].colour, colours);
                pending.clear();
            }
            pending += right ? "" : padding;
            pending += kGap;
        }
        text += '\n';
    };
    add_line(titles);
    for (const auto &row : rows_) {
        add_line(row);
    }
    return text;
}

}  // namespace guideway::cli
