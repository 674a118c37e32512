// The seam between the packet logic and an engine, as a specification.
//
// The core is included into an engine's program, after the engine's own seam header has
// defined everything below. There are no function pointers: an engine is a set of static
// inline functions with these names. Three exist: xdp/seam_xdp.h (BPF),
// dataplane/dpdk/seam_burst.hpp (DPDK), and seam_native.h beside this file (replay, tests,
// and what dataplane/tables asks of the core).
//
//   struct gw_packet
//       The engine's handle for one frame. Only the functions below look inside.
//
//   uint8_t *gw_data(struct gw_packet *)
//   uint8_t *gw_data_end(struct gw_packet *)
//       First byte of the Ethernet header, and the byte after the last one that can be
//       read directly. To be called again after every change of head or tail.
//
//   uint32_t gw_frame_bytes(struct gw_packet *)
//       Length of the whole frame. Can exceed gw_data_end - gw_data where a frame is
//       longer than a page; slow, so asked only when a length does not fit.
//
//   int gw_grow_head(struct gw_packet *, int bytes)
//       Moves the start of the frame `bytes` towards lower addresses (negative: cuts).
//       Returns 0, or nonzero when there is no headroom, with the frame unchanged. New
//       bytes hold anything.
//
//   int gw_cut_tail(struct gw_packet *, uint32_t frame_bytes)
//       Shortens the frame to `frame_bytes`. Returns 0, or nonzero with the frame
//       unchanged. Off the hot path.
//
//   uint32_t gw_ingress_ifindex(struct gw_packet *)
//       The interface the frame came in on, in the numbers of gw_encapsulation.
//
//   uint64_t gw_now_ns(struct gw_packet *)
//       A monotonic clock with the resolution of the kernel's tick. Need not be cheap.
//
//   uint64_t gw_exact_ns(struct gw_packet *)
//       A monotonic clock with the resolution of a nanosecond or nearly so. The coarse clock is
//       header.clock_ahead_ns ahead of it, to within a tick. Asked only where a limit needs it:
//       once by a packet that conforms.
//
//   uint32_t gw_cpu(struct gw_packet *)
//       Index of the counter area that only the caller writes, below layout.cpus_max.
//
//   uint8_t *gw_tables(struct gw_packet *)
//       Start of the tables' region.
//
//   const struct gw_layout *gw_tables_layout(struct gw_packet *)
//       Its layout. Constants to the BPF verifier, which proves the bounds of every
//       access from them.
//
//   uint8_t *gw_former_tables(struct gw_packet *)
//   const struct gw_layout *gw_former_layout(struct gw_packet *)
//       While tables are being replaced by others: where the pins are that have not been moved
//       yet. Of the layout only pins_offset and pin_buckets_mask are filled in. 0: there are
//       none, which is a constant to the BPF verifier.
//
//   gw_handle, gw_handle gw_to_handle(struct gw_packet *),
//   struct gw_packet *gw_from_handle(gw_handle)
//       How a packet is handed to a GW_SUBPROGRAM, for the BPF verifier lets no structure with
//       pointers pass. There only the time, gw_cpu, gw_tables and gw_tables_layout may be asked.
//
//   struct gw_memo *gw_lookup_memo(struct gw_packet *)
//       Where lookups of the directory remember what they have found last, zeroed before each
//       burst; 0 in an engine that takes packets one by one.
//
//   uint32_t gw_generation(struct gw_packet *)
//       The generation this program was loaded as, or GW_GENERATION_ALONE.
#pragma once
