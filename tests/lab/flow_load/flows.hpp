// What flow_load can hold open.
#pragma once

#include <array>
#include <string>

#include "tests/lab/flow_load/run.hpp"

namespace lab {

// Downloads of a part of a file each, read slowly, every byte compared.
struct DownloadOptions {
    std::string path = "/big";
    std::string expect;  // what the path's file holds
    uint32_t bytes = 200000;
    uint32_t rate = 8000;  // bytes a second that are read; all at once when the run is over
};

// Connections that are kept and ask again and again, for the page "/".
struct TalkOptions {
    uint32_t every_ms = 4500;  // silence before each packet
    uint32_t pieces = 1;       // packets that a request is sent in
};

// Connections that end and come again from the same port.
struct ReuseOptions {
    uint32_t first_port = 20000;
    uint32_t every_ms = 500;  // from the end of one connection to the beginning of the next
};

// Numbered packets, and the answers to them.
struct DatagramOptions {
    uint32_t rate = 1000;  // packets a second, over all flows
};

bool download(Run &run, const DownloadOptions &options);
bool talk(Run &run, const TalkOptions &options);
bool reuse(Run &run, const ReuseOptions &options);
bool send_datagrams(Run &run, const DatagramOptions &options, nlohmann::json &report);

}  // namespace lab
