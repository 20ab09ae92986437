// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/registry.hpp"

#include "postlude/core/error.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <string>

namespace postlude {

namespace {

constexpr std::size_t longest_kind = 64;
constexpr unsigned most_attempts = 1000;
constexpr unsigned lowest_priority = 3;
constexpr unsigned highest_exponent = 8;
constexpr std::chrono::milliseconds longest_base = std::chrono::hours(24 * 365);

bool is_kind_character(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':';
}

bool is_kind_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= longest_kind &&
           std::ranges::all_of(name, is_kind_character);
}

[[noreturn]] void fail_kind_of_job(std::string_view kind, std::string_view sentence) {
    std::string text = "kind \"";
    text.append(kind).append("\": ").append(sentence);
    throw boost::system::system_error(errc::bad_kind, text);
}

void require(bool holds, const job_traits& traits, std::string_view sentence) {
    if (!holds) {
        fail_kind_of_job(traits.kind, sentence);
    }
}

void check_retry(const job_traits& traits) {
    using std::chrono::milliseconds;
    const auto& retry = traits.retry;
    require(retry.base >= milliseconds(0) && retry.base <= longest_base, traits,
            "retry.base is not from 0 to a year");
    require(retry.exponent <= highest_exponent, traits, "retry.exponent is above 8");
    require(retry.unit >= milliseconds(0), traits, "retry.unit is below 0");
    require(retry.longest >= milliseconds(0), traits, "retry.longest is below 0");
    require(retry.jitter >= 0 && retry.jitter <= 1, traits, "retry.jitter is not from 0 to 1");
}

void check_traits(const job_traits& traits) {
    require(is_kind_name(traits.kind), traits,
            "its name is not 1 to 64 letters, digits and characters of _-.:");
    require(!traits.queue.empty(), traits, "its queue has no name");
    require(traits.attempts <= most_attempts, traits, "attempts is above 1,000");
    require(traits.priority <= lowest_priority, traits, "priority is above 3");
    require(traits.run_limit.count() >= 0, traits, "run_limit is below 0");
    check_retry(traits);
}

/// The kind, and its former names.
std::vector<std::string_view> names_of_kind(const job_traits& traits) {
    std::vector<std::string_view> names{traits.kind};
    for (const auto name : traits.former) {
        if (name.empty()) {
            continue;
        }
        require(is_kind_name(name), traits,
                std::string("its former name \"")
                    .append(name)
                    .append("\" is not 1 to 64 letters, digits and characters of _-.:"));
        require(std::ranges::find(names, name) == names.end(), traits,
                std::string("the name \"").append(name).append("\" stands there twice"));
        names.push_back(name);
    }
    return names;
}

[[noreturn]] void fail_taken(const job_traits& traits, std::string_view name,
                             const job_traits& other) {
    if (traits.kind == other.kind) {
        fail_kind_of_job(traits.kind, "it was registered before");
    }
    fail_kind_of_job(traits.kind, std::string(name == traits.kind ? "its name" : "its former name")
                                      .append(" \"")
                                      .append(name)
                                      .append("\" is taken by kind \"")
                                      .append(other.kind)
                                      .append("\""));
}

}  // namespace

void detail::fail_secret(const job_traits& traits, std::string_view path) {
    fail_kind_of_job(
        traits.kind,
        std::string("its secret \"").append(path).append("\" is no member of its arguments"));
}

job_kind& job_registry::add(job_kind kind) {
    check_traits(kind.traits);
    const auto names = names_of_kind(kind.traits);
    for (const auto name : names) {
        if (const auto* other = find(name)) {
            fail_taken(kind.traits, name, other->traits);
        }
    }
    auto& added = *kinds_.emplace_back(std::make_unique<job_kind>(std::move(kind)));
    for (const auto name : names) {
        names_.emplace(name, &added);
    }
    return added;
}

const job_kind* job_registry::find(std::string_view name) const noexcept {
    const auto found = names_.find(name);
    return found == names_.end() ? nullptr : found->second;
}

}  // namespace postlude
