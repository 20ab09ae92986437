// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// What is wrong with a URL or a broker, and how that is said.
#include "postlude/backends/rabbitmq.hpp"

#include "conformance.hpp"
#include "postlude/core/error.hpp"
#include "rabbitmq_support.hpp"
#include "support/child_program.hpp"

#include <boost/system/system_error.hpp>

#include <array>
#include <atomic>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <thread>

using namespace postlude;
using namespace std::chrono_literals;

namespace {

/// The error of what is tried, which has to have this code and these parts, and no password.
template <class Try>
void check_error(Try attempt, errc code, std::initializer_list<std::string> parts) {
    try {
        attempt();
        FAIL_CHECK("it worked");
    } catch (const boost::system::system_error& e) {
        const std::string said = e.what();
        INFO(said);
        CHECK(e.code() == code);
        CHECK(said.starts_with("the job store "));
        for (const auto& part : parts) {
            CHECK(said.find(part) != said.npos);
        }
        CHECK(said.find("only-") == said.npos);
        CHECK(said.find("secret") == said.npos);
    }
}

rabbitmq_options with_url(std::string url) {
    rabbitmq_options o;
    o.url = std::move(url);
    return o;
}

void open_url(const std::string& url) { rabbitmq_backend(with_url(url))->open({}); }

/// Further lines for the configuration of brokers that are started meanwhile.
struct configuration {
    explicit configuration(const char* lines) { ::setenv("POSTLUDE_RABBITMQ_CONF", lines, 1); }
    configuration(const configuration&) = delete;
    configuration& operator=(const configuration&) = delete;
    ~configuration() { ::unsetenv("POSTLUDE_RABBITMQ_CONF"); }
};

void rabbitmqctl(const test::store_server& broker, const std::string& command) {
    const auto home = broker.directory().string();
    const auto whole = "env -i PATH=\"$PATH\" LANG=C.UTF-8 HOME=" + home + " ERL_EPMD_PORT=$(cat " +
                       home +
                       "/epmd_port) RABBITMQ_NODENAME=postlude@localhost"
                       " RABBITMQ_CONF_ENV_FILE=/dev/null /usr/lib/rabbitmq/bin/rabbitmqctl -q " +
                       command;
    REQUIRE(std::system(whole.c_str()) == 0);
}

const std::string& good_url() { return test::rabbitmq_server().url(); }

/// A store in the virtual host whose limits tests set.
rabbitmq_options with_limits() {
    auto o = with_url(test::rabbitmq_url(good_url(), "", "", "limited"));
    o.prefix = test::new_rabbitmq_prefix();
    return o;
}

/// Such limits, as JSON, while it lives.
class limits {
public:
    explicit limits(const std::string& json) {
        rabbitmqctl(test::rabbitmq_server(), "set_vhost_limits -p limited '" + json + "'");
    }
    limits(const limits&) = delete;
    limits& operator=(const limits&) = delete;
    ~limits() { rabbitmqctl(test::rabbitmq_server(), "clear_vhost_limits -p limited"); }
};

}  // namespace

TEST_CASE("RabbitMQ: a wrong URL is refused with a sentence, before anything is connected") {
    const auto refused = [](const std::string& url, const std::string& part) {
        CAPTURE(url);
        check_error([&] { rabbitmq_backend(with_url(url)); }, errc::bad_option, {part});
    };
    refused("amqp:", "form");
    refused("amqp:u:secret@h/v", "form");
    refused("u:secret@h", "form");
    refused("http://u:secret@h/", "form");
    refused("amqp://", "no host");
    refused("amqp://u:secret@h:99999/", "no port");
    refused("amqp://u:secret@h:5x/", "no port");
    refused("amqp://u:secret@h/a/b", "%2F");
    refused("amqp://u:secret@h/%zz", "hexadecimal");
    refused("amqp://u:secret@h/?color=blue", "parameters");
    refused("amqp://u:secret@h/?timeout=soon", "milliseconds");
    refused("amqp://u:secret@h/?timeout=1", "100 ms");
    refused("amqp://u:secret@h/?poll=0", "poll");
    refused("amqp://u:secret@h/?prefix=a.b", "prefix");
    refused("amqp://u:secret@h/?verify=perhaps", "verify");
    CHECK_NOTHROW(rabbitmq_backend(
        with_url("AMQPS://u:se%2Fcret@[::1]:5671/%2F?prefix=x&verify=false&timeout=100&poll=5")));
    CHECK_NOTHROW(backend_from_url("amqp://localhost", {rabbitmq_scheme()}));
}

TEST_CASE("RabbitMQ: wrong credentials, virtual host, host and port are told apart") {
    using test::rabbitmq_url;
    check_error([] { open_url(rabbitmq_url(good_url(), "", "tests:secret")); }, errc::bad_store,
                {"user name or the password is wrong"});
    check_error([] { open_url(rabbitmq_url(good_url(), "", "", "nowhere")); }, errc::bad_store,
                {"virtual host \"nowhere\"", "add_vhost"});
    check_error([] { open_url(rabbitmq_url(good_url(), "1")); }, errc::store_unavailable,
                {"can't be reached", "check the host and the port"});
    check_error([] { open_url("amqp://u:secret@no-such-host.invalid/"); }, errc::store_unavailable,
                {"can't be reached"});
}

TEST_CASE("RabbitMQ: a missing permission is named") {
    auto o = with_url(test::rabbitmq_url(good_url(), "", "reader:only-reads"));
    const auto b = rabbitmq_backend(o);
    check_error([&] { b->open({.kinds = {{"a", 0}}}); }, errc::bad_store,
                {"lacks a permission", "configure, write and read"});
}

TEST_CASE("RabbitMQ: who may not write to the default exchange is told so") {
    const auto& broker = test::rabbitmq_server();
    rabbitmqctl(broker, "add_user partly only-partly");
    rabbitmqctl(broker, "set_permissions -p tests partly '^test-' '^test-' '^test-'");
    test::rabbitmq_store store;
    auto o = store.options();
    o.url = test::rabbitmq_url(good_url(), "", "partly:only-partly");
    check_error([&] { rabbitmq_backend(o)->open({.kinds = {{"a", 0}}}); }, errc::bad_store,
                {"lacks a permission", R"(write for "amq\.default")"});
    const auto other = store.connect();
    other->open({.kinds = {{"a", 0}}});
    REQUIRE(test::put_one(*other, test::a_job(1)).what == put_result::outcome::stored);
    const auto b = rabbitmq_backend(o);
    b->open({.kinds = {{"a", 0}}});
    const auto one = test::a_job(2);
    const auto result = b->commit(std::span(&one, 1), {});
    CHECK(result.puts.at(0).what == put_result::outcome::unknown);
    CAPTURE(result.why_unknown);
    CHECK(result.why_unknown.find(R"(write for "amq\.default")") != std::string::npos);
}

TEST_CASE("RabbitMQ: a queue that can't be made keeps back its own jobs, and no others") {
    const auto b = rabbitmq_backend(with_limits());
    b->open({.kinds = {{"a", 0}}});
    std::optional<limits> few(R"({"max-queues": 1})");
    const std::vector<put> puts{test::a_job(1, "new"), test::a_job(2), test::a_job(3, "new")};
    const auto result = b->commit(puts, {});
    CHECK(result.puts.at(0).what == put_result::outcome::unknown);
    CHECK(result.puts.at(1).what == put_result::outcome::stored);
    CHECK(result.puts.at(2).what == put_result::outcome::unknown);
    CAPTURE(result.why_unknown);
    CHECK(result.why_unknown.find("raise its max-queues") != std::string::npos);
    check_error([&] { b->commit(std::span(puts).first(1), {}); }, errc::store_unavailable,
                {"raise its max-queues", "set_vhost_limits"});
    few.reset();
    CHECK(b->commit(std::span(puts).first(1), {}).puts.at(0).what == put_result::outcome::stored);
}

TEST_CASE("RabbitMQ: while what came back can't be moved, no more than a little of it is held") {
    const auto o = with_limits();
    const auto b = rabbitmq_backend(o);
    b->open({.kinds = {{"a", 0}}});
    constexpr int jobs = 50;
    std::vector<put> puts;
    for (job_id id = 1; id <= jobs; ++id) {
        puts.push_back(test::a_job(id));
    }
    b->commit(puts, {});
    // As after the death of a process that held them all.
    const auto python = [&](const std::string& program) {
        test::child_program run({"/usr/bin/python3", "-c",
                                 "import pika\nchannel = pika.BlockingConnection("
                                 "pika.URLParameters('" +
                                     o.url +
                                     "')).channel()\n"
                                     "queue = '" +
                                     o.prefix + ".jobs.a.1'\n" + program});
        CHECK(run.wait() == 0);
        return run.values("said");
    };
    python(
        "for n in range(50):\n"
        "    last = channel.basic_get(queue)[0].delivery_tag\n"
        "channel.basic_nack(last, multiple=True, requeue=True)\n"
        "while channel.queue_declare(queue, passive=True).method.message_count != 50:\n"
        "    pass\n");
    // Its own two connections, and none for what is to be moved.
    std::optional<limits> few(R"({"max-connections": 2})");
    for (int i = 0; i != jobs; ++i) {
        CHECK(b->claim(std::vector<std::size_t>{1}, 0ms).empty());
    }
    few.reset();
    const auto left =
        python("print('said', channel.queue_declare(queue, passive=True).method.message_count)\n");
    REQUIRE(left.size() == 1);
    CHECK(std::stoi(left[0]) >= 30);
    std::set<job_id> done;
    CHECK(test::eventually([&] {
        for (const auto& one : b->claim(std::vector<std::size_t>{100}, 5ms)) {
            CHECK(test::settle(*b, one.held, verdict::done) == settled::accepted);
            done.insert(one.job.id);
        }
        return done.size() == jobs;
    }));
}

TEST_CASE("RabbitMQ: a broker that is too old is refused with its version") {
    test::rabbitmq_store store;
    store.proxy().replace("3.10.", "3.09.");
    check_error([&] { store.connect()->open({}); }, errc::bad_store,
                {"RabbitMQ 3.09.", "needs 3.10 or later"});
}

TEST_CASE("RabbitMQ: over TLS the certificate is verified, unless told otherwise") {
    const auto shown = test::rabbitmq_server().tls_url();
    const auto ca =
        "&ca_file=" + (test::rabbitmq_server().directory() / "certificate.pem").string();
    const auto plain = shown.substr(0, shown.find('?')) + "?prefix=" + test::new_rabbitmq_prefix();
    CHECK_NOTHROW(open_url(plain + ca));
    CHECK_NOTHROW(open_url(plain + "&verify=false"));
    check_error([&] { open_url(plain); }, errc::bad_store, {"no TLS with it", "ca_file"});
    auto other_name = plain;
    other_name.replace(other_name.find("localhost"), 9, "127.0.0.1");
    check_error([&] { open_url(other_name + ca); }, errc::bad_store, {"host name"});
    check_error([&] { open_url(plain + "&ca_file=/no/such/file"); }, errc::bad_store,
                {"/no/such/file"});
}

TEST_CASE("RabbitMQ: why it took none of a commit is said at once, and later ones work") {
    const configuration small("max_message_size = 2000");
    test::store_server broker("rabbitmq");
    auto o = with_url(broker.url());
    o.timeout = 10min;
    const auto b = rabbitmq_backend(o);
    b->open({.kinds = {{"a", 0}}});
    auto large = test::a_job(1);
    large.job.arguments = "\"" + std::string(3'000, 'x') + "\"";
    const auto result = b->commit(std::span(&large, 1), {});
    CHECK(result.puts.at(0).what == put_result::outcome::unknown);
    CAPTURE(result.why_unknown);
    for (const auto* part : {"the job store amqp://", "raise that", "max size 2000"}) {
        CHECK(result.why_unknown.find(part) != std::string::npos);
    }
    CHECK(test::put_one(*b, test::a_job(2)).what == put_result::outcome::stored);
}

TEST_CASE("RabbitMQ: while it is short of space, commits fail in time and with its reason") {
    const configuration little("vm_memory_high_watermark.absolute = 1MB");
    test::store_server full("rabbitmq");
    auto o = with_url(full.url());
    o.timeout = 3s;
    const auto b = rabbitmq_backend(o);
    b->open({.kinds = {{"a", 0}}});
    const auto one = test::a_job(1);
    // What is on its way when it says so may still be stored.
    CHECK(test::eventually([&] {
        return b->commit(std::span(&one, 1), {}).puts.at(0).what == put_result::outcome::unknown;
    }));
    for (int i = 0; i < 3; ++i) {
        check_error([&] { b->commit(std::span(&one, 1), {}); }, errc::store_unavailable,
                    {"takes no messages", "low on memory"});
    }
    rabbitmqctl(full, "set_vm_memory_high_watermark absolute 2GB");
    // What was on its way is confirmed first, and nobody waits for that any more.
    CHECK(test::eventually([&] {
        try {
            return b->commit(std::span(&one, 1), {}).puts.at(0).what == put_result::outcome::stored;
        } catch (const boost::system::system_error&) {
            return false;
        }
    }));
}

TEST_CASE("RabbitMQ: without room for a second connection, commits wait for the first one") {
    const auto o = with_limits();
    const auto b = rabbitmq_backend(o);
    b->open({.kinds = {{"a", 0}}});
    REQUIRE(test::put_one(*b, test::a_job(1)).what == put_result::outcome::stored);
    const limits none(R"({"max-connections": 0})");
    check_error([&] { open_url(o.url); }, errc::store_unavailable,
                {"no room for another connection", "set_vhost_limits", "limit (0) is reached"});
    constexpr job_id each = 200;
    std::atomic<int> stored{0};
    std::array<std::string, 2> errors;
    const auto commit = [&](std::size_t which) {
        try {
            for (job_id i = 1; i <= each; ++i) {
                const auto job = test::a_job(1'000 * (which + 1) + i);
                stored += test::put_one(*b, job).what == put_result::outcome::stored;
            }
        } catch (const std::exception& e) {
            errors.at(which) = e.what();
        }
    };
    std::thread other(commit, 1);
    commit(0);
    other.join();
    CHECK(errors == std::array<std::string, 2>{});
    CHECK(stored == 2 * each);
}
