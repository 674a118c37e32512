#include "tests/packets/case.hpp"

#include <algorithm>
#include <fstream>

#include "tests/packets/words.hpp"

namespace guideway::packets {
namespace {

// A line that begins at its first column, with the indented lines that follow it.
struct Statement {
    int line = 0;
    std::string text;
};

std::vector<Statement> statements(std::istream &stream)
{
    std::vector<Statement> list;
    std::string line;
    for (int number = 1; std::getline(stream, line); number++) {
        if (const auto comment = line.find('#'); comment != std::string::npos) {
            line.erase(comment);
        }
        if (line.find_first_not_of(" \t") == std::string::npos) {
            continue;
        }
        if (line[0] == ' ' && !list.empty()) {
            list.back().text += line;
        } else {
            list.push_back({number, line});
        }
    }
    return list;
}

void parse_verdict(Words &words, Step &step)
{
    if (words.accept("pass")) {
        step.verdict = Verdict::kPass;
    } else if (words.accept("drop")) {
        step.verdict = Verdict::kDrop;
    } else if (words.accept("send")) {
        step.verdict = Verdict::kSend;
    } else if (words.accept("redirect")) {
        step.verdict = Verdict::kRedirect;
        step.egress_ifindex =
            static_cast<uint32_t>(words.number("the egress interface", 0xffffffff));
    } else {
        words.fail("expected pass, drop, send or redirect");
    }
    step.reason = words.next("the reason");
    while (!words.done()) {
        if (words.accept("service")) {
            step.service = words.next("the service");
        } else if (words.accept("backend")) {
            step.backend = words.next("the backend");
        } else if (words.accept("excess")) {
            step.excesses.push_back(words.next("the limit"));
        } else if (words.accept("event")) {
            while (!words.done()) {
                step.events.push_back(words.next("the event"));
            }
        } else {
            break;
        }
    }
}

ExpectedCounter parse_counter(Words &words)
{
    ExpectedCounter counter;
    counter.name = words.next("a counter");
    if (counter.name == "service" || counter.name == "backend" || counter.name == "limit") {
        counter.name += " " + words.next("a name");
    }
    if (counter.name.starts_with("limit ")) {
        words.expect("excess");
        counter.name += " excess";
    }
    counter.packets = words.number("the count", UINT64_MAX);
    if (words.accept("bytes")) {
        counter.bytes = words.number("the bytes", UINT64_MAX);
    }
    return counter;
}

void parse_sweep(Words &words, Step &step)
{
    words.expect("n");
    words.expect("=");
    step.first = words.number("the first value", UINT32_MAX);
    words.expect("to");
    step.last = words.number("the last value", UINT32_MAX);
}

void parse_pin_times(Words &words, gw_pin_times &times)
{
    auto ticks = [&words](std::string_view name) {
        words.expect(name);
        return static_cast<uint32_t>(words.number("the ticks", GW_PIN_TICKS_MASK));
    };
    times.idle_ticks = ticks("idle");
    times.closing_ticks = ticks("closing");
    times.handshake_ticks = ticks("handshake");
}

class Reader {
  public:
    explicit Reader(Case &target) : case_(target) {}

    void statement(const Statement &statement)
    {
        Words words(statement.text);
        const std::string keyword = words.next("a statement");
        if (keyword == "packet") {
            case_.steps.push_back({.line = statement.line, .name = words.rest()});
        } else if (case_.steps.empty() ? !configuration(keyword, words)
                                       : !packet(keyword, words, case_.steps.back())) {
            words.fail("no statement '" + keyword + "' here");
        }
        if (!words.done()) {
            words.fail("does not know '" + std::string(words.peek()) + "'");
        }
        error = words.error();
    }

    std::optional<std::string> error;

  private:
    bool configuration(const std::string &keyword, Words &words)
    {
        auto &world = case_.world;
        if (keyword == "backend") {
            world.backends.push_back(parse_backend(words));
        } else if (keyword == "service") {
            world.services.push_back(parse_service(words));
        } else if (keyword == "unmatched-pass") {
            world.unmatched_pass.push_back(words.address("a service address"));
        } else if (keyword == "hash-key") {
            for (auto &word : world.hash_key.word) {
                word = words.number("a word of the key", UINT64_MAX);
            }
        } else if (keyword == "inactive") {
            world.other_generation = true;
        } else if (keyword == "pins-max") {
            world.pins_max = static_cast<uint32_t>(words.number("the pins", UINT32_MAX));
        } else if (keyword == "pin-times") {
            parse_pin_times(words, world.pin_times);
        } else if (keyword == "pin") {
            world.pins.push_back(parse_foreign_pins(words));
        } else if (keyword == "sources-max") {
            world.sources_max = static_cast<uint32_t>(words.number("the sources", UINT32_MAX));
        } else if (keyword == "limit") {
            world.limits.push_back(parse_limit(words));
        } else if (keyword == "deny") {
            parse_prefixes(words, GW_LIST_DENY, world.listed);
        } else if (keyword == "allow") {
            parse_prefixes(words, GW_LIST_ALLOW, world.listed);
        } else {
            return false;
        }
        return true;
    }

    bool packet(const std::string &keyword, Words &words, Step &step)
    {
        if (keyword == "in") {
            step.in = words.rest();
        } else if (keyword == "out") {
            step.out = words.rest();
        } else if (keyword == "verdict") {
            parse_verdict(words, step);
        } else if (keyword == "for") {
            parse_sweep(words, step);
        } else if (keyword == "headroom") {
            step.headroom_bytes =
                static_cast<uint32_t>(words.number("the headroom", kHeadroomBytes));
            if (step.headroom_bytes % 4 != 0) {
                words.fail("headroom is whole words");
            }
        } else if (keyword == "icmp-limit-reached") {
            step.icmp_exhausted = true;
        } else if (keyword == "pins") {
            step.pins = parse_pins(words);
        } else if (auto change = parse_change(keyword, words)) {
            step.changes.push_back(std::move(*change));
        } else if (keyword == "counters") {
            while (!words.done()) {
                case_.counters.push_back(parse_counter(words));
            }
        } else {
            return false;
        }
        return true;
    }

    Case &case_;
};

// What can be said of a case only once it is complete.
std::optional<std::string> check_step(const Step &step)
{
    if (step.in.empty() || step.reason.empty()) {
        return "packet '" + step.name + "' needs both 'in' and 'verdict'";
    }
    const bool sent = step.verdict == Verdict::kSend || step.verdict == Verdict::kRedirect;
    if (sent != step.out.has_value()) {
        return "packet '" + step.name + "' needs 'out' exactly if it is sent or redirected";
    }
    return std::nullopt;
}

// The kernel's exact clock is not the coarse one that a case sets: each would take the other's
// states for old or for new ones.
bool mixes_clocks(const World &world)
{
    return uses_exact_clock(world) && !std::ranges::all_of(world.limits, &Limit::exact_clock);
}

}  // namespace

Result<Case> read_case(const std::filesystem::path &file)
{
    std::ifstream stream(file);
    if (!stream) {
        return std::unexpected(Error::system("read", file.string()));
    }
    Case result;
    result.file = file.filename().string();
    Reader reader(result);
    for (const auto &statement : statements(stream)) {
        reader.statement(statement);
        if (reader.error) {
            return fail(file.string() + ":" + std::to_string(statement.line) + ": " +
                        *reader.error);
        }
    }
    for (const auto &step : result.steps) {
        if (auto problem = check_step(step)) {
            return fail(file.string() + ":" + std::to_string(step.line) + ": " + *problem);
        }
    }
    if (result.steps.empty()) {
        return fail(file.string() + ": no packets");
    }
    if (mixes_clocks(result.world)) {
        return fail(file.string() + ": limits are all 'exact' or none");
    }
    return result;
}

std::string substitute(const std::string &text, uint64_t n)
{
    std::string result = text;
    for (size_t at = 0; (at = result.find("$n", at)) != std::string::npos;) {
        result.replace(at, 2, std::to_string(n));
    }
    return result;
}

}  // namespace guideway::packets
