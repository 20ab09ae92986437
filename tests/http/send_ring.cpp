// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "http/send_ring.hpp"

#include "support/catch.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

namespace {

using postlude::http::detail::send_ring;

class socket_pair {
public:
    socket_pair() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()) == 0); }
    socket_pair(const socket_pair&) = delete;
    socket_pair& operator=(const socket_pair&) = delete;
    ~socket_pair() {
        ::close(ends_[0]);
        close_far();
    }
    int near() const noexcept { return ends_[0]; }
    std::string received() const {
        std::array<char, 256> bytes;
        const auto n = ::recv(ends_[1], bytes.data(), bytes.size(), MSG_DONTWAIT);
        return n > 0 ? std::string(bytes.data(), static_cast<std::size_t>(n)) : std::string();
    }
    void close_far() noexcept {
        if (ends_[1] >= 0) {
            ::close(ends_[1]);
            ends_[1] = -1;
        }
    }

private:
    std::array<int, 2> ends_{-1, -1};
};

send_ring::item to_send(const socket_pair& to, const std::string& text) {
    return {.socket = to.near(), .bytes = {text.data(), text.size()}};
}

}  // namespace

TEST_CASE("a ring sends to more sockets than it has entries, to each its own bytes") {
    send_ring ring(4);
    if (!ring.usable()) {
        SUCCEED("this system lets nobody have a ring");
        return;
    }
    constexpr std::size_t count = 11;
    std::array<socket_pair, count> pairs;
    for (int round = 0; round < 3; ++round) {
        std::vector<std::string> texts;
        for (std::size_t i = 0; i < count; ++i) {
            texts.push_back("round " + std::to_string(round) + " to " + std::to_string(i));
        }
        std::vector<send_ring::item> items;
        for (std::size_t i = 0; i < count; ++i) {
            items.push_back(to_send(pairs[i], texts[i]));
        }
        ring.send(items);
        for (std::size_t i = 0; i < count; ++i) {
            CHECK(items[i].result == static_cast<long>(texts[i].size()));
            CHECK(pairs[i].received() == texts[i]);
        }
    }
    CHECK(ring.usable());
}

TEST_CASE("one socket that is closed or full does not keep a ring from sending to others") {
    send_ring ring(8);
    if (!ring.usable()) {
        SUCCEED("this system lets nobody have a ring");
        return;
    }
    socket_pair good, closed, full, last;
    closed.close_far();
    const std::string text = "text";
    const std::string much(1'000'000, 'x');
    std::vector<send_ring::item> fill{to_send(full, much)};
    ring.send(fill);
    CHECK(fill[0].result > 0);
    CHECK(fill[0].result < static_cast<long>(much.size()));

    std::vector<send_ring::item> items{
        to_send(good, text), to_send(closed, text), to_send(full, text), {}, to_send(last, text)};
    ring.send(items);
    CHECK(items[0].result == 4);
    CHECK(items[1].result == -EPIPE);
    CHECK(items[2].result == -EAGAIN);
    CHECK(items[3].result == -EBADF);
    CHECK(items[4].result == 4);
    CHECK(good.received() == text);
    CHECK(last.received() == text);
    CHECK(ring.usable());
}
