// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_OPTIONS_HPP
#define POSTLUDE_BENCH_SUPPORT_OPTIONS_HPP

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <string>

namespace bench {

/// What every benchmark takes on its command line.
struct common_options {
    std::string json{};  ///< a file that the figures are appended to; empty: none
    bool smoke = false;  ///< only to see that it starts
};

/// Adds these to the program's own, reads the command line, and ends the program where that is
/// wrong or asks for help.
inline common_options parse(CLI::App& app, int argc, char** argv) {
    common_options found;
    app.add_option("--json", found.json, "a file that the figures are appended to");
    app.add_flag("--smoke", found.smoke, "only to see that it starts; the figures say nothing");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        std::exit(app.exit(e));
    }
    return found;
}

}  // namespace bench

#endif
