// The program that several XDP programs share an interface through: it calls up to ten of
// them in turn. Each of its slots is a function that the kernel replaces by a program
// (BPF_PROG_TYPE_EXT); libxdp builds, fills and exchanges it.
//
// It follows version 2 of libxdp's protocol, so that any program that knows libxdp can join
// or leave. It exists because from Linux 6.12 on the kernel refuses a program that moves the
// head of the packet in a slot that does not ("Extension program changes packet data"), and
// the slots of libxdp 1.3's own dispatcher do not: here each calls such a helper, with zero.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#include <xdp/prog_dispatcher.h>

// Written by libxdp before loading, then frozen: the verifier removes the slots not in use.
// It must be all that there is in .rodata.
static const volatile struct xdp_dispatcher_config conf = {0};

// An empty slot's verdict says "go on" (XDP_DISPATCHER_RETVAL is in every program's
// chain_call_actions). The barrier keeps the compiler from knowing the verdict, which is to
// be the replacing program's.
#define EMPTY_SLOT_VERDICT(verdict)      \
    int verdict = XDP_DISPATCHER_RETVAL; \
    __asm__ volatile("" : "+r"(verdict))

#define SLOT(name)                                             \
    __attribute__((noinline)) int name(struct xdp_md *context) \
    {                                                          \
        EMPTY_SLOT_VERDICT(verdict);                           \
        if (!context) {                                        \
            return XDP_ABORTED;                                \
        }                                                      \
        bpf_xdp_adjust_head(context, 0);                       \
        return verdict;                                        \
    }

SLOT(prog0)
SLOT(prog1)
SLOT(prog2)
SLOT(prog3)
SLOT(prog4)
SLOT(prog5)
SLOT(prog6)
SLOT(prog7)
SLOT(prog8)
SLOT(prog9)

// libxdp tries here, with xdp_pass below, whether the kernel can replace functions at all.
__attribute__((noinline)) int compat_test(struct xdp_md *context)
{
    EMPTY_SLOT_VERDICT(verdict);
    return context ? verdict : XDP_ABORTED;
}

// Calls the slot, and returns its verdict unless that says to go on with the next.
#define CALL_SLOT(index)                                                \
    do {                                                                \
        int verdict;                                                    \
        if (slots_used <= (index)) {                                    \
            return XDP_PASS;                                            \
        }                                                               \
        verdict = prog##index(context);                                 \
        if (!(conf.chain_call_actions[index] & 1U << (verdict & 31))) { \
            return verdict;                                             \
        }                                                               \
    } while (0)

SEC("xdp")
int xdp_dispatcher(struct xdp_md *context)
{
    __u8 slots_used = conf.num_progs_enabled;
    CALL_SLOT(0);
    CALL_SLOT(1);
    CALL_SLOT(2);
    CALL_SLOT(3);
    CALL_SLOT(4);
    CALL_SLOT(5);
    CALL_SLOT(6);
    CALL_SLOT(7);
    CALL_SLOT(8);
    CALL_SLOT(9);
    // Never so many, but a function that nothing calls would not be there to be replaced.
    if (slots_used > MAX_DISPATCHER_ACTIONS) {
        return compat_test(context);
    }
    return XDP_PASS;
}

SEC("xdp")
int xdp_pass(struct xdp_md *context)
{
    (void)context;
    return XDP_PASS;
}

char dispatcher_license[] SEC("license") = "Dual BSD/GPL";
__uint(dispatcher_version, XDP_DISPATCHER_VERSION) SEC(XDP_METADATA_SECTION);
