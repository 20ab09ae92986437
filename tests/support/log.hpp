// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_TESTS_SUPPORT_LOG_HPP
#define POSTLUDE_TESTS_SUPPORT_LOG_HPP

#include <spdlog/logger.h>
#include <spdlog/sinks/ringbuffer_sink.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

namespace test {

/// A logger whose lines a test can look at.
class captured_log {
public:
    captured_log() : sink_(std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(4'096)) {
        logger_ = std::make_shared<spdlog::logger>("test", sink_);
        logger_->set_level(spdlog::level::debug);
    }
    std::shared_ptr<spdlog::logger> logger() const { return logger_; }

    /// How many lines contain all of the parts.
    std::size_t count(std::initializer_list<std::string_view> parts) const {
        const auto lines = sink_->last_formatted();
        return static_cast<std::size_t>(std::ranges::count_if(lines, [&](const auto& line) {
            return std::ranges::all_of(
                parts, [&](auto part) { return line.find(part) != std::string::npos; });
        }));
    }

private:
    std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> sink_;
    std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace test

#endif
