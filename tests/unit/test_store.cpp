// The store on real files, sound and damaged ones.
#include "control/store/store.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

#include "control/store/overrides_json.hpp"

namespace guideway::store {
namespace {

namespace fs = std::filesystem;

class StoreFile : public testing::Test {
  protected:
    StoreFile()
    {
        std::string pattern = fs::temp_directory_path() / "gw-store-XXXXXX";
        if (::mkdtemp(pattern.data()) == nullptr) {
            throw std::runtime_error("cannot create a directory for the test");
        }
        directory_ = pattern;
        path_ = directory_ / "lib" / "edge-1.db";
    }
    ~StoreFile() override { fs::remove_all(directory_); }

    Store open() const
    {
        auto store = Store::open(path_);
        if (!store) {
            throw std::runtime_error(store.error().message);
        }
        return std::move(*store);
    }
    [[nodiscard]] std::string refusal() const
    {
        const auto store = Store::open(path_);
        return store ? "" : store.error().message;
    }
    // Runs SQL as somebody else would, with SQLite's own shell.
    void tamper(const char *sql) const
    {
        sqlite3 *handle = nullptr;
        ASSERT_EQ(sqlite3_open(path_.c_str(), &handle), SQLITE_OK);
        EXPECT_EQ(sqlite3_exec(handle, sql, nullptr, nullptr, nullptr), SQLITE_OK)
            << sqlite3_errmsg(handle);
        sqlite3_close(handle);
    }
    // Overwrites bytes of the file in place.
    void overwrite(off_t offset, std::string_view bytes) const
    {
        const int fd = ::open(path_.c_str(), O_WRONLY);
        ASSERT_EQ(::pwrite(fd, bytes.data(), bytes.size(), offset),
                  static_cast<ssize_t>(bytes.size()));
        ::close(fd);
    }

    fs::path directory_;
    fs::path path_;
};

Revision revision(std::string text, uint32_t weight = 50)
{
    Revision revision{.cause = "apply",
                      .file_name = "edge.yaml",
                      .file_text = std::move(text),
                      .summary = "one service"};
    revision.overrides[{"gateways", "gw-a"}].weight = weight;
    return revision;
}

void fill(Store &store, int revisions)
{
    for (int i = 0; i < revisions; ++i) {
        ASSERT_TRUE(store.append(revision("instance: edge-" + std::to_string(i) + "\n")));
    }
}

TEST_F(StoreFile, IsEmptyAfterCreationAndKeepsRevisionsAcrossRestarts)
{
    EXPECT_EQ(open().latest().value(), std::nullopt);
    {
        auto store = open();
        EXPECT_EQ(store.append(revision("a: 1\n")).value(), 1);
        EXPECT_EQ(store.append(revision(std::string("b\0c\xff", 4))).value(), 2);
    }
    const auto store = open();
    const auto latest = store.latest().value();
    ASSERT_TRUE(latest);
    EXPECT_EQ(latest->number, 2);
    EXPECT_EQ(latest->file_text, std::string("b\0c\xff", 4));
    EXPECT_EQ(latest->file_name, "edge.yaml");
    EXPECT_EQ(latest->cause, "apply");
    EXPECT_EQ(latest->summary, "one service");
    EXPECT_EQ(latest->overrides, revision("").overrides);
    EXPECT_EQ(latest->created_at.size(), sizeof("2026-01-31T12:00:00Z") - 1);
    EXPECT_EQ(store.history(10).value().size(), 2U);
    EXPECT_EQ(store.history(1).value().front().number, 2);
}

TEST_F(StoreFile, IsReadableByItsOwnerOnly)
{
    const mode_t before = ::umask(0);
    open();
    ::umask(before);
    struct stat status{};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(StoreFile, KeepsAnUnchangedFileOnce)
{
    auto store = open();
    ASSERT_TRUE(store.append(revision(std::string(100'000, 'x'))));
    const auto size = fs::file_size(path_);
    for (uint32_t weight = 0; weight < 20; ++weight) {
        ASSERT_TRUE(store.append(revision(std::string(100'000, 'x'), weight)));
    }
    EXPECT_LT(fs::file_size(path_), size + 50'000);
    EXPECT_EQ(store.history(100).value().front().file_text.size(), 100'000U);
}

TEST_F(StoreFile, ForgetsTheOldestOfVeryManyRevisions)
{
    fill(*std::make_unique<Store>(open()), 3);
    tamper("UPDATE sqlite_sequence SET seq = 10001 WHERE name = 'revisions'");
    auto store = open();
    EXPECT_EQ(store.append(revision("new\n")).value(), 10002);
    const auto history = store.history(100).value();
    ASSERT_EQ(history.size(), 2U);
    EXPECT_EQ(history.back().number, 3);
    EXPECT_EQ(history.back().file_text, "instance: edge-2\n");
}

TEST_F(StoreFile, NeverUsesARevisionNumberTwice)
{
    fill(*std::make_unique<Store>(open()), 3);
    tamper("DELETE FROM revisions WHERE number = 3");
    EXPECT_EQ(open().append(revision("again\n")).value(), 4);
}

TEST_F(StoreFile, RefusesAnEmptyFileRatherThanStartEmpty)
{
    fill(*std::make_unique<Store>(open()), 1);
    fs::resize_file(path_, 0);
    EXPECT_TRUE(refusal().contains("it is cut off after 0 bytes; the file is damaged"))
        << refusal();
    EXPECT_EQ(fs::file_size(path_), 0U);
}

TEST_F(StoreFile, RefusesEveryTruncation)
{
    fill(*std::make_unique<Store>(open()), 20);
    const auto whole = fs::file_size(path_);
    const auto copy = directory_ / "copy";
    fs::copy_file(path_, copy);
    for (uintmax_t size = 1; size < whole; size += size < 600 ? 37 : 509) {
        fs::copy_file(copy, path_, fs::copy_options::overwrite_existing);
        fs::resize_file(path_, size);
        EXPECT_TRUE(refusal().contains("damaged")) << size << ": " << refusal();
        EXPECT_EQ(fs::file_size(path_), size);
    }
}

TEST_F(StoreFile, NeverReadsWhatWasNotWritten)
{
    fill(*std::make_unique<Store>(open()), 8);
    const auto sound = open().history(100).value();
    const auto copy = directory_ / "copy";
    fs::copy_file(path_, copy);
    int refused = 0;
    for (off_t offset = 0; offset < static_cast<off_t>(fs::file_size(copy)); offset += 61) {
        fs::copy_file(copy, path_, fs::copy_options::overwrite_existing);
        overwrite(offset, std::string_view("\xa5\x5a\xa5", 3));
        const auto store = Store::open(path_);
        const auto history = store ? store->history(100) : fail("refused");
        if (!history) {
            ++refused;
            continue;
        }
        // What it still serves must be exactly what was stored: the bytes hit were unused.
        ASSERT_EQ(history->size(), sound.size()) << "offset " << offset;
        for (size_t i = 0; i < sound.size(); ++i) {
            EXPECT_EQ((*history)[i].file_text, sound[i].file_text) << "offset " << offset;
            EXPECT_EQ((*history)[i].overrides, sound[i].overrides) << "offset " << offset;
            EXPECT_EQ((*history)[i].number, sound[i].number) << "offset " << offset;
        }
    }
    EXPECT_GT(refused, 10);
}

TEST_F(StoreFile, RefusesAChangedTextThatSqliteThinksIsSound)
{
    fill(*std::make_unique<Store>(open()), 2);
    tamper("UPDATE files SET text = 'instance: other' WHERE id = 2");
    EXPECT_TRUE(refusal().contains("revision 2 does not match its checksum")) << refusal();
}

TEST_F(StoreFile, RefusesANewerFormatAndForeignDatabases)
{
    fill(*std::make_unique<Store>(open()), 1);
    tamper("PRAGMA user_version = 2");
    EXPECT_TRUE(refusal().contains("a newer guidewayd wrote it (format 2")) << refusal();
    tamper("PRAGMA user_version = 1; PRAGMA application_id = 7");
    EXPECT_TRUE(refusal().contains("not one of guidewayd")) << refusal();
    fs::remove(path_);
    std::ofstream(path_) << "instance: edge-1\nthis is a configuration, not a database\n"
                         << std::string(5000, '#');
    EXPECT_TRUE(refusal().contains("damaged")) << refusal();
    fs::remove(path_);
    fs::create_directory(path_);
    EXPECT_TRUE(refusal().contains("not a file")) << refusal();
}

TEST_F(StoreFile, RefusesAJournalWithoutItsDatabase)
{
    open();
    fs::rename(path_, path_.string() + "-journal");
    EXPECT_TRUE(refusal().contains("journal")) << refusal();
    EXPECT_FALSE(fs::exists(path_));
}

TEST_F(StoreFile, RecoversFromACreationThatWasCutShort)
{
    fs::create_directories(path_.parent_path());
    std::ofstream(path_.string() + ".new") << "half a database";
    EXPECT_EQ(open().latest().value(), std::nullopt);
    EXPECT_FALSE(fs::exists(path_.string() + ".new"));
}

TEST_F(StoreFile, SurvivesAKillInTheMiddleOfWriting)
{
    open();
    for (int round = 0; round < 10; ++round) {
        int ready[2];
        ASSERT_EQ(::pipe(ready), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            auto store = open();
            for (int i = 0;; ++i) {
                if (!store.append(revision(std::string(20'000, 'a' + i % 26)))) {
                    ::_exit(1);
                }
                [[maybe_unused]] const auto told = ::write(ready[1], "x", 1);
            }
        }
        // Killed somewhere after this many revisions were reported as stored.
        char acknowledged[5];
        for (int got = 0; got < round % 5 + 1;) {
            const auto more = ::read(ready[0], acknowledged, 1);
            ASSERT_EQ(more, 1);
            got += static_cast<int>(more);
        }
        ::usleep(static_cast<useconds_t>(round) * 700);
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        ::close(ready[0]);
        ::close(ready[1]);
        const auto history = open().history(SIZE_MAX).value();
        ASSERT_GE(history.size(), static_cast<size_t>(round % 5 + 1));
        EXPECT_EQ(history.front().file_text.size(), 20'000U);
    }
}

// A file system of its own, of half a megabyte, in a mount namespace of its own.
class StoreOnSmallDisk : public StoreFile {
  protected:
    void SetUp() override
    {
        if (::unshare(CLONE_NEWNS) != 0 ||
            ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            ::mount("tmpfs", directory_.c_str(), "tmpfs", 0, "size=512k") != 0) {
            GTEST_SKIP() << "needs the privilege to mount a file system";
        }
    }
    void TearDown() override { ::umount2(directory_.c_str(), MNT_DETACH); }
};

TEST_F(StoreOnSmallDisk, RefusesAChangeThatDoesNotFitAndKeepsTheRest)
{
    auto store = open();
    int64_t stored = 0;
    std::string error;
    for (int i = 0; i < 100 && error.empty(); ++i) {
        const auto number = store.append(revision(std::string(30'000, 'a' + i % 26)));
        if (number) {
            stored = *number;
        } else {
            error = number.error().message;
        }
    }
    EXPECT_TRUE(error.contains("nothing was changed")) << error;
    EXPECT_GT(stored, 3);
    EXPECT_EQ(store.latest().value()->number, stored);
    EXPECT_EQ(open().latest().value()->number, stored);
}

TEST_F(StoreOnSmallDisk, SaysThatItCannotBeCreatedOnAFullDisk)
{
    fs::create_directories(path_.parent_path());
    std::ofstream filler(directory_ / "filler");
    filler << std::string(600'000, 'x') << std::flush;
    EXPECT_TRUE(refusal().contains("cannot")) << refusal();
    filler.close();
    fs::remove(directory_ / "filler");
    EXPECT_EQ(open().latest().value(), std::nullopt);
}

TEST_F(StoreOnSmallDisk, ServesWhatItHasFromAReadOnlyDisk)
{
    fill(*std::make_unique<Store>(open()), 2);
    ASSERT_EQ(::mount("tmpfs", directory_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr),
              0);
    auto store = open();
    EXPECT_EQ(store.latest().value()->number, 2);
    const auto refused = store.append(revision("x"));
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().message.contains("readonly")) << refused.error().message;
    path_ = directory_ / "other.db";
    EXPECT_TRUE(refusal().contains("Read-only file system")) << refusal();
}

std::vector<model::Event> events(int64_t first, int64_t count)
{
    std::vector<model::Event> events;
    for (int64_t i = 0; i < count; ++i) {
        events.push_back({.sequence = first + i,
                          .time_ms = 1'800'000'000'000 + i,
                          .kind = "test",
                          .pool = "p",
                          .backend = "gw-a",
                          .service = "",
                          .text = std::string(100, 'x')});
    }
    return events;
}

TEST_F(StoreFile, RemembersTheNewestEvents)
{
    EXPECT_TRUE(open().events(10).value().empty());
    auto store = open();
    fill(store, 2);
    ASSERT_TRUE(store.append_events(events(1, 3)));
    EXPECT_EQ(open().events(10).value(), events(1, 3));
    EXPECT_EQ(open().events(1).value().front().sequence, 3);
    ASSERT_TRUE(store.append_events(events(2000, 9'000)));
    ASSERT_TRUE(store.append_events(events(20'000, 2'000)));
    const auto kept = store.events(SIZE_MAX).value();
    EXPECT_EQ(kept.size(), 10'000U);
    EXPECT_EQ(kept.front().sequence, 3'000);
    EXPECT_EQ(kept.back().sequence, 21'999);
    EXPECT_EQ(open().latest().value()->number, 2);
}

TEST_F(StoreFile, TakesABatchOfEventsWholeOrNotAtAll)
{
    auto store = open();
    ASSERT_TRUE(store.append_events(events(5, 1)));
    EXPECT_FALSE(store.append_events(events(3, 3)));  // 5 is there already
    EXPECT_EQ(store.events(10).value().size(), 1U);
}

TEST_F(StoreOnSmallDisk, LosesEventsBeforeRevisions)
{
    auto store = open();
    fill(store, 1);
    int64_t next = 1;
    while (store.append_events(events(next, 100))) {
        next += 100;
        ASSERT_LT(next, 10'000);
    }
    EXPECT_EQ(store.events(SIZE_MAX).value().size(), static_cast<size_t>(next - 1));
    EXPECT_EQ(store.latest().value()->number, 1);
}

TEST(OverridesAsJson, SurviveTheRoundTrip)
{
    model::Overrides overrides;
    overrides[{"p", "a"}] = {.removed = true};
    overrides[{"p", "b"}] = {
        .added_address = model::IpAddress::parse("2001:db8::1"), .enabled = false, .weight = 0};
    overrides[{"p", "c"}] = {.drain = model::Drain{}};
    overrides[{"p", "d"}] = {.drain = model::Drain{model::kUnixTimeMax}};
    overrides[{"q \"/\xc3\xa9", "a"}] = {.enabled = true, .weight = model::kWeightMax};
    EXPECT_EQ(overrides_from_json(overrides_to_json(overrides)).value(), overrides);
    EXPECT_EQ(overrides_from_json(overrides_to_json({})).value(), model::Overrides{});
}

TEST(OverridesAsJson, OfVersionsThatKnewNoDrainAreRead)
{
    const auto read =
        overrides_from_json(R"([{"pool":"p","backend":"a","enabled":false,"weight":5}])");
    ASSERT_TRUE(read);
    EXPECT_EQ(read->at({"p", "a"}), (model::BackendOverride{.enabled = false, .weight = 5}));
}

TEST(OverridesAsJson, RefusesWhatItDoesNotKnow)
{
    for (const char *text :
         {"", "{}", "[1]", R"([{"pool":"p"}])", R"([{"pool":"p","backend":"a","drain":true}])",
          R"([{"pool":"p","backend":"a","drained":true}])",
          R"([{"pool":"p","backend":"a","drained":{"until":1}}])",
          R"([{"pool":"p","backend":"a","drained":{"deadline":0}}])",
          R"([{"pool":"p","backend":"a","drained":{"deadline":-1}}])",
          R"([{"pool":"p","backend":"a","drained":{"deadline":253402300800}}])",
          R"([{"pool":"p","backend":"a","drained":{"deadline":1,"x":1}}])",
          R"([{"pool":"p","backend":"a","weight":-1}])",
          R"([{"pool":"p","backend":"a","weight":10001}])",
          R"([{"pool":"p","backend":"a","weight":1.5}])",
          R"([{"pool":"p","backend":"a","added":"10.0.0"}])", R"([{"pool":"p","backend":1}])",
          R"([{"pool":"p","backend":"a"},{"pool":"p","backend":"a"}])"}) {
        EXPECT_FALSE(overrides_from_json(text)) << text;
    }
}

}  // namespace
}  // namespace guideway::store
