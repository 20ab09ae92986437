// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/postgres/failure.hpp"

#include <algorithm>
#include <array>

namespace postlude::detail::postgres {

namespace {

struct meaning {
    std::string_view state;  ///< or how it begins
    errc code;
    std::string_view advice;
};

// The first that fits counts.
constexpr meaning meanings[] = {
    {"28P01", errc::bad_store, "check the user and the password in its URL"},
    {"28", errc::bad_store, "check the user in its URL, and the server's pg_hba.conf"},
    {"3D000", errc::bad_store, "check the database in its URL, or create it"},
    {"42501", errc::bad_store,
     "let an administrator grant the user of the URL CREATE on the database, or, once the schema "
     "is there, USAGE on it, SELECT, INSERT, UPDATE, DELETE on all tables in it and USAGE on all "
     "sequences"},
    {"42P01", errc::bad_store,
     "the schema is no store of this version any more; restart this program, which makes it anew"},
    {"3F000", errc::bad_store, "the schema is gone; restart this program, which makes it anew"},
    {"25P01", errc::store_unavailable, "it is tried again"},
    {"25006", errc::store_unavailable,
     "it takes no writes, as a standby does; name the primary, or all hosts with "
     "?target_session_attrs=read-write"},
    {"53100", errc::store_unavailable, "make room on the server's disk"},
    {"53300", errc::store_unavailable,
     "raise the server's max_connections, or open fewer: a process takes four"},
    {"57P03", errc::store_unavailable, "it is starting or stopping; it is tried again"},
    {"57014", errc::store_unavailable, "it took too long; look for locks and for load"},
    {"55P03", errc::store_unavailable, "somebody holds a lock on the store's tables"},
    {"40", errc::store_unavailable, "it is tried again"},
    {"08", errc::store_unavailable, "it is tried again"},
    {"53", errc::store_unavailable, "look at the server"},
    {"57", errc::store_unavailable, "it is tried again"},
    {"58", errc::store_unavailable, "look at the server's log"},
    {"XX", errc::store_unavailable, "look at the server's log"},
};

constexpr meaning any{"", errc::bad_store, "look at the server's log"};

bool is_state(std::string_view text) {
    return text.size() == 5 && std::ranges::all_of(text, [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
           });
}

/// Where "FATAL:  28P01: ..." has its state; npos when there is none.
std::size_t place_of_state(std::string_view message) {
    for (auto at = message.find(":  "); at != message.npos; at = message.find(":  ", at + 1)) {
        if (is_state(message.substr(at + 3, 5))) {
            return at + 3;
        }
    }
    return std::string_view::npos;
}

}  // namespace

std::string sentence(std::string_view store, std::string_view why) {
    std::string text = "the job store ";
    text.append(store).append(": ").append(why);
    return text;
}

void fail(errc code, std::string_view store, std::string_view why) {
    throw boost::system::system_error(make_error_code(code), sentence(store, why));
}

refused make_refused(std::string_view store, std::string_view state, std::string_view said) {
    const auto* const found =
        std::ranges::find_if(meanings, [&](const auto& m) { return state.starts_with(m.state); });
    const auto& what = found != std::end(meanings) ? *found : any;
    std::string why = "the server says \"";
    why.append(said).append("\"; ").append(what.advice);
    return {what.code, sentence(store, why), std::string(state)};
}

std::string state_in(std::string_view message) {
    const auto at = place_of_state(message);
    return at == message.npos ? std::string() : std::string(message.substr(at, 5));
}

std::string words_in(std::string_view message) {
    if (const auto at = place_of_state(message); at != message.npos) {
        message.remove_prefix(std::min(at + 7, message.size()));
    }
    message = message.substr(0, message.find('\n'));
    return std::string(message);
}

}  // namespace postlude::detail::postgres
