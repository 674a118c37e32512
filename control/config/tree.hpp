// A YAML text as a tree of values that know their places. What YAML has and a
// configuration does not need (anchors, aliases, tags, several documents, keys that are
// not plain words) is refused here, and so is what would cost much to read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/config/config.hpp"

namespace guideway::config {

inline constexpr size_t kTextBytesMax = 4u << 20;
inline constexpr int kDepthMax = 16;           // levels of nesting; the schema has six
inline constexpr int kOpenBracketsMax = 1000;  // before it is known what they mean
inline constexpr size_t kValuesMax = 262144;   // more than tables of the largest size need

struct Node {
    enum class Kind {
        kNothing,  // no value is written: "key:" or "~"
        kScalar,
        kList,
        kMap,
        kRefused,  // a problem has been reported; says nothing more
    };
    struct Key {
        std::string text;
        Position position;
    };

    Kind kind = Kind::kNothing;
    Position position;
    bool is_quoted = false;  // a scalar that was written as 'text' or "text"
    std::string text;        // of a scalar
    std::vector<Key> keys;   // of a map, one for each value; distinct
    std::vector<Node> values;
};

struct Tree {
    Node root;
    std::vector<Problem> problems;  // without their file
    bool is_complete = false;       // the text was read to its end
};

[[nodiscard]] Tree read_tree(std::string_view text);

}  // namespace guideway::config
