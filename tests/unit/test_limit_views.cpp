// Limits and the top of sources as an operator reads them.
#include <gtest/gtest.h>

#include "tools/guideway/views.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

const json kLimit = {{"name", "api/hourly"},
                     {"service", "api"},
                     {"kind", "limit"},
                     {"per", "source/24"},
                     {"of", "new_connections"},
                     {"rate", "1000/h"},
                     {"burst", "50"},
                     {"mode", "observe"},
                     {"clock", "tick"},
                     {"sources_now", 2},
                     {"excess", {{"packets", 12345}, {"bytes", 740700}}}};
const json kAdmission = {
    {"name", "api/admission"},
    {"service", "api"},
    {"kind", "admission"},
    {"per", nullptr},
    {"of", "new_connections"},
    {"rate", "6k/s"},
    {"burst", "6k"},
    {"mode", "drop"},
    {"clock", "tick"},
    {"sources_now", nullptr},
    {"excess", {{"packets", 7}, {"bytes", 420}}},
    {"backends", 3},
    {"admission", {{"new_connections", nullptr}, {"per_backend", "2k/s"}}}};

TEST(LimitViews, ListLimitsAndAdmissions)
{
    EXPECT_EQ(limits_view({{"limits", {kLimit, kAdmission}}}, false),
              "LIMIT          OF               PER          RATE    BURST  MODE     CLOCK  "
              "SOURCES NOW  PACKETS IN EXCESS\n"
              "api/hourly     new_connections  source/24    1000/h  50     observe  tick   "
              "          2             12,345\n"
              "api/admission  new_connections  all sources  6k/s    6k     drop     tick   "
              "          -                  7\n");
    EXPECT_EQ(limits_view({{"limits", json::array()}}, false), "no limits\n");
}

TEST(LimitViews, ShowWhoExceedsOne)
{
    json limit = kLimit;
    limit["sources"] = json::array({{{"source", "192.0.2.0/24"},
                                     {"service", "api"},
                                     {"since_s", 133.2},
                                     {"last_s", 0.4},
                                     {"packets", 1234},
                                     {"bytes", 2048}}});
    EXPECT_EQ(limit_view(limit, false),
              "api/hourly  1000/h new_connections, burst 50, per source/24, of service api\n"
              "  mode observe, clock tick\n"
              "  12,345 packets in excess (723.3 KiB)\n"
              "\n"
              "SOURCE        SERVICE       SINCE    LAST  PACKETS IN EXCESS    BYTES\n"
              "192.0.2.0/24  api      2m 13s ago  0s ago              1,234  2.0 KiB\n");
    limit["sources"] = json::array();
    limit["service"] = nullptr;
    limit["name"] = "hourly";
    const auto view = limit_view(limit, false);
    EXPECT_TRUE(view.contains("of all services of the instance together\n")) << view;
    EXPECT_TRUE(view.ends_with("no source exceeds it now\n")) << view;
}

TEST(LimitViews, ShowWhatAnAdmissionIsMadeOf)
{
    EXPECT_EQ(limit_view(kAdmission, false),
              "api/admission  6k/s new_connections, burst 6k, per service, of service api\n"
              "  new connections that the service takes: at most any number, 2k/s for each "
              "backend, of which 3 take new ones\n"
              "  mode drop, clock tick\n"
              "  7 packets in excess (420 B)\n");
}

TEST(LimitViews, ShowWhoSendsMost)
{
    const json top = {
        {"seconds", 5.04},
        {"by", "packets"},
        {"samples", 8192},
        {"sources", 4096},
        {"left_out_per_s", 0},
        {"total",
         {{"packets_per_s", 123456.7}, {"bytes_per_s", 1.25e9}, {"connections_per_s", 3.21}}},
        {"top",
         {{{"source", "192.0.2.7"},
           {"service", "api"},
           {"packets_per_s", 50000.2},
           {"bytes_per_s", 625000},
           {"connections_per_s", 0},
           {"error", 0.021},
           {"exceeds", {"api/hourly", "flood"}},
           {"list", nullptr}},
          {{"source", "2001:db8::/64"},
           {"service", "api"},
           {"packets_per_s", 9.04},
           {"bytes_per_s", 10},
           {"connections_per_s", 1},
           {"error", 0},
           {"exceeds", json::array()},
           {"list", "deny"}}}}};
    EXPECT_EQ(
        top_view(top, false),
        "123,457 packets/s, 10.0 Gbit/s, 3.2 new connections/s of 4,096 sources, in 5.0 s; "
        "from "
        "8,192 samples\n"
        "\n"
        "SOURCE         MOSTLY TO  PACKETS/S      BITS/S  NEW CONNECTIONS/S  ERROR  REMARKS\n"
        "192.0.2.7      api           50,000  5.0 Mbit/s                0.0   \xc2\xb1"
        "3 %  exceeds api/hourly, flood\n"
        "2001:db8::/64  api              9.0  80.0 bit/s                1.0         denied\n");
    json crowded = top;
    crowded["left_out_per_s"] = 12.5;
    EXPECT_TRUE(
        top_view(crowded, false).contains("each may have sent up to 13 packets/s more"));
    EXPECT_TRUE(top_view({{"top", json::array()}}, false).ends_with("no source sent any\n"));
}

}  // namespace
}  // namespace guideway::cli
