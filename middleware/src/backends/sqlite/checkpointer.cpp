// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/checkpointer.hpp"

#include <algorithm>

namespace postlude::detail::sqlite {

namespace {

/// Between two checkpoints, so that pages which many commits change are moved once.
constexpr std::size_t step_bytes = 4 * 1024 * 1024;

/// How long writers wait for readers that stand in the log.
constexpr std::chrono::milliseconds longest_stand_still{50};

}  // namespace

checkpointer::checkpointer(const sqlite_options& options, connection& writer, std::mutex& write)
    : writer_(writer),
      write_(write),
      longest_(options.longest_wal),
      anew_at_(longest_ / 8),
      own_connection_(options.file, longest_stand_still),
      page_(static_cast<std::size_t>(own_connection_.integer("PRAGMA page_size"))),
      bound_(longest_) {
    next_ = step();
    // FULL even where commits are not: it is what makes the database file whole.
    own_connection_.execute("PRAGMA synchronous = FULL");
    sqlite3_wal_hook(writer_.handle(), &checkpointer::after_commit, this);
    thread_ = std::thread([this] { run(); });
}

checkpointer::~checkpointer() {
    sqlite3_wal_hook(writer_.handle(), nullptr, nullptr);
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

// Called within a commit, after its lock is given back.
int checkpointer::after_commit(void* self, sqlite3*, const char*, int pages) noexcept {
    auto& me = *static_cast<checkpointer*>(self);
    if (pages < me.pages_) {
        // Another process, or this one, has begun it anew.
        me.begin_anew();
    }
    me.pages_ = pages;
    if (pages >= me.next_) {
        const std::lock_guard lock(me.mutex_);
        me.wake_.notify_one();
    }
    return SQLITE_OK;
}

void checkpointer::run() noexcept {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stop_ || pages_ >= next_; });
        if (stop_) {
            return;
        }
        lock.unlock();
        try {
            advance();
        } catch (...) {
            // The commits will meet what it met, and say so. Here the next step is soon enough.
            next_ = pages_ + step();
        }
        lock.lock();
    }
}

void checkpointer::advance() {
    {
        const std::lock_guard own(own_);
        // Busy: another process is at it.
        sqlite3_wal_checkpoint_v2(own_connection_.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE,
                                  nullptr, nullptr);
    }
    next_ = pages_ + step();
    if (bytes(pages_) >= anew_at_) {
        const std::lock_guard write(write_);
        start_anew();
    }
}

bool checkpointer::start_anew() {
    const std::lock_guard own(own_);
    const auto code = sqlite3_wal_checkpoint_v2(own_connection_.handle(), nullptr,
                                                SQLITE_CHECKPOINT_RESTART, nullptr, nullptr);
    if (code != SQLITE_OK) {
        return false;
    }
    pages_ = 0;
    begin_anew();
    return true;
}

void checkpointer::begin_anew() noexcept {
    next_ = step();
    bound_ = longest_;
}

int checkpointer::step() const noexcept {
    return static_cast<int>(std::min(step_bytes, anew_at_) / page_);
}

void checkpointer::make_room() {
    if (bytes(pages_) < bound_) {
        return;
    }
    if (!start_anew()) {
        // Not at every commit: a reader that stays would make each of them wait.
        bound_ = bytes(pages_) + step_bytes;
    }
}

}  // namespace postlude::detail::sqlite
