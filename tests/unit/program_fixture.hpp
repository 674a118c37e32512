// The command line as it was built, in a process of its own, against a real API server.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>

#include "control/api/server.hpp"

#ifndef GUIDEWAY_PROGRAM
#define GUIDEWAY_PROGRAM "guideway"  // the build names the one that it made
#endif

namespace guideway::cli {

struct Ran {
    int exit = -1;
    std::string out;
    std::string err;
};

inline std::string slurp(const std::filesystem::path &path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

// The program as it was built, in a process of its own.
class Program : public testing::Test {
  protected:
    Program()
    {
        std::string pattern = std::filesystem::temp_directory_path() / "gw-cli-XXXXXX";
        directory_ = ::mkdtemp(pattern.data());
        socket_ = directory_ / "edge.sock";
    }
    ~Program() override
    {
        loop_.stop();
        if (thread_.joinable()) {
            thread_.join();
        }
        server_.reset();
        std::filesystem::remove_all(directory_);
    }
    void serve(api::Handler handler)
    {
        server_ = api::Server::start(loop_, socket_, std::move(handler)).value();
        thread_ = std::jthread([this] { loop_.run(); });
    }
    void stop_serving()
    {
        loop_.stop();
        thread_.join();
        server_.reset();
        loop_.restart();
    }
    // `arguments` as a shell reads them.
    [[nodiscard]] Ran run(const std::string &arguments, const std::string &before = "") const
    {
        const std::string command = before + " GUIDEWAY_SOCKET=" + socket_.string() +
                                    " timeout 20 " GUIDEWAY_PROGRAM " " + arguments + " >" +
                                    (directory_ / "out").string() + " 2>" +
                                    (directory_ / "err").string();
        const int status = std::system(command.c_str());
        return {WEXITSTATUS(status), slurp(directory_ / "out"), slurp(directory_ / "err")};
    }

    std::filesystem::path directory_;
    std::filesystem::path socket_;
    boost::asio::io_context loop_;
    std::unique_ptr<api::Server> server_;
    std::jthread thread_;
};

}  // namespace guideway::cli
