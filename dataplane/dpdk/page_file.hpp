// The engine page (engine_page.hpp) as the engine holds it.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

#include "dataplane/dpdk/engine_page.hpp"
#include "dataplane/error.hpp"

namespace guideway::dpdk {

// Copies `text` into `field`, cut where it does not fit, always ended with a zero byte.
void put_text(std::span<char> field, std::string_view text);

// Owns the page's file, its lock and a mapping of it. The file outlives this: its message says
// what became of the engine.
class PageFile {
  public:
    // Makes the page anew, in a file that is made if need be. Refused while another process
    // holds its lock: that is the running engine of `instance`.
    [[nodiscard]] static Result<PageFile> open(const std::filesystem::path &path,
                                               std::string_view instance);

    [[nodiscard]] EnginePage &page() const { return *page_; }
    // Calls `change` with the page, in such a way that readers see all of what it does or wait.
    template <typename Change>
    void update(Change &&change) const
    {
        begin_update();
        std::forward<Change>(change)(*page_);
        end_update();
    }

    PageFile(PageFile &&other) noexcept
        : fd_(std::exchange(other.fd_, -1)), page_(std::exchange(other.page_, nullptr))
    {
    }
    PageFile &operator=(PageFile &&) = delete;
    ~PageFile();

  private:
    PageFile(int fd, EnginePage *page) : fd_(fd), page_(page) {}
    void begin_update() const;
    void end_update() const;

    int fd_;
    EnginePage *page_;
};

}  // namespace guideway::dpdk
