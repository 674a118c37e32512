// What must hold for desired state, whoever asks for it: a file or an operator.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/model/desired.hpp"
#include "dataplane/error.hpp"

namespace guideway::model {

struct Violation {
    std::string path;     // of the offending value, such as "services[0].listen"
    std::string message;  // what is wrong
    std::string hint;     // what would be right
    std::string related;  // path of the value that it clashes with, if there is one
};

// Everything that can be said without a host. Values that are missing (an empty name, an
// unspecified address) are reported once, at their place, and then left out of the
// comparisons, so that one mistake is not reported twice. Paths are those of the file;
// `listen` stands for protocol, address and port.
[[nodiscard]] std::vector<Violation> validate(const Desired &desired);

// Names of services, pools and backends: they appear in URLs and metrics.
[[nodiscard]] bool is_name(std::string_view text);
inline constexpr std::string_view kNameRule =
    "up to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit";

// Those of instances name the directory of the tables too: the BPF file system takes no
// dots in names.
[[nodiscard]] bool is_instance_name(std::string_view text);
inline constexpr std::string_view kInstanceNameRule =
    "up to 63 letters, digits, '_' or '-', beginning with a letter or digit; no '.', which the "
    "BPF file system, where the instance's tables are, refuses";

// Names that Linux gives to network interfaces.
[[nodiscard]] bool is_interface_name(std::string_view text);

// "tcp://203.0.113.10:443"
[[nodiscard]] std::string listen_text(const Service &service);

// "2026-01-31T12:00:00Z"; of times from 1970 to kUnixTimeMax
[[nodiscard]] std::string utc_text(int64_t unix_seconds);
// Of a text as utc_text() writes it.
[[nodiscard]] std::optional<int64_t> parse_utc(std::string_view text);

// When a time from now ("10m") or a time of day and year ("2026-01-31T12:00:00Z") is, in Unix
// seconds. Fails for other texts, and for what is over at `now`.
[[nodiscard]] Result<int64_t> parse_deadline(std::string_view text, int64_t now);

// `text` in single quotes, fit for one line of a terminal or a log: control characters are
// escaped and what is long is cut.
[[nodiscard]] std::string quoted(std::string_view text);

}  // namespace guideway::model
