#include "control/store/health_memory.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace guideway::store {
namespace {

using nlohmann::json;

constexpr int64_t kFormat = 1;
constexpr std::array<std::string_view, 3> kStates = {"unknown", "up", "down"};

json to_json(const model::IpAddress &address, const health::Remembered &remembered)
{
    return {{"address", address.to_string()},
            {"state", kStates[static_cast<size_t>(remembered.state)]},
            {"reason", remembered.reason},
            {"since", remembered.since},
            {"successes", remembered.successes},
            {"failures", remembered.failures},
            {"downs", remembered.downs},
            {"holds", remembered.holds},
            {"held_until", remembered.held_until},
            {"slow_since", remembered.slow_since},
            {"answered", remembered.answered},
            {"counts", remembered.counts},
            {"is_out", remembered.is_out}};
}

// Throws json::exception where something is missing or of another type.
std::optional<health::State> state_from(const json &entry)
{
    const auto text = entry.at("state").get<std::string>();
    for (size_t i = 0; i < kStates.size(); i++) {
        if (kStates[i] == text) {
            return static_cast<health::State>(i);
        }
    }
    return std::nullopt;
}

health::Remembered remembered_from(const json &entry, health::State state)
{
    return {.state = state,
            .reason = entry.at("reason").get<std::string>(),
            .since = entry.at("since").get<int64_t>(),
            .successes = entry.at("successes").get<uint32_t>(),
            .failures = entry.at("failures").get<uint32_t>(),
            .downs = entry.at("downs").get<std::vector<int64_t>>(),
            .holds = entry.at("holds").get<uint32_t>(),
            .held_until = entry.at("held_until").get<int64_t>(),
            .slow_since = entry.at("slow_since").get<int64_t>(),
            .answered = entry.at("answered").get<bool>(),
            .counts = entry.at("counts").get<bool>(),
            .is_out = entry.at("is_out").get<bool>()};
}

Result<void> write_whole(const std::string &path, const std::string &text)
{
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return std::unexpected(Error::system("create", path));
    }
    size_t written = 0;
    while (written < text.size()) {
        const ssize_t bytes = ::write(fd, text.data() + written, text.size() - written);
        if (bytes < 0) {
            auto error = Error::system("write", path);
            ::close(fd);
            return std::unexpected(std::move(error));
        }
        written += static_cast<size_t>(bytes);
    }
    if (::close(fd) != 0) {
        return std::unexpected(Error::system("write", path));
    }
    return {};
}

}  // namespace

Result<void> save_health(const std::filesystem::path &path, const HealthMemory &memory)
{
    json pools = json::array();
    for (const auto &[name, backends] : memory) {
        json entries = json::array();
        for (const auto &[address, remembered] : backends) {
            entries.push_back(to_json(address, remembered));
        }
        pools.push_back({{"pool", name}, {"backends", std::move(entries)}});
    }
    // Reasons hold what a backend said; bytes that are no UTF-8 are replaced.
    const std::string text = json{{"format", kFormat}, {"pools", std::move(pools)}}.dump(
        1, ' ', false, json::error_handler_t::replace);
    const std::string fresh = path.string() + ".new";
    if (auto written = write_whole(fresh, text); !written) {
        ::unlink(fresh.c_str());
        return written;
    }
    if (::rename(fresh.c_str(), path.c_str()) != 0) {
        return std::unexpected(Error::system("replace", path.string()));
    }
    return {};
}

Result<HealthMemory> load_health(const std::filesystem::path &path)
{
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        return errno == ENOENT ? Result<HealthMemory>{}
                               : std::unexpected(Error::system("open", path.string()));
    }
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto damaged = [&path](const std::string &how) {
        return fail("the remembered health in " + path.string() + " cannot be used: " + how);
    };
    try {
        const json root = json::parse(text);
        if (root.at("format").get<int64_t>() != kFormat) {
            return damaged("its format is not " + std::to_string(kFormat));
        }
        HealthMemory memory;
        for (const auto &pool : root.at("pools")) {
            auto &backends = memory[pool.at("pool").get<std::string>()];
            for (const auto &entry : pool.at("backends")) {
                const auto address_text = entry.at("address").get<std::string>();
                const auto address = model::IpAddress::parse(address_text);
                const auto state = state_from(entry);
                if (!address || !state) {
                    return damaged("an entry for '" + address_text +
                                   "' has no address or state");
                }
                backends[*address] = remembered_from(entry, *state);
            }
        }
        return memory;
    } catch (const json::exception &error) {
        return damaged(error.what());
    }
}

}  // namespace guideway::store
