// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_SRC_BACKENDS_REDIS_SCRIPTS_HPP
#define POSTLUDE_SRC_BACKENDS_REDIS_SCRIPTS_HPP

#include <mutex>
#include <string>

namespace postlude::detail::redis {

/// A script of the server's: it runs whole and alone, which makes it atomic.
/// Its text begins with `prelude`; KEYS[1] is the key of `meta`, from which it derives all others.
class script {
public:
    explicit script(std::string text) : text_(std::move(text)) {}

    const std::string& text() const noexcept { return text_; }
    /// The name that the server has given it; empty before the first time.
    std::string name() const {
        const std::lock_guard lock(mutex_);
        return name_;
    }
    void set_name(std::string name) {
        const std::lock_guard lock(mutex_);
        name_ = std::move(name);
    }

private:
    const std::string text_;
    mutable std::mutex mutex_;
    std::string name_;
};

/// DESIGN.md says what each key holds. The arguments are described where the texts are.
struct scripts {
    scripts();

    /// Sent whole each time: what stands beside them in their transaction can't depend on whether
    /// the server has forgotten them.
    const std::string put, undo;
    script enter, leave, lane, commit, claim, renew, rescue, amend, prune, find, history, stats;
};

/// What the scripts of each source begin with.
extern const char* const prelude;
extern const char* const general;
extern const char* const transitions;
extern const char* const placing;

extern const char* const enter_text;
extern const char* const leave_text;
extern const char* const lane_text;
extern const char* const put_text;
extern const char* const undo_text;
extern const char* const commit_text;
extern const char* const claim_text;
extern const char* const renew_text;
extern const char* const rescue_text;
extern const char* const amend_text;
extern const char* const prune_text;
extern const char* const find_text;
extern const char* const history_text;
extern const char* const stats_text;

}  // namespace postlude::detail::redis

#endif
