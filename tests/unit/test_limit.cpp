// Limits as values: their texts, the parameters that packets are measured by, and the extremes
// of both.
#include "control/model/limit.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace guideway::model {
namespace {

constexpr auto kConnections = LimitOf::kNewConnections;
constexpr auto kPackets = LimitOf::kPackets;
constexpr auto kBytes = LimitOf::kBytes;
constexpr uint64_t kNs = 1 << 16;  // of an interval
constexpr uint64_t kTickNs = 4'000'000;

Rate rate(LimitOf of, std::string_view text)
{
    const auto parsed = parse_rate(of, text);
    EXPECT_TRUE(parsed) << text;
    return parsed.value_or(Rate{.amount = 1});
}

// GCRA as the packet path does it, in whole numbers of its units: how many units of those that
// come at `arrivals_ns` conform.
uint64_t admitted(const Gcra &parameters, const std::vector<uint64_t> &arrivals_ns)
{
    __extension__ using Wide = unsigned __int128;
    Wide theoretical = 0;  // in 2^-16 ns
    uint64_t count = 0;
    for (const uint64_t at : arrivals_ns) {
        const Wide now = Wide{at} << 16;
        const Wide ahead = theoretical > now ? theoretical - now : 0;
        if (ahead <= Wide{parameters.tolerance} << 12) {
            theoretical = std::max(theoretical, now) + parameters.interval;
            count++;
        }
    }
    return count;
}

TEST(LimitText, RatesAreReadAndWritten)
{
    struct Case {
        LimitOf of;
        std::string text;
        Rate rate;
        std::string written;
    };
    constexpr auto kNumber = Rate::Unit::kCount;
    constexpr auto kInBits = Rate::Unit::kBits;
    constexpr auto kInBytes = Rate::Unit::kBytes;
    const Case cases[] = {
        {kConnections, "100/m", {100, kNumber, 60}, "100/m"},
        {kConnections, "1/d", {1, kNumber, 86'400}, "1/d"},
        {kConnections, "1000/h", {1'000, kNumber, 3'600}, "1k/h"},
        {kPackets, "50k/s", {50'000, kNumber, 1}, "50k/s"},
        {kPackets, "50K/s", {50'000, kNumber, 1}, "50k/s"},
        {kPackets, "1M/s", {1'000'000, kNumber, 1}, "1M/s"},
        {kPackets, "1000000k/s", {1'000'000'000, kNumber, 1}, "1G/s"},
        {kPackets, "1001/s", {1'001, kNumber, 1}, "1001/s"},
        {kPackets, "0/s", {0, kNumber, 1}, "0/s"},
        {kBytes, "1Gbit/s", {1'000'000'000, kInBits, 1}, "1Gbit/s"},
        {kBytes, "500kbit/s", {500'000, kInBits, 1}, "500kbit/s"},
        {kBytes, "8bit/s", {8, kInBits, 1}, "8bit/s"},
        {kBytes, "10MB/s", {10'000'000, kInBytes, 1}, "10MB/s"},
        {kBytes, "64KB/m", {64'000, kInBytes, 60}, "64kB/m"},
        {kBytes, "1B/s", {1, kInBytes, 1}, "1B/s"},
        {kBytes, "10GB/d", {10'000'000'000, kInBytes, 86'400}, "10GB/d"},
        {kPackets,
         "18446744073709551615/s",
         {18'446'744'073'709'551'615U, kNumber, 1},
         "18446744073709551615/s"},
    };
    for (const Case &c : cases) {
        EXPECT_EQ(parse_rate(c.of, c.text), c.rate) << c.text;
        EXPECT_EQ(rate_text(c.rate), c.written);
        EXPECT_EQ(parse_rate(c.of, c.written), c.rate) << c.written;
    }
}

TEST(LimitText, WhatIsNoRateIsNotRead)
{
    for (const std::string_view text : {"",
                                        "/",
                                        "/s",
                                        "100",
                                        "100/",
                                        "100/S",
                                        "100/ms",
                                        "100/sec",
                                        "100/s/s",
                                        "k/s",
                                        "-1/s",
                                        "+1/s",
                                        "01/s",
                                        "00/s",
                                        "1.5k/s",
                                        "1e3/s",
                                        "1 k/s",
                                        "100 /s",
                                        "100/ s",
                                        " 100/s",
                                        "100/s ",
                                        "1m/s",
                                        "1T/s",
                                        "1kk/s",
                                        "1ki/s",
                                        "0x10/s",
                                        "18446744073709551616/s",
                                        "18446744073709552k/s",
                                        "100000000000000000000000000000/s",
                                        "1\xff/s"}) {
        EXPECT_FALSE(parse_rate(kConnections, text)) << text;
        EXPECT_FALSE(parse_rate(kPackets, text)) << text;
        EXPECT_FALSE(parse_rate(kBytes, text)) << text;
    }
    for (const std::string_view text : {"1Gbit/s", "10MB/s", "1B/s", "1bit/s"}) {
        EXPECT_FALSE(parse_rate(kPackets, text)) << text;
    }
    for (const std::string_view text : {"100/s", "1k/s", "1b/s", "1Mb/s", "1Mbps/s", "1KiB/s",
                                        "1Bit/s", "1bits/s", "1GBit/s", "1 MB/s", "B/s"}) {
        EXPECT_FALSE(parse_rate(kBytes, text)) << text;
    }
    EXPECT_FALSE(parse_rate(kPackets, std::string_view("1/s\0", 4)));
}

TEST(LimitText, BurstsAreReadAndWritten)
{
    EXPECT_EQ(parse_burst(kPackets, "20"), 20U);
    EXPECT_EQ(parse_burst(kPackets, "100k"), 100'000U);
    EXPECT_EQ(parse_burst(kBytes, "10MB"), 10'000'000U);
    EXPECT_EQ(parse_burst(kBytes, "64KB"), 64'000U);
    EXPECT_EQ(parse_burst(kBytes, "65536B"), 65'536U);
    EXPECT_EQ(parse_burst(kPackets, "18446744073G"), 18'446'744'073'000'000'000U);
    for (const std::string_view text : {"", "k", "1B", "10MB", "-1", "01", "1.5", "1 ", "20/s",
                                        "18446744073709551616", "18446744074G"}) {
        EXPECT_FALSE(parse_burst(kPackets, text)) << text;
    }
    for (const std::string_view text :
         {"", "B", "20", "10M", "10Mb", "10bit", "1KiB", "1 kB", "18446744074GB"}) {
        EXPECT_FALSE(parse_burst(kBytes, text)) << text;
    }
    for (const uint64_t burst : {uint64_t{1}, uint64_t{999}, uint64_t{1'000}, uint64_t{65'536},
                                 kBurstCountMax, kBurstBytesMax, uint64_t{1'234'567'890}}) {
        EXPECT_EQ(parse_burst(kPackets, burst_text(kPackets, burst)), burst);
        EXPECT_EQ(parse_burst(kBytes, burst_text(kBytes, burst)), burst);
    }
}

TEST(LimitText, SourcesAreDescribedByTheirBits)
{
    const auto v4 = Family::kIpv4;
    const auto v6 = Family::kIpv6;
    EXPECT_EQ(per_text({}, v4), "source");
    EXPECT_EQ(per_text({}, v6), "source");
    EXPECT_EQ(per_text({24, 64}, v4), "source/24");
    EXPECT_EQ(per_text({24, 64}, std::nullopt), "source/24");
    EXPECT_EQ(per_text({32, 56}, v6), "source/56");
    EXPECT_EQ(per_text({24, 64}, v6), std::nullopt);
    EXPECT_EQ(per_text({32, 56}, v4), std::nullopt);
    EXPECT_EQ(per_text({24, 56}, std::nullopt), std::nullopt);
    EXPECT_EQ(describe_per({24, 56}, std::nullopt), "source, ipv4 /24, ipv6 /56");
    EXPECT_EQ(describe_per({24, 64}, v4), "source/24");

    EXPECT_EQ(default_limit_name(kConnections, {}, v4), "new_connections");
    EXPECT_EQ(default_limit_name(kPackets, {24, 64}, v4), "packets-24");
    EXPECT_EQ(default_limit_name(kPackets, {32, 56}, v6), "packets-56");
    EXPECT_EQ(default_limit_name(kBytes, {24, 56}, std::nullopt), "bytes-24-56");
}

TEST(LimitChecks, RatesHaveBounds)
{
    const auto passes = [](LimitOf of, std::string_view text) {
        return !check_rate(of, rate(of, text));
    };
    for (const auto of : {kConnections, kPackets}) {
        EXPECT_TRUE(passes(of, "1/d"));
        EXPECT_TRUE(passes(of, "1G/s"));
        EXPECT_TRUE(passes(of, "86400G/d"));
        EXPECT_FALSE(passes(of, "0/d"));
        EXPECT_FALSE(passes(of, "1000000001/s"));
        EXPECT_FALSE(passes(of, "86400000000001/d"));
        EXPECT_FALSE(passes(of, "18446744073709551615/d"));
    }
    EXPECT_TRUE(passes(kBytes, "1B/s"));
    EXPECT_TRUE(passes(kBytes, "8bit/s"));
    EXPECT_TRUE(passes(kBytes, "86400B/d"));
    EXPECT_TRUE(passes(kBytes, "400Gbit/s"));
    EXPECT_TRUE(passes(kBytes, "50GB/s"));
    EXPECT_TRUE(passes(kBytes, "4320000GB/d"));
    EXPECT_FALSE(passes(kBytes, "7bit/s"));
    EXPECT_FALSE(passes(kBytes, "86399B/d"));
    EXPECT_FALSE(passes(kBytes, "0B/s"));
    EXPECT_FALSE(passes(kBytes, "400000000001bit/s"));
    EXPECT_FALSE(passes(kBytes, "50000000001B/s"));
    EXPECT_FALSE(passes(kBytes, "18446744073709551615B/s"));
    EXPECT_FALSE(passes(kBytes, "18446744073709551615B/d"));
    // Of another kind than what they limit.
    EXPECT_TRUE(check_rate(kPackets, rate(kBytes, "1MB/s")));
    EXPECT_TRUE(check_rate(kBytes, rate(kPackets, "1M/s")));
    EXPECT_TRUE(check_rate(kPackets, Rate{.amount = 1, .period_seconds = 7}));
    EXPECT_TRUE(check_rate(kPackets, Rate{.amount = 1, .period_seconds = 0}));

    EXPECT_EQ(check_rate(kPackets, rate(kPackets, "2G/s"))->message,
              "the rate 2G/s is too high");
    EXPECT_EQ(check_rate(kConnections, rate(kConnections, "0/s"))->message,
              "the rate 0/s lets nothing through");
    EXPECT_EQ(check_rate(kBytes, rate(kBytes, "7bit/s"))->message,
              "the rate 7bit/s is too low");
}

TEST(LimitChecks, BurstsHaveBounds)
{
    const auto passes = [](LimitOf of, std::string_view text, uint64_t burst) {
        return !check_burst(of, rate(of, text), burst);
    };
    EXPECT_TRUE(passes(kPackets, "1/s", 1));
    EXPECT_FALSE(passes(kPackets, "1/s", 0));
    EXPECT_TRUE(passes(kPackets, "1M/s", kBurstCountMax));
    EXPECT_FALSE(passes(kPackets, "1M/s", kBurstCountMax + 1));
    EXPECT_TRUE(passes(kBytes, "1Gbit/s", kBurstBytesMax));
    EXPECT_FALSE(passes(kBytes, "1Gbit/s", kBurstBytesMax + 1));
    EXPECT_FALSE(passes(kBytes, "1Gbit/s", std::numeric_limits<uint64_t>::max()));
    // A year at the rate.
    EXPECT_TRUE(passes(kPackets, "1/d", 365));
    EXPECT_FALSE(passes(kPackets, "1/d", 366));
    EXPECT_TRUE(passes(kBytes, "8bit/s", 31'536'000));
    EXPECT_FALSE(passes(kBytes, "8bit/s", 31'536'001));
    EXPECT_EQ(check_burst(kPackets, rate(kPackets, "1/d"), 1'000)->message,
              "a burst of 1k lasts for more than a year at 1/d");
    EXPECT_EQ(check_burst(kPackets, rate(kPackets, "1/d"), 1'000)->hint,
              "at most 365 at this rate");
}

TEST(LimitChecks, TheDefaultBurstIsASecondsWorth)
{
    const auto burst = [](LimitOf of, std::string_view text) {
        const Rate of_limit = rate(of, text);
        const uint64_t value = default_burst(of, of_limit);
        EXPECT_FALSE(check_burst(of, of_limit, value)) << text;
        return value;
    };
    EXPECT_EQ(burst(kPackets, "50k/s"), 50'000U);
    EXPECT_EQ(burst(kConnections, "1/d"), 1U);
    EXPECT_EQ(burst(kConnections, "60/m"), 1U);
    EXPECT_EQ(burst(kConnections, "61/m"), 2U);
    EXPECT_EQ(burst(kConnections, "100/m"), 2U);
    EXPECT_EQ(burst(kConnections, "1G/s"), 1'000'000'000U);
    EXPECT_EQ(burst(kConnections, "86400G/d"), 1'000'000'000U);
    EXPECT_EQ(burst(kBytes, "1B/s"), 65'536U);
    EXPECT_EQ(burst(kBytes, "500kbit/s"), 65'536U);
    EXPECT_EQ(burst(kBytes, "1Gbit/s"), 125'000'000U);
    EXPECT_EQ(burst(kBytes, "400Gbit/s"), 50'000'000'000U);
}

TEST(LimitChecks, EqualRatesAreKnownInAnyForm)
{
    EXPECT_TRUE(is_same_rate(rate(kPackets, "1/s"), rate(kPackets, "60/m")));
    EXPECT_TRUE(is_same_rate(rate(kPackets, "24/d"), rate(kPackets, "1/h")));
    EXPECT_FALSE(is_same_rate(rate(kPackets, "1/s"), rate(kPackets, "61/m")));
    EXPECT_TRUE(is_same_rate(rate(kBytes, "1Gbit/s"), rate(kBytes, "125MB/s")));
    EXPECT_FALSE(is_same_rate(rate(kBytes, "1Gbit/s"), rate(kBytes, "1GB/s")));
    EXPECT_FALSE(is_same_rate(rate(kBytes, "8bit/s"), rate(kPackets, "8/s")));
    const uint64_t most = std::numeric_limits<uint64_t>::max();
    EXPECT_TRUE(
        is_same_rate({most, Rate::Unit::kBytes, 86'400}, {most, Rate::Unit::kBytes, 86'400}));
    EXPECT_FALSE(is_same_rate({most, Rate::Unit::kBytes, 86'400},
                              {most - 1, Rate::Unit::kBytes, 86'400}));
}

TEST(LimitParameters, AreTheRateAndTheBurst)
{
    // "100 a minute, burst 20": an interval of 600 ms, and a tolerance of all but the first.
    const Gcra parameters = gcra(rate(kConnections, "100/m"), 20);
    EXPECT_EQ(parameters.interval, 600'000'000 * kNs);
    EXPECT_EQ(parameters.tolerance, uint64_t{19} * 600'000'000 * 16);
    EXPECT_EQ(gcra(rate(kPackets, "1/s"), 1), (Gcra{1'000'000'000 * kNs, 0}));
    EXPECT_EQ(gcra(rate(kBytes, "1Gbit/s"), 125), (Gcra{8 * kNs, uint64_t{124} * 8 * 16}));
    EXPECT_EQ(gcra(rate(kBytes, "125MB/s"), 125), gcra(rate(kBytes, "1Gbit/s"), 125));
}

TEST(LimitParameters, OfTheExtremes)
{
    EXPECT_EQ(gcra(rate(kConnections, "1/d"), 1), (Gcra{86'400'000'000'000 * kNs, 0}));
    EXPECT_EQ(gcra(rate(kConnections, "1/d"), 365).tolerance,
              uint64_t{364} * 86'400'000'000'000 * 16);
    EXPECT_EQ(gcra(rate(kPackets, "1G/s"), kBurstCountMax),
              (Gcra{kNs, (kBurstCountMax - 1) * 16}));
    EXPECT_EQ(gcra(rate(kPackets, "86400G/d"), 1), (Gcra{kNs, 0}));
    // 0.02 ns a byte: 1310.72 of its unit.
    EXPECT_EQ(gcra(rate(kBytes, "400Gbit/s"), kBurstBytesMax),
              (Gcra{1'311, (kBurstBytesMax - 1) * 1'311 / 4'096 + 1}));
    EXPECT_EQ(gcra(rate(kBytes, "8bit/s"), 31'536'000).interval, 1'000'000'000 * kNs);
    // What the largest packet costs fits into a word.
    EXPECT_LT(gcra(rate(kBytes, "1B/s"), 1).interval,
              std::numeric_limits<uint64_t>::max() / 65'536);
    // And so does the tolerance, with room for a time beside it.
    EXPECT_LT(gcra(rate(kBytes, "1B/s"), 31'536'000).tolerance, uint64_t{1} << 60);
}

TEST(LimitParameters, KeepToTheRateWhateverItIs)
{
    std::mt19937_64 random(1);
    for (int i = 0; i < 2'000; i++) {
        const uint64_t periods[] = {1, 60, 3'600, 86'400};
        Rate any{.amount = 0,
                 .unit = Rate::Unit::kCount,
                 .period_seconds = static_cast<uint32_t>(periods[random() % 4])};
        const uint64_t most = kCountPerSecondMax * any.period_seconds;
        any.amount = 1 + (random() >> (random() % 60)) % most;
        const Gcra parameters = gcra(any, 1);
        // Within half a unit of the interval, which is at least 2^16 of them.
        const auto exact = static_cast<long double>(any.period_seconds) * 1e9L * 65'536 /
                           static_cast<long double>(any.amount);
        EXPECT_NEAR(static_cast<double>(static_cast<long double>(parameters.interval) - exact),
                    0, 0.51 + static_cast<double>(exact) * 1e-18)
            << rate_text(any);
        EXPECT_EQ(parameters.tolerance, 0U);
    }
}

TEST(LimitParameters, AdmitTheBurstAtOnceAndThenTheRate)
{
    struct Case {
        std::string rate;
        uint64_t burst;
    };
    for (const auto &[text, burst] :
         {Case{"100/m", 20}, Case{"1/d", 1}, Case{"7/s", 3}, Case{"999999937/s", 1'000},
          Case{"1G/s", 12'345}, Case{"123457/h", 77}}) {
        const Rate of_limit = rate(kPackets, text);
        const Gcra parameters = gcra(of_limit, burst);
        EXPECT_EQ(admitted(parameters, std::vector<uint64_t>(burst * 2, 5)), burst) << text;
        // An interval later there is room for one more, and just before there is none.
        const uint64_t later = 5 + (parameters.interval + kNs - 1) / kNs;
        std::vector<uint64_t> arrivals(burst, 5);
        arrivals.push_back(later - (parameters.interval > 2 * kNs ? 2 : 1));
        arrivals.push_back(later);
        arrivals.push_back(later);
        EXPECT_EQ(admitted(parameters, arrivals), burst + 1) << text;
    }
    // A thousand a second of ten thousand that ask, for ten seconds.
    std::vector<uint64_t> arrivals;
    for (uint64_t i = 0; i < 100'000; i++) {
        arrivals.push_back(i * 100'000);
    }
    EXPECT_EQ(admitted(gcra(rate(kPackets, "1k/s"), 50), arrivals), 10'049U);
}

TEST(LimitClock, IsExactWhereABurstIsUsedUpWithinFourTicks)
{
    const auto exact = [](LimitOf of, std::string_view text, uint64_t burst) {
        return needs_exact_clock(gcra(rate(of, text), burst), kTickNs);
    };
    // 10,000 a second and 20 at once: the burst lasts for 2 ms, four ticks for 16.
    EXPECT_TRUE(exact(kPackets, "10k/s", 20));
    EXPECT_TRUE(exact(kPackets, "10k/s", 159));
    EXPECT_FALSE(exact(kPackets, "10k/s", 160));
    EXPECT_FALSE(exact(kConnections, "100/m", 1));
    EXPECT_FALSE(exact(kConnections, "1/d", 1));
    EXPECT_FALSE(exact(kBytes, "1Gbit/s", 2'000'000));
    EXPECT_TRUE(exact(kBytes, "1Gbit/s", 1'999'999));
    EXPECT_TRUE(exact(kBytes, "400Gbit/s", 65'536));
    EXPECT_FALSE(exact(kBytes, "400Gbit/s", kBurstBytesMax));
    // A finer tick suffices for more.
    const Gcra tight = gcra(rate(kPackets, "10k/s"), 40);
    EXPECT_TRUE(needs_exact_clock(tight, 4'000'000));
    EXPECT_FALSE(needs_exact_clock(tight, 1'000'000));
    EXPECT_TRUE(needs_exact_clock(tight, std::numeric_limits<uint32_t>::max()));
    EXPECT_TRUE(needs_exact_clock(gcra(rate(kPackets, "1/d"), 365), 0)) << "unknown";
}

TEST(Admission, IsTheLesserOfBothRates)
{
    Admission admission{.new_connections = rate(kConnections, "20k/s"),
                        .per_backend = rate(kConnections, "2k/s")};
    EXPECT_EQ(in_force(admission, 3).rate, rate(kConnections, "6k/s"));
    EXPECT_EQ(in_force(admission, 3).burst, 6'000U);
    EXPECT_EQ(in_force(admission, 10).rate, rate(kConnections, "20k/s"));
    EXPECT_EQ(in_force(admission, 8'192).rate, rate(kConnections, "20k/s"));
    EXPECT_EQ(in_force(admission, 8'192).burst, 20'000U);
    EXPECT_EQ(in_force(admission, 0).rate, rate(kConnections, "2k/s"));
    admission.burst = 7;
    EXPECT_EQ(in_force(admission, 3).burst, 7U);
    admission.new_connections.reset();
    EXPECT_EQ(in_force(admission, 5).rate, rate(kConnections, "10k/s"));
    admission.per_backend.reset();
    admission.new_connections = rate(kConnections, "90/m");
    EXPECT_EQ(in_force(admission, 5).rate, rate(kConnections, "90/m"));
    // Across periods.
    admission.per_backend = rate(kConnections, "1/s");
    EXPECT_EQ(in_force(admission, 1).rate, rate(kConnections, "1/s"));
    EXPECT_EQ(in_force(admission, 2).rate, rate(kConnections, "90/m"));
}

TEST(Admission, OfTheExtremes)
{
    const Admission admission{.per_backend = rate(kConnections, "86400G/d")};
    const AdmissionInForce most = in_force(admission, 8'192);
    EXPECT_EQ(most.rate.amount, uint64_t{86'400'000'000'000} * 8'192);
    EXPECT_EQ(gcra(most.rate, most.burst).interval, 8U);
    EXPECT_EQ(gcra(most.rate, 1).tolerance, 0U);
}

}  // namespace
}  // namespace guideway::model
