// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "mail/servers.hpp"

#include "support/catch.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace test {

namespace {

namespace fs = std::filesystem;
namespace asio = boost::asio;
using asio::ip::tcp;
using postlude::mail::security;

const tcp::endpoint loopback(unsigned short port) {
    return {asio::ip::address_v4::loopback(), port};
}

bool listens(unsigned short port) {
    asio::io_context io;
    tcp::socket socket(io);
    boost::system::error_code ec;
    socket.connect(loopback(port), ec);
    return !ec;
}

void require_success(std::vector<std::string> command) {
    const auto name = command[0];
    child_program program(std::move(command));
    INFO(name);
    REQUIRE(program.wait() == 0);
}

std::string hex(std::string_view bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string made;
    for (const char c : bytes) {
        made += digits[static_cast<unsigned char>(c) >> 4];
        made += digits[static_cast<unsigned char>(c) & 15];
    }
    return made;
}

std::string unhex(std::string_view digits) {
    std::string made;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
        made += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
    }
    return made;
}

std::string boxes(const std::vector<postlude::mail::mailbox>& all) {
    std::string made;
    for (const auto& box : all) {
        made += (made.empty() ? "" : "\n") + box.name + "|" + box.address;
    }
    return made;
}

}  // namespace

void make_certificate(const fs::path& directory, const std::string& subjects) {
    require_success({"/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test",
                     "-addext", "subjectAltName=" + subjects, "-keyout", directory / "key.pem",
                     "-out", directory / "certificate.pem"});
}

unsigned short free_port() {
    asio::io_context io;
    return tcp::acceptor(io, loopback(0)).local_endpoint().port();
}

smtp_server::smtp_server(smtp_server_options options) : options_(std::move(options)) {
    fs::create_directory(mails());
    if (options_.security != security::none) {
        make_certificate(directory_.path(), options_.subjects);
    }
    start();
}

void smtp_server::start() {
    std::vector<std::string> command{"/usr/bin/python3", MAIL_SERVERS "/smtp_server.py",
                                     "--directory",      mails(),
                                     "--port",           std::to_string(port_)};
    const auto add = [&](std::initializer_list<std::string> more) {
        command.insert(command.end(), more);
    };
    if (options_.security != security::none) {
        add({"--security", options_.security == security::tls ? "tls" : "starttls"});
        add({"--certificate", directory_.path() / "certificate.pem"});
        add({"--key", directory_.path() / "key.pem"});
    }
    if (options_.authentication) {
        add({"--user", "ada", "--password", "open sesame"});
    }
    if (options_.size != 0) {
        add({"--size", std::to_string(options_.size)});
    }
    program_ = std::make_unique<child_program>(command);
    REQUIRE(eventually([this] { return !program_->values("port").empty(); }));
    port_ = static_cast<unsigned short>(std::stoi(program_->values("port")[0]));
}

void smtp_server::stop() {
    program_->send_signal(SIGTERM);
    REQUIRE(program_->wait() == 0);
}

postlude::mail::mailer_options smtp_server::options() const {
    postlude::mail::mailer_options options{
        .host = "127.0.0.1", .port = port_, .security = options_.security};
    if (options_.security != security::none) {
        options.ca_file = directory_.path() / "certificate.pem";
    }
    if (options_.authentication) {
        options.username = "ada";
        options.password = "open sesame";
    }
    return options;
}

std::size_t smtp_server::kept() const {
    const auto is_mail = [](const auto& entry) { return entry.path().extension() == ".eml"; };
    return static_cast<std::size_t>(
        std::ranges::count_if(fs::directory_iterator(mails()), fs::directory_iterator(), is_mail));
}

void smtp_server::release() const { std::ofstream(mails() / "release") << "go\n"; }

exim_server::exim_server() : port_(free_port()) {
    make_certificate(directory_.path(), "IP:127.0.0.1");
    start();
}

exim_server::~exim_server() {
    if (program_) {
        program_->send_signal(SIGTERM);  // SIGKILL would leave Exim behind
        program_->wait();
    }
}

void exim_server::start() {
    program_ = std::make_unique<child_program>(
        std::vector<std::string>{"/bin/bash", MAIL_SERVERS "/exim.sh", directory_.path(),
                                 std::to_string(port_), "ada", "open sesame"});
    REQUIRE(eventually([this] { return listens(port_); }));
}

void exim_server::stop() {
    program_->send_signal(SIGTERM);
    const auto status = program_->wait();
    program_.reset();
    REQUIRE(status == 0);
    REQUIRE_FALSE(listens(port_));
}

postlude::mail::mailer_options exim_server::options() const {
    return {.host = "127.0.0.1",
            .port = port_,
            .security = security::starttls,
            .username = "ada",
            .password = "open sesame",
            .ca_file = directory_.path() / "certificate.pem"};
}

std::multimap<std::string, std::string> read_mails(const fs::path& mails) {
    child_program reader({"/usr/bin/python3", MAIL_SERVERS "/read_mails.py", mails});
    REQUIRE(reader.wait() == 0);
    REQUIRE(reader.count({"end of mails"}) == 1);
    std::multimap<std::string, std::string> found;
    for (const auto& line : reader.values("mail")) {
        const auto end = std::min(line.find(' '), line.size());
        found.emplace(unhex(std::string_view(line).substr(3, end - 3)), line);
    }
    return found;
}

std::string expected(const postlude::mail::message& message) {
    std::string line = "id=" + hex(message.message_id);
    const auto add = [&](const char* name, std::string_view value) {
        line += std::string(" ") + name + "=" + hex(value);
    };
    std::vector<std::string> envelope;
    for (const auto* list : {&message.to, &message.cc, &message.bcc}) {
        for (const auto& box : *list) {
            envelope.push_back(box.address);
        }
    }
    std::ranges::sort(envelope);
    std::string recipients;
    for (const auto& address : envelope) {
        recipients += (recipients.empty() ? "" : ",") + address;
    }
    add("envelope_from", message.from.address);
    add("envelope_to", recipients);
    add("from", boxes({message.from}));
    add("to", boxes(message.to));
    add("cc", boxes(message.cc));
    add("bcc", "");  // nobody sees them
    add("reply_to", message.reply_to ? boxes({*message.reply_to}) : "");
    add("subject", message.subject);
    if (!message.text.empty()) {
        add("plain", message.text);
    }
    if (!message.html.empty()) {
        add("html", message.html);
    }
    for (const auto& file : message.attachments) {
        add("filename", file.filename);
        add("type", file.content_type);
        add("bytes", file.bytes);
    }
    add("defects", "");
    return line;
}

std::string difference(const std::string& line, const std::string& wanted) {
    std::istringstream fields(line);
    std::istringstream wanted_fields(wanted);
    std::string field;
    std::string other;
    const auto shown = [](const std::string& text) {
        const auto equals = std::min(text.find('='), text.size());
        return text.substr(0, equals) + " '" +
               unhex(text.substr(std::min(equals + 1, text.size()), 1'000)) + "'";
    };
    for (;;) {
        field.clear();
        other.clear();
        fields >> field;
        wanted_fields >> other;
        if (field != other) {
            return shown(field) + " instead of " + shown(other);
        }
        if (field.empty()) {
            return {};
        }
    }
}

}  // namespace test
