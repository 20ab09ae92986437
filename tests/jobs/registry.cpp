// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/registry.hpp"

#include "support/catch.hpp"

#include <boost/describe/class.hpp>
#include <boost/json/value.hpp>

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using postlude::job_arguments;
using postlude::job_context;
using postlude::job_registry;
using postlude::job_traits;

namespace {

struct mail_job {
    std::string to;
    static constexpr job_traits job{
        .kind = "mail.welcome:v2", .former = {"welcome", "greeting"}, .queue = "mail"};
};
BOOST_DESCRIBE_STRUCT(mail_job, (), (to))

/// A contract of any kind, made for one test.
template <int Number>
struct changing_job {
    int n = 0;
    static inline job_traits job{.kind = "changing"};
    BOOST_DESCRIBE_CLASS(changing_job, (), (n), (), ())
};

/// What is wrong with a contract.
std::string refusal(const job_traits& traits) {
    changing_job<0>::job = traits;
    job_registry registry;
    try {
        registry.declare<changing_job<0>>();
    } catch (const boost::system::system_error& e) {
        CHECK(e.code() == postlude::errc::bad_kind);
        CHECK(registry.kinds().empty());
        CHECK_FALSE(registry.find(traits.kind));
        const std::string what = e.what();
        return what.substr(0, what.find(": the kind of job"));
    }
    return "accepted";
}

/// Why the second contract can't stand beside the first.
std::string conflict(const job_traits& first, const job_traits& second) {
    changing_job<1>::job = first;
    changing_job<2>::job = second;
    job_registry registry;
    registry.declare<changing_job<1>>();
    try {
        registry.declare<changing_job<2>>();
    } catch (const boost::system::system_error& e) {
        CHECK(e.code() == postlude::errc::bad_kind);
        CHECK(registry.kinds().size() == 1);
        for (const auto name : second.former) {
            CHECK((name == first.kind || !registry.find(name) ||
                   registry.find(name) == registry.find(first.kind)));
        }
        const std::string what = e.what();
        return what.substr(0, what.find(": the kind of job"));
    }
    return "accepted";
}

/// What the dispatcher gives to a handler; here only its address counts.
job_context& some_context() {
    static char place = 0;
    return reinterpret_cast<job_context&>(place);
}

job_traits named(std::string_view kind) { return {.kind = kind}; }

job_traits with(void (*change)(job_traits&)) {
    auto traits = named("k");
    change(traits);
    return traits;
}

struct inner {
    std::string pin;
    std::map<std::string, int> codes;
};
BOOST_DESCRIBE_STRUCT(inner, (), (pin, codes))

struct outer_base {
    std::string inherited;
};
BOOST_DESCRIBE_STRUCT(outer_base, (), (inherited))

struct secret_job : outer_base {
    std::string token, token_name;
    inner one;
    std::optional<std::vector<inner>> many;
    std::pair<int, inner> both;
    std::array<inner, 2> two;
    boost::json::value any;
    static inline job_traits job{.kind = "secret"};
};
BOOST_DESCRIBE_STRUCT(secret_job, (outer_base), (token, token_name, one, many, both, two, any))

std::string secret_refusal(std::string_view path) {
    secret_job::job.secret = {"", path};
    std::string what = "accepted";
    for (const bool handled : {false, true}) {
        job_registry registry;
        try {
            if (handled) {
                registry.handle<secret_job>([](const secret_job&) {});
            } else {
                registry.declare<secret_job>();
            }
        } catch (const boost::system::system_error& e) {
            CHECK(e.code() == postlude::errc::bad_kind);
            CHECK(registry.kinds().empty());
            what = e.what();
            what.resize(what.find(": the kind of job"));
        }
    }
    return what;
}

}  // namespace

TEST_CASE("a kind is found by its name and its former ones, and by no other") {
    job_registry registry;
    registry.declare<mail_job>();
    const auto* kind = registry.find("mail.welcome:v2");
    REQUIRE(kind);
    CHECK(kind->traits.queue == "mail");
    CHECK(registry.find("welcome") == kind);
    CHECK(registry.find("greeting") == kind);
    CHECK_FALSE(registry.find("mail"));
    CHECK_FALSE(registry.find(""));
    CHECK(registry.kinds().size() == 1);
}

TEST_CASE("a registry that is moved still has its kinds") {
    job_registry first;
    first.declare<mail_job>();
    const auto* kind = first.find("welcome");
    const auto second = std::move(first);
    CHECK(second.find("welcome") == kind);
}

TEST_CASE("a declared kind reads its arguments, and does not run here") {
    job_registry registry;
    registry.declare<mail_job>();
    const auto* kind = registry.find("welcome");
    REQUIRE(kind);
    CHECK_FALSE(kind->runs_here());
    CHECK(kind->read(R"({"to":"x","more":1})")->text() == R"({"to":"x"})");
    CHECK_THROWS_AS(kind->read("{"), postlude::arguments_error);
}

TEST_CASE("a function runs the jobs of its kind, with their context if it takes one") {
    job_registry registry;
    std::string ran;
    job_context* seen = nullptr;
    changing_job<3>::job = named("with_context");
    registry.handle<mail_job>([&](const mail_job& args) { ran = args.to; })
        .handle<changing_job<3>>([&](const changing_job<3>& args, job_context& context) {
            ran += std::to_string(args.n);
            seen = &context;
        });
    auto& context = some_context();
    const auto* kind = registry.find("greeting");
    REQUIRE(kind);
    REQUIRE(kind->runs_here());
    CHECK_FALSE(kind->start);
    kind->run(*kind->read(R"({"to":"someone"})"), context);
    CHECK(ran == "someone");
    const auto* other = registry.find("with_context");
    other->run(*other->read(R"({"n":5})"), context);
    CHECK(ran == "someone5");
    CHECK(seen == &context);
}

TEST_CASE("a coroutine is started, not run") {
    job_registry registry;
    registry.handle<mail_job>([](const mail_job&) -> boost::asio::awaitable<void> { co_return; });
    const auto* kind = registry.find("welcome");
    CHECK(kind->start);
    CHECK_FALSE(kind->run);
    CHECK(kind->runs_here());
}

TEST_CASE("a kind's name is 1 to 64 letters, digits and a few characters") {
    const std::string rule = "its name is not 1 to 64 letters, digits and characters of _-.:";
    CHECK(refusal(named("aZ09_-.:")) == "accepted");
    CHECK(refusal(named(std::string(64, 'x'))) == "accepted");
    CHECK(refusal(named("")) == "kind \"\": " + rule);
    CHECK(refusal(named("a b")) == "kind \"a b\": " + rule);
    for (const auto* name : {"a/b", "\u00e4", "a\n", "a{", "a@", "`", "["}) {
        CHECK(refusal(named(name)).ends_with(rule));
    }
    CHECK(refusal(named(std::string(65, 'x'))).ends_with(rule));
    CHECK(refusal({.kind = "k", .former = {"bad name"}}) ==
          "kind \"k\": its former name \"bad name\" is not 1 to 64 letters, digits and characters "
          "of _-.:");
}

TEST_CASE("a contract out of its ranges is refused with a sentence") {
    CHECK(refusal(with([](auto& t) { t.attempts = 1000; })) == "accepted");
    CHECK(refusal(with([](auto& t) { t.attempts = 1001; })) ==
          "kind \"k\": attempts is above 1,000");
    CHECK(refusal(with([](auto& t) { t.priority = 3; })) == "accepted");
    CHECK(refusal(with([](auto& t) { t.priority = 4; })) == "kind \"k\": priority is above 3");
    CHECK(refusal(with([](auto& t) { t.run_limit = -1ms; })) == "kind \"k\": run_limit is below 0");
    CHECK(refusal(with([](auto& t) { t.queue = ""; })) == "kind \"k\": its queue has no name");
}

TEST_CASE("a retry policy out of its ranges is refused with a sentence") {
    const std::string base = "kind \"k\": retry.base is not from 0 to a year";
    CHECK(refusal(with([](auto& t) { t.retry.base = 0ms; })) == "accepted");
    CHECK(refusal(with([](auto& t) { t.retry.base = 8760h; })) == "accepted");
    CHECK(refusal(with([](auto& t) { t.retry.base = -1ms; })) == base);
    CHECK(refusal(with([](auto& t) { t.retry.base = 8760h + 1ms; })) == base);
    CHECK(refusal(with([](auto& t) { t.retry.exponent = 8; })) == "accepted");
    CHECK(refusal(with([](auto& t) { t.retry.exponent = 9; })) ==
          "kind \"k\": retry.exponent is above 8");
    CHECK(refusal(with([](auto& t) { t.retry.unit = 0s; })) == "accepted");
    CHECK(refusal(with([](auto& t) { t.retry.unit = -1s; })) ==
          "kind \"k\": retry.unit is below 0");
    CHECK(refusal(with([](auto& t) { t.retry.longest = 0ms; })) == "accepted");
    CHECK(refusal(with([](auto& t) { t.retry.longest = -1ms; })) ==
          "kind \"k\": retry.longest is below 0");
    const std::string jitter = "kind \"k\": retry.jitter is not from 0 to 1";
    CHECK(refusal(with([](auto& t) { t.retry.jitter = 0; })) == "accepted");
    CHECK(refusal(with([](auto& t) { t.retry.jitter = 1; })) == "accepted");
    CHECK(refusal(with([](auto& t) { t.retry.jitter = -0.01; })) == jitter);
    CHECK(refusal(with([](auto& t) { t.retry.jitter = 1.01; })) == jitter);
    CHECK(refusal(with([](auto& t) {
              t.retry.jitter = std::numeric_limits<double>::quiet_NaN();
          })) == jitter);
}

TEST_CASE("a name is taken once, whether it is a kind's or a former one") {
    CHECK(conflict(named("a"), named("b")) == "accepted");
    CHECK(conflict(named("a"), named("a")) == "kind \"a\": it was registered before");
    CHECK(conflict({.kind = "a", .former = {"b"}}, named("b")) ==
          "kind \"b\": its name \"b\" is taken by kind \"a\"");
    CHECK(conflict(named("a"), {.kind = "b", .former = {"c", "a"}}) ==
          "kind \"b\": its former name \"a\" is taken by kind \"a\"");
    CHECK(conflict({.kind = "a", .former = {"", "c"}}, {.kind = "b", .former = {"d", "c"}}) ==
          "kind \"b\": its former name \"c\" is taken by kind \"a\"");
    CHECK(refusal({.kind = "a", .former = {"a"}}) ==
          "kind \"a\": the name \"a\" stands there twice");
    CHECK(refusal({.kind = "a", .former = {"b", "", "b"}}) ==
          "kind \"a\": the name \"b\" stands there twice");
}

TEST_CASE("a secret that is no member is refused, for it would be shown") {
    for (const auto* path :
         {"token", "inherited", "one", "one.pin", "one.codes", "one.codes.any", "many", "many.pin",
          "many.codes.any", "both.pin", "two.pin", "any", "any.thing.at.all", ""}) {
        CAPTURE(path);
        CHECK(secret_refusal(path) == "accepted");
    }
    CHECK(secret_refusal("tokn") ==
          "kind \"secret\": its secret \"tokn\" is no member of its arguments");
    for (const auto* path : {"toke", "token.", "token.x", ".token", "tokens", "one.", "one.pi",
                             "one.pin.x", "pin", "many.0.pin", "both.first", "both.second.pin",
                             "two.x", "one.codes.", "any.", "one..pin", "job", "Token"}) {
        CAPTURE(path);
        CHECK(secret_refusal(path).ends_with("is no member of its arguments"));
    }
}
