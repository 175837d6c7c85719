#include "layeravatar/core/atomic_folder.h"

#include <fcntl.h>
#include <stdio.h>  // renameat2
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"

namespace layeravatar {
namespace fs = std::filesystem;

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error(ErrorKind::kOutput, folder.string() + ": cannot make the folder: " + error.message());
}

AtomicFolder::AtomicFolder(fs::path path, const std::string& suffix) : path_(std::move(path)), temporary_(path_) {
  temporary_ += suffix;
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
  make_folder(temporary_);
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

void AtomicFolder::write(const fs::path& name, std::string_view content) {
  const fs::path file = temporary_ / name;
  const auto fail = [&](const char* action) {
    throw Error(ErrorKind::kOutput, (path_ / name).string() + ": " + action + ": " + std::generic_category().message(errno));
  };
  const int handle = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (handle < 0) fail("cannot create");
  unflushed_ = true;
  while (!content.empty()) {
    const ssize_t done = ::write(handle, content.data(), content.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      const int code = errno;
      ::close(handle);
      errno = code;
      fail("cannot write");
    }
    content.remove_prefix(static_cast<std::size_t>(done));
  }
  if (::close(handle) != 0) fail("cannot close");
}

void AtomicFolder::flush() {
  if (!unflushed_) return;
  const int handle = ::open(temporary_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool flushed = handle >= 0 && ::syncfs(handle) == 0;
  const int code = errno;
  if (handle >= 0) ::close(handle);
  if (!flushed) throw Error(ErrorKind::kOutput, path_.string() + ": cannot flush: " + std::generic_category().message(code));
}

void AtomicFolder::commit_over() {
  if (!fs::exists(path_)) return commit();
  flush();
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) != 0)
    throw Error(ErrorKind::kOutput, path_.string() + ": cannot replace: " + std::generic_category().message(errno));
  flush_folder_of(path_);
}

void AtomicFolder::commit() {
  std::error_code error;
  flush();
  fs::rename(temporary_, path_, error);
  if (error) throw Error(ErrorKind::kOutput, path_.string() + ": cannot rename: " + error.message());
  flush_folder_of(path_);
}

}  // namespace layeravatar
