// The package on which the tests of this library run.
#pragma once
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/io/sha1.h"
#include "layeravatar/people/cc0_body.h"
#include "layeravatar/people/fetch.h"

namespace layeravatar::people {

/// The whole npm package where LAV_MAKEHUMAN_DIR names its unpacked folder, else the extract of tests/data/people_small
/// (12 shapes, one height target, 4 poses, one suit), unpacked to a temporary folder.
class PackageForTest {
 public:
  PackageForTest() {
    if (const char* named = std::getenv("LAV_MAKEHUMAN_DIR"); named != nullptr) {
      folder_ = named;
      whole_ = true;
      return;
    }
    folder_ = std::filesystem::temp_directory_path() / ("lav_people_small_" + std::to_string(::getpid()));
    const auto archive = std::filesystem::path(LAV_GOLDEN_DIR) / "../data/people_small/people_small.tgz";
    unpack_makehuman(archive, folder_, {.sha1 = io::sha1_hex(read_file(archive))});
  }
  ~PackageForTest() {
    std::error_code ignored;
    if (!whole_) std::filesystem::remove_all(folder_, ignored);
  }
  PackageForTest(const PackageForTest&) = delete;
  PackageForTest& operator=(const PackageForTest&) = delete;

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] bool whole() const { return whole_; }

 private:
  std::filesystem::path folder_;
  bool whole_ = false;
};

inline const PackageForTest& package_for_test() {
  static const PackageForTest package;
  return package;
}

inline const HumanAssets& assets_for_test() {
  static const HumanAssets assets = read_human_assets(package_for_test().folder());
  return assets;
}

/// Of 60 samples: made once, in about a second.
inline const Cc0Body& body_for_test() {
  static const Cc0Body body = build_cc0_body(assets_for_test(), package_for_test().folder(), 60);
  return body;
}

}  // namespace layeravatar::people
