// docs/reasons.md says what dataplane/core/reasons.h says.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "dataplane/core/reasons.h"

namespace {

struct Row {
    const char *name;
    const char *verdict;
    const char *meaning;
};

constexpr Row kReasons[] = {
#define ROW(constant, name, verdict, meaning) {name, verdict, meaning},
    GW_REASON_LIST(ROW)
#undef ROW
};

constexpr Row kEvents[] = {
#define ROW(constant, name, meaning) {name, "", meaning},
    GW_EVENT_LIST(ROW)
#undef ROW
};

std::string document()
{
    std::ifstream file(GUIDEWAY_SOURCE_ROOT "/docs/reasons.md");
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST(Reasons, AreDocumentedWithTheirVerdictAndMeaning)
{
    const std::string text = document();
    for (const auto &row : kReasons) {
        const std::string line =
            std::string("| `") + row.name + "` | " + row.verdict + " | " + row.meaning + " |";
        EXPECT_NE(text.find(line), std::string::npos) << "docs/reasons.md lacks\n" << line;
    }
    for (const auto &row : kEvents) {
        const std::string line = std::string("| `") + row.name + "` | " + row.meaning + " |";
        EXPECT_NE(text.find(line), std::string::npos) << "docs/reasons.md lacks\n" << line;
    }
}

TEST(Reasons, HaveNamesOfTheirOwn)
{
    std::set<std::string> names;
    for (const auto &row : kReasons) {
        EXPECT_TRUE(names.insert(row.name).second) << row.name;
    }
    static_assert(GW_REASON_COUNT <= GW_REASONS_MAX);
    static_assert(GW_EVENT_COUNT <= GW_EVENTS_MAX);
}
