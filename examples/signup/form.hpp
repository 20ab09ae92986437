// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_EXAMPLES_SIGNUP_FORM_HPP
#define POSTLUDE_EXAMPLES_SIGNUP_FORM_HPP

#include <postlude/backends/backend.hpp>

#include <string>
#include <string_view>
#include <variant>

/// What the page sends: {"name": ..., "email": ...}.
struct form {
    std::string name;
    std::string email;
};

/// What is wrong with it, as a sentence for the person, and the field that it concerns.
struct form_error {
    std::string field;
    std::string sentence;
};

std::variant<form, form_error> parse_form(std::string_view body);

/// {"id": ...}
std::string to_json(std::string_view account_id);
/// {"field": ..., "error": ...}
std::string to_json(const form_error& error);
/// {"delivered": ..., "mail": ..., "job": {"id": ..., "state": ..., "failures": ..., "reason":
/// ...}}
/// @param job null when there is none.
/// @param mail JSON, or empty when it was not delivered.
std::string to_json(const postlude::job_view* job, std::string_view mail);

#endif
