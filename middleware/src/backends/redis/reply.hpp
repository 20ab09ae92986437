// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_REDIS_REPLY_HPP
#define POSTLUDE_SRC_BACKENDS_REDIS_REPLY_HPP

#include <hiredis/hiredis.h>

#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace postlude::detail::redis {

/// What a server has answered, or a part of it, which lives as long as the whole.
class reply_view {
public:
    explicit reply_view(const redisReply* r) noexcept : r_(r) {}

    bool is_error() const noexcept { return r_->type == REDIS_REPLY_ERROR; }
    bool is_array() const noexcept { return r_->type == REDIS_REPLY_ARRAY; }
    /// Of an error too; empty for what has no text.
    std::string_view text() const noexcept {
        return r_->str ? std::string_view(r_->str, static_cast<std::size_t>(r_->len)) : "";
    }
    std::int64_t integer() const noexcept { return r_->integer; }
    std::size_t size() const noexcept { return is_array() ? r_->elements : 0; }
    reply_view operator[](std::size_t i) const noexcept { return reply_view(r_->element[i]); }

protected:
    const redisReply* r_;
};

class reply : public reply_view {
public:
    explicit reply(void* r) noexcept : reply_view(static_cast<redisReply*>(r)), owned_(r) {}

private:
    struct free {
        void operator()(void* r) const noexcept { freeReplyObject(r); }
    };
    std::unique_ptr<void, free> owned_;
};

/// A command and its arguments, which are copied.
class command {
public:
    command() = default;
    explicit command(std::initializer_list<std::string_view> words) {
        for (const auto word : words) {
            add(word);
        }
    }

    command& add(std::string_view argument) {
        text_.append(argument);
        ends_.push_back(text_.size());
        return *this;
    }
    command& add(std::integral auto number) { return add(std::to_string(number)); }
    /// The last argument goes on.
    command& extend(std::string_view more) {
        text_.append(more);
        ends_.back() = text_.size();
        return *this;
    }
    std::size_t size() const noexcept { return ends_.size(); }
    void append(const command& other);

    /// Appends it as the protocol has it, without the copies of redisFormatCommandArgv, which cost
    /// 4 % of the jobs a second: https://redis.io/docs/reference/protocol-spec
    void write_to(std::string& text) const;

private:
    std::string text_;
    std::vector<std::size_t> ends_;
};

}  // namespace postlude::detail::redis

#endif
