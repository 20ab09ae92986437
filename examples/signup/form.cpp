// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "form.hpp"

#include <postlude/mail/message.hpp>

#include <boost/json.hpp>

#include <algorithm>

namespace json = boost::json;

namespace {

/// The member as text without spaces around it; empty when there is none.
std::string text_of(const json::object& object, std::string_view member) {
    const auto* value = object.if_contains(member);
    if (!value || !value->is_string()) {
        return {};
    }
    const std::string_view text = value->get_string();
    const auto first = text.find_first_not_of(' ');
    return first == text.npos
               ? std::string()
               : std::string(text.substr(first, text.find_last_not_of(' ') - first + 1));
}

bool control_character(char c) { return (c >= 0 && c < ' ') || c == 127; }

}  // namespace

std::variant<form, form_error> parse_form(std::string_view body) {
    boost::system::error_code ec;
    const auto value = json::parse(body, ec);  // also sees to it that the text is UTF-8
    if (ec || !value.is_object()) {
        return form_error{"", "The form could not be read."};
    }
    form read{text_of(value.get_object(), "name"), text_of(value.get_object(), "email")};
    if (read.name.empty()) {
        return form_error{"name", "Please enter your name."};
    }
    if (read.name.size() > 200 || std::ranges::any_of(read.name, control_character)) {
        return form_error{"name", "Please enter a name of one line and at most 200 characters."};
    }
    if (!postlude::mail::valid_address(read.email)) {
        return form_error{"email", "Please enter an e-mail address such as ada@example.org."};
    }
    return read;
}

std::string to_json(std::string_view account_id) {
    return json::serialize(json::object{{"id", account_id}});
}

std::string to_json(const postlude::job_view* job, std::string_view mail) {
    json::object answer{{"delivered", !mail.empty()}};
    if (!mail.empty()) {
        answer["mail"] = json::parse(mail);
    }
    if (job) {
        answer["job"] = {{"id", std::to_string(job->job.id)},
                         {"state", postlude::to_string(job->state)},
                         {"failures", job->job.failures},
                         {"reason", job->reason}};
    }
    return json::serialize(answer);
}

std::string to_json(const form_error& error) {
    return json::serialize(json::object{{"field", error.field}, {"error", error.sentence}});
}
