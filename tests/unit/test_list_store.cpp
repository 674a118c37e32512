#include "control/store/list_store.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace guideway::store {
namespace {

using model::ListKind;
using model::PolicyEntry;
using model::PolicyList;
using model::PolicyLists;

class ListStoreTest : public testing::Test {
  protected:
    ListStoreTest()
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "gw-lists-XXXXXX");
        if (::mkdtemp(pattern.data()) == nullptr) {
            throw std::runtime_error("cannot create a directory for the test");
        }
        directory_ = pattern;
        path_ = directory_ / "edge.lists";
    }
    ~ListStoreTest() override { std::filesystem::remove_all(directory_); }

    ListStore open()
    {
        auto store = ListStore::open(path_);
        EXPECT_TRUE(store) << store.error().message;
        return std::move(*store);
    }
    // As a daemon finds them that starts now.
    PolicyLists stored()
    {
        auto lists = open().load();
        EXPECT_TRUE(lists) << lists.error().message;
        return lists.value_or(PolicyLists{});
    }

    std::filesystem::path directory_;
    std::filesystem::path path_;
};

PolicyEntry entry(std::string_view prefix, std::string reason = "", int64_t until = 0)
{
    return {.prefix = *model::Prefix::parse(prefix), .until = until, .reason = reason};
}

PolicyLists must(Result<PolicyLists> lists)
{
    EXPECT_TRUE(lists) << lists.error().message;
    return lists.value_or(PolicyLists{});
}

void expect_same(const PolicyLists &left, const PolicyLists &right)
{
    ASSERT_EQ(left.lists().size(), right.lists().size());
    for (const auto &[id, list] : left.lists()) {
        const auto *other = right.find(id);
        ASSERT_NE(other, nullptr) << model::describe(id);
        EXPECT_TRUE(std::ranges::equal(list->entries(), other->entries()));
        EXPECT_EQ(list->source(), other->source());
        EXPECT_EQ(list->loaded_at(), other->loaded_at());
        EXPECT_EQ(list->next_end(), other->next_end());
    }
}

PolicyLists some_lists()
{
    auto lists = must(
        PolicyLists().with_entry(ListKind::kDeny, entry("10.0.0.0/8", "it's \"odd\" ; x", 77)));
    lists = must(lists.with_entry(ListKind::kDeny, entry("2001:db8::/32")));
    lists = must(lists.with_entry(ListKind::kAllow, entry("10.0.0.1")));
    return must(lists.with_list({{ListKind::kDeny, "feed"},
                                 {entry("192.0.2.0/24", "# why\xff", 99), entry("::1", "", 99)},
                                 "/tmp/feed \n.txt",
                                 1234}));
}

TEST_F(ListStoreTest, BeginsWithoutLists)
{
    EXPECT_TRUE(stored().empty());
    EXPECT_EQ(std::filesystem::status(path_).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(ListStoreTest, GivesBackAllThatWasSaved)
{
    const auto lists = some_lists();
    ASSERT_TRUE(open().save({}, lists));
    expect_same(stored(), lists);
}

TEST_F(ListStoreTest, SavesWhatDiffers)
{
    auto store = open();
    const auto before = some_lists();
    ASSERT_TRUE(store.save({}, before));
    auto after = must(before.without_entry(ListKind::kDeny, entry("10.0.0.0/8").prefix));
    after = must(after.with_entry(ListKind::kDeny, entry("2001:db8::/32", "changed", 5)));
    after = must(after.without_entry(ListKind::kAllow, entry("10.0.0.1").prefix));
    after = must(after.with_list({{ListKind::kDeny, "feed"}, {entry("192.0.2.0/25")}, "x", 5}));
    after = must(after.with_list({{ListKind::kAllow, "feed"}, {entry("10.0.0.0/9")}, "y", 6}));
    ASSERT_TRUE(store.save(before, after));
    expect_same(stored(), after);
    ASSERT_TRUE(store.save(after, {}));
    EXPECT_TRUE(stored().empty());
}

TEST_F(ListStoreTest, SavesAllOfAChangeOrNothing)
{
    const auto before = some_lists();
    {
        auto store = open();
        ASSERT_TRUE(store.save({}, before));
    }
    auto database = Database::open(path_);
    ASSERT_TRUE(database);
    // Fails when everything else of the change is written.
    ASSERT_TRUE(
        database->execute("CREATE TRIGGER broken BEFORE INSERT ON lists WHEN new.name = 'z' "
                          "BEGIN SELECT RAISE(FAIL, 'no'); END"));
    auto store = open();
    auto after = must(before.without_list({ListKind::kDeny, "feed"}));
    after = must(after.with_list({{ListKind::kDeny, "a"}, {entry("192.0.2.0/25")}}));
    after = must(after.with_list({{ListKind::kDeny, "z"}, {entry("192.0.2.0/26")}}));
    EXPECT_FALSE(store.save(before, after));
    ASSERT_TRUE(database->execute("DROP TRIGGER broken"));
    expect_same(stored(), before);
    EXPECT_TRUE(store.save(before, after)) << "and can be tried again";
    expect_same(stored(), after);
}

TEST_F(ListStoreTest, RefusesWhatWasChangedByAnother)
{
    ASSERT_TRUE(open().save({}, some_lists()));
    for (const char *change :
         {"UPDATE lists SET entries = replace(entries, '192.0.2.0/24', '192.0.3.0/24')",
          "UPDATE lists SET until = 100", "UPDATE lists SET kind = 'allow'",
          "UPDATE single_entries SET prefix = '11.0.0.0/8' WHERE prefix = '10.0.0.0/8'",
          "UPDATE single_entries SET until = 0 WHERE prefix = '10.0.0.0/8'",
          "UPDATE single_entries SET reason = '' WHERE prefix = '10.0.0.0/8'",
          "UPDATE single_entries SET kind = 'permit' WHERE prefix = '10.0.0.0/8'"}) {
        std::filesystem::remove(path_);
        ASSERT_TRUE(open().save({}, some_lists()));
        auto database = Database::open(path_);
        ASSERT_TRUE(database);
        ASSERT_TRUE(database->execute(change));
        const auto loaded = open().load();
        ASSERT_FALSE(loaded) << change;
        EXPECT_TRUE(loaded.error().message.contains("checksum")) << loaded.error().message;
        EXPECT_TRUE(loaded.error().message.contains(path_.string()));
    }
}

TEST_F(ListStoreTest, RefusesFilesThatAreNotItsOwn)
{
    std::ofstream(path_) << "cut";
    EXPECT_FALSE(ListStore::open(path_));
    std::ofstream(path_) << std::string(8192, 'x');
    EXPECT_FALSE(ListStore::open(path_));
    EXPECT_EQ(std::filesystem::file_size(path_), 8192) << "it is left as it is";

    std::filesystem::remove(path_);
    (void)open();
    auto database = Database::open(path_);
    ASSERT_TRUE(database);
    ASSERT_TRUE(database->execute("PRAGMA user_version = 9"));
    const auto newer = ListStore::open(path_);
    ASSERT_FALSE(newer);
    EXPECT_TRUE(newer.error().message.contains("a newer guidewayd wrote it"));
    ASSERT_TRUE(database->execute("PRAGMA application_id = 9"));
    EXPECT_FALSE(ListStore::open(path_));
}

}  // namespace
}  // namespace guideway::store
