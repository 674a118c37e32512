#include "tools/guideway/patient.hpp"

#include <fmt/format.h>

#include <chrono>
#include <ostream>
#include <thread>

#include "tools/guideway/members.hpp"
#include "tools/guideway/text.hpp"
#include "tools/guideway/views.hpp"

namespace guideway::cli {
namespace {

using nlohmann::json;

constexpr auto kAskAgain = std::chrono::seconds(1);
constexpr int kWaitSeconds = 20;  // for an event, within the client's patience

void print_event(const json &event, bool as_json, const Streams &streams)
{
    streams.out << (as_json ? event.dump(-1, ' ', false, json::error_handler_t::replace)
                            : event_line(event, streams.colours))
                << '\n'
                << std::flush;
}

}  // namespace

Outcome<json> PatientClient::get(const std::string &target, const std::string &attempted)
{
    while (true) {
        auto answer = client_.get(target, attempted);
        const bool nobody_answers = !answer && answer.error().exit == Exit::kUnreachable;
        if (!nobody_answers || !was_reached_) {
            if (std::exchange(is_gone_, false)) {
                err_ << "guideway: guidewayd is back" << '\n' << std::flush;
            }
            was_reached_ = was_reached_ || answer.has_value();
            return answer;
        }
        if (!std::exchange(is_gone_, true)) {
            err_ << "guideway: " << printable(answer.error().message)
                 << "; waiting for it to come back" << '\n'
                 << std::flush;
        }
        std::this_thread::sleep_for(kAskAgain);
    }
}

Outcome<void> watch(PatientClient client, std::optional<int64_t> since, bool as_json,
                    const Streams &streams)
{
    const std::string attempted = "watch events";
    if (!since) {
        const auto newest = client.get("/v1/events?limit=0", attempted);
        if (!newest) {
            return std::unexpected(newest.error());
        }
        since = static_cast<int64_t>(number(*newest, "newest"));
    }
    while (streams.out) {
        const auto page = client.get(
            fmt::format("/v1/events?after={}&wait={}", *since, kWaitSeconds), attempted);
        if (!page) {
            return std::unexpected(page.error());
        }
        if (number(*page, "newest") < static_cast<uint64_t>(*since)) {
            streams.err << "guideway: the daemon counts its events anew" << '\n' << std::flush;
            since = 0;
            continue;
        }
        if (truth(*page, "missed")) {
            streams.err << "guideway: some events before these are not kept any more; see "
                           "'guideway history'"
                        << '\n'
                        << std::flush;
        }
        for (const auto &event : array(*page, "events")) {
            print_event(event, as_json, streams);
            since = std::max(*since, static_cast<int64_t>(number(event, "sequence")));
        }
    }
    return {};
}

Outcome<json> wait_for_drain(PatientClient client, const std::string &target,
                             const std::string &backend, const Streams &streams)
{
    const std::string attempted = "wait for the drain of backend " + backend;
    std::string told;
    while (true) {
        const auto shown = client.get(target, attempted);
        if (!shown) {
            const auto &body = shown.error().body;
            const bool is_gone = member(body, "error").is_string() &&
                                 text(body, "error").starts_with("there is no backend");
            if (!is_gone) {
                return std::unexpected(shown.error());
            }
            return std::unexpected(
                Failure{.exit = Exit::kFailed,
                        .message = fmt::format("backend {} vanished before its drain was seen "
                                               "to end",
                                               backend),
                        .body = {}});
        }
        const json &drain = member(*shown, "drain");
        if (!drain.is_object()) {
            return std::unexpected(
                Failure{.exit = Exit::kFailed,
                        .message = fmt::format("backend {} does not drain any more: it is {}",
                                               backend, text(*shown, "state")),
                        .body = {}});
        }
        if (auto now = drain_text(drain); now != told) {
            told = std::move(now);
            streams.err << printable(backend) << ": " << told << '\n' << std::flush;
        }
        if (truth(drain, "done")) {
            return drain;
        }
        std::this_thread::sleep_for(kAskAgain);
    }
}

}  // namespace guideway::cli
