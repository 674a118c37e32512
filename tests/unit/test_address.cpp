#include "control/model/address.hpp"

#include <gtest/gtest.h>

namespace guideway::model {
namespace {

std::string canonical(std::string_view text)
{
    const auto address = IpAddress::parse(text);
    return address ? address->to_string() : "refused";
}

TEST(IpAddress, ReadsAndWritesIpv4)
{
    const auto address = IpAddress::parse("203.0.113.10");
    ASSERT_TRUE(address);
    EXPECT_FALSE(address->is_ipv6());
    EXPECT_EQ(address->bits(), 32);
    EXPECT_EQ(address->bytes, (std::array<uint8_t, 16>{203, 0, 113, 10}));
    EXPECT_EQ(address->to_string(), "203.0.113.10");
}

TEST(IpAddress, WritesIpv6AsRfc5952Says)
{
    EXPECT_EQ(canonical("2001:DB8:0:0:8:800:200C:417A"), "2001:db8::8:800:200c:417a");
    EXPECT_EQ(canonical("2001:0db8::0001"), "2001:db8::1");
    EXPECT_EQ(canonical("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1");
    EXPECT_EQ(canonical("2001:0:0:1:0:0:0:1"), "2001:0:0:1::1");
    EXPECT_EQ(canonical("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1");
    EXPECT_EQ(canonical("::"), "::");
    EXPECT_EQ(canonical("::1"), "::1");
}

TEST(IpAddress, RefusesWhatIsNoAddress)
{
    for (const std::string_view text : {"",          " ",          "1",
                                        "1.2.3",     "1.2.3.4.5",  "256.1.1.1",
                                        "01.2.3.4",  "1.2.3.4 ",   " 1.2.3.4",
                                        "0x1.2.3.4", "1.2.3.4/24", "example.net",
                                        ":",         ":::",        "1::2::3",
                                        "2001:db8",  "g::",        "[::1]",
                                        "::1%lo",    "12345::",    "1:2:3:4:5:6:7:8:9",
                                        "-1.2.3.4"}) {
        EXPECT_FALSE(IpAddress::parse(text)) << text;
    }
    EXPECT_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0", 8)));
    EXPECT_FALSE(IpAddress::parse(std::string(1000, '1')));
}

TEST(IpAddress, RefusesASecondNameForAnIpv4Address)
{
    EXPECT_FALSE(IpAddress::parse("::ffff:1.2.3.4"));
    EXPECT_FALSE(IpAddress::parse("::ffff:102:304"));
    EXPECT_TRUE(IpAddress::parse("::fffe:102:304"));
}

TEST(IpAddress, OrdersFamiliesApart)
{
    EXPECT_NE(*IpAddress::parse("0.0.0.0"), *IpAddress::parse("::"));
    EXPECT_LT(*IpAddress::parse("255.0.0.0"), *IpAddress::parse("1::"));
    EXPECT_LT(*IpAddress::parse("10.0.0.9"), *IpAddress::parse("10.0.0.10"));
}

TEST(IpAddress, KnowsWhatItCanBeUsedFor)
{
    const auto kind = [](std::string_view text) { return IpAddress::parse(text)->kind(); };
    for (const std::string_view text :
         {"1.0.0.1", "10.0.0.0", "126.255.255.255", "128.0.0.1", "169.254.1.1",
          "223.255.255.255", "240.0.0.1", "255.255.255.254", "::2", "1::", "2001:db8::1",
          "fe00::1", "fec0::1", "fc00::1", "100::1"}) {
        EXPECT_EQ(kind(text), AddressKind::kUnicast) << text;
    }
    EXPECT_EQ(kind("0.255.0.1"), AddressKind::kUnspecified);
    EXPECT_EQ(kind("127.255.0.1"), AddressKind::kLoopback);
    EXPECT_EQ(kind("224.0.0.0"), AddressKind::kMulticast);
    EXPECT_EQ(kind("239.255.255.255"), AddressKind::kMulticast);
    EXPECT_EQ(kind("255.255.255.255"), AddressKind::kBroadcast);
    EXPECT_EQ(kind("::"), AddressKind::kUnspecified);
    EXPECT_EQ(kind("::1"), AddressKind::kLoopback);
    EXPECT_EQ(kind("ff00::"), AddressKind::kMulticast);
    EXPECT_EQ(kind("febf::1"), AddressKind::kLinkLocal);
}

TEST(Prefix, ReadsAndWritesLengths)
{
    EXPECT_EQ(Prefix::parse("10.0.0.0/8")->to_string(), "10.0.0.0/8");
    EXPECT_EQ(Prefix::parse("10.0.0.1")->length_bits, 32);
    EXPECT_EQ(Prefix::parse("10.0.0.1/32")->to_string(), "10.0.0.1");
    EXPECT_EQ(Prefix::parse("0.0.0.0/0")->to_string(), "0.0.0.0/0");
    EXPECT_EQ(Prefix::parse("2001:db8::/32")->to_string(), "2001:db8::/32");
    EXPECT_EQ(Prefix::parse("2001:db8::1/128")->to_string(), "2001:db8::1");
    for (const std::string_view text :
         {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08",
          "10.0.0.0/8 ", "10.0.0.0/8/8", "10.0.0.0/255.0.0.0", "::/129", "10.0.0.0/4294967304",
          "10.0.0.0/-0"}) {
        EXPECT_FALSE(Prefix::parse(text)) << text;
    }
}

TEST(Prefix, ContainsItsAddressesAndNoOthers)
{
    const auto contains = [](std::string_view prefix, std::string_view address) {
        return Prefix::parse(prefix)->contains(*IpAddress::parse(address));
    };
    EXPECT_TRUE(contains("10.1.0.0/15", "10.0.255.255"));
    EXPECT_TRUE(contains("10.0.0.0/15", "10.1.255.255"));
    EXPECT_FALSE(contains("10.0.0.0/15", "10.2.0.0"));
    EXPECT_FALSE(contains("10.0.0.0/15", "9.255.255.255"));
    EXPECT_TRUE(contains("0.0.0.0/0", "255.1.2.3"));
    EXPECT_FALSE(contains("0.0.0.0/0", "::"));
    EXPECT_TRUE(contains("10.0.0.1", "10.0.0.1"));
    EXPECT_FALSE(contains("10.0.0.1", "10.0.0.0"));
    EXPECT_TRUE(contains("2001:db8::/33", "2001:db8:7fff::1"));
    EXPECT_FALSE(contains("2001:db8::/33", "2001:db8:8000::1"));
}

TEST(Prefix, TellsHostBits)
{
    EXPECT_TRUE(Prefix::parse("10.0.0.1/24")->has_host_bits());
    EXPECT_FALSE(Prefix::parse("10.0.1.0/24")->has_host_bits());
    EXPECT_TRUE(Prefix::parse("10.0.1.0/23")->has_host_bits());
    EXPECT_FALSE(Prefix::parse("10.0.0.1")->has_host_bits());
    EXPECT_EQ(Prefix::parse("10.0.1.7/23")->network().to_string(), "10.0.0.0/23");
    EXPECT_EQ(Prefix::parse("2001:db8::1/64")->network().to_string(), "2001:db8::/64");
}

}  // namespace
}  // namespace guideway::model
