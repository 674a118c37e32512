#include "tests/kernels/probe.hpp"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "dataplane/core/wire.h"
#include "other.skel.h"
#include "xdp/attaching.hpp"
#include "xdp/dispatcher.hpp"

namespace guideway::probe {
namespace {

constexpr gw_capacity kCapacity{.addresses_max = 16,
                                .services_max = 16,
                                .backends_max = 16,
                                .ring_slots_max = 1024,
                                .cpus_max = 64,
                                .pins_max = 4096,
                                .sources_max = 1024,
                                .prefixes_max = 64};
constexpr uint32_t kServiceAddress = 0xcb00710a;  // 203.0.113.10
constexpr uint16_t kServicePort = 53;
constexpr uint64_t kUnderWayMax = 64;  // a veth queue holds 256

int index_of(const std::string &interface)
{
    return static_cast<int>(if_nametoindex(interface.c_str()));
}

uint64_t read_counter(const other_bpf &skeleton, uint32_t index)
{
    uint64_t value = 0;
    bpf_map_lookup_elem(bpf_map__fd(skeleton.maps.other_counters), &index, &value);
    return value;
}

}  // namespace

void run(const std::string &command)
{
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

struct OtherProgram::Joined {
    xdp_program *program;
    int ifindex;
};

OtherProgram::OtherProgram() : skeleton_(other_bpf::open(), other_bpf::destroy) {}
OtherProgram::~OtherProgram() = default;

void OtherProgram::attach_alone(const std::string &interface)
{
    ASSERT_EQ(other_bpf::load(skeleton_.get()), 0);
    ASSERT_EQ(bpf_xdp_attach(index_of(interface), bpf_program__fd(skeleton_->progs.other),
                             XDP_FLAGS_DRV_MODE, nullptr),
              0);
}

void OtherProgram::join(const std::string &interface, unsigned priority)
{
    xdp::use_our_dispatcher_object();
    auto *program = xdp_program__from_bpf_obj(skeleton_->obj, "xdp.frags");
    ASSERT_EQ(libxdp_get_error(program), 0);
    ASSERT_EQ(xdp_program__set_run_prio(program, priority), 0);
    ASSERT_EQ(xdp_program__attach(program, index_of(interface), XDP_MODE_NATIVE, 0), 0);
    joined_ = std::make_unique<Joined>(program, index_of(interface));
}

void OtherProgram::leave()
{
    ASSERT_EQ(xdp_program__detach(joined_->program, joined_->ifindex, XDP_MODE_NATIVE, 0), 0);
    xdp_program__close(joined_->program);
    joined_.reset();
}

uint64_t OtherProgram::frames() const
{
    return read_counter(*skeleton_, 0);
}

uint64_t OtherProgram::encapsulated_frames() const
{
    return read_counter(*skeleton_, 1);
}

uint32_t OtherProgram::id() const
{
    bpf_prog_info info{};
    uint32_t bytes = sizeof(info);
    bpf_obj_get_info_by_fd(bpf_program__fd(skeleton_->progs.other), &info, &bytes);
    return info.id;
}

std::vector<std::string> programs_on(const std::string &interface)
{
    const xdp::Interface edge{interface, static_cast<uint32_t>(index_of(interface))};
    auto occupant = xdp::occupant_of(edge);
    if (!occupant || !*occupant) {
        return {};
    }
    if (!xdp::is_dispatcher((*occupant)->program)) {
        return {(*occupant)->program.name};
    }
    std::vector<std::string> names;
    if (auto members = xdp::dispatcher_members(edge)) {
        for (const auto &member : *members) {
            names.push_back(member.name);
        }
    }
    return names;
}

void write_one_service(Tables &tables)
{
    auto &directory = tables.directory(0);
    const uint32_t address = htonl(kServiceAddress);
    const uint32_t bucket = gw_address_hash(directory.seed, GW_IPV4_TAG, address) &
                            tables.layout().address_buckets_mask;
    tables.address_buckets(0)[bucket].way[0] = {.high = GW_IPV4_TAG, .low = address};
    const uint64_t key =
        gw_port_key(bucket * GW_ADDRESS_WAYS, GW_PROTO_UDP, htons(kServicePort));
    const uint32_t port_bucket =
        gw_port_hash(directory.seed, key) & tables.layout().port_buckets_mask;
    tables.port_buckets(0)[port_bucket].way[0] = key;  // service 0
    tables.services()[0].ring_size = 7;
    for (int slot = 0; slot < 7; slot++) {
        tables.ring_slots()[slot] = gw_slot_make(0, GW_SLOT_STABLE, GW_PREVIOUS_NONE);
    }
    auto &backend = tables.backends()[0];
    backend.encapsulation[0] = {.egress_ifindex = static_cast<uint32_t>(index_of(kEdge)),
                                .outer_sum = 0,
                                .entropy_mask = 0,
                                .inner_bytes_max = 1480,
                                .l2_bytes = GW_ETHERNET_BYTES,
                                .l3_bytes = GW_IPV4_BYTES};
    const std::array<uint8_t, 22> outer_start = {2, 0, 0, 0,    0, 2, 2, 0, 0, 0,    0,
                                                 1, 8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0};
    std::memcpy(backend.outer[0] + GW_OUTER_L3_OFFSET - GW_ETHERNET_BYTES, outer_start.data(),
                outer_start.size());
    backend.state = GW_BACKEND_IN_USE | GW_BACKEND_RESOLVED;
}

Traffic::Traffic(const OtherProgram &returned)
    : returned_(returned), returned_before_(returned.encapsulated_frames())
{
    for (int i = 0; i < 2; i++) {
        senders_.emplace_back([this] { send(); });
    }
}

Traffic::~Traffic()
{
    stopping_ = true;
    for (auto &sender : senders_) {
        if (sender.joinable()) {
            sender.join();
        }
    }
}

void Traffic::send()
{
    // Ethernet to anybody, IPv4 without options, UDP without a checksum, padding.
    std::array<uint8_t, 60> frame = {
        2,    0, 0,  0,  0, 1, 2,   0,  0,   0, 0,   2, 8,   0,  0x45, 0,    0, 46, 0, 0,
        0x40, 0, 64, 17, 0, 0, 198, 51, 100, 7, 203, 0, 113, 10, 0x30, 0x39, 0, 53, 0, 26};
    const int fd = socket(AF_PACKET, SOCK_RAW, 0);
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = index_of(kPeer);
    while (!stopping_) {
        const uint64_t back = returned_.encapsulated_frames() - returned_before_;
        if (sent_.fetch_add(1) - back >= kUnderWayMax) {
            sent_--;
            std::this_thread::yield();
            continue;
        }
        frame[35]++;  // another flow
        if (frame[35] % 32 == 0) {
            // The processors are also needed for what the traffic is to meet.
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
        if (sendto(fd, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr *>(&to),
                   sizeof(to)) != static_cast<ssize_t>(frame.size())) {
            sent_--;
        }
    }
    close(fd);
}

void Traffic::await(uint64_t frames) const
{
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(4);
    for (const uint64_t until = sent_ + frames;
         sent_ < until && std::chrono::steady_clock::now() < deadline;) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

uint64_t Traffic::stop()
{
    stopping_ = true;
    for (auto &sender : senders_) {
        sender.join();
    }
    uint64_t missing = 0;
    for (int waits = 0; waits < 200; waits++) {
        missing = sent_ - (returned_.encapsulated_frames() - returned_before_);
        if (missing == 0) {
            break;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return missing;
}

void Probe::SetUpTestSuite()
{
    ASSERT_EQ(unshare(CLONE_NEWNET), 0) << "a network namespace needs root";
}

void Probe::SetUpInterfaces()
{
    run(std::string("ip link add ") + kEdge + " type veth peer name " + kPeer +
        " && ip link set " + kEdge + " up && ip link set " + kPeer + " up");
}

void Probe::TearDownInterfaces()
{
    std::system((std::string("ip link del ") + kEdge + " 2>/dev/null").c_str());
}

void Probe::SetUp()
{
    SetUpInterfaces();
    options_.pin_directory = "/sys/fs/bpf/guideway-probe-" + std::to_string(getpid());
    options_.capacity = kCapacity;
}

void Probe::TearDown()
{
    TearDownInterfaces();
    std::error_code ignored;
    std::filesystem::remove_all(options_.pin_directory, ignored);
}

}  // namespace guideway::probe
