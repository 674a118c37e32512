#include "tools/guideway/input.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <vector>

#include "dataplane/error.hpp"
#include "tools/guideway/text.hpp"

namespace guideway::cli {
namespace {

std::unexpected<Failure> failed(std::string message)
{
    return std::unexpected(
        Failure{.exit = Exit::kFailed, .message = std::move(message), .body = {}});
}

}  // namespace

Outcome<std::string> read_input(const Input &input, std::istream &standard_input)
{
    std::string text;
    std::ifstream file;
    const bool is_standard = input.file == "-";
    if (!is_standard) {
        errno = 0;
        file.open(input.file, std::ios::binary);
    }
    std::istream &source = is_standard ? standard_input : file;
    std::vector<char> chunk(65536);
    while (source && text.size() <= input.bytes_max) {
        errno = 0;
        source.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
        text.append(chunk.data(), static_cast<size_t>(source.gcount()));
    }
    // Directories can be opened, and fail when they are read. Of standard input the stream tells
    // no error from an end.
    const bool is_bad = is_standard
                            ? source.bad() || (&source == &std::cin && std::ferror(stdin) != 0)
                            : !file.is_open() || file.bad() || (errno != 0 && text.empty());
    if (is_bad) {
        return failed(guideway::Error::system("read the " + input.noun,
                                              is_standard ? "standard input" : input.file)
                          .message);
    }
    if (text.size() > input.bytes_max) {
        return failed(fmt::format("cannot use {}: it is larger than {}; is it a {}?",
                                  input.file, bytes_text(input.bytes_max), input.noun));
    }
    if (input.must_be_whole && is_standard && !text.empty() && text.back() != '\n') {
        return failed(
            fmt::format("cannot use the {} from standard input: the input ends in the middle "
                        "of a line, and "
                        "may be cut off; end its last line with a newline",
                        input.noun));
    }
    return text;
}

}  // namespace guideway::cli
