// The engine from its start to its end: ports and workers, tables, what the page says.
#pragma once

#include "dataplane/dpdk/options.hpp"
#include "dataplane/dpdk/page_file.hpp"
#include "dataplane/error.hpp"

namespace guideway::dpdk {

// Returns when a signal has ended the engine. An error is why it could not start, or not go on.
[[nodiscard]] Result<void> run_engine(const Options &options, const PageFile &page);

// SIGTERM and SIGINT are waited for by run_engine() alone. Before any thread is made.
void block_signals();

}  // namespace guideway::dpdk
