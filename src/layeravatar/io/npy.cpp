#include "layeravatar/io/npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "layeravatar/io/bytes.h"

namespace layeravatar::io {
namespace {
constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kMaxDimensions = 64;  // NumPy's own limit
constexpr std::string_view kSuffix = ".npy";

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file + ": " + what);
}

struct Header {
  std::string descr;
  bool fortran = false;
  std::vector<std::int64_t> shape;
};

// The header is a Python dictionary literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  Header parse() {
    Header header;
    bool descr = false;
    bool order = false;
    bool shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = string("a key");
      expect(':');
      if (key == "descr" && !descr) {
        if (peek() == '[') fail(file_, "bad header: descr; expected a plain type, found a record type");
        header.descr = string("descr");
        descr = true;
      } else if (key == "fortran_order" && !order) {
        header.fortran = boolean();
        order = true;
      } else if (key == "shape" && !shape) {
        header.shape = tuple();
        shape = true;
      } else {
        fail(file_, "bad header: key '" + key + "'");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (!descr) fail(file_, "bad header: descr is missing");
    if (!order) fail(file_, "bad header: fortran_order is missing");
    if (!shape) fail(file_, "bad header: shape is missing");
    return header;
  }

 private:
  char peek() {
    while (pos_ < text_.size() && (text_[pos_] == ' ' || text_[pos_] == '\n' || text_[pos_] == '\t')) ++pos_;
    return pos_ < text_.size() ? text_[pos_] : '\0';
  }
  bool accept(char wanted) {
    if (peek() != wanted) return false;
    ++pos_;
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted)) fail(file_, std::string("bad header: dictionary; expected '") + wanted + "'");
  }
  std::string string(const char* part) {
    const char quote = peek();
    const std::size_t end = quote == '\'' || quote == '"' ? text_.find(quote, pos_ + 1) : std::string_view::npos;
    if (end == std::string_view::npos) fail(file_, std::string("bad header: ") + part + "; expected a string");
    std::string value(text_.substr(pos_ + 1, end - pos_ - 1));
    pos_ = end + 1;
    return value;
  }
  bool boolean() {
    peek();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(pos_, word.size()) != word) continue;
      pos_ += word.size();
      return word == "True";
    }
    fail(file_, "bad header: fortran_order; expected True or False");
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> shape;
    if (!accept('(')) fail(file_, "bad header: shape; expected a tuple");
    while (!accept(')')) {
      peek();
      std::int64_t value = -1;
      const auto [next, error] = std::from_chars(text_.data() + pos_, text_.data() + text_.size(), value);
      if (error != std::errc() || value < 0) fail(file_, "bad header: shape; expected sizes from 0 to 2^63 - 1");
      pos_ = static_cast<std::size_t>(next - text_.data());
      accept('L');  // Python 2 wrote long integers so
      shape.push_back(value);
      if (shape.size() > kMaxDimensions) fail(file_, "bad header: shape; expected at most 64 dimensions");
      if (!accept(',') && peek() != ')') fail(file_, "bad header: shape; expected ',' or ')'");
    }
    return shape;
  }

  std::string_view text_;
  const std::string& file_;
  std::size_t pos_ = 0;
};

constexpr std::pair<std::string_view, DType> kTypes[] = {
    {"b1", DType::kBool}, {"i1", DType::kI8},  {"i2", DType::kI16}, {"i4", DType::kI32},
    {"i8", DType::kI64},  {"u1", DType::kU8},  {"u2", DType::kU16}, {"u4", DType::kU32},
    {"u8", DType::kU64},  {"f2", DType::kF16}, {"f4", DType::kF32}, {"f8", DType::kF64}};

struct ElementType {
  DType dtype = DType::kF32;
  bool swap = false;
};

ElementType parse_descr(const std::string& descr, const std::string& file) {
  std::string_view body = descr;
  char order = '=';
  if (!body.empty() && std::string_view("<>|=").find(body[0]) != std::string_view::npos) {
    order = body[0];
    body.remove_prefix(1);
  }
  if (!body.empty() && body[0] == 'O') fail(file, "array of Python objects is not supported");
  for (const auto& [name, dtype] : kTypes) {
    if (name == body) return {dtype, order == '>' && size_of(dtype) > 1};
  }
  fail(file, "bad header: descr; expected a type of f2 f4 f8 i1..i8 u1..u8 b1, found '" + descr + "'");
}

void swap_bytes(std::vector<std::byte>& data, std::size_t size) {
  for (std::size_t i = 0; i < data.size(); i += size) std::reverse(&data[i], &data[i] + size);
}

// Copies elements that lie in Fortran order (first index fastest) into C order.
void copy_fortran(const char* from, Array& array) {
  const std::size_t size = size_of(array.dtype);
  const std::size_t rank = array.shape.size();
  std::vector<std::size_t> stride(rank, size);
  for (std::size_t d = 1; d < rank; ++d) stride[d] = stride[d - 1] * static_cast<std::size_t>(array.shape[d - 1]);
  std::vector<std::int64_t> index(rank, 0);
  std::size_t source = 0;
  for (std::size_t i = 0; i < array.data.size(); i += size) {
    std::memcpy(&array.data[i], from + source, size);
    for (std::size_t d = rank; d-- > 0;) {
      source += stride[d];
      if (++index[d] < array.shape[d]) break;
      source -= stride[d] * static_cast<std::size_t>(array.shape[d]);
      index[d] = 0;
    }
  }
}
}  // namespace

Array parse_npy(std::string_view bytes, const std::string& file) {
  if (bytes.size() < kMagic.size() + 4 || bytes.substr(0, kMagic.size()) != kMagic) {
    fail(file, "not a NumPy array file");
  }
  const int version = static_cast<unsigned char>(bytes[6]);
  if (version < 1 || version > 3) fail(file, "bad header: version; expected 1..3, found " + std::to_string(version));
  const std::size_t begin = version == 1 ? 10 : 12;
  if (bytes.size() < begin) fail(file, "bad header: length");
  const std::size_t length = version == 1 ? load<std::uint16_t>(bytes, 8) : load<std::uint32_t>(bytes, 8);
  if (length > bytes.size() - begin) {
    fail(file, "bad header: length; expected at most " + std::to_string(bytes.size() - begin) + ", found " +
                   std::to_string(length));
  }
  Header header = HeaderParser(bytes.substr(begin, length), file).parse();
  const ElementType type = parse_descr(header.descr, file);
  const auto needed = byte_count(type.dtype, header.shape);
  if (!needed) fail(file, "bad header: shape " + shape_text(header.shape) + " is too large");
  const std::string_view data = bytes.substr(begin + length);
  if (static_cast<std::uint64_t>(*needed) > data.size()) {
    fail(file, "truncated; expected " + std::to_string(*needed) + " bytes of data, found " +
                   std::to_string(data.size()));
  }
  Array array = make_array(type.dtype, std::move(header.shape));
  if (header.fortran && array.shape.size() > 1) {
    copy_fortran(data.data(), array);
  } else if (!array.data.empty()) {
    std::memcpy(array.data.data(), data.data(), array.data.size());
  }
  if (type.swap) swap_bytes(array.data, size_of(type.dtype));
  if (type.dtype == DType::kBool) {
    for (std::byte& value : array.data) value = value == std::byte{0} ? std::byte{0} : std::byte{1};
  }
  return array;
}

std::string format_npy(const Array& array) {
  LAV_CHECK(byte_count(array.dtype, array.shape) == static_cast<std::int64_t>(array.data.size()),
            "the data do not fill the shape " + shape_text(array.shape));
  LAV_CHECK(array.shape.size() <= kMaxDimensions, "too many dimensions");
  const auto* const type =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& t) { return t.second == array.dtype; });
  LAV_CHECK(type != std::end(kTypes), std::string("no NumPy type for ") + name_of(array.dtype));
  std::string header = std::string("{'descr': '") + (size_of(array.dtype) == 1 ? "|" : "<");
  header += type->first;
  header += "', 'fortran_order': False, 'shape': " + shape_text(array.shape) + ", }";
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');  // data start at a multiple of 64
  header += '\n';
  std::string out(kMagic);
  out += '\1';
  out += '\0';
  append<std::uint16_t>(out, static_cast<std::uint16_t>(header.size()));
  out += header;
  out.append(reinterpret_cast<const char*>(array.data.data()), array.data.size());
  return out;
}

Array read_npy(const std::filesystem::path& path) { return parse_npy(read_file(path), path.string()); }

void write_npy(const std::filesystem::path& path, const Array& array) { write_file(path, format_npy(array)); }

NpzReader::NpzReader(ZipReader zip) : zip_(std::move(zip)) {
  for (const std::string& name : zip_.names()) {
    if (name.ends_with(kSuffix)) names_.push_back(name.substr(0, name.size() - kSuffix.size()));
  }
}

Array NpzReader::read(const std::string& name) const {
  const std::string label = file() + ": array '" + name + "'";
  if (!contains(name)) throw Error(ErrorKind::kInput, label + " is missing");
  return parse_npy(zip_.read(name + ".npy"), label);
}

ArrayMap read_npz(const std::filesystem::path& path) {
  const NpzReader reader(path);
  ArrayMap arrays;
  for (const std::string& name : reader.names()) arrays.emplace(name, reader.read(name));
  return arrays;
}

void write_npz(const std::filesystem::path& path, const ArrayMap& arrays, ZipOptions options) {
  ZipWriter zip(path, options);
  for (const auto& [name, array] : arrays) zip.add(name + ".npy", format_npy(array));
  zip.commit();
}

}  // namespace layeravatar::io
