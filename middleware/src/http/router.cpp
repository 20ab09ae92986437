// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/router.hpp"

#include "http/exchange_state.hpp"
#include "http/route_table.hpp"

#include <boost/system/system_error.hpp>

#include <spdlog/spdlog.h>

#include <exception>
#include <type_traits>

namespace postlude::http {

namespace detail {

/// A place in the chain of a request: what comes next, and what it all leads to.
class chain_position {
public:
    chain_position(const std::vector<middleware>& chain, std::size_t i, const route_match& match,
                   exchange* whole) noexcept
        : chain_(&chain), i_(i), match_(&match), whole_(whole) {}

    /// Checks and finishes are gone through here; only a coroutine needs one of its own.
    boost::asio::awaitable<response> run(request& req, deferred& after) const {
        std::optional<response> made;
        auto i = i_;
        for (; i < chain_->size() && !made; ++i) {
            const auto& m = (*chain_)[i];
            if (const auto* check = std::get_if<0>(&m)) {
                made = (*check)(req, after);
            } else if (const auto* around = std::get_if<2>(&m)) {
                const chain_position rest(*chain_, i + 1, *match_, whole_);
                made = co_await (*around)(req, after, next(rest));
            }
        }
        if (!made) {
            made = co_await end(req, after);
        }
        if (whole_ && exchange_state::of(*whole_).answered()) {
            co_return *std::move(made);  // it went out already, finished
        }
        while (i-- > i_) {
            if (const auto* finish = std::get_if<1>(&(*chain_)[i])) {
                (*finish)(req, *made);
            }
        }
        co_return *std::move(made);
    }

private:
    boost::asio::awaitable<response> end(request& req, deferred& after) const {
        if (!match_->entry) {
            co_return *match_->refusal;
        }
        const auto& handler = match_->entry->handler;
        if (const auto* plain = std::get_if<0>(&handler)) {
            co_return (*plain)(req, after);
        }
        if (const auto* coroutine = std::get_if<1>(&handler)) {
            co_return co_await (*coroutine)(req, after);
        }
        auto& state = exchange_state::of(*whole_);
        try {
            co_await std::get<2>(handler)(*whole_);
        } catch (const boost::system::system_error& e) {
            if (state.blames_handler(e.code())) {
                state.note_handler_failed();
            }
            throw;
        } catch (...) {
            state.note_handler_failed();
            throw;
        }
        if (!state.answered()) {
            co_return handler_failed(req, after, "it returned without a response");
        }
        co_return response(static_cast<status>(state.status()), 11);
    }

    const std::vector<middleware>* chain_;
    std::size_t i_;
    const route_match* match_;
    exchange* whole_;
};

response handler_failed(const request& req, const deferred& after, const char* what) {
    after.get_dispatcher().pool().logger().error("the handler of {} failed: {} (request {})",
                                                 path(req), what, after.request_id());
    return text(status::internal_server_error,
                "The server failed. Request id: " + std::string(after.request_id()) + "\n");
}

}  // namespace detail

boost::asio::awaitable<response> next::operator()(request& req, deferred& after) const {
    return at_->run(req, after);
}

router::router() : table_(std::make_unique<detail::route_table>()) {}
router::~router() = default;
router::router(router&&) noexcept = default;
router& router::operator=(router&&) noexcept = default;

void router::route(verb method, std::string_view pattern, handler h) {
    std::visit([&](auto& f) { table_->add(method, pattern, std::move(f)); }, h);
}

void router::use(middleware m) {
    suspends_ = suspends_ || m.index() == 2;
    chain_.push_back(std::move(m));
}

detail::route_match router::find(request& req) const {
    auto match = table_->find(req.method(), path(req), req.params_);
    req.route_ = match.entry ? std::string_view(match.entry->pattern) : std::string_view{};
    return match;
}

boost::asio::awaitable<response> router::handle(request& req, deferred& after) const {
    const auto match = find(req);
    co_return co_await handle(match, req, after, nullptr);
}

boost::asio::awaitable<response> router::handle(const detail::route_match& match, request& req,
                                                deferred& after, exchange* whole) const {
    if (whole) {
        detail::exchange_state::of(*whole).finish = [this, &req](response& r) { finish(req, r); };
        co_return co_await detail::chain_position(chain_, 0, match, whole).run(req, after);
    }
    if (immediate(match)) {
        co_return handle_now(match, req, after);
    }
    try {
        co_return co_await detail::chain_position(chain_, 0, match, nullptr).run(req, after);
    } catch (...) {
        co_return fail(req, after);
    }
}

bool router::immediate(const detail::route_match& match) const noexcept {
    return !suspends_ && (!match.entry || match.entry->handler.index() == 0);
}

response router::handle_now(const detail::route_match& match, request& req, deferred& after) const {
    try {
        std::optional<response> made;
        auto i = chain_.begin();
        for (; i != chain_.end() && !made; ++i) {
            if (const auto* check = std::get_if<0>(&*i)) {
                made = (*check)(req, after);
            }
        }
        if (!made) {
            made = match.entry ? std::get<0>(match.entry->handler)(req, after) : *match.refusal;
        }
        while (i != chain_.begin()) {
            if (const auto* finish = std::get_if<1>(&*--i)) {
                (*finish)(req, *made);
            }
        }
        return *std::move(made);
    } catch (...) {
        return fail(req, after);
    }
}

response router::fail(const request& req, const deferred& after) const {
    response failed;
    try {
        throw;
    } catch (const std::exception& e) {
        failed = detail::handler_failed(req, after, e.what());
    } catch (...) {
        failed = detail::handler_failed(req, after, detail::no_exception);
    }
    finish(req, failed);
    return failed;
}

void router::finish(const request& req, response& res) const noexcept {
    for (auto i = chain_.size(); i-- > 0;) {
        try {
            if (const auto* finish = std::get_if<1>(&chain_[i])) {
                (*finish)(req, res);
            }
        } catch (...) {
            // It failed before on the response that this one replaces, and that was logged.
        }
    }
}

}  // namespace postlude::http
