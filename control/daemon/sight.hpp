// What an instance sees of sources: events of those that exceed limits, and on request which
// send most. For the latter packets are sampled, for as long as somebody waits for the answer.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/daemon/limited_sources.hpp"
#include "control/daemon/top_sources.hpp"
#include "control/model/event.hpp"
#include "dataplane/error.hpp"
#include "dataplane/tables/limited.hpp"
#include "dataplane/tables/samples.hpp"

namespace guideway::daemon {

class Sight {
  public:
    static constexpr size_t kWatchesMax = 8;
    static constexpr size_t kRowsMax = 1000;

    // What it needs of its instance.
    struct World {
        std::function<const Tables *()> tables;  // null while there are none
        std::function<LimitedSources::Names()> names;
        std::function<void(bool)> sample;  // whether packets of services in force are sampled
        std::function<void(model::Event)> record;
        std::function<uint64_t()> now_ns;  // the limits' clock
    };

    struct Row {
        TopSources::Row sums;
        std::string service;               // that of most of its packets
        std::vector<std::string> exceeds;  // names of limits
        gw_list_verdict verdict = GW_LIST_NONE;
    };
    struct Top {
        double seconds = 0;
        std::vector<Row> rows;
        double packets = 0;  // of all sources
        double bytes = 0;
        double connections = 0;
        size_t sources = 0;    // that were told apart
        double left_out = 0;   // TopSources::left_out_most()
        uint64_t samples = 0;  // that all this is estimated from
    };
    using Reply = std::function<void(Result<Top>)>;

    Sight(boost::asio::io_context &loop, World world);
    Sight(const Sight &) = delete;
    Sight &operator=(const Sight &) = delete;
    ~Sight();  // samples no more

    // There are tables, perhaps others than before: in those that an earlier daemon has left,
    // packets may be being sampled for nobody.
    void begin();
    // There are none any more. Who waits is told so.
    void end();
    // Once a second.
    void look();

    // Watches for so long and replies, from the event loop; never once what it returns is
    // dropped. Null when kWatchesMax watch. Only while there are tables.
    [[nodiscard]] std::shared_ptr<void> watch(std::chrono::milliseconds time, TopBy by,
                                              size_t count, Reply reply);

    // Those that exceed limits now: that have within LimitedSources::kOverAfterNs.
    [[nodiscard]] std::vector<LimitedSource> limited() const;
    [[nodiscard]] double seconds_since(uint64_t then_ns) const;

  private:
    using Clock = std::chrono::steady_clock;
    struct Watch {
        TopSources top;
        size_t count = 0;
        Clock::time_point begun;
        Clock::time_point until;
        uint64_t samples = 0;
        Reply reply;
    };

    void switch_on();
    void switch_off();
    void poll_later();
    void poll();
    void answer_due();
    [[nodiscard]] Top make_top(const Watch &watch) const;
    void drop(uint64_t watch);

    World world_;
    LimitedSources told_;
    boost::asio::steady_timer timer_;
    std::optional<SampleReader> reader_;  // while sampling
    std::map<uint64_t, Watch> watches_;
    uint64_t watches_made_ = 0;
    // For tickets that outlive this.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace guideway::daemon
