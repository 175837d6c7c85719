#include "layeravatar/core/atomic_folder.h"

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

void AtomicFolder::commit() {
  std::error_code error;
  fs::rename(temporary_, path_, error);
  if (error) throw Error(ErrorKind::kOutput, path_.string() + ": cannot rename: " + error.message());
}

}  // namespace layeravatar
