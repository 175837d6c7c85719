#include "layeravatar/core/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "layeravatar/core/error.h"

namespace layeravatar {
namespace {
std::string system_text(int code) { return std::generic_category().message(code); }
}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  std::string name = (folder / ("." + path_.filename().string() + ".tmp.XXXXXX")).string();
  descriptor_ = ::mkstemp(name.data());
  if (descriptor_ < 0) fail("cannot create");
  temporary_ = name;
  const mode_t mask = ::umask(0);
  ::umask(mask);
  if (::fchmod(descriptor_, 0666 & ~mask) != 0) {
    const int code = errno;
    ::close(std::exchange(descriptor_, -1));
    ::unlink(temporary_.c_str());
    errno = code;
    fail("cannot set the mode");
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* action) {
  const int code = errno;
  throw Error(ErrorKind::kOutput,
              path_.string() + ": " + action + ": " + system_text(code) + "; nothing was left behind");
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  LAV_CHECK(descriptor_ >= 0, "write after commit");
  while (!bytes.empty()) {
    const ssize_t done = ::write(descriptor_, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("cannot write");
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::commit() {
  LAV_CHECK(descriptor_ >= 0, "commit twice");
  if (::fsync(descriptor_) != 0) fail("cannot flush");
  if (::close(std::exchange(descriptor_, -1)) != 0) fail("cannot close");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot rename");
  temporary_.clear();
  flush_folder_of(path_);
}

void flush_folder_of(const std::filesystem::path& path) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const int handle = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle < 0) return;
  ::fsync(handle);
  ::close(handle);
}

std::string read_file(const std::filesystem::path& path) {
  const int handle = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (handle < 0) throw Error(ErrorKind::kInput, path.string() + ": cannot open: " + system_text(errno));
  std::string content;
  struct stat status;  // of a plain file its size: no copy while it grows
  if (::fstat(handle, &status) == 0 && S_ISREG(status.st_mode)) content.reserve(static_cast<std::size_t>(status.st_size));
  char block[1 << 16];
  for (;;) {
    const ssize_t got = ::read(handle, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int code = errno;
      ::close(handle);
      throw Error(ErrorKind::kInput, path.string() + ": cannot open: " + system_text(code));
    }
    if (got == 0) break;
    content.append(block, static_cast<std::size_t>(got));
  }
  ::close(handle);
  return content;
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace layeravatar
