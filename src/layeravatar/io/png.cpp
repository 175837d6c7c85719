#include "layeravatar/io/png.h"

#include <png.h>

#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"

// libpng reports errors with longjmp. Each function that calls setjmp therefore owns no object with a destructor and
// changes no local variable; everything lives in the State of its caller.
namespace layeravatar::io {
namespace {
constexpr std::uint64_t kMaxRatio = 1032;  // deflate cannot expand further
constexpr std::uint64_t kMaxPixels = 1ULL << 30U;
constexpr std::size_t kSignature = 8;

struct State {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::string_view in;
  std::string* out = nullptr;
  std::vector<png_bytep> rows;
  char message[200] = "out of memory";
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto* state = static_cast<State*>(png_get_error_ptr(png));
  std::snprintf(state->message, sizeof state->message, "%s", text);
  png_longjmp(png, 1);
}

void on_warning(png_structp /*png*/, png_const_charp /*text*/) {}

void on_read(png_structp png, png_bytep to, std::size_t count) {
  auto* state = static_cast<State*>(png_get_io_ptr(png));
  if (count > state->in.size()) png_error(png, "truncated");
  std::memcpy(to, state->in.data(), count);
  state->in.remove_prefix(count);
}

void on_write(png_structp png, png_bytep from, std::size_t count) {
  auto* state = static_cast<State*>(png_get_io_ptr(png));
  bool stored = true;
  try {
    state->out->append(reinterpret_cast<const char*>(from), count);
  } catch (...) {
    stored = false;
  }
  if (!stored) png_error(png, "out of memory");
}

void on_flush(png_structp /*png*/) {}

struct Reader : State {
  Reader() {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, static_cast<State*>(this), on_error, on_warning);
    if (png != nullptr) info = png_create_info_struct(png);
    if (info != nullptr) png_set_read_fn(png, static_cast<State*>(this), on_read);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

struct Writer : State {
  Writer() {
    png = png_create_write_struct(PNG_LIBPNG_VER_STRING, static_cast<State*>(this), on_error, on_warning);
    if (png != nullptr) info = png_create_info_struct(png);
    if (info != nullptr) png_set_write_fn(png, static_cast<State*>(this), on_write, on_flush);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { png_destroy_write_struct(&png, &info); }
};

bool read_header(State& s) {
  if (setjmp(png_jmpbuf(s.png)) != 0) return false;
  // Passes over every chunk that says nothing about the pixels: libpng would take memory for what such a chunk claims to hold.
  png_set_keep_unknown_chunks(s.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(s.png, s.info);
  return true;
}

bool set_transforms(State& s) {
  if (setjmp(png_jmpbuf(s.png)) != 0) return false;
  png_set_scale_16(s.png);
  png_set_expand(s.png);  // palette to RGB, low bit depths to 8, transparent colour to alpha
  if (png_get_color_type(s.png, s.info) == PNG_COLOR_TYPE_GRAY_ALPHA ||
      (png_get_color_type(s.png, s.info) == PNG_COLOR_TYPE_GRAY && png_get_valid(s.png, s.info, PNG_INFO_tRNS) != 0)) {
    png_set_gray_to_rgb(s.png);
  }
  png_set_interlace_handling(s.png);
  png_read_update_info(s.png, s.info);
  return true;
}

bool read_rows(State& s) {
  if (setjmp(png_jmpbuf(s.png)) != 0) return false;
  png_read_image(s.png, s.rows.data());
  png_read_end(s.png, nullptr);
  return true;
}

bool write_all(State& s, const Image& image, int color, int level) {
  if (setjmp(png_jmpbuf(s.png)) != 0) return false;
  png_set_compression_level(s.png, level);
  png_set_IHDR(s.png, s.info, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height), 8, color,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(s.png, s.info);
  png_write_image(s.png, s.rows.data());
  png_write_end(s.png, nullptr);
  return true;
}
}  // namespace

Image parse_png(std::string_view bytes, const std::string& file) {
  if (bytes.size() < kSignature ||
      png_sig_cmp(reinterpret_cast<png_const_bytep>(bytes.data()), 0, kSignature) != 0) {
    throw Error(ErrorKind::kInput, file + ": not a PNG file");
  }
  Reader reader;
  LAV_CHECK(reader.info != nullptr, "libpng");
  reader.in = bytes;
  const auto require = [&](bool good) {
    if (!good) throw Error(ErrorKind::kInput, file + ": corrupt PNG: " + reader.message);
  };
  require(read_header(reader));
  const std::uint64_t width = png_get_image_width(reader.png, reader.info);
  const std::uint64_t height = png_get_image_height(reader.png, reader.info);
  const std::uint64_t packed_row = png_get_rowbytes(reader.png, reader.info);
  if (width * height > kMaxPixels || packed_row * height / kMaxRatio > bytes.size()) {
    throw Error(ErrorKind::kInput, file + ": corrupt PNG: " + std::to_string(width) + "x" + std::to_string(height) +
                                       " pixels cannot come from " + std::to_string(bytes.size()) + " bytes");
  }
  require(set_transforms(reader));
  Image image;
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  image.channels = png_get_channels(reader.png, reader.info);
  const std::size_t row = width * static_cast<std::size_t>(image.channels);
  LAV_CHECK(png_get_rowbytes(reader.png, reader.info) == row, "libpng row size");
  image.pixels.resize(row * height);
  for (std::uint64_t y = 0; y < height; ++y) reader.rows.push_back(image.pixels.data() + y * row);
  require(read_rows(reader));
  return image;
}

Image read_png(const std::filesystem::path& path) { return parse_png(read_file(path), path.string()); }

std::string format_png(const Image& image, int level) {
  LAV_CHECK(level >= 0 && level <= 9, "compression level");
  LAV_CHECK(image.width > 0 && image.height > 0, "empty picture");
  LAV_CHECK(image.channels == 1 || image.channels == 3 || image.channels == 4, "1, 3 or 4 channels");
  const std::size_t row = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.channels);
  LAV_CHECK(image.pixels.size() == row * static_cast<std::size_t>(image.height), "the pixels do not fill the picture");
  Writer writer;
  LAV_CHECK(writer.info != nullptr, "libpng");
  std::string out;
  writer.out = &out;
  for (int y = 0; y < image.height; ++y) {
    writer.rows.push_back(const_cast<png_bytep>(image.pixels.data() + static_cast<std::size_t>(y) * row));
  }
  const int color = image.channels == 1   ? PNG_COLOR_TYPE_GRAY
                    : image.channels == 3 ? PNG_COLOR_TYPE_RGB
                                          : PNG_COLOR_TYPE_RGB_ALPHA;
  LAV_CHECK(write_all(writer, image, color, level), std::string("libpng: ") + writer.message);
  return out;
}

void write_png(const std::filesystem::path& path, const Image& image, int level) {
  write_file(path, format_png(image, level));
}

}  // namespace layeravatar::io
