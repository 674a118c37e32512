// The story of one packet of a capture.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "dataplane/replay/frames.hpp"
#include "dataplane/replay/look.hpp"
#include "dataplane/replay/tally.hpp"
#include "tools/replay/world.hpp"

namespace guideway::cli {

class Story {
  public:
    // Before the frame goes through the world's engine.
    Story(const World &world, const replay::Frame &frame);

    // After it; `tally` has it already. Of a frame that cannot be replayed `ran` is null.
    [[nodiscard]] nlohmann::json tell(const std::string &capture, const replay::Frames &frames,
                                      const replay::Tally &tally, const replay::Ran *ran);

  private:
    void say(const char *stage, std::string words);
    void say_packet(const replay::Frames &frames, const std::string &capture);
    void say_frame();
    void say_flow(const replay::Tally &tally);
    void say_service(const replay::Ran &ran);
    void say_policy(const replay::Ran &ran);
    void say_slot();
    void say_leaves(const replay::Ran &ran);
    [[nodiscard]] std::string backend_text(uint32_t index) const;

    const World &world_;
    const replay::Frame &frame_;
    replay::Dissection read_;
    replay::Look look_;
    std::vector<uint64_t> excess_before_;  // by limit of the service
    nlohmann::json steps_ = nlohmann::json::array();
};

[[nodiscard]] std::string story_view(const nlohmann::json &story, bool colours);

}  // namespace guideway::cli
