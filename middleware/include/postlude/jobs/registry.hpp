// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_JOBS_REGISTRY_HPP
#define POSTLUDE_JOBS_REGISTRY_HPP

#include "postlude/jobs/arguments.hpp"
#include "postlude/jobs/detail/secret_paths.hpp"
#include "postlude/jobs/traits.hpp"

#include <boost/asio/awaitable.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace postlude {

class job_context;

/// The arguments of one job, whatever their type.
class job_arguments {
public:
    job_arguments() = default;
    job_arguments(const job_arguments&) = delete;
    job_arguments& operator=(const job_arguments&) = delete;
    virtual ~job_arguments() = default;
    /// As JSON, as they are stored.
    virtual std::string text() const = 0;
};

template <job_type Args>
class arguments_of final : public job_arguments {
public:
    explicit arguments_of(Args args) : value(std::move(args)) {}
    std::string text() const override { return to_text(value); }
    Args value;
};

/// What can be done with one kind of job here.
struct job_kind {
    job_traits traits;
    /// Throws arguments_error.
    std::unique_ptr<job_arguments> (*read)(std::string_view text) = nullptr;
    /// At most one is set, and none where the kind is only declared.
    std::function<void(const job_arguments&, job_context&)> run;
    std::function<boost::asio::awaitable<void>(const job_arguments&, job_context&)> start;

    bool runs_here() const noexcept { return run || start; }
};

namespace detail {

template <class Handler, class Args>
decltype(auto) call_handler(Handler& handler, const Args& args, job_context& context) {
    if constexpr (std::invocable<Handler&, const Args&, job_context&>) {
        return std::invoke(handler, args, context);
    } else {
        return std::invoke(handler, args);
    }
}

template <class Args>
std::unique_ptr<job_arguments> read_as(std::string_view text) {
    return std::make_unique<arguments_of<Args>>(from_text<Args>(text));
}

}  // namespace detail

/// A function that runs the jobs of a kind: of `const Args&`, or of `const Args&, job_context&`;
/// returning nothing, or `asio::awaitable<void>`.
template <class Handler, class Args>
concept job_handler =
    std::copy_constructible<Handler> &&
    (std::invocable<Handler&, const Args&, job_context&> || std::invocable<Handler&, const Args&>);

/// The kinds of jobs that a process knows. Fill it before the dispatcher is made, which takes it
/// over. Used by one thread until then, by any number afterwards.
class job_registry {
public:
    /// Jobs of this kind are run here, by this function: on a worker, several at a time. Throws
    /// system_error(errc::bad_kind) for a contract that is out of its ranges, for a secret that is
    /// no member of the arguments, and for a name that is taken, saying which; the registry is
    /// then as it was.
    template <job_type Args, job_handler<Args> Handler>
    job_registry& handle(Handler handler) {
        using result = decltype(detail::call_handler(handler, std::declval<const Args&>(),
                                                     std::declval<job_context&>()));
        static_assert(std::is_void_v<result> || std::same_as<result, boost::asio::awaitable<void>>,
                      "nobody would look at what the function returns: let it return nothing, or "
                      "asio::awaitable<void>");
        detail::check_secrets<Args>();
        auto& kind = add({Args::job, &detail::read_as<Args>, {}, {}});
        const auto call = [handler = std::move(handler)](const job_arguments& args,
                                                         job_context& context) mutable {
            return detail::call_handler(handler, static_cast<const arguments_of<Args>&>(args).value,
                                        context);
        };
        if constexpr (std::same_as<result, boost::asio::awaitable<void>>) {
            kind.start = call;
        } else {
            kind.run = call;
        }
        return *this;
    }

    /// Jobs of this kind are registered here and run by other processes. Throws as `handle` does.
    template <job_type Args>
    job_registry& declare() {
        detail::check_secrets<Args>();
        add({Args::job, &detail::read_as<Args>, {}, {}});
        return *this;
    }

    /// By its name, or a former one; null when there is none. Valid as long as the registry.
    const job_kind* find(std::string_view name) const noexcept;
    const std::vector<std::unique_ptr<job_kind>>& kinds() const noexcept { return kinds_; }

private:
    job_kind& add(job_kind kind);

    std::vector<std::unique_ptr<job_kind>> kinds_;
    std::unordered_map<std::string_view, job_kind*> names_;
};

}  // namespace postlude

#endif
