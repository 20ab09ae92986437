// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#ifndef POSTLUDE_BENCH_SUPPORT_RESULTS_HPP
#define POSTLUDE_BENCH_SUPPORT_RESULTS_HPP

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// One bar of the report.
struct figure {
    std::string part;   ///< of bench/run.sh
    std::string chart;  ///< bars with the same one stand in one chart
    std::string name;   ///< of the bar; in all charts the same for the same thing
    std::string unit;
    bool less_is_better = true;
    std::vector<double> rounds;  ///< one value a round, in the order in which they were taken
    /// Another bar of the chart, whose value of the same round this one's is divided by.
    std::string against{};
    std::string target{};  ///< for the ratio where there is one, else for the median: "<= 1.3"
    /// Of the work that was deferred meanwhile, the share that was done meanwhile.
    std::optional<double> work_done{};
};

/// What a program has measured, for bench/report.py: one JSON object a line.
class results {
public:
    /// @param path appended to; empty: nothing is written.
    explicit results(const std::string& path = {}) {
        if (!path.empty()) {
            file_.open(path, std::ios::app);
            if (!file_) {
                std::perror(path.c_str());
                std::exit(1);
            }
        }
    }

    void add(const figure& f) {
        boost::json::object line{{"part", f.part},
                                 {"chart", f.chart},
                                 {"name", f.name},
                                 {"unit", f.unit},
                                 {"less", f.less_is_better}};
        line["rounds"] = boost::json::array(f.rounds.begin(), f.rounds.end());
        if (!f.against.empty()) {
            line["against"] = f.against;
        }
        if (!f.target.empty()) {
            line["target"] = f.target;
        }
        if (f.work_done) {
            line["work_done"] = *f.work_done;
        }
        put(line);
    }

    /// One line of a chart of latencies.
    /// @param points fractions of all requests, each with its latency in µs.
    void add_curve(const std::string& part, const std::string& chart, const std::string& name,
                   const std::vector<std::pair<double, double>>& points) {
        boost::json::array curve;
        for (const auto& [fraction, microseconds] : points) {
            curve.push_back(boost::json::array{fraction, microseconds});
        }
        put({{"part", part}, {"chart", chart}, {"name", name}, {"curve", std::move(curve)}});
    }

    /// Something that the reader has to know of a part: its physical floor, how it was measured.
    void note(const std::string& part, const std::string& text) {
        put({{"part", part}, {"note", text}});
    }

private:
    void put(const boost::json::object& line) {
        if (file_.is_open()) {
            file_ << boost::json::serialize(line) << std::endl;
        }
    }

    std::ofstream file_;
};

}  // namespace bench

#endif
