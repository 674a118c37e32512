#include "control/plane/directory.hpp"

#include <cstring>

namespace guideway::plane {

gw_address directory_address(const model::IpAddress &address)
{
    gw_address key{};
    if (address.is_ipv6()) {
        std::memcpy(&key, address.bytes.data(), sizeof(key));
    } else {
        key.high = GW_IPV4_TAG;
        std::memcpy(&key.low, address.bytes.data(), 4);
    }
    return key;
}

DirectoryEntry directory_entry(const model::Service &service, uint32_t index)
{
    return {.address = directory_address(service.address),
            .protocol = static_cast<uint8_t>(service.protocol),
            .port_raw = gw_to_be16(service.port).raw,
            .service = index,
            .unmatched = service.unmatched == model::Unmatched::kPass ? GW_UNMATCHED_PASS
                                                                      : GW_UNMATCHED_DROP};
}

}  // namespace guideway::plane
