// Valid configurations, damaged in thousands of ways: each is either refused, with problems
// that have places, or is another valid configuration. Nothing crashes and nothing is in
// between. A failure prints the seed; GUIDEWAY_SEED runs that one alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "control/config/config.hpp"
#include "control/model/validate.hpp"

namespace guideway::config {
namespace {

constexpr uint64_t kSeeds = 4000;

std::vector<std::string> examples()
{
    std::vector<std::filesystem::path> paths;
    for (const auto &entry :
         std::filesystem::directory_iterator(GUIDEWAY_SOURCE_ROOT "/docs/examples")) {
        paths.push_back(entry.path());
    }
    std::ranges::sort(paths);
    std::vector<std::string> texts;
    for (const auto &path : paths) {
        std::ifstream stream(path);
        std::stringstream text;
        text << stream.rdbuf();
        texts.push_back(text.str());
        const auto document = parse(path.filename().string(), texts.back());
        EXPECT_TRUE(document);
        texts.push_back(emit(document->desired));
    }
    return texts;
}

// Owns the randomness of one seed.
class Mutator {
  public:
    Mutator(uint64_t seed, const std::vector<std::string> &texts)
        : random_(seed), texts_(texts), text_(texts[below(texts.size())])
    {
    }

    std::string run()
    {
        const size_t mutations = 1 + below(4);
        for (size_t i = 0; i < mutations; i++) {
            mutate();
        }
        return text_;
    }

  private:
    size_t below(size_t bound) { return bound == 0 ? 0 : random_() % bound; }

    // A range that begins and ends at borders of words, as a slip of an editor would.
    std::pair<size_t, size_t> word()
    {
        constexpr std::string_view kBorders = " \n:,[]{}#\"./";
        const size_t from = below(text_.size() + 1);
        size_t begin = text_.find_last_of(kBorders, from);
        size_t end = text_.find_first_of(kBorders, from);
        begin = begin == std::string::npos ? 0 : begin + 1;
        end = end == std::string::npos ? text_.size() : end;
        return {std::min(begin, end), end - std::min(begin, end)};
    }

    std::pair<size_t, size_t> line()
    {
        const size_t from = below(text_.size() + 1);
        const size_t begin = from == 0 ? std::string::npos : text_.rfind('\n', from - 1);
        const size_t end = text_.find('\n', from);
        const size_t first = begin == std::string::npos ? 0 : begin + 1;
        return {first, (end == std::string::npos ? text_.size() : end + 1) - first};
    }

    std::string value()
    {
        static const std::string kValues[] = {"0",
                                              "-1",
                                              "65536",
                                              "65537",
                                              "4294967296",
                                              "1e9",
                                              "''",
                                              "~",
                                              "null",
                                              "true",
                                              "[]",
                                              "{}",
                                              "10.2.0.2",
                                              "203.0.113.10",
                                              "0.0.0.0",
                                              "::1",
                                              "2001:db8::1",
                                              "tcp://203.0.113.10:443",
                                              "udp://[2001:db8::10]:443",
                                              "gateways",
                                              "gw-a",
                                              "api",
                                              "&a x",
                                              "*a",
                                              "!!int 3",
                                              "|",
                                              ">",
                                              "---",
                                              "...",
                                              "? x",
                                              "- x",
                                              "x: y",
                                              "<<",
                                              "\t",
                                              "\x04",
                                              "\xff",
                                              "\u00e4",
                                              "name",
                                              "listen",
                                              "pool",
                                              "health",
                                              "gue",
                                              "dpdk",
                                              "[[[[[[[[[[[[[[[[[[",
                                              "{a: {b: {c: {d: e}}}}"};
        return kValues[below(std::size(kValues))];
    }

    void mutate()
    {
        const auto [word_at, word_bytes] = word();
        const auto [line_at, line_bytes] = line();
        const size_t at = below(text_.size() + 1);
        switch (below(10)) {
            case 0:  // another byte
                text_.insert(at, 1, static_cast<char>(random_()));
                break;
            case 1:  // a byte missing, or a few
                text_.erase(at, 1 + below(4));
                break;
            case 2:  // cut off
                text_.resize(at);
                break;
            case 3:
                text_.replace(word_at, word_bytes, value());
                break;
            case 4:
                text_.erase(word_at, word_bytes);
                break;
            case 5:  // a line missing
                text_.erase(line_at, line_bytes);
                break;
            case 6:  // a line twice
                text_.insert(line_at, text_.substr(line_at, line_bytes));
                break;
            case 7:  // wrong indentation
                text_.insert(line_at, 1 + below(4), ' ');
                break;
            case 8: {  // a line of another example
                const std::string &other = texts_[below(texts_.size())];
                const size_t from = below(other.size());
                text_.insert(line_at, other.substr(from, other.find('\n', from) + 1 - from));
                break;
            }
            default: {  // a digit more or another
                const size_t digit = text_.find_first_of("0123456789", at);
                if (digit != std::string::npos) {
                    text_.replace(digit, below(2), std::to_string(below(100000)));
                }
            }
        }
    }

    std::mt19937_64 random_;
    const std::vector<std::string> &texts_;
    std::string text_;
};

// Whether it was accepted.
bool check(const std::string &text)
{
    const auto document = parse("mutated.yaml", text);
    if (document) {
        EXPECT_TRUE(model::validate(document->desired).empty());
        const auto again = parse("emitted.yaml", emit(document->desired));
        EXPECT_TRUE(again && again->desired == document->desired);
        EXPECT_TRUE(document->positions.contains("services"));
        return true;
    }
    EXPECT_FALSE(document.error().empty());
    for (const Problem &problem : document.error()) {
        EXPECT_EQ(problem.file, "mutated.yaml");
        EXPECT_FALSE(problem.message.empty());
        EXPECT_FALSE(problem.hint.empty()) << problem.to_string();
        EXPECT_GE(problem.position.line, 1) << problem.to_string();
        EXPECT_GE(problem.position.column, 1) << problem.to_string();
        const auto lines = std::ranges::count(text, '\n') + 1;
        EXPECT_LE(problem.position.line, lines) << problem.to_string();
    }
    return false;
}

TEST(ConfigMutations, AreRefusedWithTheirPlacesOrAreValid)
{
    const std::vector<std::string> texts = examples();
    ASSERT_GE(texts.size(), 4U);
    const char *only = std::getenv("GUIDEWAY_SEED");
    const uint64_t first = only == nullptr ? 1 : std::strtoull(only, nullptr, 10);
    const uint64_t last = only == nullptr ? kSeeds : first;
    size_t accepted = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        const std::string text = Mutator(seed, texts).run();
        accepted += check(text) ? 1 : 0;
        ASSERT_FALSE(HasFailure()) << "GUIDEWAY_SEED=" << seed << "\n" << text;
    }
    if (only == nullptr) {
        // Both sides have been seen.
        EXPECT_GT(accepted, kSeeds / 50);
        EXPECT_LT(accepted, kSeeds / 2);
    }
}

}  // namespace
}  // namespace guideway::config
