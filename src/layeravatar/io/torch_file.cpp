#include "layeravatar/io/torch_file.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <map>
#include <utility>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/io/bytes.h"
#include "layeravatar/io/zip.h"

namespace layeravatar::io {
namespace {
constexpr std::string_view kZipMark = "PK\3\4";
// A pickle of protocol 2 that holds one integer of ten bytes: how torch.save began its files before version 1.6.
constexpr std::string_view kOldMark{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15};
constexpr const char* kPickleName = "/data.pkl";

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file + ": " + what);
}

std::string first_bytes(const std::filesystem::path& path) {
  std::string bytes(kOldMark.size(), '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(in.gcount()));
  return bytes;
}

// The archive's folder: its name is free.
std::string prefix_of(const ZipReader& zip) {
  std::string prefix;
  int found = 0;
  for (const std::string& name : zip.names()) {
    if (!name.ends_with(kPickleName)) continue;
    const std::size_t slash = name.rfind('/');
    if (name.find('/') != slash) continue;
    prefix = name.substr(0, slash);
    ++found;
  }
  if (found != 1) fail(zip.file(), "not a file of torch.save; expected one member data.pkl, found " + std::to_string(found));
  if (zip.contains(prefix + "/constants.pkl")) fail(zip.file(), "a TorchScript program, which is not read; expected tensors written by torch.save");
  return prefix;
}
}  // namespace

PickleValue read_torch_file(const std::filesystem::path& path, const PickleLimits& limits) {
  return parse_torch_file(read_file(path), path.string(), limits);
}

PickleValue parse_torch_file(std::string bytes, const std::string& file, const PickleLimits& limits) {
  const std::uint64_t file_bytes = bytes.size();
  if (bytes.starts_with(kOldMark)) {
    fail(file, "written by torch.save in its form before version 1.6, which is not read; save it again: "
               "torch.save(torch.load(FILE, map_location='cpu'), NEW_FILE)");
  }
  if (!bytes.empty() && !bytes.starts_with(kZipMark)) fail(file, "not a file of torch.save; expected a zip archive");
  const ZipReader zip(std::move(bytes), file);
  const std::string prefix = prefix_of(zip);
  PickleOptions options;
  options.limits = limits;
  options.file_bytes = file_bytes;
  if (const std::string name = prefix + "/byteorder"; zip.contains(name)) {
    const std::string order = zip.read(name);
    if (order != "little" && order != "big") fail(zip.file(), "member '" + name + "'; expected little or big");
    options.swap_storages = order == "big";
  }
  struct Storage {
    std::string unpacked;
    std::string_view bytes;
  };
  std::map<std::string, Storage> storages;
  // torch.save does not pack its members; a packed one may not unpack to more than the arrays may take.
  std::uint64_t budget = std::max(limits.array_bytes, 4 * options.file_bytes);
  const auto open = [&](const std::string& name, Storage& place) {
    const std::uint64_t size = zip.is_packed(name) ? zip.size(name) : 0;
    if (size > budget) fail(zip.file(), "member '" + name + "' unpacks to " + std::to_string(size) + " bytes; expected at most " +
        std::to_string(budget));
    budget -= size;
    place.bytes = zip.view(name, place.unpacked);
  };
  options.storage = [&](const StorageName& wanted) {
    const auto [place, is_new] = storages.try_emplace(wanted.key);
    if (is_new) open(prefix + "/data/" + wanted.key, place->second);
    return place->second.bytes;
  };
  Storage pickle;
  const std::string name = prefix + kPickleName;
  open(name, pickle);
  return parse_pickle(pickle.bytes, zip.file() + ": member '" + name + "'", options);
}

void write_torch_tensor(const std::filesystem::path& path, const Array& array) {
  LAV_CHECK(array.dtype == DType::kF32, "tensors of float32 are written");
  LAV_CHECK(array.count() <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()), "a tensor of fewer elements");
  // Protocol 2: _rebuild_tensor_v2(storage by persistent id, offset, sizes, strides, requires_grad, hooks).
  const auto text = [](std::string_view value) {
    std::string out = "X";
    append(out, static_cast<std::uint32_t>(value.size()));
    return out.append(value);
  };
  const auto integer = [](std::int64_t value) {
    std::string out = "J";
    append(out, static_cast<std::int32_t>(value));
    return out;
  };
  std::string sizes, strides;
  std::int64_t stride = static_cast<std::int64_t>(array.count());
  for (const std::int64_t size : array.shape) {
    sizes += integer(size);
    stride = size > 0 ? stride / size : 0;
    strides += integer(stride);
  }
  std::string pickle = "\x80\x02" "ctorch._utils\n_rebuild_tensor_v2\n((";
  pickle += text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer(static_cast<std::int64_t>(array.count())) + "tQ";
  pickle += integer(0) + "(" + sizes + "t(" + strides + "t\x89" "ccollections\nOrderedDict\n)RtR.";
  ZipWriter zip(path, {.level = 0});
  zip.add("archive/data.pkl", pickle);
  zip.add("archive/data/0", {reinterpret_cast<const char*>(array.data.data()), array.data.size()});
  zip.add("archive/version", "3\n");
  zip.commit();
}

PickleValue read_pickle_or_torch_file(const std::filesystem::path& path) {
  const std::string start = first_bytes(path);
  return start.starts_with(kZipMark) || start == kOldMark ? read_torch_file(path) : read_pickle(path);
}

}  // namespace layeravatar::io
