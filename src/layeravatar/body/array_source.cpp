#include "layeravatar/body/array_source.h"

#include <fstream>
#include <utility>

#include "layeravatar/core/error.h"

namespace layeravatar::body {

PickleSource::PickleSource(io::PickleValue root, std::string file) : file_(std::move(file)), root_(std::move(root)) {
  if (!root_.is(io::PickleValue::Kind::kDict))
    throw Error(ErrorKind::kInput, file_ + ": pickle; expected a dict of arrays, found " + io::name_of(root_.kind()));
}

io::Array PickleSource::read(const std::string& key) const {
  const io::PickleValue value = root_.find(key);
  if (value.is(io::PickleValue::Kind::kArray)) return value.array();
  throw Error(ErrorKind::kInput, file_ + ": array '" + key + "'; expected an array, found " + io::name_of(value.kind()));
}

bool is_npz(const std::filesystem::path& path) {
  std::string start(4, '\0');
  std::ifstream(path, std::ios::binary).read(start.data(), static_cast<std::streamsize>(start.size()));
  return start == "PK\3\4" || path.extension() == ".npz";
}

std::unique_ptr<ArraySource> open_arrays(const std::filesystem::path& path) {
  if (is_npz(path)) return std::make_unique<NpzSource>(io::NpzReader(path));
  return std::make_unique<PickleSource>(io::read_pickle(path), path.string());
}

}  // namespace layeravatar::body
