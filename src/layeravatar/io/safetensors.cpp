#include "layeravatar/io/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/io/bytes.h"

namespace layeravatar::io {
namespace {
using Json = nlohmann::json;
constexpr std::uint64_t kMaxHeader = 100'000'000;  // the limit of the format's reference implementation
constexpr const char* kMetadata = "__metadata__";

constexpr std::pair<std::string_view, DType> kTypes[] = {
    {"BOOL", DType::kBool}, {"I8", DType::kI8},   {"I16", DType::kI16}, {"I32", DType::kI32}, {"I64", DType::kI64},
    {"U8", DType::kU8},     {"U16", DType::kU16}, {"U32", DType::kU32}, {"U64", DType::kU64}, {"F16", DType::kF16},
    {"BF16", DType::kBF16}, {"F32", DType::kF32}, {"F64", DType::kF64}};

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file + ": " + what);
}

struct Entry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

Json parse_header(std::string_view text, const std::string& file) {
  std::set<std::string> keys;
  std::string twice;
  const auto on_event = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth == 1 && event == Json::parse_event_t::key && !keys.insert(value.get<std::string>()).second) {
      twice = value.get<std::string>();
    }
    return true;
  };
  Json header;
  try {
    header = Json::parse(text.begin(), text.end(), on_event);
  } catch (const Json::exception& e) {
    fail(file, std::string("bad header: ") + e.what());
  }
  if (!twice.empty()) fail(file, "tensor '" + twice + "' is given twice");
  if (!header.is_object()) fail(file, "bad header; expected a JSON object");
  return header;
}

std::vector<std::int64_t> parse_numbers(const Json& value, const std::string& label) {
  std::vector<std::int64_t> out;
  bool good = value.is_array();
  for (std::size_t i = 0; good && i < value.size(); ++i) {
    good = value[i].is_number_unsigned() && value[i].get<std::uint64_t>() <= INT64_MAX;
    if (good) out.push_back(value[i].get<std::int64_t>());
  }
  if (!good) throw Error(ErrorKind::kInput, label + "; expected a list of integers from 0 to 2^63 - 1");
  return out;
}

Entry parse_entry(const std::string& name, const Json& value, const std::string& file) {
  const std::string label = file + ": tensor '" + name + "'";
  const auto part = [&](const char* key) -> const Json& {
    const auto found = value.is_object() ? value.find(key) : value.end();
    if (!value.is_object() || found == value.end()) throw Error(ErrorKind::kInput, label + ": " + key + " is missing");
    return *found;
  };
  Entry entry;
  entry.name = name;
  const Json& dtype = part("dtype");
  const std::string text = dtype.is_string() ? dtype.get<std::string>() : dtype.type_name();
  const auto* const type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& t) { return t.first == text; });
  if (type == std::end(kTypes)) {
    throw Error(ErrorKind::kInput, label + "; expected a type of F16 BF16 F32 F64 I8..I64 U8..U64 BOOL, found " + text);
  }
  entry.dtype = type->second;
  entry.shape = parse_numbers(part("shape"), label + ": shape");
  const auto offsets = parse_numbers(part("data_offsets"), label + ": data_offsets");
  if (offsets.size() != 2 || offsets[0] > offsets[1]) throw Error(ErrorKind::kInput, label + ": bad data_offsets");
  entry.begin = static_cast<std::uint64_t>(offsets[0]);
  entry.end = static_cast<std::uint64_t>(offsets[1]);
  const auto needed = byte_count(entry.dtype, entry.shape);
  if (!needed) throw Error(ErrorKind::kInput, label + ": shape " + shape_text(entry.shape) + " is too large");
  if (static_cast<std::uint64_t>(*needed) != entry.end - entry.begin) {
    throw Error(ErrorKind::kInput, label + "; expected " + std::to_string(*needed) + " bytes for " +
                                       shape_text(entry.shape) + ", found " + std::to_string(entry.end - entry.begin));
  }
  return entry;
}
}  // namespace

SafeTensors parse_safetensors(std::string_view bytes, const std::string& file, const std::shared_ptr<const void>& owner) {
  if (bytes.size() < 8) fail(file, "not a safetensors file");
  const auto length = load<std::uint64_t>(bytes, 0);
  if (length > bytes.size() - 8 || length > kMaxHeader) {
    fail(file, "not a safetensors file; expected a header of at most " +
                   std::to_string(std::min<std::uint64_t>(bytes.size() - 8, kMaxHeader)) + " bytes, found " +
                   std::to_string(length));
  }
  const Json header = parse_header(bytes.substr(8, length), file);
  const std::string_view data = bytes.substr(8 + length);
  SafeTensors out;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != kMetadata) {
      entries.push_back(parse_entry(name, value, file));
      continue;
    }
    if (!value.is_object()) fail(file, "bad header: __metadata__; expected an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) fail(file, "bad header: __metadata__ '" + key + "'; expected a string");
      out.metadata.emplace(key, text.get<std::string>());
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  // The tensors tile the data: checked before any memory is taken for one.
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin < covered) fail(file, "tensor '" + entry.name + "' overlaps another");
    if (entry.begin > covered) fail(file, "gap in the data before tensor '" + entry.name + "'");
    covered = entry.end;
  }
  if (covered > data.size()) {
    fail(file, "truncated; expected " + std::to_string(covered) + " bytes of data, found " + std::to_string(data.size()));
  }
  if (covered < data.size()) {
    fail(file, "left-over data; expected " + std::to_string(covered) + " bytes of data, found " +
                   std::to_string(data.size()));
  }
  for (Entry& entry : entries) {
    const char* const at = data.data() + entry.begin;
    if (owner && entry.dtype != DType::kBool && reinterpret_cast<std::uintptr_t>(at) % size_of(entry.dtype) == 0) {
      const auto* const from = reinterpret_cast<const std::byte*>(at);
      out.tensors.emplace(std::move(entry.name), Array{entry.dtype, std::move(entry.shape), Bytes(owner, {from, from + (entry.end - entry.begin)})});
      continue;
    }
    Array array = make_array(entry.dtype, std::move(entry.shape));
    if (!array.data.empty()) std::memcpy(array.data.data(), at, array.data.size());
    if (array.dtype == DType::kBool) {
      for (std::byte& value : array.data) value = value == std::byte{0} ? std::byte{0} : std::byte{1};
    }
    out.tensors.emplace(std::move(entry.name), std::move(array));
  }
  return out;
}

SafeTensors read_safetensors(const std::filesystem::path& path) {
  return parse_safetensors(read_file(path), path.string());
}

void write_safetensors(const std::filesystem::path& path, const SafeTensors& content) {
  using Item = ArrayMap::value_type;
  std::vector<const Item*> order;
  for (const Item& item : content.tensors) {
    LAV_CHECK(item.first != kMetadata, "reserved tensor name");
    LAV_CHECK(byte_count(item.second.dtype, item.second.shape) == static_cast<std::int64_t>(item.second.data.size()),
              "tensor '" + item.first + "': the data do not fill the shape " + shape_text(item.second.shape));
    order.push_back(&item);
  }
  std::stable_sort(order.begin(), order.end(), [](const Item* a, const Item* b) {
    return size_of(a->second.dtype) > size_of(b->second.dtype);
  });
  Json header = Json::object();
  if (!content.metadata.empty()) header[kMetadata] = content.metadata;
  std::uint64_t offset = 0;
  for (const Item* item : order) {
    const Array& array = item->second;
    const auto* const type =
        std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& t) { return t.second == array.dtype; });
    header[item->first] = {{"dtype", std::string(type->first)},
                           {"shape", array.shape},
                           {"data_offsets", {offset, offset + array.data.size()}}};
    offset += array.data.size();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string start;
  append<std::uint64_t>(start, text.size());
  AtomicFile out(path);
  out.write(start + text);
  for (const Item* item : order) out.write(item->second.data);
  out.commit();
}

}  // namespace layeravatar::io
