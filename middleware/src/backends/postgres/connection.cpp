// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/connection.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace postlude::detail::postgres {

namespace {

void say_nothing(void*, const char*) {}

/// One SELECT that makes these settings, for the session or for the transaction.
std::string make_settings(const std::vector<std::string>& settings, bool local) {
    std::string sql = "SELECT true";
    for (const auto& s : settings) {
        const auto equals = s.find('=');
        sql.append(", set_config('").append(s, 0, equals).append("', '");
        sql.append(s, equals + 1).append(local ? "', true)" : "', false)");
    }
    return sql;
}

}  // namespace

std::string place::sql(std::string_view text) const {
    std::string result;
    for (const auto c : text) {
        c == '@' ? result.append(schema).append(1, '.') : result.append(1, c);
    }
    return result;
}

/// One transaction on its way.
struct connection::exchange {
    struct item {
        std::size_t command;
        const std::string* prepares = nullptr;
        std::string name{};  ///< of what it prepares
    };
    std::vector<item> items;
    std::size_t at = 0;
    std::vector<rows> results;
    std::string state, said;  ///< of the first error
    bool synced = false;
};

void connection::close() noexcept {
    PQfinish(pg_);
    pg_ = nullptr;
    prepared_.clear();
}

void connection::lost(bool sent) {
    auto why = words_in(PQerrorMessage(pg_));
    close();
    if (why.empty()) {
        why = "the connection was closed";
    }
    throw broken(sentence(place_.shown, "the connection broke (" + why + "); it is made again"),
                 sent);
}

void connection::wait(clock::time_point until, short events, bool sent) {
    for (;;) {
        pollfd p{PQsocket(pg_), events, 0};
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()).count();
        const auto n = left > 0 ? ::poll(&p, 1, static_cast<int>(left)) : 0;
        if (n > 0) {
            return;
        }
        if (n == 0 || errno != EINTR) {
            close();
            throw broken(sentence(place_.shown, "it does not answer within " +
                                                    std::to_string(timeout_.count()) +
                                                    " ms; look at the server and the network"),
                         sent);
        }
    }
}

/// Whether the connection still stands, as far as can be told without a word.
bool connection::is_there() {
    if (!pg_ || PQstatus(pg_) != CONNECTION_OK) {
        return false;
    }
    // What the server says before it closes a connection comes first, then its end.
    for (int i = 0; i < 3; ++i) {
        pollfd p{PQsocket(pg_), POLLIN, 0};
        if (::poll(&p, 1, 0) == 0) {
            return true;
        }
        if (PQconsumeInput(pg_) == 0) {
            return false;
        }
        PQisBusy(pg_);
    }
    return PQstatus(pg_) == CONNECTION_OK;
}

void connection::connect() {
    if (is_there()) {
        return;
    }
    close();
    starting_ = true;
    try {
        open();
        set_up();
        starting_ = false;
    } catch (...) {
        starting_ = false;
        close();
        throw;
    }
    if (count_++ > 0) {
        made_anew_ = clock::now();
    }
}

void connection::open() {
    const auto& all = place_.hosts;
    for (const auto& one : all) {
        // Left to libpq, a host that says nothing would take the time of all that follow it.
        try {
            return open(one, timeout_ / static_cast<int>(all.size()));
        } catch (const boost::system::system_error& e) {
            if (&one == &all.back() || e.code() == errc::bad_store) {
                throw;
            }
            close();
        }
    }
}

void connection::open(const host& at, clock::duration share) {
    const auto milliseconds = std::to_string(timeout_.count());
    // What stands before the URL is what it may override; what follows it and is "" is left out.
    const char* const names[] = {"fallback_application_name",
                                 "keepalives_idle",
                                 "keepalives_interval",
                                 "keepalives_count",
                                 "tcp_user_timeout",
                                 "dbname",
                                 "client_encoding",
                                 "host",
                                 "hostaddr",
                                 "port",
                                 nullptr};
    const char* const values[] = {"postlude",
                                  "10",
                                  "5",
                                  "3",
                                  milliseconds.c_str(),
                                  place_.url.c_str(),
                                  "UTF8",
                                  at.name.c_str(),
                                  at.address.c_str(),
                                  at.port.c_str(),
                                  nullptr};
    pg_ = PQconnectStartParams(names, values, 1);
    if (!pg_ || PQstatus(pg_) == CONNECTION_BAD) {
        fail_to_connect();
    }
    PQsetErrorVerbosity(pg_, PQERRORS_VERBOSE);
    PQsetNoticeProcessor(pg_, &say_nothing, nullptr);
    const auto until = clock::now() + share;  // libpq has found the host's name by now
    for (auto next = PGRES_POLLING_WRITING; next != PGRES_POLLING_OK; next = PQconnectPoll(pg_)) {
        if (next == PGRES_POLLING_FAILED) {
            fail_to_connect();
        }
        wait(until, next == PGRES_POLLING_WRITING ? POLLOUT : POLLIN, false);
    }
}

void connection::fail_to_connect() {
    const std::string message = pg_ ? PQerrorMessage(pg_) : "out of memory";
    const auto state = state_in(message);
    if (!state.empty()) {
        throw make_refused(place_.shown, state, words_in(message));
    }
    if (message.find("no password supplied") != message.npos) {
        place_.fail(errc::bad_store, "the server wants a password, and its URL has none");
    }
    if (message.find("certificate") != message.npos || message.find("SSL") != message.npos) {
        place_.fail(errc::bad_store, "TLS is not possible (" + words_in(message) +
                                         "); check sslmode and sslrootcert in its URL");
    }
    throw broken(sentence(place_.shown, "it can't be reached (" + words_in(message) +
                                            "); check the host and the port in its URL, and that "
                                            "the server runs"),
                 false);
}

void connection::set_up() {
    if (PQserverVersion(pg_) < 130000) {
        place_.fail(errc::bad_store, std::string("it is PostgreSQL ") +
                                         PQparameterStatus(pg_, "server_version") +
                                         ", and Postlude needs 13 or later; upgrade the server");
    }
    const auto* const encoding = PQparameterStatus(pg_, "server_encoding");
    if (encoding && encoding != std::string_view("UTF8") &&
        encoding != std::string_view("SQL_ASCII")) {
        place_.fail(errc::bad_store, std::string("its database is encoded as ") + encoding +
                                         ", which can't hold what jobs say; name one that was "
                                         "created with ENCODING 'UTF8'");
    }
    if (PQsetnonblocking(pg_, 1) != 0 || PQenterPipelineMode(pg_) != 1) {
        lost(false);
    }
    local_settings_ = place_.pooled ? make_settings(settings_, true) : std::string();
    if (!place_.pooled) {
        // Not prepared: that would stay on a pooler's connection, which this may yet turn out to
        // be.
        const auto settings = make_settings(settings_, false);
        run({command{settings, {}, true}});
    }
    if (start_) {
        start_(*this);
    }
}

std::vector<rows> connection::run(std::span<const command> commands) {
    if (!starting_) {
        connect();
    }
    exchange e;
    e.results.resize(commands.size());
    send(e, commands);
    receive(e);
    note_notices();
    if (e.state.starts_with("08")) {
        // A pooler says so when it has lost the server: nobody knows what became of it.
        close();
        throw broken(sentence(place_.shown,
                              "the connection broke (" + words_in(e.said) + "); it is made again"),
                     true);
    }
    if (!e.state.empty()) {
        leave_transaction();
        throw make_refused(place_.shown, e.state, e.said);
    }
    return std::move(e.results);
}

void connection::leave_transaction() noexcept {
    const auto now = PQtransactionStatus(pg_);
    if (now == PQTRANS_INTRANS || now == PQTRANS_INERROR) {
        try {
            // Without the settings that a pooler's connection gets: one that has failed refuses
            // them, and what follows them.
            exchange e;
            e.items.push_back({0});
            send_text("ROLLBACK", {});
            sync();
            receive(e);
        } catch (...) {
            close();
        }
    }
    if (PQtransactionStatus(pg_) != PQTRANS_IDLE) {
        close();
    }
}

void connection::send(exchange& e, std::span<const command> commands) {
    if (!local_settings_.empty()) {
        e.items.push_back({commands.size()});
        send_text(local_settings_, {});
    }
    for (std::size_t i = 0; i < commands.size(); ++i) {
        const auto& c = commands[i];
        if (place_.pooled || c.once) {
            send_text(c.sql, c.values);
        } else {
            send_prepared(e, c);
        }
        e.items.push_back({i});
    }
    sync();
}

void connection::sync() {
    if (PQpipelineSync(pg_) == 0) {
        lost(true);
    }
}

void connection::send_text(const std::string& sql, const parameters& values) {
    const auto lent = values.lend();
    if (PQsendQueryParams(pg_, sql.c_str(), values.count(), nullptr, lent.values.data(),
                          lent.lengths.data(), lent.formats.data(), 1) == 0) {
        lost(false);
    }
}

void connection::send_prepared(exchange& e, const command& c) {
    std::string name;
    if (const auto known = prepared_.find(c.sql); known != prepared_.end()) {
        name = known->second;
    } else if (const auto asked = std::ranges::find(e.items, &c.sql, &exchange::item::prepares);
               asked != e.items.end()) {
        name = asked->name;
    } else {
        name = "postlude_" + std::to_string(next_name_++);
        e.items.push_back({0, &c.sql, name});
        if (PQsendPrepare(pg_, name.c_str(), c.sql.c_str(), 0, nullptr) == 0) {
            lost(false);
        }
    }
    const auto lent = c.values.lend();
    if (PQsendQueryPrepared(pg_, name.c_str(), c.values.count(), lent.values.data(),
                            lent.lengths.data(), lent.formats.data(), 1) == 0) {
        lost(false);
    }
}

void connection::receive(exchange& e) {
    const auto until = clock::now() + timeout_;
    for (;;) {
        const auto left = PQflush(pg_);
        if (left < 0) {
            lost(true);
        }
        while (PQisBusy(pg_) == 0) {
            take(e, PQgetResult(pg_));
            if (e.synced) {
                return;
            }
        }
        wait(until, left > 0 ? POLLIN | POLLOUT : POLLIN,
             e.state.empty() || e.state.starts_with("08"));
        if (PQconsumeInput(pg_) == 0) {
            if (!e.state.empty()) {
                break;
            }
            lost(true);
        }
    }
    // It has said why before it closed the connection.
    close();
}

void connection::take(exchange& e, PGresult* result) {
    rows got(result);
    const auto status = PQresultStatus(result);
    if (!result) {
        ++e.at;
    } else if (status == PGRES_PIPELINE_SYNC) {
        e.synced = true;
    } else if (status == PGRES_FATAL_ERROR) {
        const auto* const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        const auto* const said = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
        if (state && e.state.empty()) {
            e.state = state;
            e.said = said ? said : "";
        }
        if (PQstatus(pg_) == CONNECTION_BAD) {
            if (e.state.empty()) {
                lost(true);
            }
            e.synced = true;
            close();
        }
    } else if (e.at < e.items.size() && status != PGRES_PIPELINE_ABORTED) {
        const auto& item = e.items[e.at];
        if (item.prepares) {
            prepared_.emplace(*item.prepares, item.name);
        } else if (item.command < e.results.size()) {
            e.results[item.command] = std::move(got);
        }
    }
}

void connection::listen(const std::string& channel, std::string but_for) {
    but_for_ = std::move(but_for);
    run("LISTEN " + channel);
}

/// Out of libpq's list, which grows without an end.
void connection::note_notices() {
    while (auto* const notice = PQnotifies(pg_)) {
        heard_ |= notice->extra != but_for_;
        PQfreemem(notice);
    }
}

void connection::hear() {
    if (!pg_) {
        return;
    }
    for (pollfd p{PQsocket(pg_), POLLIN, 0}; ::poll(&p, 1, 0) > 0 && PQconsumeInput(pg_) == 1;) {
        note_notices();
    }
}

bool connection::has_heard() {
    if (!is_there()) {
        return true;
    }
    note_notices();
    return std::exchange(heard_, false);
}

}  // namespace postlude::detail::postgres
