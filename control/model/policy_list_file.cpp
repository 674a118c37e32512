// Lists as text: what an operator types, and files of many lines.
#include <algorithm>
#include <chrono>

#include "control/model/desired.hpp"
#include "control/model/health.hpp"
#include "control/model/policy_list.hpp"
#include "control/model/validate.hpp"

namespace guideway::model {
namespace {

constexpr std::string_view kBlank = " \t\r\v\f";

std::string_view trimmed(std::string_view text)
{
    const size_t begin = text.find_first_not_of(kBlank);
    if (begin == text.npos) {
        return {};
    }
    return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

struct Complaint {
    std::string message;
    std::string hint;
};

Complaint not_a_prefix(std::string_view text)
{
    return {quoted(text) + " is neither an address nor a prefix",
            "write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/48; IPv4 addresses as such, not "
            "inside IPv6 ones"};
}

Complaint host_bits(std::string_view text, const Prefix &prefix)
{
    return {quoted(text) + " has bits beyond its length",
            "it is " + prefix.network().to_string() + ", or the address " +
                prefix.address.to_string() + " alone"};
}

// Control characters would reach terminals and logs; U+0080 to U+009F are c2 and one more byte.
bool is_line(std::string_view text)
{
    uint8_t before = 0;
    for (const char c : text) {
        const auto byte = static_cast<uint8_t>(c);
        const bool is_c1 = before == 0xc2 && byte >= 0x80 && byte < 0xa0;
        if ((byte < ' ' && c != '\t') || byte == 0x7f || is_c1) {
            return false;
        }
        before = byte;
    }
    return true;
}

std::optional<Complaint> complaint_of_reason(std::string_view text)
{
    if (text.size() > kReasonBytesMax) {
        return Complaint{"the reason has " + std::to_string(text.size()) + " bytes",
                         "at most " + std::to_string(kReasonBytesMax)};
    }
    if (!is_line(text)) {
        return Complaint{"the reason has a control character", "one line of text"};
    }
    return std::nullopt;
}

// One line that is neither empty nor a comment.
std::expected<PolicyEntry, Complaint> parse_line(std::string_view line)
{
    const std::string_view word = line.substr(0, line.find_first_of(" \t\v\f,;#"));
    const auto prefix = Prefix::parse(word);
    if (!prefix) {
        return std::unexpected(not_a_prefix(word.empty() ? line : word));
    }
    if (prefix->has_host_bits()) {
        return std::unexpected(host_bits(word, *prefix));
    }
    PolicyEntry entry{.prefix = *prefix, .reason = ""};
    if (word.size() < line.size()) {
        // "203.0.113.0/24 ; SBL1234" and "203.0.113.0/24 # scanner", as published lists have it.
        std::string_view reason = trimmed(line.substr(word.size()));
        if (!reason.empty() && std::string_view(",;#").contains(reason.front())) {
            reason = trimmed(reason.substr(1));
        }
        if (auto complaint = complaint_of_reason(reason)) {
            return std::unexpected(std::move(*complaint));
        }
        entry.reason = reason;
    }
    return entry;
}

}  // namespace

Result<Prefix> parse_source_prefix(std::string_view text)
{
    const auto prefix = Prefix::parse(text);
    const auto complaint = !prefix                   ? not_a_prefix(text)
                           : prefix->has_host_bits() ? host_bits(text, *prefix)
                                                     : Complaint{};
    if (!complaint.message.empty()) {
        return fail(complaint.message + ": " + complaint.hint);
    }
    return *prefix;
}

Result<std::string> parse_reason(std::string_view text)
{
    const std::string_view reason = trimmed(text);
    if (const auto complaint = complaint_of_reason(reason)) {
        return fail(complaint->message + "; it may be " + complaint->hint);
    }
    return std::string(reason);
}

Result<std::string> parse_list_name(std::string_view text)
{
    if (!is_name(text)) {
        return fail(quoted(text) + " cannot be the name of a list: " + std::string(kNameRule));
    }
    return std::string(text);
}

Result<int64_t> parse_until(std::string_view text, int64_t now)
{
    if (const auto after = parse_duration(text)) {
        if (*after < std::chrono::seconds(1)) {
            return fail("the time " + quoted(text) + " is too short; at least 1s");
        }
        return now + std::chrono::ceil<std::chrono::seconds>(*after).count();
    }
    const auto at = parse_utc(text);
    if (!at) {
        return fail("the time " + quoted(text) +
                    " is neither a duration of at most a year, such as 1h, nor a time, such as "
                    "2026-01-31T12:00:00Z");
    }
    if (*at <= now) {
        return fail("the time " + quoted(text) + " is over already");
    }
    return *at;
}

std::expected<ListFile, ListFileProblems> parse_list_file(std::string_view text,
                                                          const std::string &reason,
                                                          int64_t until)
{
    ListFile file;
    ListFileProblems problems;
    if (text.starts_with("\xef\xbb\xbf")) {
        text.remove_prefix(3);  // the byte order mark that some editors write
    }
    for (size_t number = 1; !text.empty(); number++) {
        const size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = trimmed(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty() || line.front() == '#' || line.front() == ';') {
            continue;
        }
        auto entry = parse_line(line);
        if (!entry) {
            problems.total++;
            if (problems.first.size() < kListFileProblemsTold) {
                problems.first.push_back(
                    {number, std::move(entry.error().message), std::move(entry.error().hint)});
            }
            continue;
        }
        if (problems.total > 0) {
            continue;  // it is refused already
        }
        // Duplicates count: until the end of the file they take memory too.
        if (file.entries.size() == kPrefixesMax) {
            problems.total = 1;
            problems.first.push_back(
                {number, "this is prefix number " + std::to_string(kPrefixesMax + 1),
                 "a file may have " + std::to_string(kPrefixesMax) +
                     ", duplicates included; no tables have room for more"});
            break;
        }
        if (entry->reason.empty()) {
            entry->reason = reason;
        }
        entry->until = until;
        file.entries.push_back(std::move(*entry));
    }
    if (problems.total > 0) {
        return std::unexpected(std::move(problems));
    }
    const size_t lines = file.entries.size();
    file.entries = in_order(std::move(file.entries));
    file.duplicates = lines - file.entries.size();
    return file;
}

std::string emit_list_file(std::span<const PolicyEntry> entries)
{
    std::string text;
    text.reserve(entries.size() * 20);
    for (const auto &entry : entries) {
        text += entry.prefix.to_string();
        if (!entry.reason.empty()) {
            text += " ; " + entry.reason;  // a reason may itself begin with a # or a ;
        }
        text += '\n';
    }
    return text;
}

}  // namespace guideway::model
