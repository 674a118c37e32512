// Allow and deny lists: prefixes of sources, and which of them decides for an address. Pure.
//
// The longest prefix that covers an address decides. A prefix is never on allow and deny at
// once; on several lists of one kind it may be.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/model/address.hpp"
#include "dataplane/error.hpp"

namespace guideway::model {

enum class ListKind : uint8_t { kDeny, kAllow };
[[nodiscard]] std::string_view to_string(ListKind kind);  // "deny"

struct PolicyEntry {
    Prefix prefix;       // without host bits
    int64_t until = 0;   // Unix time in seconds from which on it counts no more; 0: for ever
    std::string reason;  // one line; may be empty

    auto operator<=>(const PolicyEntry &) const = default;
};

inline constexpr size_t kReasonBytesMax = 200;
inline constexpr size_t kPolicyListsMax = 64;  // of both kinds
// The list of the entries that are added one by one. No file is loaded into it.
inline constexpr std::string_view kSingleEntries = "manual";

// Checks what an operator typed, and says what would be right.
[[nodiscard]] Result<Prefix> parse_source_prefix(std::string_view text);
[[nodiscard]] Result<std::string> parse_reason(std::string_view text);
[[nodiscard]] Result<std::string> parse_list_name(std::string_view text);  // of a loaded list
// When an entry ends that is to be there for `text`, "1h", or until it, "2026-01-31T12:00:00Z".
[[nodiscard]] Result<int64_t> parse_until(std::string_view text, int64_t now);

struct ListId {
    ListKind kind = ListKind::kDeny;
    std::string name;

    auto operator<=>(const ListId &) const = default;
};
[[nodiscard]] std::string describe(const ListId &id);  // "the deny list 'manual'"

// The entries of one list, in the order of their prefixes: a prefix comes before those in it.
class PolicyList {
  public:
    // `entries` in any order; of several of one prefix the first stays.
    PolicyList(ListId id, std::vector<PolicyEntry> entries, std::string source = "",
               int64_t loaded_at = 0);

    [[nodiscard]] const ListId &id() const { return id_; }
    [[nodiscard]] std::span<const PolicyEntry> entries() const { return entries_; }
    [[nodiscard]] const std::string &source() const { return source_; }  // the file
    [[nodiscard]] int64_t loaded_at() const { return loaded_at_; }       // Unix time, s
    [[nodiscard]] const PolicyEntry *find(const Prefix &prefix) const;
    // Of those that end, the next; 0: none does.
    [[nodiscard]] int64_t next_end() const { return next_end_; }
    // Whether some entry is of this family and length.
    [[nodiscard]] bool has_length(Family family, int length_bits) const
    {
        return lengths_[family == Family::kIpv6 ? 1 : 0][static_cast<size_t>(length_bits)];
    }

  private:
    ListId id_;
    std::vector<PolicyEntry> entries_;
    std::string source_;
    int64_t loaded_at_;
    int64_t next_end_ = 0;
    std::array<std::array<bool, 129>, 2> lengths_{};
};

// By prefix; of several entries of one prefix the first stays.
[[nodiscard]] std::vector<PolicyEntry> in_order(std::vector<PolicyEntry> entries);

// A list's file: one prefix a line, a bare address for /32 and /128; what follows it is its
// reason. Lines that begin with # or ; are comments, empty ones are passed over.
struct ListFile {
    std::vector<PolicyEntry> entries;  // in the order of their prefixes, each once
    size_t duplicates = 0;             // lines with a prefix that an earlier line has
};
struct ListFileProblem {
    size_t line = 0;
    std::string message;
    std::string hint;
};
struct ListFileProblems {
    std::vector<ListFileProblem> first;  // at most kListFileProblemsTold
    size_t total = 0;
};
inline constexpr size_t kListFileProblemsTold = 20;

// At most kPrefixesMax, duplicates included. `reason` is that of entries which have none of their
// own, `until` that of all.
[[nodiscard]] std::expected<ListFile, ListFileProblems> parse_list_file(
    std::string_view text, const std::string &reason, int64_t until);
// The entries as such a file, without what `until` says.
[[nodiscard]] std::string emit_list_file(std::span<const PolicyEntry> entries);

// All lists of an instance: a value, cheap to copy. Lists do not change; they are replaced.
class PolicyLists {
  public:
    using Map = std::map<ListId, std::shared_ptr<const PolicyList>>;

    struct Match {
        ListId list;
        PolicyEntry entry;
    };
    struct Removed {
        std::vector<Match> entries;       // single ones, and those that end before their list
        std::map<ListId, size_t> loaded;  // how many of a loaded list
    };

    [[nodiscard]] const Map &lists() const { return lists_; }
    [[nodiscard]] const PolicyList *find(const ListId &id) const;
    [[nodiscard]] size_t size(ListKind kind) const;  // entries
    [[nodiscard]] bool empty() const { return lists_.empty(); }

    // Each fails, in an operator's words, and leaves this value as it is.
    // One more single entry, or another reason and end for one that is there.
    [[nodiscard]] Result<PolicyLists> with_entry(ListKind kind, PolicyEntry entry) const;
    // Not on any list of `kind`.
    [[nodiscard]] Result<PolicyLists> without_entry(ListKind kind, const Prefix &prefix) const;
    // In place of the list of the same name. An empty one is none.
    [[nodiscard]] Result<PolicyLists> with_list(PolicyList list) const;
    [[nodiscard]] Result<PolicyLists> without_list(const ListId &id) const;
    // Without what ends at or before `now`, which `removed` gets to know.
    [[nodiscard]] PolicyLists without_ended(int64_t now, Removed &removed) const;

    // Unix time; 0: never.
    [[nodiscard]] int64_t next_end() const;

    // The entries that cover all of `prefix`, those that decide first: the longest ones, and of
    // one prefix single entries before those of lists.
    [[nodiscard]] std::vector<Match> covering(const Prefix &prefix) const;

    // Entries in the order of their prefixes, those of one prefix together, from the first
    // after `after` on: at least `most`, if there are so many, and no prefix in part. Of all
    // lists of `kind`, or of the one that `list` names.
    [[nodiscard]] std::vector<Match> page(ListKind kind, std::string_view list,
                                          const std::optional<Prefix> &after,
                                          size_t most) const;

    struct Verdict {
        Prefix prefix;
        ListKind kind = ListKind::kDeny;
    };
    // Of every prefix on a list, in their order, each once.
    [[nodiscard]] std::vector<Verdict> verdicts() const;

    // For the store: lists as they were saved, without any check.
    void restore(PolicyList list);

  private:
    void put(PolicyList list);
    [[nodiscard]] const PolicyList *holder(ListKind kind, const Prefix &prefix) const;

    Map lists_;
};

}  // namespace guideway::model
