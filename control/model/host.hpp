// What a configuration is checked against on the host where it is to run.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "control/model/address.hpp"

namespace guideway::model {

struct HostFacts {
    std::map<std::string, uint32_t> interfaces;  // name to ifindex
    // Of the addresses asked about, those that the host's kernel takes as its own, with the
    // interface that has them: each once.
    std::map<IpAddress, std::string> local_addresses;
};

}  // namespace guideway::model
