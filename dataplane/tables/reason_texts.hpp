// The texts of reasons and events (reasons.h), by their numbers.
#pragma once

#include "dataplane/core/reasons.h"

namespace guideway {

struct ReasonText {
    const char *name;
    const char *verdict;
    const char *meaning;
};
inline constexpr ReasonText kReasonTexts[] = {
#define GW_REASON_TEXT(constant, name, verdict, meaning) {name, verdict, meaning},
    GW_REASON_LIST(GW_REASON_TEXT)
#undef GW_REASON_TEXT
};

struct EventText {
    const char *name;
    const char *meaning;
};
inline constexpr EventText kEventTexts[] = {
#define GW_EVENT_TEXT(constant, name, meaning) {name, meaning},
    GW_EVENT_LIST(GW_EVENT_TEXT)
#undef GW_EVENT_TEXT
};

}  // namespace guideway
