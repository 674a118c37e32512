// Somebody else's program: counts what comes in, and passes it.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#include <xdp/xdp_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, __u64);
} other_counters SEC(".maps");  // all frames, and those whose IPv4 header says IP in IP

SEC("xdp.frags")
int other(struct xdp_md *context)
{
    const __u8 *data = (const __u8 *)(long)context->data;
    const __u8 *end = (const __u8 *)(long)context->data_end;
    __u32 all = 0, encapsulated = 1;
    __u64 *counter = bpf_map_lookup_elem(&other_counters, &all);
    if (counter) {
        __sync_fetch_and_add(counter, 1);
    }
    if (data + 24 <= end && data[12] == 0x08 && data[13] == 0x00 && data[23] == 4) {
        counter = bpf_map_lookup_elem(&other_counters, &encapsulated);
        if (counter) {
            __sync_fetch_and_add(counter, 1);
        }
    }
    return XDP_PASS;
}

char other_license[] SEC("license") = "Dual BSD/GPL";
