// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/http/router.hpp"

#include "postlude/http/request_info.hpp"
#include "postlude/http/respond.hpp"
#include "support/catch.hpp"
#include "support/running_server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

using namespace std::chrono_literals;
using boost::asio::awaitable;
using postlude::deferred;
using postlude::http::handler;
using postlude::http::request;
using postlude::http::response;
using postlude::http::router;
using postlude::http::status;
using postlude::http::text;
using postlude::http::verb;
namespace asio = boost::asio;

namespace {

/// Answers with the name, then the route, then what stands for a, b and rest.
handler tell(std::string name) {
    return [name = std::move(name)](const request& req, deferred&) {
        std::string said = name + ' ' + std::string(req.route());
        for (const char* const param : {"a", "b", "rest"}) {
            said += ' ';
            said += req.param(param);
        }
        return text(status::ok, said.substr(0, said.find_last_not_of(' ') + 1));
    };
}

/// A router without a server, and what a request to it comes to.
struct bench {
    router routes;
    postlude::dispatcher work;

    response ask(verb method, std::string_view target) {
        request req(request::message(method, target, 11));
        deferred after(work, req);
        asio::io_context io;
        auto made = asio::co_spawn(io, routes.handle(req, after), asio::use_future);
        io.run();
        return made.get();
    }
    response get(std::string_view target) { return ask(verb::get, target); }
    std::string body(std::string_view target) { return get(target).body(); }
};

std::string why_not(std::string_view pattern) {
    router routes;
    try {
        routes.get(pattern, tell("never"));
    } catch (const boost::system::system_error& e) {
        CHECK(e.code() == postlude::errc::bad_option);
        return e.what();
    }
    return "";
}

void check_refused(std::string_view pattern, std::string_view why) {
    INFO(pattern);
    CHECK(why_not(pattern).starts_with("the route '" + std::string(pattern) + "' " +
                                       std::string(why)));
}

awaitable<response> later(const request& req, deferred&) {
    asio::steady_timer timer(co_await asio::this_coro::executor, 1ms);
    co_await timer.async_wait(asio::use_awaitable);
    co_return text(status::ok, "later " + std::string(req.param("a")));
}

}  // namespace

TEST_CASE("{name} stands for one segment, percent-decoded, and {name...} for all that follows") {
    bench b;
    b.routes.get("/users/{a}", tell("user"));
    b.routes.get("/users/{a}/posts/{b}", tell("post"));
    b.routes.get("/files/{rest...}", tell("file"));

    CHECK(b.body("/users/7") == "user /users/{a} 7");
    CHECK(b.body("/users/7?a=8") == "user /users/{a} 7");
    CHECK(b.body("/users/Zo%C3%AB%20%2F+x") == "user /users/{a} Zo\xC3\xAB /+x");
    CHECK(b.body("/%75sers/7") == "user /users/{a} 7");
    CHECK(b.body("/users/7/posts/8") == "post /users/{a}/posts/{b} 7 8");
    CHECK(b.body("/files/a/b%2Fc/") == "file /files/{rest...}   a/b/c/");
    CHECK(b.body("/files/") == "file /files/{rest...}");
    CHECK(b.get("/users/").result() == status::not_found);
    CHECK(b.get("/users").result() == status::not_found);
    CHECK(b.get("/users/7/").result() == status::not_found);
    CHECK(b.get("/users//posts/8").result() == status::not_found);
    CHECK(b.get("/files").result() == status::not_found);
}

TEST_CASE("literal segments win over {name}, and that over {name...}, from left to right") {
    bench b;
    // The order of registration is not what decides.
    b.routes.get("/{rest...}", tell("rest"));
    b.routes.get("/{a}/{b}", tell("two"));
    b.routes.get("/{a}/y", tell("one y"));
    b.routes.get("/x/{rest...}", tell("x rest"));
    b.routes.get("/x/{a}/z", tell("x one z"));
    b.routes.get("/x/y", tell("x y"));

    CHECK(b.body("/x/y") == "x y /x/y");
    CHECK(b.body("/w/y") == "one y /{a}/y w");
    CHECK(b.body("/w/v") == "two /{a}/{b} w v");
    // A branch that leads to nothing is left again, and leaves no parameter behind.
    CHECK(b.body("/x/y/z") == "x one z /x/{a}/z y");
    CHECK(b.body("/x/y/w") == "x rest /x/{rest...}   y/w");
    CHECK(b.body("/w/y/z") == "rest /{rest...}   w/y/z");
    CHECK(b.body("/") == "rest /{rest...}");
}

TEST_CASE("a path that ends with a slash is another one, and so is one with an empty segment") {
    bench b;
    b.routes.get("/", tell("root"));
    b.routes.get("/page", tell("page"));
    b.routes.get("/folder/", tell("folder"));
    CHECK(b.body("/") == "root /");
    CHECK(b.body("/page") == "page /page");
    CHECK(b.body("/folder/") == "folder /folder/");
    for (const auto* const other : {"/page/", "/folder", "//", "//page", "/folder//"}) {
        INFO(other);
        CHECK(b.get(other).result() == status::not_found);
    }
}

TEST_CASE("a pattern is compared after percent-decoding, too") {
    bench b;
    b.routes.get("/a b", tell("blank"));
    b.routes.get("/c%20d", tell("coded"));
    CHECK(b.body("/a%20b") == "blank /a b");
    CHECK(b.body("/c%20d") == "coded /c%20d");
    CHECK(b.body("/%63%20d") == "coded /c%20d");
    CHECK(b.get("/c%2520d").result() == status::not_found);
}

TEST_CASE("no route is 404 and has no name; no handler for the method is 405 with Allow") {
    bench b;
    b.routes.get("/thing/{a}", tell("get"));
    b.routes.put("/thing/{a}", tell("put"));
    b.routes.post("/only", tell("post"));

    CHECK(b.get("/none").result() == status::not_found);
    const auto thing = b.ask(verb::delete_, "/thing/1");
    CHECK(thing.result() == status::method_not_allowed);
    CHECK(thing["Allow"] == "GET, PUT, HEAD, OPTIONS");
    CHECK(b.get("/only")["Allow"] == "POST, OPTIONS");
    CHECK(b.ask(verb::head, "/only").result() == status::method_not_allowed);

    request req(request::message(verb::get, "/none", 11));
    deferred after(b.work, req);
    asio::io_context io;
    asio::co_spawn(io, b.routes.handle(req, after), asio::use_future);
    io.run();
    CHECK(req.route().empty());
    CHECK(req.param("a").empty());
}

TEST_CASE("GET answers HEAD and OPTIONS is answered with Allow, unless there are handlers") {
    bench b;
    b.routes.get("/plain", tell("get"));
    b.routes.get("/own", tell("get"));
    b.routes.route(verb::head, "/own", tell("head"));
    b.routes.route(verb::options, "/own", tell("options"));

    CHECK(b.ask(verb::head, "/plain").body() == "get /plain");
    CHECK(b.ask(verb::head, "/own").body() == "head /own");
    const auto plain = b.ask(verb::options, "/plain");
    CHECK(plain.result() == status::no_content);
    CHECK(plain["Allow"] == "GET, HEAD, OPTIONS");
    CHECK(b.ask(verb::options, "/own").body() == "options /own");
    CHECK(b.ask(verb::options, "/none").result() == status::not_found);
    const auto all = b.ask(verb::options, "*");
    CHECK(all.result() == status::no_content);
    CHECK(all["Allow"] == "GET, HEAD, OPTIONS");
    CHECK(b.get("*").result() == status::bad_request);
}

TEST_CASE("dot segments, malformed encodings and what is no path are 400, whatever is routed") {
    bench b;
    b.routes.get("/{rest...}", tell("rest"));
    for (const auto* const bad :
         {"/.", "/..", "/a/../b", "/a/./b", "/a/..", "/%2e%2e/b", "/a/.%2E", "/%2E", "/a%", "/a%2",
          "/a%zz", "/a%+1", "/a%00b", "/%", "a/b", "", "http:/x/y"}) {
        INFO(bad);
        CHECK(b.get(bad).result() == status::bad_request);
    }
    for (const auto* const good : {"/...", "/.a", "/a..", "/a/..b/%2e."}) {
        INFO(good);
        CHECK(b.get(good).result() ==
              (std::string_view(good).ends_with("%2e.") ? status::bad_request : status::ok));
    }
}

TEST_CASE("an absolute target is routed by its path") {
    bench b;
    b.routes.get("/", tell("root"));
    b.routes.get("/a/{a}", tell("a"));
    CHECK(b.body("http://example.org") == "root /");
    CHECK(b.body("http://example.org?x=/a/b") == "root /");
    CHECK(b.body("https://example.org:8080/a/b?x") == "a /a/{a} b");
}

TEST_CASE("a later handler for the same method and pattern replaces the former") {
    bench b;
    b.routes.get("/x/{a}", tell("first"));
    b.routes.post("/x/{a}", tell("post"));
    b.routes.get("/x/{a}", handler(later));
    CHECK(b.body("/x/1") == "later 1");
    CHECK(b.ask(verb::post, "/x/1").body() == "post /x/{a} 1");
    // Names belong to the method's own pattern.
    b.routes.get("/x/{b}", tell("other name"));
    CHECK(b.body("/x/1") == "other name /x/{b}  1");
    CHECK(b.ask(verb::post, "/x/1").body() == "post /x/{a} 1");
}

TEST_CASE("a pattern that cannot be meant is refused with a sentence") {
    check_refused("", "does not begin with '/'");
    check_refused("users", "does not begin with '/'");
    check_refused("{a}", "does not begin with '/'");
    check_refused("/a{b}", "has braces that do not hold a whole segment");
    check_refused("/{a}b", "has braces that do not hold a whole segment");
    check_refused("/{a", "has braces that do not hold a whole segment");
    check_refused("/a}", "has braces that do not hold a whole segment");
    check_refused("/{}", "has a name in braces that is empty or has braces itself");
    check_refused("/{...}", "has a name in braces that is empty or has braces itself");
    check_refused("/{a{b}", "has a name in braces that is empty or has braces itself");
    check_refused("/a/../b", "has a segment '.' or '..', which no request can have");
    check_refused("/.", "has a segment '.' or '..', which no request can have");
    check_refused("/%2e", "has a segment '.' or '..', which no request can have");
    check_refused("/{a...}/b", "goes on after '{name...}', which stands for all that follows");
    check_refused("/{a...}/", "goes on after '{name...}', which stands for all that follows");
    check_refused("/{a}/{a}", "has the same name in braces twice");
    check_refused("/{a}/{a...}", "has the same name in braces twice");
    check_refused("/50%", "has a malformed percent-encoding");
    CHECK(why_not("/{a}/{b...}").empty());
}

TEST_CASE("a request that is routed again has the parameters of the last route only") {
    bench outer;
    outer.routes.get("/{a}/{rest...}", tell("outer"));
    router inner;
    inner.get("/{b}/y", tell("inner"));
    request req(request::message(verb::get, "/x/y", 11));
    deferred after(outer.work, req);
    asio::io_context io;
    asio::co_spawn(io, outer.routes.handle(req, after), asio::use_future);
    auto made = asio::co_spawn(io, inner.handle(req, after), asio::use_future);
    io.run();
    CHECK(made.get().body() == "inner /{b}/y  x");
}

TEST_CASE("where all handlers are functions, the router's coroutine does not suspend") {
    bench b;
    b.routes.get("/function", tell("function"));
    b.routes.get("/coroutine", handler(later));
    b.routes.use([](request&, deferred&) { return std::optional<response>(); });
    b.routes.use([](const request&, response& res) { res.set("X-Finished", "yes"); });
    asio::io_context io;
    // How many turns of the loop a request takes: one to begin, one that Asio completes it with.
    const auto turns = [&](std::string_view target) {
        request req(request::message(verb::get, target, 11));
        deferred after(b.work, req);
        bool done = false;
        asio::co_spawn(io, b.routes.handle(req, after),
                       [&](const std::exception_ptr& error, const response& res) {
                           CHECK(!error);
                           CHECK(res["X-Finished"] == "yes");
                           done = true;
                       });
        io.restart();
        int n = 0;
        while (!done) {
            n += static_cast<int>(io.run_one());
        }
        return n;
    };
    CHECK(turns("/function") == 2);
    CHECK(turns("/none") == 2);
    CHECK(turns("/coroutine") == 2);
    b.routes.use(
        [](request& req, deferred& after, const postlude::http::next& rest) -> awaitable<response> {
            co_return co_await rest(req, after);
        });
    CHECK(turns("/function") == 2);
}

namespace {

// A server of one's own, as an embedder has it: Beast, and Postlude between read and write.
awaitable<void> own_session(asio::ip::tcp::socket& socket, const router& routes,
                            postlude::dispatcher& work) {
    boost::beast::flat_buffer buffer;
    for (bool open = true; open;) {
        request::message read;
        const auto [ec, n] = co_await boost::beast::http::async_read(
            socket, buffer, read, asio::as_tuple(asio::use_awaitable));
        if (ec) {
            break;
        }
        request req(std::move(read));
        deferred after(work, req);
        auto res = co_await routes.handle(req, after);
        open = req.keep_alive();
        res.keep_alive(open);
        co_await postlude::async_respond(socket, std::move(res), after, asio::use_awaitable);
    }
}

}  // namespace

TEST_CASE("a router serves on a session loop of one's own, with the work after the response") {
    router routes;
    postlude::dispatcher work;
    std::atomic<int> ran{0};
    const auto count = [&ran](const request& req, deferred& after) {
        after.run([&ran] { ++ran; });
        return text(status::ok, std::string(req.param("a")));
    };
    routes.get("/function/{a}", count);
    routes.get("/coroutine/{a}", handler(later));
    routes.get("/throws",
               [](const request&, deferred&) -> response { throw std::runtime_error("no luck"); });
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    std::optional<asio::ip::tcp::socket> socket;
    acceptor.async_accept([&](boost::system::error_code, asio::ip::tcp::socket s) {
        socket.emplace(std::move(s));
        asio::co_spawn(io, own_session(*socket, routes, work), [&](const std::exception_ptr& e) {
            CHECK(!e);
            socket->close();
        });
    });
    std::jthread server([&] { io.run(); });
    test::http_client client(acceptor.local_endpoint().port());
    CHECK(client.get("/function/1").body() == "1");
    CHECK(client.get("/coroutine/2").body() == "later 2");
    CHECK(client.get("/throws").result() == status::internal_server_error);
    CHECK(client.get("/none").result() == status::not_found);
    CHECK(client.get("/function/3", "Connection: close\r\n").body() == "3");
    CHECK(client.ended());
    CHECK(test::eventually([&] { return ran == 2; }));
}

TEST_CASE("a server routes what its clients send, bodies included") {
    test::running_server running;
    running.server.put("/things/{a}", [](const request& req, deferred&) {
        return text(status::ok, std::string(req.param("a")) + ": " + req.body());
    });
    running.server.get("/things/{a}", handler(later));
    running.start();
    auto client = running.connect();
    CHECK(
        client.ask("PUT /things/a%20b HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi").body() ==
        "a b: hi");
    CHECK(client.get("/things/1").body() == "later 1");
    CHECK(client.get("http://test/things/1").body() == "later 1");
    CHECK(client.ask("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n")["Allow"] ==
          "PUT, GET, HEAD, OPTIONS");
    const auto head = client.ask("HEAD /things/1 HTTP/1.1\r\nHost: t\r\n\r\n", true);
    CHECK(head["Content-Length"] == "7");
    CHECK(client.get("/things/../things/1").result() == status::bad_request);
    CHECK(client.ended());
}
