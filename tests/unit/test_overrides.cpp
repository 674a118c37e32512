#include "control/model/overrides.hpp"

#include <gtest/gtest.h>

#include "control/config/config.hpp"
#include "control/model/validate.hpp"

namespace guideway::model {
namespace {

constexpr std::string_view kFile = R"(
instance: e
interfaces: [eth0]
tunnel_source: 10.1.0.2
services:
  - {name: api, listen: "tcp://203.0.113.10:443", pool: gws, ring_size: 7}
pools:
  - name: gws
    backends:
      - {name: gw-a, address: 10.2.0.2}
      - {name: gw-b, address: 10.2.0.3, weight: 50}
  - name: spare
    backends: []
)";

Desired file(std::string_view text = kFile)
{
    auto document = config::parse("edge.yaml", text);
    EXPECT_TRUE(document) << document.error().front().to_string();
    return document->desired;
}

IpAddress address(std::string_view text)
{
    return *IpAddress::parse(text);
}

const Backend *find(const Desired &desired, std::string_view pool, std::string_view name)
{
    for (const Pool &candidate : desired.pools) {
        for (const Backend &backend : candidate.backends) {
            if (candidate.name == pool && backend.name == name) {
                return &backend;
            }
        }
    }
    return nullptr;
}

// Applies the changes that each step asks for; every step must succeed.
template <typename... Steps>
Overrides changed(Steps... steps)
{
    Overrides overrides;
    const auto apply = [&](auto step) {
        auto result = step(overrides);
        ASSERT_TRUE(result) << result.error().message;
        overrides = *result;
    };
    (apply(steps), ...);
    return overrides;
}

auto added(BackendId id, std::string_view text, uint32_t weight = 100)
{
    return [=](Overrides overrides) {
        return add_backend(file(), std::move(overrides), id, address(text), weight);
    };
}
auto removed(BackendId id)
{
    return
        [=](Overrides overrides) { return remove_backend(file(), std::move(overrides), id); };
}
auto enabled(BackendId id, bool value)
{
    return [=](Overrides overrides) {
        return set_enabled(file(), std::move(overrides), id, value);
    };
}
auto drained(BackendId id, std::optional<int64_t> deadline = std::nullopt)
{
    return [=](Overrides overrides) {
        return set_drained(file(), std::move(overrides), id, deadline);
    };
}
auto weighted(BackendId id, uint32_t weight)
{
    return [=](Overrides overrides) {
        return set_weight(file(), std::move(overrides), id, weight);
    };
}

template <typename Value>
void expect_refused(const Result<Value> &result, std::string_view why)
{
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find(why), std::string::npos) << result.error().message;
    EXPECT_EQ(result.error().message.find('\n'), std::string::npos);
}

const BackendId kA{"gws", "gw-a"};
const BackendId kB{"gws", "gw-b"};
const BackendId kNew{"gws", "gw-c"};

TEST(Overrides, LeaveTheFileAloneWhenThereAreNone)
{
    EXPECT_EQ(*with_overrides(file(), {}), file());
}

TEST(Overrides, ChangeWhatTheyName)
{
    const auto overrides =
        changed(weighted(kA, 30), enabled(kB, false), added(kNew, "10.2.0.4", 200));
    const auto effective = with_overrides(file(), overrides);
    ASSERT_TRUE(effective);
    EXPECT_EQ(find(*effective, "gws", "gw-a")->weight, 30U);
    EXPECT_TRUE(find(*effective, "gws", "gw-a")->enabled);
    EXPECT_FALSE(find(*effective, "gws", "gw-b")->enabled);
    EXPECT_EQ(find(*effective, "gws", "gw-b")->weight, 50U);
    EXPECT_EQ(find(*effective, "gws", "gw-c")->address, address("10.2.0.4"));
    EXPECT_EQ(find(*effective, "gws", "gw-c")->weight, 200U);
    EXPECT_EQ(effective->services, file().services);
    EXPECT_TRUE(validate(*effective).empty());
}

TEST(Overrides, RemoveABackendOfTheFile)
{
    const auto effective = with_overrides(file(), changed(weighted(kA, 3), removed(kA)));
    ASSERT_TRUE(effective);
    EXPECT_EQ(find(*effective, "gws", "gw-a"), nullptr);
    const auto none = with_overrides(file(), changed(removed(kA), removed(kB)));
    ASSERT_TRUE(none) << none.error().message;
    EXPECT_TRUE(none->pools[0].backends.empty());
}

TEST(Overrides, AreNoneWhenTheyEqualTheFile)
{
    EXPECT_TRUE(changed(weighted(kA, 30), weighted(kA, 100)).empty());
    EXPECT_TRUE(changed(enabled(kA, false), enabled(kA, true)).empty());
    EXPECT_TRUE(changed(enabled(kA, true)).empty());
    EXPECT_TRUE(changed(added(kNew, "10.2.0.4"), removed(kNew)).empty());
    EXPECT_TRUE(changed(removed(kA), added(kA, "10.2.0.2")).empty());
    // Added again with another weight than the file's.
    EXPECT_EQ(changed(removed(kA), added(kA, "10.2.0.2", 7)), changed(weighted(kA, 7)));
}

TEST(Overrides, OfAnAddedBackendCanChange)
{
    const auto overrides =
        changed(added(kNew, "10.2.0.4"), weighted(kNew, 7), enabled(kNew, false));
    const auto effective = with_overrides(file(), overrides);
    ASSERT_TRUE(effective);
    EXPECT_EQ(find(*effective, "gws", "gw-c")->weight, 7U);
    EXPECT_FALSE(find(*effective, "gws", "gw-c")->enabled);
}

TEST(Overrides, DrainUntilTheBackendIsEnabled)
{
    const auto overrides =
        changed(drained(kA), drained(kB, 1767225600), added(kNew, "10.2.0.4"), drained(kNew));
    const auto effective = with_overrides(file(), overrides);
    ASSERT_TRUE(effective);
    EXPECT_TRUE(find(*effective, "gws", "gw-a")->drained);
    EXPECT_EQ(find(*effective, "gws", "gw-a")->drain_deadline, 0);
    EXPECT_TRUE(find(*effective, "gws", "gw-a")->enabled);
    EXPECT_TRUE(find(*effective, "gws", "gw-b")->drained);
    EXPECT_EQ(find(*effective, "gws", "gw-b")->drain_deadline, 1767225600);
    EXPECT_TRUE(find(*effective, "gws", "gw-c")->drained);

    EXPECT_EQ(changed(drained(kA), drained(kA, 5)), changed(drained(kA, 5)));
    EXPECT_EQ(changed(drained(kA, 5), drained(kA)), changed(drained(kA)));
    EXPECT_TRUE(changed(drained(kA, 5), enabled(kA, true)).empty());
    EXPECT_TRUE(changed(drained(kA), enabled(kA, false), enabled(kA, true)).empty());
    EXPECT_EQ(changed(drained(kA), enabled(kA, false)),
              changed(enabled(kA, false), drained(kA)));
    EXPECT_NE(changed(drained(kA), enabled(kA, false)), changed(enabled(kA, false)));
    EXPECT_EQ(changed(drained(kA), weighted(kA, 7), enabled(kA, true)),
              changed(weighted(kA, 7)));
}

TEST(Overrides, RefuseWhatIsNotThereOrIsThereAlready)
{
    expect_refused(weighted({"gws", "gw-x"}, 1)({}), "no backend 'gw-x' in pool 'gws'");
    expect_refused(weighted({"nope", "gw-a"}, 1)({}), "no pool 'nope'");
    expect_refused(enabled({"gws", "gw-x"}, false)({}), "no backend 'gw-x' in pool 'gws'");
    expect_refused(drained({"gws", "gw-x"})({}), "cannot drain backend 'gw-x' of pool 'gws'");
    expect_refused(drained(kA)(changed(removed(kA))), "no backend 'gw-a' in pool 'gws'");
    expect_refused(removed({"gws", "gw-x"})({}), "no backend 'gw-x' in pool 'gws'");
    expect_refused(removed(kA)(changed(removed(kA))), "no backend 'gw-a' in pool 'gws'");
    expect_refused(weighted(kA, 1)(changed(removed(kA))), "no backend 'gw-a' in pool 'gws'");
    expect_refused(added({"nope", "gw-a"}, "10.2.0.9")({}), "no such pool");
    expect_refused(added(kA, "10.2.0.9")({}), "exists already, with the address 10.2.0.2");
    expect_refused(added(kNew, "10.2.0.9")(changed(added(kNew, "10.2.0.4"))),
                   "exists already, with the address 10.2.0.4");
    expect_refused(added(kA, "10.2.0.9")(changed(removed(kA))),
                   "the file has it as 10.2.0.2; choose another name");
}

TEST(Overrides, RefuseWhatAFileWouldBeRefusedFor)
{
    expect_refused(weighted(kA, 10001)({}), "10001 is too large; from 0 to 10000");
    expect_refused(drained(kA, 0)({}), "the deadline 0 is not a time");
    expect_refused(drained(kA, -5)({}), "the deadline -5 is not a time");
    expect_refused(drained(kA, kUnixTimeMax + 1)({}), "is not a time; seconds since 1970");
    expect_refused(added({"gws", "a b"}, "10.2.0.9")({}), "a name is up to 63");
    expect_refused(added({"gws", "x\ny"}, "10.2.0.9")({}), "'x\\x0ay'");
    expect_refused(added(kNew, "10.2.0.9", 10001)({}), "weight 10001 is too large");
    expect_refused(added(kNew, "10.2.0.2")({}), "two backends with the address 10.2.0.2");
    expect_refused(added(kNew, "203.0.113.10")({}), "is a service address");
    expect_refused(added(kNew, "127.0.0.1")({}), "is a loopback address");
    expect_refused(added(kNew, "10.1.0.2")({}), "is a source of tunnelled packets");
    expect_refused(added(kNew, "2001:db8::9")({}), "needs tunnel_source6");
    expect_refused(added({"gws", "gw-d"}, "10.2.0.5")(changed(added(kNew, "10.2.0.4"))),
                   "too small for the 4 backends");
    // No service uses this pool, so that nothing need reach its backends.
    EXPECT_TRUE(added({"spare", "x"}, "2001:db8::9")({}));
}

TEST(Overrides, ThatNoLongerFitTheFileHaveNoEffect)
{
    Overrides overrides = changed(weighted(kA, 30), enabled(kB, false));
    overrides[{"gone", "x"}] = {.added_address = address("10.9.0.9")};
    overrides[{"gws", "gone"}] = {.weight = 5};
    overrides[{"gws", "gone-too"}] = {.removed = true};
    const auto effective = with_overrides(file(), overrides);
    ASSERT_TRUE(effective) << effective.error().message;
    EXPECT_EQ(*effective,
              *with_overrides(file(), changed(weighted(kA, 30), enabled(kB, false))));
}

TEST(Overrides, ThatClashWithTheFileAreRefused)
{
    Overrides overrides;
    overrides[{"gws", "gw-a"}] = {.added_address = address("10.2.0.9")};
    expect_refused(
        with_overrides(file(), overrides),
        "'gw-a' of pool 'gws' was added at run time as 10.2.0.9, but the file has it "
        "as 10.2.0.2");
    overrides = {};
    overrides[{"gws", "gw-z"}] = {.added_address = address("10.2.0.2")};
    expect_refused(with_overrides(file(), overrides), "two backends with the address 10.2.0.2");
    // The file has caught up with what the operator did.
    overrides = {};
    overrides[{"gws", "gw-a"}] = {.added_address = address("10.2.0.2"), .weight = 5};
    const auto effective = with_overrides(file(), overrides);
    ASSERT_TRUE(effective);
    EXPECT_EQ(effective->pools[0].backends.size(), 2U);
    EXPECT_EQ(find(*effective, "gws", "gw-a")->weight, 5U);
}

TEST(Overrides, AreDescribedInAnOperatorsWords)
{
    Overrides overrides =
        changed(weighted(kA, 30), enabled(kA, false), drained(kA), removed(kB),
                added(kNew, "10.2.0.4", 200), drained(kNew, 1769860801));
    overrides[{"gone", "x"}] = {.weight = 5};
    overrides[{"gws", "gone"}] = {.enabled = true};
    std::vector<std::string> lines;
    for (const OverrideDescription &line : describe(file(), overrides)) {
        lines.push_back(line.pool + "/" + line.backend + ": " + line.what);
    }
    EXPECT_EQ(lines,
              (std::vector<std::string>{
                  "gone/x: weight 5, no effect: the file has no such pool",
                  "gws/gone: enabled, no effect: the file has no such backend",
                  "gws/gw-a: disabled, drained, weight 30 (file: 100)", "gws/gw-b: removed",
                  "gws/gw-c: added as 10.2.0.4, drained, cut at 2026-01-31T12:00:01Z, "
                  "weight 200"}));
}

}  // namespace
}  // namespace guideway::model
