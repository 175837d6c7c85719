#include "layeravatar/io/npy.h"

#include <charconv>
#include <utility>

#include "layeravatar/io/bytes.h"
#include "layeravatar/io/npy_elements.h"

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
  const ElementType type = parse_element_type(header.descr, file, "bad header: descr");
  const auto needed = byte_count(type.dtype, header.shape);
  if (!needed) fail(file, "bad header: shape " + shape_text(header.shape) + " is too large");
  const std::string_view data = bytes.substr(begin + length);
  if (static_cast<std::uint64_t>(*needed) > data.size()) {
    fail(file, "truncated; expected " + std::to_string(*needed) + " bytes of data, found " +
                   std::to_string(data.size()));
  }
  return decode_elements(type, std::move(header.shape), header.fortran, data);
}

std::string format_npy(const Array& array) {
  LAV_CHECK(byte_count(array.dtype, array.shape) == static_cast<std::int64_t>(array.data.size()),
            "the data do not fill the shape " + shape_text(array.shape));
  LAV_CHECK(array.shape.size() <= kMaxDimensions, "too many dimensions");
  const std::string_view type = numpy_type(array.dtype);
  LAV_CHECK(!type.empty(), std::string("no NumPy type for ") + name_of(array.dtype));
  std::string header = std::string("{'descr': '") + (size_of(array.dtype) == 1 ? "|" : "<");
  header += type;
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
