// For tests of what configurations are refused for.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/config/config.hpp"

namespace guideway::config {

// A valid configuration whose parts the cases replace.
struct Parts {
    std::string top = "instance: edge-1\ninterfaces: [eth0]\n";  // lines 1-2
    std::string source =
        "tunnel_source: 10.1.0.2\ntunnel_source6: 2001:db8:1::2\n";  // lines 3-4
    std::string services =                                           // lines 5-6
        "services:\n"
        "  - {name: api, listen: 'tcp://203.0.113.10:443', pool: gws}\n";
    std::string pools =  // lines 7-10
        "pools:\n"
        "  - name: gws\n"
        "    backends:\n"
        "      - {name: gw-a, address: 10.2.0.2}\n";

    [[nodiscard]] std::string text() const { return top + source + services + pools; }
};

inline std::vector<std::string> problems(const std::string &text)
{
    std::vector<std::string> lines;
    if (auto document = parse("edge.yaml", text); !document) {
        for (const Problem &problem : document.error()) {
            lines.push_back(problem.to_string());
        }
    }
    return lines;
}

// Expects exactly these problems, in this order; each is given as "LINE:COLUMN: " and the
// beginning of the rest, or with "…" between pieces that must follow each other.
inline void expect(const std::string &text, const std::vector<std::string> &expected)
{
    const std::vector<std::string> found = problems(text);
    std::string shown = text.substr(0, 2000) + "\n";
    for (const std::string &line : found) {
        shown += line + "\n";
    }
    ASSERT_EQ(found.size(), expected.size()) << shown;
    for (size_t i = 0; i < found.size(); i++) {
        const std::string separator = "…";
        std::string wanted = "edge.yaml:" + expected[i];
        size_t from = 0;
        for (bool is_first = true; !wanted.empty(); is_first = false) {
            const size_t cut = wanted.find(separator);
            const std::string piece = wanted.substr(0, cut);
            const size_t at = found[i].find(piece, from);
            ASSERT_TRUE(is_first ? at == 0 : at != std::string::npos)
                << "expected: " << expected[i] << "\nfound: " << found[i] << "\n"
                << shown;
            from = at + piece.size();
            wanted = cut == std::string::npos ? "" : wanted.substr(cut + separator.size());
        }
    }
}

inline std::string service(const std::string &rest)
{
    return "services:\n  - {name: api, pool: gws, " + rest + "}\n";
}

inline std::string backends(const std::vector<std::string> &items)
{
    std::string text = "pools:\n  - name: gws\n    backends:\n";
    for (const std::string &item : items) {
        text += "      - {" + item + "}\n";
    }
    return text;
}

}  // namespace guideway::config
