#!/usr/bin/env python3
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""report.py RESULTS DIRECTORY [--compare OLD.json] [--plot FILE]

RESULTS has what the benchmarks have appended (support/results.hpp says what a line is). Writes
DIRECTORY/report.json, for machines, and DIRECTORY/index.html, which needs nothing else. With an
older report.json it prints what has become faster or slower beyond the noise of both. FILE gets the
first chart of latencies as an SVG picture.
"""
import argparse
import html
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
from datetime import datetime, timezone

COLORS = ["#1b6ca8", "#d1495b", "#edae49", "#3a7d44", "#7b5ea7", "#00798c", "#8d6a4f", "#555555"]
FLOOR = "#b9b9b9"


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def in_file(path, pattern):
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(pattern, file.read(), re.MULTILINE)
            return found.group(1).strip() if found else "unknown"
    except OSError:
        return "unknown"


def machine(build):
    packages = ["libboost-dev", "libsqlite3-0", "libspdlog-dev", "libconcurrentqueue-dev",
                "libtbb-dev", "libc6"]
    versions = []
    for name in packages:
        version = first_line("dpkg-query", "-W", "-f", "${Version}", name)
        if version not in ("unknown", ""):
            versions.append(f"{name} {version}")
    cache = os.path.join(build, "CMakeCache.txt")
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": first_line("git", "rev-parse", "--short", "HEAD"),
        "processor": in_file("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "cores": os.cpu_count(),
        "memory": in_file("/proc/meminfo", r"^MemTotal:\s*(.*)$"),
        "kernel": platform.release(),
        "compiler": first_line("c++", "--version"),
        "flags": " ".join(["-std=c++20", in_file(cache, r"^CMAKE_CXX_FLAGS_RELEASE:STRING=(.*)$")]),
        "libraries": ", ".join(versions),
        "load": " ".join(map(str, os.getloadavg())),
    }


def interval(values):
    """95 % interval of the median by order statistics: for any distribution, needs 6 values."""
    n, ordered = len(values), sorted(values)
    if n < 6:
        return None
    rank, below = 0, 0.5 ** n
    while below + math.comb(n, rank + 1) * 0.5 ** n <= 0.025:
        rank += 1
        below += math.comb(n, rank) * 0.5 ** n
    return ordered[rank], ordered[n - 1 - rank]


def ratios(figure, chart):
    """Round by round, to the figure that this one is compared with."""
    other = next((f for f in chart if f["name"] == figure.get("against")), None)
    if not other:
        return []
    return [a / b for a, b in zip(figure["rounds"], other["rounds"]) if b]


def read(path):
    figures, curves, notes = [], [], []
    with open(path, encoding="utf-8") as file:
        for line in map(json.loads, file):
            kind = curves if "curve" in line else notes if "note" in line else figures
            if kind is figures and any(all(f[k] == line[k] for k in ("part", "chart", "name"))
                                       for f in figures):
                continue
            kind.append(line)
    for figure in figures:
        chart = of_chart(figures, figure)
        compared = ratios(figure, chart)
        figure["median"] = statistics.median(figure["rounds"])
        if compared:
            figure["ratio"] = statistics.median(compared)
            figure["interval"] = interval(compared)
        if figure.get("target"):
            sign, limit = figure["target"].split()
            value = figure.get("ratio", figure["median"])
            figure["met"] = value <= float(limit) if sign == "<=" else value >= float(limit)
    return figures, curves, notes


def of_chart(figures, like):
    return [f for f in figures if (f["part"], f["chart"]) == (like["part"], like["chart"])]


def short(value):
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def is_floor(name):
    return name.startswith("floor")


def bars(chart):
    """Medians with the range of all rounds."""
    width, row = 760, 26
    left = max(210, 16 + 7 * max(len(f["name"]) for f in chart))
    most = max(max(f["rounds"]) for f in chart) or 1
    scale = (width - left - 90) / most
    lines = [f'<svg viewBox="0 0 {width} {row * len(chart) + 8}" role="img">']
    for i, f in enumerate(chart):
        y, median = i * row + 4, f["median"]
        low, high = min(f["rounds"]), max(f["rounds"])
        color = FLOOR if is_floor(f["name"]) else COLORS[
            1 if "Postlude" in f["name"] or "postlude" in f["name"] else 0]
        lines.append(
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{html.escape(f["name"])}</text>'
            f'<rect x="{left}" y="{y + 2}" width="{median * scale:.1f}" height="{row - 8}"'
            f' fill="{color}"/>'
            f'<path d="M{left + low * scale:.1f} {y + 11}H{left + high * scale:.1f}" stroke="#222"/>'
            f'<text x="{left + high * scale + 6:.1f}" y="{y + 15}">{short(median)}</text>')
    return "".join(lines) + "</svg>"


def lines_of(curves):
    """Latency by the fraction of requests that took at most so long; both axes logarithmic."""
    width, height, left, bottom = 760, 340, 76, 40
    points = [p for c in curves for p in c["curve"] if p[1] > 0]
    if not points:
        return ""
    low = math.floor(math.log10(min(p[1] for p in points)))
    high = math.ceil(math.log10(max(p[1] for p in points)))
    high = max(high, low + 1)
    nines = max(3.0, max(-math.log10(1 - p[0]) for p in points))
    x = lambda f: left + (width - left - 20) * -math.log10(1 - f) / nines
    y = lambda us: height - bottom - (height - bottom - 10) * (math.log10(us) - low) / (high - low)
    out = [f'<svg viewBox="0 0 {width} {height + 20 * len(curves)}" role="img">']
    for f, name in ((0, "0"), (0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"),
                    (0.9999, "p99.99")):
        if -math.log10(1 - f) <= nines:
            out.append(f'<path d="M{x(f):.1f} 10V{height - bottom}" stroke="#ddd"/>'
                       f'<text x="{x(f):.1f}" y="{height - 22}" text-anchor="middle">{name}</text>')
    for power in range(low, high + 1):
        out.append(f'<path d="M{left} {y(10 ** power):.1f}H{width - 20}" stroke="#ddd"/>'
                   f'<text x="{left - 6}" y="{y(10 ** power) + 4:.1f}" text-anchor="end">'
                   f'{10 ** power:g} us</text>')
    for i, c in enumerate(curves):
        color = COLORS[i % len(COLORS)]
        # A colour that comes again is a dashed line.
        dashes = f' stroke-dasharray="{6 * (i // len(COLORS))} 3"' if i >= len(COLORS) else ""
        style = f'fill="none" stroke="{color}" stroke-width="2"{dashes}'
        path = " ".join(f"{x(f):.1f},{y(us):.1f}" for f, us in c["curve"] if us > 0)
        out.append(f'<polyline points="{path}" {style}/>'
                   f'<path d="M{left} {height + 20 * i - 3}h24" {style}/>'
                   f'<text x="{left + 30}" y="{height + 20 * i + 1}">{html.escape(c["name"])}</text>')
    return "".join(out) + "</svg>"


def picture(curves):
    """An SVG file of its own, for a page that may be dark."""
    chart = [c for c in curves if c["chart"] == curves[0]["chart"]]
    return lines_of(chart).replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12" ',
        1).replace('role="img">', 'role="img"><rect width="100%" height="100%" fill="white"/>', 1)


def table(chart):
    rows = ["<table><tr><th></th><th>median</th><th>min to max</th><th>compared</th>"
            "<th>95 % interval</th><th>work done</th><th>target</th></tr>"]
    for f in chart:
        spread = f.get("interval")
        verdict = "" if "met" not in f else (
            f'<span class="{"met" if f["met"] else "missed"}">{html.escape(f["target"])}: '
            f'{"met" if f["met"] else "missed"}</span>')
        against = f'{f["ratio"]:.2f} × {html.escape(f["against"])}' if "ratio" in f else ""
        done = f'{100 * f["work_done"]:.0f} %' if "work_done" in f else ""
        rows.append(
            f'<tr><td>{html.escape(f["name"])}</td><td>{short(f["median"])} '
            f'{html.escape(f["unit"])}</td><td>{short(min(f["rounds"]))} to '
            f'{short(max(f["rounds"]))}</td><td>{against}</td><td>'
            f'{f"{spread[0]:.2f} to {spread[1]:.2f}" if spread else ""}</td><td>{done}</td>'
            f'<td>{verdict}</td></tr>')
    return "".join(rows) + "</table>"


STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:820px;margin:2em auto;padding:0 1em;color:#222}
svg{width:100%;height:auto;font-size:12px}table{border-collapse:collapse;font-size:13px;width:100%}
td,th{text-align:left;padding:2px 8px 2px 0;border-bottom:1px solid #eee;vertical-align:top}
h2{margin-top:2.5em}h3{margin:1.8em 0 .3em}.met{color:#2b6b34}.missed{color:#b02a37}
dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1em;font-size:13px}dd{margin:0}
"""


def page(about, figures, curves, notes):
    out = ["<!doctype html><html lang='en'><meta charset='utf-8'><title>Postlude: benchmarks</title>",
           f"<style>{STYLE}</style><h1>Postlude: benchmarks</h1><dl>"]
    out += [f"<dt>{k}</dt><dd>{html.escape(str(v))}</dd>" for k, v in about.items()]
    out.append("</dl><p>Bars are medians, the line on each goes from the least to the most of all "
               "rounds; grey is a physical floor. Comparisons are taken within each round, where "
               "all variants came in turn. <i>Work done</i> is how much of what the requests had "
               "deferred was done within the time in which they were counted.</p>")
    for part in dict.fromkeys(f["part"] for f in figures + notes):
        out.append(f"<h2>{html.escape(part)}</h2>")
        out += [f"<p>{html.escape(n['note'])}</p>" for n in notes if n["part"] == part]
        for name in dict.fromkeys(c["chart"] for c in curves if c["part"] == part):
            out.append(f"<h3>{html.escape(name)}</h3>" + lines_of(
                [c for c in curves if c["part"] == part and c["chart"] == name]))
        for name in dict.fromkeys(f["chart"] for f in figures if f["part"] == part):
            chart = [f for f in figures if f["part"] == part and f["chart"] == name]
            unit = chart[0]["unit"]
            out.append(f"<h3>{html.escape(name)} ({html.escape(unit)})</h3>"
                       + bars(chart) + table(chart))
    return "\n".join(out) + "</html>\n"


def compare(old, figures):
    """Beyond the noise: each median is outside of all that the other run measured; of what was
    taken less than three times, 5 % are."""
    changed, same, missing = [], 0, 0
    known = {(f["part"], f["chart"], f["name"]): f for f in old["figures"]}
    for f in figures:
        before = known.get((f["part"], f["chart"], f["name"]))
        if not before:
            missing += 1
            continue
        apart = (not min(before["rounds"]) <= f["median"] <= max(before["rounds"])
                 and not min(f["rounds"]) <= before["median"] <= max(f["rounds"]))
        if min(len(before["rounds"]), len(f["rounds"])) < 3:  # their noise is not known
            apart = abs(f["median"] - before["median"]) > 0.05 * before["median"]
        if not apart or not before["median"]:
            same += 1
            continue
        factor = f["median"] / before["median"]
        better = (factor < 1) == f["less"]
        changed.append((better, f'{"better" if better else "worse ":6}  {factor:5.2f} times  '
                                f'{f["part"]}: {f["chart"]}: {f["name"]}: '
                                f'{short(before["median"])} -> {short(f["median"])} {f["unit"]}'))
    for _, line in sorted(changed):
        print(line)
    print(f"{len(changed)} changed, {same} within the noise, {missing} not in the old report")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results")
    parser.add_argument("directory")
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--compare", metavar="OLD.json")
    parser.add_argument("--plot", metavar="FILE")
    args = parser.parse_args()
    figures, curves, notes = read(args.results)
    about = machine(args.build)
    os.makedirs(args.directory, exist_ok=True)
    with open(os.path.join(args.directory, "report.json"), "w", encoding="utf-8") as file:
        json.dump({"about": about, "figures": figures, "curves": curves, "notes": notes}, file,
                  indent=1)
    with open(os.path.join(args.directory, "index.html"), "w", encoding="utf-8") as file:
        file.write(page(about, figures, curves, notes))
    if args.plot and curves:
        with open(args.plot, "w", encoding="utf-8") as file:
            file.write(picture(curves) + "\n")
    for f in figures:
        if "met" in f:
            value = f.get("ratio", f["median"])
            print(f'{"met   " if f["met"] else "missed"}  {short(value):>9} ({f["target"]})  '
                  f'{f["chart"]}: {f["name"]}')
    if args.compare:
        with open(args.compare, encoding="utf-8") as file:
            compare(json.load(file), figures)


if __name__ == "__main__":
    sys.exit(main())
