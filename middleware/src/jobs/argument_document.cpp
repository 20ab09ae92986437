// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "postlude/jobs/detail/argument_document.hpp"

#include "postlude/jobs/arguments.hpp"
#include "postlude/jobs/detail/argument_path.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value_stack.hpp>

#include <charconv>
#include <cmath>
#include <limits>

namespace postlude::detail {

namespace {

namespace json = boost::json;

/// Makes values of what the parser finds, as json::parser does; but a double is the nearest one,
/// where that of Boost.JSON 1.81 may be a few units in the last place away.
class document_handler {
public:
    static constexpr std::size_t max_object_size = json::object::max_size();
    static constexpr std::size_t max_array_size = json::array::max_size();
    static constexpr std::size_t max_key_size = json::string::max_size();
    static constexpr std::size_t max_string_size = json::string::max_size();

    document_handler(const json::storage_ptr& memory, unsigned char* buffer, std::size_t size)
        : stack_({}, buffer, size) {
        stack_.reset(memory);
    }

    json::value release() { return stack_.release(); }

    bool on_document_begin(json::error_code&) { return true; }
    bool on_document_end(json::error_code&) { return true; }
    bool on_object_begin(json::error_code&) { return true; }
    bool on_object_end(std::size_t n, json::error_code&) {
        stack_.push_object(n);
        return true;
    }
    bool on_array_begin(json::error_code&) { return true; }
    bool on_array_end(std::size_t n, json::error_code&) {
        stack_.push_array(n);
        return true;
    }
    bool on_key_part(json::string_view s, std::size_t, json::error_code&) {
        stack_.push_chars(s);
        return true;
    }
    bool on_key(json::string_view s, std::size_t, json::error_code&) {
        stack_.push_key(s);
        return true;
    }
    bool on_string_part(json::string_view s, std::size_t, json::error_code&) {
        stack_.push_chars(s);
        return true;
    }
    bool on_string(json::string_view s, std::size_t, json::error_code&) {
        stack_.push_string(s);
        return true;
    }
    // Never called: the text is in one piece.
    bool on_number_part(json::string_view, json::error_code&) { return true; }
    bool on_int64(std::int64_t i, json::string_view, json::error_code&) {
        stack_.push_int64(i);
        return true;
    }
    bool on_uint64(std::uint64_t u, json::string_view, json::error_code&) {
        stack_.push_uint64(u);
        return true;
    }
    bool on_double(double roughly, json::string_view s, json::error_code& ec) {
        double exactly = 0;
        if (std::from_chars(s.data(), s.data() + s.size(), exactly).ec != std::errc{}) {
            // Too large, or too small to be told from 0.
            exactly = std::abs(roughly) > 1 ? std::numeric_limits<double>::infinity() : 0.0;
        }
        if (std::isinf(exactly)) {
            ec = json::error::exponent_overflow;
            return false;
        }
        stack_.push_double(exactly);
        return true;
    }
    bool on_bool(bool b, json::error_code&) {
        stack_.push_bool(b);
        return true;
    }
    bool on_null(json::error_code&) {
        stack_.push_null();
        return true;
    }
    bool on_comment_part(json::string_view, json::error_code&) { return true; }
    bool on_comment(json::string_view, json::error_code&) { return true; }

private:
    json::value_stack stack_;
};

[[noreturn]] void fail_parse(const json::error_code& why, std::size_t offset) {
    std::string sentence = "not JSON: ";
    sentence += why.message();
    sentence += " at offset ";
    sentence += std::to_string(offset);
    fail_argument(argument_path(), sentence);
}

}  // namespace

argument_document::argument_document(std::string_view text) {
    std::array<unsigned char, 2048> buffer;
    json::parse_options options;
    options.max_depth = most_argument_depth;
    json::basic_parser<document_handler> parser(options, json::storage_ptr(&memory_), buffer.data(),
                                                buffer.size());
    json::error_code ec;
    const auto read = parser.write_some(false, text.data(), text.size(), ec);
    if (!ec && read < text.size()) {
        ec = json::error::extra_data;
    }
    if (ec) {
        fail_parse(ec, read);
    }
    json::value made = parser.handler().release();
    made.swap(root_);
}

}  // namespace postlude::detail
