// Text for people: widths, units, tables. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace guideway::cli {

// Columns that `text` takes on a terminal: wide characters two, combining ones none.
[[nodiscard]] size_t display_width(std::string_view text);

// Without control characters and broken UTF-8, so that no name can steer a terminal.
[[nodiscard]] std::string printable(std::string_view text);

[[nodiscard]] std::string grouped(uint64_t number);       // 1,234,567
[[nodiscard]] std::string bytes_text(uint64_t bytes);     // 17.4 MiB
[[nodiscard]] std::string duration_text(double seconds);  // 3h 12m
[[nodiscard]] std::string percent_text(double share);     // 33.3 %
// "1 backend", "2 backends"
[[nodiscard]] std::string count_text(uint64_t number, std::string_view noun);

enum class Colour : uint8_t { kNone, kGood, kWarning, kBad, kFaint };
[[nodiscard]] std::string coloured(std::string_view text, Colour colour, bool enabled);

enum class Align : uint8_t { kLeft, kRight };

class Table {
  public:
    struct Column {
        std::string title;
        Align align = Align::kLeft;
    };
    struct Cell {
        std::string text;
        Colour colour = Colour::kNone;
    };

    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
    // Missing cells are empty; text is made printable here.
    void add(std::vector<Cell> cells);
    [[nodiscard]] bool empty() const { return rows_.empty(); }
    // With a line of titles; no line ends with spaces.
    [[nodiscard]] std::string to_string(bool colours) const;

  private:
    std::vector<Column> columns_;
    std::vector<std::vector<Cell>> rows_;
};

}  // namespace guideway::cli
