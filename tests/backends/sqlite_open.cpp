// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#include "backends/sqlite/checks.hpp"
#include "backends/sqlite/schema.hpp"
#include "backends/sqlite_support.hpp"

#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

using namespace test;
using Catch::Matchers::Contains;
using postlude::errc;
namespace inner = postlude::detail::sqlite;

namespace {

auto open_error(const std::string& file, std::chrono::milliseconds busy_timeout = 5s) {
    postlude::sqlite_options options;
    options.busy_timeout = busy_timeout;
    return thrown_by([&] { open_store(file, open_store::mail_options(), options); });
}

/// Runs as another user, since to root nothing is forbidden.
std::string open_error_of_nobody(const std::string& file) {
    forked other([&](auto& say) {
        if (::setgid(65534) != 0 || ::setuid(65534) != 0) {
            say("this test has to run as root");
            return;
        }
        const auto [code, text] = open_error(file);
        say(code == errc::store_unavailable ? text : "no error");
    });
    return other.hear();
}

void overwrite(const std::string& file, std::streamoff at, const std::string& with) {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(at);
    f << with;
    REQUIRE(f.flush());
}

/// A file system in memory of so many bytes.
class small_disk {
public:
    explicit small_disk(const std::filesystem::path& at) : path_(at) {
        INFO("this test mounts a tmpfs, for which it has to run as root");
        REQUIRE(::mount("none", path_.c_str(), "tmpfs", 0, "size=2m") == 0);
    }
    small_disk(const small_disk&) = delete;
    small_disk& operator=(const small_disk&) = delete;
    ~small_disk() { ::umount2(path_.c_str(), MNT_DETACH); }
    std::string file(const std::string& name) const { return path_ / name; }
    /// A file that leaves no room.
    void fill() const {
        std::ofstream f(file("ballast"), std::ios::binary);
        const std::string block(4096, 'x');
        while (f.write(block.data(), 4096) && f.flush()) {
        }
    }
    void make_room() const { std::filesystem::remove(file("ballast")); }

private:
    std::filesystem::path path_;
};

}  // namespace

TEST_CASE("a new store has its identity, version and least reader in the file") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    open_store store(file);
    CHECK(store.info.warnings.empty());
    CHECK(sql(file, "PRAGMA application_id") == "1349481332\n");
    CHECK(sql(file, "PRAGMA user_version") == "1\n");
    CHECK(sql(file, "SELECT value FROM meta WHERE name = 'min_reader'") == "1\n");
    CHECK(sql(file, "PRAGMA journal_mode") == "wal\n");
    CHECK(sql(file, "PRAGMA integrity_check") == "ok\n");
}

TEST_CASE("nothing is opened before open") {
    temporary_directory directory;
    postlude::sqlite_options options;
    options.file = directory.file("jobs.db");
    const auto store = postlude::sqlite_backend(options);
    CHECK_FALSE(std::filesystem::exists(options.file));
}

TEST_CASE("an option out of its range is named") {
    for (const auto& [options, name] :
         std::vector<std::pair<postlude::sqlite_options, const char*>>{
             {{.file = "a.db", .busy_timeout = -1ms}, "busy_timeout"},
             {{.file = "a.db", .busy_timeout = 2h}, "busy_timeout"},
             {{.file = "a.db", .poll = 0ms}, "poll"},
             {{.file = "a.db", .poll = 25h}, "poll"},
             {{.file = "a.db", .longest_wal = 1024}, "longest_wal"}}) {
        const auto [code, text] = thrown_by([&] { postlude::sqlite_backend(options); });
        CHECK(code == errc::bad_option);
        CHECK_THAT(text, Contains(name));
    }
}

TEST_CASE("a newer store is used when this version can still read it, and left alone when not") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    const auto old = std::make_unique<open_store>(file);
    // As the next version would, while the old one runs.
    sql(file,
        "BEGIN; ALTER TABLE jobs ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';"
        "CREATE TABLE more(a); PRAGMA user_version = 2; COMMIT");
    old->add(old->job());
    {
        open_store store(file);
        store.add(store.job());
        CHECK(store.take(2).size() == 2);
    }
    CHECK(sql(file, "SELECT DISTINCT colour FROM jobs") == "red\n");
    sql(file, "UPDATE meta SET value = 2 WHERE name = 'min_reader'");
    const auto [code, text] = open_error(file);
    CHECK(code == errc::bad_store);
    CHECK_THAT(text, Contains(file) && Contains("a newer Postlude has brought it to version 2") &&
                         Contains("use the newer one"));
}

TEST_CASE("an older store is migrated in one transaction, once, or not at all") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    {
        open_store(file).add(open_store(file).job());
    }
    std::vector<inner::migration> steps(inner::migrations().begin(), inner::migrations().end());
    steps.push_back({2, 1, "ALTER TABLE jobs ADD COLUMN colour TEXT; CREATE TABLE more(a)"});
    inner::connection db(file, 1s);
    {
        auto broken = steps;
        broken.push_back({3, 3, "CREATE TABLE more(a)"});
        CHECK(thrown_by([&] { inner::bring_up_to_date(db, broken); }).first == errc::bad_store);
        CHECK(sql(file, "PRAGMA user_version") == "1\n");
        CHECK(sql(file, "SELECT count(*) FROM pragma_table_info('jobs') WHERE name = 'colour'") ==
              "0\n");
    }
    inner::bring_up_to_date(db, steps);
    inner::bring_up_to_date(db, steps);
    CHECK(sql(file, "PRAGMA user_version") == "2\n");
    CHECK(sql(file, "SELECT count(*), colour FROM jobs") == "1|\n");
}

TEST_CASE("a store in a directory that does not exist") {
    const auto [code, text] = open_error("/nowhere/at/all/jobs.db");
    CHECK(code == errc::store_unavailable);
    CHECK_THAT(text, Contains("/nowhere/at/all/jobs.db") &&
                         Contains("there is no directory /nowhere/at/all; make it"));
}

TEST_CASE("a store that this process's user may not write") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    {
        open_store make(file);
    }
    ::chmod(directory.path().c_str(), 0755);
    CHECK_THAT(open_error_of_nobody(file), Contains(file) && Contains("can't be written") &&
                                               Contains("give this process's user"));
    ::chmod(file.c_str(), 0666);
    CHECK_THAT(open_error_of_nobody(file),
               Contains("its directory") && Contains("can't be written"));
    CHECK_THAT(open_error_of_nobody(directory.file("new.db")), Contains("can't be written"));
}

TEST_CASE("a file that is no database") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    std::ofstream(file) << std::string(8192, 'x');
    const auto [code, text] = open_error(file);
    CHECK(code == errc::bad_store);
    CHECK_THAT(text, Contains(file) && Contains("no SQLite database"));
}

TEST_CASE("another application's database is refused and not changed") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    sql(file, "CREATE TABLE theirs(a)");
    const auto refused = [&] {
        const auto [code, text] = open_error(file);
        CHECK(code == errc::bad_store);
        CHECK_THAT(text, Contains(file) && Contains("another application"));
    };
    refused();
    sql(file, "PRAGMA application_id = 7");
    refused();
    CHECK(sql(file, "SELECT group_concat(name) FROM sqlite_schema") == "theirs\n");
    CHECK(sql(file, "PRAGMA journal_mode") == "delete\n");
}

TEST_CASE("a store that is damaged") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    {
        open_store store(file);
        store->commit(store.jobs(2000), {});
    }
    const auto refused = [&] {
        const auto [code, text] = open_error(file);
        CHECK(code == errc::bad_store);
        CHECK_THAT(text, Contains(file) && Contains("damaged") && Contains("recover"));
    };
    const auto intact = directory.file("intact.db");
    std::filesystem::copy_file(file, intact);
    SECTION("cut off") {
        std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
        refused();
    }
    SECTION("at the root of a large table") {
        const auto root =
            std::stol(sql(file, "SELECT rootpage FROM sqlite_schema WHERE name = 'jobs'"));
        overwrite(file, (root - 1) * 4096, std::string(200, '\x77'));
        refused();
    }
    SECTION("in a small table") {
        const auto root =
            std::stol(sql(file, "SELECT rootpage FROM sqlite_schema WHERE name = 'lanes'"));
        overwrite(file, (root - 1) * 4096 + 8, std::string(8, '\x77'));
        refused();
    }
    SECTION("a table is gone") {
        sql(file, "DROP TABLE runs");
        const auto [code, text] = open_error(file);
        CHECK(code == errc::bad_store);
        CHECK_THAT(text, Contains(file) && Contains("tables"));
    }
}

TEST_CASE("a store that another process keeps locked") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    {
        open_store make(file);
    }
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    const auto [code, text] = open_error(file, 20ms);
    CHECK(code == errc::store_unavailable);
    CHECK_THAT(text, Contains(file) && Contains("another process has held its lock") &&
                         Contains("busy_timeout"));
    sqlite3_close(db);
    open_store works(file);
}

TEST_CASE("a lock of another's fails a commit after the busy time-out, and changes nothing") {
    temporary_directory directory;
    const auto file = directory.file("jobs.db");
    postlude::sqlite_options options;
    options.busy_timeout = 20ms;
    open_store store(file, open_store::mail_options(), options);
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    const auto puts = store.jobs(1);
    const auto error = thrown_by([&] { store->commit(puts, {}); });
    CHECK(error.first == errc::store_unavailable);
    sqlite3_close(db);
    CHECK(sql(file, "SELECT count(*) FROM jobs") == "0\n");
    CHECK(store->commit(puts, {}).puts[0].what == postlude::put_result::outcome::stored);
}

TEST_CASE("a full disk is told, loses nothing, and is used again when it has room") {
    temporary_directory directory;
    const small_disk disk(directory.path());
    const auto file = disk.file("jobs.db");
    {
        open_store store(file);
        REQUIRE(store.info.warnings.size() == 1);
        CHECK_THAT(store.info.warnings[0], Contains("in memory"));
        const auto kept = store.add(store.job());
        disk.fill();
        std::pair<boost::system::error_code, std::string> error;
        std::size_t stored = 1;
        while (!error.first && stored < 10'000) {
            const auto puts = store.jobs(50);
            error = thrown_by([&] { store->commit(puts, {}); });
            stored += error.first ? 0 : 50;
        }
        CHECK(error.first == errc::store_unavailable);
        CHECK_THAT(error.second,
                   Contains(file) && Contains("disk is full") && Contains("make room"));
        CHECK(sql(file, "SELECT count(*) FROM jobs") == std::to_string(stored) + "\n");
        disk.make_room();
        store.add(store.job());
        CHECK(store.take(10).front().job.id == kept);
        CHECK(sql(file, "SELECT count(*) FROM jobs") == std::to_string(stored + 1) + "\n");
        CHECK(sql(file, "PRAGMA integrity_check") == "ok\n");
    }
    disk.fill();
    const auto [code, text] = open_error(disk.file("other.db"));
    CHECK(code == errc::store_unavailable);
    CHECK_THAT(text, Contains("other.db") && Contains("disk is full"));
}

TEST_CASE("a network file system is warned of") {
    CHECK_THAT(inner::unwise_file_system(0x6969), Contains("network"));
    // statfs gives it with the sign on some machines.
    CHECK_THAT(inner::unwise_file_system(static_cast<int>(0xff534d42)), Contains("network"));
    CHECK(inner::unwise_file_system(0xef53).empty());
}
