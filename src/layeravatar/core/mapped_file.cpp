#include "layeravatar/core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "layeravatar/core/error.h"

namespace layeravatar {

MappedFile::MappedFile(const std::filesystem::path& path) {
  const auto fail = [&](int reason) { throw Error(ErrorKind::kInput, path.string() + ": cannot open: " + std::system_category().message(reason)); };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(errno);
  struct stat status {};
  int reason = ::fstat(descriptor, &status) != 0 ? errno : 0;
  const bool plain = reason == 0 && S_ISREG(status.st_mode);
  if (plain && status.st_size > 0) {
    size_ = static_cast<std::size_t>(status.st_size);
    data_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
    if (data_ == MAP_FAILED) {
      reason = errno;
      data_ = nullptr;
    }
  }
  char block[1 << 16];
  for (ssize_t got = 1; reason == 0 && !plain && got != 0;) {
    got = ::read(descriptor, block, sizeof block);
    if (got > 0) piped_.append(block, static_cast<std::size_t>(got));
    else if (got < 0 && errno != EINTR) reason = errno;
  }
  ::close(descriptor);
  if (reason != 0) fail(reason);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace layeravatar
