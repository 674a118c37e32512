// Turns frames written in the notation of the packet cases, one a line, into seeds of
// fuzz_packet: usage: seeds_packet FILE DIRECTORY
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/packets/engine.hpp"
#include "tests/packets/notation.hpp"

int main(int count, char **arguments)
{
    if (count != 3) {
        std::fputs("usage: seeds_packet FILE DIRECTORY\n", stderr);
        return 2;
    }
    std::ifstream text(arguments[1]);
    std::string line;
    for (int number = 1; std::getline(text, line); number++) {
        if (line.empty() || line.starts_with('#')) {
            continue;
        }
        const auto frame = guideway::packets::frame_from_text(line);
        if (!frame) {
            std::fprintf(stderr, "%s:%d: %s\n", arguments[1], number,
                         frame.error().message.c_str());
            return 1;
        }
        std::ofstream seed(
            std::filesystem::path(arguments[2]) / ("line-" + std::to_string(number)),
            std::ios::binary);
        seed.put(static_cast<char>(guideway::packets::kHeadroomBytes));
        seed.write(reinterpret_cast<const char *>(frame->data()),
                   static_cast<std::streamsize>(frame->size()));
        if (!seed.flush()) {
            std::fprintf(stderr, "cannot write %s\n", arguments[2]);
            return 1;
        }
    }
    return text.eof() ? 0 : 1;
}
