#include "control/config/config.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace guideway::config {
namespace {

std::string read_file(const std::filesystem::path &path)
{
    std::ifstream stream(path);
    std::stringstream text;
    text << stream.rdbuf();
    return text.str();
}

std::string all(const std::vector<Problem> &problems)
{
    std::string text;
    for (const Problem &problem : problems) {
        text += problem.to_string() + "\n";
    }
    return text;
}

TEST(Config, ParsesEveryExampleOfTheDocumentation)
{
    int examples = 0;
    for (const auto &entry :
         std::filesystem::directory_iterator(GUIDEWAY_SOURCE_ROOT "/docs/examples")) {
        const auto document = parse(entry.path().filename().string(), read_file(entry.path()));
        EXPECT_TRUE(document) << all(document.error());
        if (document) {
            const auto again = parse("emitted", emit(document->desired));
            ASSERT_TRUE(again) << all(again.error()) << emit(document->desired);
            EXPECT_EQ(again->desired, document->desired);
        }
        examples++;
    }
    EXPECT_GE(examples, 2);
}

}  // namespace
}  // namespace guideway::config
