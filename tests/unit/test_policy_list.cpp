#include "control/model/policy_list.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "control/model/desired.hpp"

namespace guideway::model {
namespace {

constexpr int64_t kNow = 1'767'225'600;

Prefix prefix(std::string_view text)
{
    const auto parsed = Prefix::parse(text);
    EXPECT_TRUE(parsed) << text;
    return parsed.value_or(Prefix{});
}

PolicyEntry entry(std::string_view text, std::string reason = "", int64_t until = 0)
{
    return {.prefix = prefix(text), .until = until, .reason = std::move(reason)};
}

PolicyList list(ListKind kind, std::string name, const std::vector<std::string> &prefixes,
                int64_t until = 0)
{
    std::vector<PolicyEntry> entries;
    for (const auto &text : prefixes) {
        entries.push_back(entry(text, "", until));
    }
    return {{kind, std::move(name)}, std::move(entries), "file", kNow};
}

std::vector<std::string> texts(const std::vector<PolicyLists::Match> &matches)
{
    std::vector<std::string> all;
    for (const auto &match : matches) {
        all.push_back(std::string(to_string(match.list.kind)) + " " + match.list.name + " " +
                      match.entry.prefix.to_string());
    }
    return all;
}

// Each step must succeed.
PolicyLists must(Result<PolicyLists> result)
{
    EXPECT_TRUE(result) << result.error().message;
    return result.value_or(PolicyLists{});
}

using Texts = std::vector<std::string>;

TEST(PolicyListFile, TakesBareAddressesReasonsAndComments)
{
    const auto file = parse_list_file(
        "\xef\xbb\xbf# scanners\n"
        "; of today\r\n"
        "\n"
        "203.0.113.0/24\tport scans\r\n"
        "198.51.100.7\n"
        "  2001:db8::/32 ; SBL1\n"
        "2001:db8::1 # one host\n"
        "192.0.2.1, comma",
        "listed", kNow);
    ASSERT_TRUE(file) << file.error().first.front().message;
    EXPECT_EQ(file->duplicates, 0);
    EXPECT_EQ(file->entries, (std::vector{entry("192.0.2.1", "comma", kNow),
                                          entry("198.51.100.7", "listed", kNow),
                                          entry("203.0.113.0/24", "port scans", kNow),
                                          entry("2001:db8::/32", "SBL1", kNow),
                                          entry("2001:db8::1", "one host", kNow)}));
}

TEST(PolicyListFile, CountsDuplicatesAndKeepsTheFirst)
{
    const auto file =
        parse_list_file("10.0.0.0/8 first\n10.0.0.0/8 second\n10.0.0.0/8\n", "", 0);
    ASSERT_TRUE(file);
    EXPECT_EQ(file->duplicates, 2);
    EXPECT_EQ(file->entries, std::vector{entry("10.0.0.0/8", "first")});
}

TEST(PolicyListFile, SaysEveryBadLineWithItsNumberAndWhatWouldBeRight)
{
    const std::string_view bad[] = {
        "10.0.0.0/33",        "10.0.0.1/8",      "2001:db8::1/32",
        "::ffff:10.0.0.1",    "example.org",     "10.0.0.0/",
        "10.0.0.0/08",        "10.0.0.0/-1",     "10.0.0",
        "010.0.0.0/8",        "fe80::1%eth0",    ",10.0.0.0/8",
        "10.0.0.0/8 \x1b[2J", "10.0.0.0/8 \x7f", "10.0.0.0/8 \xc2\x9b 2J"};
    for (const auto line : bad) {
        const auto file =
            parse_list_file("# head\n192.0.2.0/24\n" + std::string(line) + "\n", "", 0);
        ASSERT_FALSE(file) << line;
        EXPECT_EQ(file.error().total, 1);
        EXPECT_EQ(file.error().first.front().line, 3) << line;
        EXPECT_FALSE(file.error().first.front().hint.empty());
    }
    EXPECT_FALSE(parse_list_file("10.0.0.0/8 " + std::string(kReasonBytesMax + 1, 'x'), "", 0));
    EXPECT_TRUE(parse_list_file("10.0.0.0/8 " + std::string(kReasonBytesMax, 'x'), "", 0));
    const auto host_bits = parse_list_file("10.1.2.3/8", "", 0);
    ASSERT_FALSE(host_bits);
    EXPECT_EQ(host_bits.error().first.front().hint,
              "it is 10.0.0.0/8, or the address 10.1.2.3 alone");
}

TEST(PolicyListFile, TellsOfTheFirstProblemsOnly)
{
    std::string text;
    for (int i = 0; i < 1000; i++) {
        text += "nonsense\n";
    }
    const auto file = parse_list_file(text, "", 0);
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().total, 1000);
    EXPECT_EQ(file.error().first.size(), kListFileProblemsTold);
}

TEST(PolicyListFile, HasNoMorePrefixesThanTablesCan)
{
    std::string text = "# head\n";
    for (size_t i = 0; i < kPrefixesMax; i++) {
        text += "::\n";
    }
    const auto most = parse_list_file(text, "", 0);
    ASSERT_TRUE(most);
    EXPECT_EQ(most->duplicates, kPrefixesMax - 1);
    const auto more = parse_list_file(text + "::\n::\nnonsense\n", "", 0);
    ASSERT_FALSE(more);
    EXPECT_EQ(more.error().total, 1);
    EXPECT_EQ(more.error().first.front().line, kPrefixesMax + 2);
    EXPECT_EQ(more.error().first.front().message, "this is prefix number 2097153");
}

TEST(PolicyListFile, ReadsWhatItWrites)
{
    const std::vector entries = {entry("0.0.0.0/0", "; odd"), entry("10.0.0.0/8"),
                                 entry("10.0.0.0/9", "# x"), entry("10.0.0.1", ", y, z"),
                                 entry("::/0", "words with  spaces")};
    const auto file = parse_list_file(emit_list_file(entries), "", 0);
    ASSERT_TRUE(file);
    EXPECT_EQ(file->entries, entries);
}

TEST(PolicyListText, RefusesWhatCannotBeMeant)
{
    EXPECT_TRUE(parse_source_prefix("203.0.113.0/24"));
    const auto bits = parse_source_prefix("203.0.113.5/24");
    ASSERT_FALSE(bits);
    EXPECT_TRUE(bits.error().message.contains("203.0.113.0/24")) << bits.error().message;
    EXPECT_FALSE(parse_source_prefix("203.0.113.0/24 "));
    EXPECT_FALSE(parse_source_prefix(""));
    EXPECT_EQ(parse_reason("  abc "), "abc");
    EXPECT_FALSE(parse_reason("a\nb"));
    EXPECT_FALSE(parse_list_name("../x"));
    EXPECT_TRUE(parse_list_name("drop.v4"));
    EXPECT_EQ(parse_until("1h", kNow), kNow + 3600);
    EXPECT_EQ(parse_until("1500ms", kNow), kNow + 2);
    EXPECT_EQ(parse_until("2026-01-01T00:00:01Z", kNow), kNow + 1);
    for (const auto *text : {"2026-01-01T00:00:00Z", "0s", "", "-1h", "900d", "soon"}) {
        EXPECT_FALSE(parse_until(text, kNow)) << text;
    }
}

TEST(PolicyLists, RefuseAPrefixOnBothAndNameTheOther)
{
    const auto denied =
        must(PolicyLists().with_entry(ListKind::kDeny, entry("203.0.113.0/24", "port scans")));
    const auto clash = denied.with_entry(ListKind::kAllow, entry("203.0.113.0/24"));
    ASSERT_FALSE(clash);
    EXPECT_EQ(clash.error().message,
              "203.0.113.0/24 is on the deny list 'manual' (port scans); no prefix can be on "
              "both: remove it there first, or name a longer prefix");
    EXPECT_TRUE(denied.with_entry(ListKind::kAllow, entry("203.0.113.0/25")));

    EXPECT_FALSE(
        denied.with_list(list(ListKind::kAllow, "vpn", {"10.0.0.0/8", "203.0.113.0/24"})));
    EXPECT_TRUE(
        denied.with_list(list(ListKind::kAllow, "vpn", {"10.0.0.0/8", "203.0.113.0/25"})));
    EXPECT_TRUE(denied.with_list(list(ListKind::kDeny, "feed", {"203.0.113.0/24"})));
}

TEST(PolicyLists, ReplaceReasonAndEndOfAnEntryThatIsThere)
{
    auto lists =
        must(PolicyLists().with_entry(ListKind::kDeny, entry("10.0.0.0/8", "a", kNow)));
    lists = must(lists.with_entry(ListKind::kDeny, entry("10.0.0.0/8", "b")));
    EXPECT_EQ(lists.size(ListKind::kDeny), 1);
    EXPECT_EQ(lists.next_end(), 0);
    EXPECT_EQ(lists.page(ListKind::kDeny, "", {}, 10).front().entry.reason, "b");
}

TEST(PolicyLists, RemoveAPrefixFromEveryListOfItsKind)
{
    auto lists = must(PolicyLists().with_entry(ListKind::kDeny, entry("10.0.0.0/8")));
    lists = must(lists.with_list(list(ListKind::kDeny, "feed", {"10.0.0.0/8", "10.0.0.0/9"})));
    const auto fewer = must(lists.without_entry(ListKind::kDeny, prefix("10.0.0.0/8")));
    EXPECT_EQ(texts(fewer.page(ListKind::kDeny, "", {}, 10)), Texts{"deny feed 10.0.0.0/9"});
    EXPECT_EQ(lists.size(ListKind::kDeny), 3) << "a value does not change";
    EXPECT_EQ(fewer.find({ListKind::kDeny, "feed"})->source(), "file");

    const auto none = fewer.without_entry(ListKind::kDeny, prefix("10.1.0.0/16"));
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().message,
              "10.1.0.0/16 is on no deny list; 10.0.0.0/9 covers it, on the deny list 'feed'");
    EXPECT_FALSE(fewer.without_entry(ListKind::kAllow, prefix("10.0.0.0/9")));
}

TEST(PolicyLists, LoadingReplacesTheListOfThatName)
{
    auto lists = must(PolicyLists().with_list(list(ListKind::kDeny, "feed", {"10.0.0.0/8"})));
    lists = must(lists.with_list(list(ListKind::kDeny, "feed", {"192.0.2.0/24"})));
    EXPECT_EQ(texts(lists.page(ListKind::kDeny, "", {}, 10)), Texts{"deny feed 192.0.2.0/24"});
    EXPECT_TRUE(must(lists.with_list(list(ListKind::kDeny, "feed", {}))).empty());
    EXPECT_TRUE(must(lists.without_list({ListKind::kDeny, "feed"})).empty());
    EXPECT_FALSE(lists.without_list({ListKind::kAllow, "feed"}));
}

TEST(PolicyLists, AreNotWithoutBound)
{
    PolicyLists lists;
    for (size_t i = 0; i < kPolicyListsMax; i++) {
        lists = must(
            lists.with_list(list(ListKind::kDeny, "l" + std::to_string(i), {"10.0.0.0/8"})));
    }
    EXPECT_FALSE(lists.with_list(list(ListKind::kDeny, "more", {"10.0.0.0/8"})));
    EXPECT_TRUE(lists.with_list(list(ListKind::kDeny, "l0", {"10.0.0.0/9"})));
}

TEST(PolicyLists, LoseWhatHasEnded)
{
    auto lists = must(PolicyLists().with_entry(ListKind::kDeny, entry("10.0.0.1", "", kNow)));
    lists = must(lists.with_entry(ListKind::kDeny, entry("10.0.0.2", "", kNow + 5)));
    lists = must(lists.with_entry(ListKind::kDeny, entry("10.0.0.3")));
    lists = must(lists.with_list(
        list(ListKind::kAllow, "vpn", {"10.1.0.0/16", "10.2.0.0/16"}, kNow + 1)));
    EXPECT_EQ(lists.next_end(), kNow);

    PolicyLists::Removed removed;
    EXPECT_EQ(lists.without_ended(kNow - 1, removed).size(ListKind::kDeny), 3);
    EXPECT_TRUE(removed.entries.empty());
    lists = lists.without_ended(kNow + 1, removed);
    EXPECT_EQ(texts(removed.entries), Texts{"deny manual 10.0.0.1"});
    EXPECT_EQ(removed.loaded, (std::map<ListId, size_t>{{{ListKind::kAllow, "vpn"}, 2}}));
    EXPECT_EQ(lists.size(ListKind::kAllow), 0);
    EXPECT_EQ(lists.size(ListKind::kDeny), 2);
    EXPECT_EQ(lists.next_end(), kNow + 5);
}

TEST(PolicyLists, TheLongestPrefixDecidesAndSingleEntriesComeFirst)
{
    auto lists = must(PolicyLists().with_list(list(ListKind::kDeny, "a", {"10.1.0.0/16"})));
    lists = must(lists.with_list(list(ListKind::kDeny, "z", {"10.1.0.0/16", "::/0"})));
    lists = must(lists.with_entry(ListKind::kDeny, entry("10.1.0.0/16")));
    lists = must(lists.with_entry(ListKind::kAllow, entry("10.1.2.0/24")));
    lists = must(lists.with_entry(ListKind::kDeny, entry("0.0.0.0/0")));

    EXPECT_EQ(texts(lists.covering(prefix("10.1.2.3"))),
              (Texts{"allow manual 10.1.2.0/24", "deny manual 10.1.0.0/16",
                     "deny a 10.1.0.0/16", "deny z 10.1.0.0/16", "deny manual 0.0.0.0/0"}));
    EXPECT_EQ(texts(lists.covering(prefix("10.1.2.0/23"))).front(), "deny manual 10.1.0.0/16");
    EXPECT_EQ(texts(lists.covering(prefix("2001:db8::1"))), Texts{"deny z ::/0"});
    EXPECT_TRUE(PolicyLists().covering(prefix("10.1.2.3")).empty());
}

TEST(PolicyLists, ArePagedByPrefixWithoutPartingOne)
{
    auto lists = must(PolicyLists().with_list(
        list(ListKind::kDeny, "a", {"10.1.0.0/16", "10.3.0.0/16", "2001:db8::/32"})));
    lists = must(lists.with_list(list(ListKind::kDeny, "b", {"10.2.0.0/16", "10.3.0.0/16"})));
    lists = must(lists.with_list(list(ListKind::kAllow, "c", {"10.0.0.0/16"})));
    const Texts all = {"deny a 10.1.0.0/16", "deny b 10.2.0.0/16", "deny a 10.3.0.0/16",
                       "deny b 10.3.0.0/16", "deny a 2001:db8::/32"};
    EXPECT_EQ(texts(lists.page(ListKind::kDeny, "", {}, 10)), all);
    EXPECT_EQ(texts(lists.page(ListKind::kDeny, "b", {}, 10)), (Texts{all[1], all[3]}));
    EXPECT_EQ(texts(lists.page(ListKind::kDeny, "", {}, 3)),
              (Texts{all[0], all[1], all[2], all[3]}));

    Texts paged;
    std::optional<Prefix> after;
    for (auto page = lists.page(ListKind::kDeny, "", after, 1); !page.empty();
         page = lists.page(ListKind::kDeny, "", after, 1)) {
        const auto these = texts(page);
        paged.insert(paged.end(), these.begin(), these.end());
        after = page.back().entry.prefix;
    }
    EXPECT_EQ(paged, all);
}

// Every address is judged as by going over all entries.
TEST(PolicyLists, AgreeWithANaiveSearch)
{
    std::mt19937_64 random(20261122);
    const auto bits = [&](int most) { return static_cast<int>(random() % (most + 1U)); };
    const auto some_prefix = [&] {
        Prefix made;
        made.address.family = random() % 2 == 0 ? Family::kIpv4 : Family::kIpv6;
        const size_t bytes = made.address.is_ipv6() ? 16 : 4;
        for (size_t i = 0; i < bytes; i++) {
            made.address.bytes[i] = static_cast<uint8_t>(random() % 4);
        }
        made.length_bits = bits(made.address.bits());
        return made;
    };
    PolicyLists lists;
    std::vector<PolicyLists::Verdict> reference;
    for (int i = 0; i < 500; i++) {
        const Prefix one = some_prefix().network();
        const ListKind kind = random() % 2 == 0 ? ListKind::kDeny : ListKind::kAllow;
        const bool is_there = std::ranges::any_of(
            reference, [&](const auto &verdict) { return verdict.prefix == one; });
        auto next = lists.with_entry(kind, {.prefix = one, .reason = ""});
        if (next) {
            lists = *next;
            if (!is_there) {
                reference.push_back({one, kind});
            }
        } else {
            EXPECT_TRUE(is_there);
        }
    }
    EXPECT_EQ(lists.verdicts().size(), reference.size());
    EXPECT_TRUE(std::ranges::is_sorted(lists.verdicts(), {}, &PolicyLists::Verdict::prefix));
    for (int i = 0; i < 2000; i++) {
        Prefix host = some_prefix();
        host.length_bits = host.address.bits();
        const PolicyLists::Verdict *best = nullptr;
        for (const auto &verdict : reference) {
            if (verdict.prefix.contains(host.address) &&
                (best == nullptr || verdict.prefix.length_bits > best->prefix.length_bits)) {
                best = &verdict;
            }
        }
        const auto found = lists.covering(host);
        ASSERT_EQ(found.empty(), best == nullptr) << host.to_string();
        if (best != nullptr) {
            EXPECT_EQ(found.front().entry.prefix, best->prefix);
            EXPECT_EQ(found.front().list.kind, best->kind);
        }
    }
}

}  // namespace
}  // namespace guideway::model
