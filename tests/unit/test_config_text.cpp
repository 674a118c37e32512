// What is refused before a configuration's keys are looked at: texts that are no YAML, YAML
// that is no configuration, and what is made to be costly.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/config_problems.hpp"

namespace guideway::config {
namespace {

const std::string kSmall = "instance: e\ninterfaces: [eth0]\nservices: []\n";

std::string repeated(const std::string &text, size_t times)
{
    std::string out;
    out.reserve(text.size() * times);
    for (size_t i = 0; i < times; i++) {
        out += text;
    }
    return out;
}

TEST(ConfigText, SyntaxErrorsHaveTheirPlace)
{
    expect("instance: e\ninterfaces: [eth0\nservices: []\n", {"3:9: not valid YAML: "});
    expect("instance: e\n  interfaces: [eth0]\n", {"2:13: not valid YAML: "});
    expect("instance: e\n\tinterfaces: [eth0]\n", {"2:1: not valid YAML: "});
    expect(kSmall + "pools: \"unclosed", {"4:17: not valid YAML: "});
    expect(kSmall + "]\n", {"4:1: not valid YAML: "});
}

TEST(ConfigText, ColumnsCountCharacters)
{
    expect("instance: e\ninterfaces: [\"\u00e4\u00f6\u00fc\", a/b]\nservices: []\n",
           {"2:14: ", "2:21: 'a/b' is not a name"});
    expect(
        "\xef\xbb\xbf# a byte order mark\ninstance: 'a b'\ninterfaces: [eth0]\nservices: []\n",
        {"2:11: 'a b' is not a name"});
    expect("\xef\xbb\xbfinstance: 'a b'\ninterfaces: [eth0]\nservices: []\n",
           {"1:11: 'a b' is not a name"});
}

TEST(ConfigText, LineEndsOfWindowsAreFine)
{
    expect("instance: e\r\ninterfaces: [eth0]\r\nservices: []\r\n", {});
}

TEST(ConfigText, AnchorsAliasesAndTagsAreRefused)
{
    expect("instance: &a e\ninterfaces: [*a, *a]\nservices: []\n",
           {"1:11: anchors (&name) are not used", "2:14: aliases (*name) are not used",
            "2:18: aliases (*name) are not used"});
    expect("instance: !!str e\ninterfaces: !list [eth0]\nservices: []\n",
           {"1:11: tags (!type) are not used", "2:13: tags (!type) are not used"});
    expect("*a : b\n", {"1:1: not valid YAML: the referenced anchor"});
    expect(kSmall + "<<: {instance: f}\n", {"4:1: unknown key '<<'"});
    // Where each alias doubles what it stands for.
    expect("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
           {"1:1: unknown key 'a'", "1:1: …no key 'instance'", "1:1: …'interfaces'",
            "1:1: …'services'", "1:4: anchors", "2:1: unknown key 'b'", "2:4: anchors",
            "2:8: aliases", "2:12: aliases", "3:1: unknown key 'c'", "3:4: anchors",
            "3:8: aliases", "3:12: aliases", "4:1: unknown key 'd'", "4:5: aliases",
            "4:9: aliases"});
}

TEST(ConfigText, KeysThatAreNoWordsAreRefused)
{
    expect(kSmall + "? [a, b]\n: c\n", {"4:3: a key that is not a word"});
    expect(kSmall + "? {a: b}\n: c\n", {"4:3: a key that is not a word"});
    expect(kSmall + "~: c\n", {"4:1: a key that is not a word"});
}

TEST(ConfigText, ASecondDocumentIsRefused)
{
    const std::string problem =
        ": a second document begins here; a configuration is one document";
    expect(kSmall + "---\n" + kSmall, {"4:1" + problem});
    expect(kSmall + "---\n", {"4:1" + problem});
    expect(kSmall + "...\nmore\n", {"5:1" + problem});
    expect("{instance: e, interfaces: [eth0], services: []} more", {"1:49" + problem});
    expect("---\n" + kSmall + "...\n", {});
    expect("%YAML 1.2\n---\n" + kSmall, {});
}

TEST(ConfigText, ControlCharactersAreRefused)
{
    // The parser takes 4 for the end of the text, and half a file would have been applied.
    expect(kSmall + "\x04pools: nonsense\n", {"4:1: a control character, '\\x04'; remove it"});
    expect(kSmall + "# \x1b[31m\n", {"4:3: a control character, '\\x1b'"});
    expect(kSmall + "# \x7f\n", {"4:3: a control character, '\\x7f'"});
    expect(kSmall + "# \u00e4 \u009b\n", {"4:5: a control character, '\\xc2\\x9b'"});
    expect(kSmall + std::string("# \0", 3) + "\n", {"4:3: a control character, '\\x00'"});
    expect(kSmall + "# \u00a0\n", {});
}

TEST(ConfigText, EscapedControlCharactersDoNotReachMessages)
{
    for (const std::string escape : {"\\e[2J", "\\u009b2J", "\\n", "\\0", "\\x7f"}) {
        for (const std::string &line : problems(kSmall + "\"" + escape + "\": 1\n")) {
            for (const char c : line) {
                EXPECT_TRUE(c >= ' ' && c < 0x7f) << line;
            }
        }
    }
}

TEST(ConfigText, WhatIsNotUtf8IsRefused)
{
    for (const std::string bad :
         {"\xff", "\x80", "\xc0\xaf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80",
          "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
        expect(kSmall + "# " + bad + "\n",
               {"4:3: a byte that is not UTF-8; save the file as UTF"});
        expect(kSmall + "# " + bad, {"4:3: a byte that is not UTF-8; save the file as UTF"});
    }
    expect(std::string("\xff\xfei\0n\0", 6), {"1:1: a byte that is not UTF-8"});
    expect(kSmall + "# \u00e4 \u20ac \U0001f682\n", {});
}

TEST(ConfigText, NestingIsBounded)
{
    expect(repeated("[", 17) + repeated("]", 17),
           {"1:17: more than 16 levels of lists and maps"});
    expect(repeated("- ", 2000000), {"1:33: more than 16 levels of lists and maps"});
    expect(repeated("? ", 2000000), {"1:33: more than 16 levels of lists and maps"});
    expect(repeated("{a: ", 1000), {"1:61: more than 16 levels of lists and maps"});
    expect(repeated("[", 4u << 20), {"1:1001: more than 1000 open brackets; close each"});
    std::string deep;
    for (size_t i = 0; i < 2000; i++) {
        deep += std::string(i, ' ') + "a:\n";
    }
    expect(deep, {"17:17: more than 16 levels"});
}

TEST(ConfigText, SizeIsBounded)
{
    const std::string comment(4095, '#');
    expect(kSmall + repeated(comment + "\n", 1023), {});
    const auto lines = problems(kSmall + repeated(comment + "\n", 1024));
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_EQ(lines[0], "edge.yaml: the text has 4194348 bytes; at most 4194304 (4 MiB)");
    expect(repeated("- a\n", 300000), {"262145:3: more than 262144 values"});
    expect("[" + repeated("a,", 600000) + "]",
           {"1:1048577: more than 524288 brackets and commas"});
}

TEST(ConfigText, ManyProblemsAreCutOff)
{
    const auto lines = problems(repeated("a: 1\n", 100000));
    ASSERT_EQ(lines.size(), 1001U);
    EXPECT_EQ(lines.back(), "edge.yaml:997:1: and 99003 more problems; mend these first");
}

TEST(ConfigText, ManyDistinctKeysTakeNoLongerThanTheyMust)
{
    // Quadratic work on this would last for minutes.
    std::string text;
    for (int i = 0; i < 60000; i++) {
        text += "k" + std::to_string(i) + ": 1\n";
    }
    EXPECT_EQ(problems(text + repeated("k59999: 1\n", 60000)).size(), 1001U);
}

}  // namespace
}  // namespace guideway::config
