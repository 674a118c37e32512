#include "dataplane/replay/engine.hpp"

namespace guideway::replay {
namespace {

static_assert(kNone == GW_INDEX_NONE);

Verdict to_verdict(gw_verdict verdict)
{
    switch (verdict) {
        case GW_PASS:
            return Verdict::kPass;
        case GW_SEND:
            return Verdict::kSend;
        case GW_REDIRECT:
            return Verdict::kRedirect;
        case GW_DROP:
            break;
    }
    return Verdict::kDrop;
}

}  // namespace

std::string_view name_of(Verdict verdict)
{
    switch (verdict) {
        case Verdict::kPass:
            return "pass";
        case Verdict::kDrop:
            return "drop";
        case Verdict::kSend:
            return "send";
        case Verdict::kRedirect:
            return "redirect";
    }
    return "?";
}

Decision decision_of(const gw_outcome &outcome)
{
    return {.verdict = to_verdict(outcome.verdict),
            .reason = outcome.reason,
            .service = outcome.service,
            .backend = outcome.backend};
}

}  // namespace guideway::replay
