// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// The same bytes make the same requests, whichever pieces they come in.
#include "http/request_reader.hpp"

#include "check.hpp"
#include "pieces.hpp"

#include <boost/asio/buffer.hpp>

#include <array>
#include <string>
#include <string_view>

namespace {

using postlude::http::detail::request_reader;

constexpr std::uint32_t header_limit = 512;
constexpr std::uint64_t body_limit = 256;

/// What has come of the bytes so far, as a text.
class outcome {
public:
    /// @param room for the body, at one time.
    explicit outcome(std::size_t room) : room_(room) {}

    void put(std::string_view piece) {
        if (!ended_) {
            in_.commit(
                boost::asio::buffer_copy(in_.prepare(piece.size()), boost::asio::buffer(piece)));
            while (!ended_ && advance()) {
            }
        }
    }
    std::string text() const { return text_ + body_; }

private:
    bool advance() {
        if (!reader_.head_done()) {
            reader_.read_head(in_);
            if (reader_.head_done()) {
                note_head();
                return true;
            }
            return note_refusal();
        }
        std::array<char, 64> to;
        const auto n = reader_.read_body(in_, boost::asio::buffer(to.data(), room_));
        body_.append(to.data(), n);
        if (note_refusal()) {
            return false;
        }
        if (reader_.body_done()) {
            fuzz::check(body_.size() <= body_limit, "a body over the limit", body_);
            text_ += body_ + " whole, keep_alive " + std::to_string(reader_.keep_alive()) + "\n";
            body_.clear();
            reader_ = request_reader(header_limit, body_limit);
            return in_.size() != 0;
        }
        return n != 0;
    }

    void note_head() {
        const auto head = reader_.take_head();
        const auto put = [this](std::string_view before, std::string_view what) {
            (text_ += before) += what;
        };
        put("", head.method_string());
        put(" ", head.target());
        put(" ", std::to_string(head.version()));
        for (const auto& field : head) {
            put("\n", field.name_string());
            put(": ", field.value());
        }
        put("\nhas_body ", reader_.has_body() ? "yes\n" : "no\n");
    }

    bool note_refusal() {
        if (const auto why = reader_.refusal()) {
            ended_ = true;
            // What there is of a body that ends badly depends on the pieces.
            body_.clear();
            text_ += "refused " + std::to_string(static_cast<unsigned>(*why)) + "\n";
        }
        return ended_;
    }

    const std::size_t room_;
    boost::beast::flat_buffer in_;
    request_reader reader_{header_limit, body_limit};
    std::string text_;
    std::string body_;
    bool ended_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::pieces pieces(data, size, 20'000);
    if (!pieces.valid()) {
        return -1;
    }
    outcome at_once(64);
    at_once.put(pieces.all());
    outcome in_pieces(1 + pieces.mode());
    while (!pieces.done()) {
        in_pieces.put(pieces.next());
    }
    fuzz::check(at_once.text() == in_pieces.text(), "the pieces make a difference",
                at_once.text() + "---\n" + in_pieces.text());
    return 0;
}
