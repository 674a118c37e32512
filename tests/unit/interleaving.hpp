// Where other processors may come between: lets a test choose one place and what happens there.
// Include it before the core.
#pragma once

#include <functional>
#include <utility>

namespace guideway {

// Runs `act` when the core comes to a place, counted from `begin`, where other processors
// may come between.
struct Interleaving {
    int point = 0;
    int at = -1;
    std::function<void()> act;

    void begin(int chosen, std::function<void()> what)
    {
        point = 0;
        at = chosen;
        act = std::move(what);
    }

    void meet()
    {
        if (point++ == at) {
            act();
        }
    }

    // Whether the packet came to the chosen place.
    bool end() { return std::exchange(at, -1) < point; }
};
inline Interleaving interleaving;

}  // namespace guideway

#define GW_INTERLEAVE() guideway::interleaving.meet()
