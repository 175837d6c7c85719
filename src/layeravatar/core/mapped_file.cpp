#include "layeravatar/core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
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

ScratchMemory::ScratchMemory(const std::filesystem::path& folder, std::size_t bytes) : size_(bytes) {
  std::string name = (folder / "scratch_XXXXXX").string();
  const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  int reason = descriptor < 0 ? errno : 0;
  if (reason == 0) {
    ::unlink(name.c_str());
    reason = ::posix_fallocate(descriptor, 0, static_cast<off_t>(bytes));
  }
  if (reason == 0) {
    data_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (data_ == MAP_FAILED) reason = errno;
  }
  if (descriptor >= 0) ::close(descriptor);
  if (reason != 0)
    throw Error(ErrorKind::kOutput, folder.string() + ": cannot hold " + std::to_string(bytes) + " bytes: " + std::system_category().message(reason));
}

ScratchMemory::~ScratchMemory() { ::munmap(data_, size_); }

}  // namespace layeravatar
