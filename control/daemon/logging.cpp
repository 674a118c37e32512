#include "control/daemon/logging.hpp"

#include <fmt/chrono.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

namespace guideway::daemon {
namespace {

class JsonLines : public spdlog::formatter {
  public:
    void format(const spdlog::details::log_msg &message, spdlog::memory_buf_t &to) override
    {
        using namespace std::chrono;
        const auto since_epoch = message.time.time_since_epoch();
        const auto millis = duration_cast<milliseconds>(since_epoch).count() % 1000;
        const auto level = spdlog::level::to_string_view(message.level);
        const nlohmann::ordered_json line = {
            {"time", fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                                 fmt::gmtime(system_clock::to_time_t(message.time)), millis)},
            {"level", std::string_view(level.data(), level.size())},
            {"message", std::string_view(message.payload.data(), message.payload.size())},
            {"pid", getpid()}};
        // Names in messages may hold any bytes; they must not end the daemon.
        const std::string text =
            line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
        to.append(text.data(), text.data() + text.size());
    }

    [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override
    {
        return std::make_unique<JsonLines>();
    }
};

}  // namespace

void set_up_logging(LogFormat format, const std::string &level)
{
    spdlog::set_default_logger(spdlog::stderr_color_mt("guidewayd"));
    spdlog::set_level(spdlog::level::from_str(level));
    spdlog::flush_on(spdlog::level::info);
    if (format == LogFormat::kJson) {
        spdlog::set_formatter(std::make_unique<JsonLines>());
    } else {
        spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%-7l%$ %v");
    }
}

}  // namespace guideway::daemon
