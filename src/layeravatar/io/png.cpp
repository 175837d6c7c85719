#include "layeravatar/io/png.h"

#include <libdeflate.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/clones.h"
#include "layeravatar/core/error.h"
#include "layeravatar/core/pooled_memory.h"

// libpng reports errors with longjmp. Each function that calls setjmp therefore owns no object with a destructor and
// changes no local variable; everything lives in the State of its caller.
namespace layeravatar::io {
namespace {
constexpr std::uint64_t kMaxRatio = 1032;  // deflate cannot expand further
constexpr std::uint64_t kMaxPixels = 1ULL << 30U;
constexpr std::size_t kSignature = 8;
constexpr std::size_t kMaxChunk = 1U << 30U;

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

bool write_chunks(State& s, const std::array<unsigned char, 13>& header, std::span<const std::uint8_t> data) {
  if (setjmp(png_jmpbuf(s.png)) != 0) return false;
  constexpr png_byte kHeader[] = {'I', 'H', 'D', 'R', 0}, kData[] = {'I', 'D', 'A', 'T', 0}, kEnd[] = {'I', 'E', 'N', 'D', 0};
  png_write_sig(s.png);
  png_write_chunk(s.png, kHeader, header.data(), header.size());
  for (std::size_t at = 0; at < data.size(); at += kMaxChunk) png_write_chunk(s.png, kData, data.data() + at, std::min(kMaxChunk, data.size() - at));
  png_write_chunk(s.png, kEnd, nullptr, 0);
  return true;
}

// One of the row's filters: what is left of each byte after the one `pixel` bytes before it, the one above or Paeth's choice.
enum class Filter : std::uint8_t { kNone = 0, kSub = 1, kUp = 2, kPaeth = 4 };

template <Filter filter>
inline __attribute__((always_inline)) void filter_with(const std::uint8_t* row, const std::uint8_t* above, std::size_t size, std::size_t pixel, std::uint8_t* out) {
  for (std::size_t i = 0; i < std::min(pixel, size); ++i)
    out[i] = static_cast<std::uint8_t>(row[i] - (filter == Filter::kUp || filter == Filter::kPaeth ? above[i] : 0));
  for (std::size_t i = pixel; i < size; ++i) {
    using Wide = std::int16_t;  // no wider than need be: as many bytes at a time
    const Wide left = row[i - pixel], up = above[i], corner = above[i - pixel];
    Wide guess = 0;
    if constexpr (filter == Filter::kSub) guess = left;
    if constexpr (filter == Filter::kUp) guess = up;
    if constexpr (filter == Filter::kPaeth) {
      const auto down = static_cast<Wide>(up - corner), across = static_cast<Wide>(left - corner), both = static_cast<Wide>(down + across);
      const auto p = static_cast<Wide>(down < 0 ? -down : down), q = static_cast<Wide>(across < 0 ? -across : across), r = static_cast<Wide>(both < 0 ? -both : both);
      const Wide other = q <= r ? up : corner;
      guess = p <= q && p <= r ? left : other;
    }
    out[i] = static_cast<std::uint8_t>(row[i] - guess);
  }
}

// A row behind a filter, and the sum of its magnitudes, by which libpng chooses too.
LAV_CLONES std::uint64_t filter_row(Filter filter, const std::uint8_t* row, const std::uint8_t* above, std::size_t size, std::size_t pixel, std::uint8_t* out) {
  switch (filter) {
    case Filter::kNone: filter_with<Filter::kNone>(row, above, size, pixel, out); break;
    case Filter::kSub: filter_with<Filter::kSub>(row, above, size, pixel, out); break;
    case Filter::kUp: filter_with<Filter::kUp>(row, above, size, pixel, out); break;
    case Filter::kPaeth: filter_with<Filter::kPaeth>(row, above, size, pixel, out); break;
  }
  std::uint64_t sum = 0;
  constexpr std::size_t kBytes = 256;
  for (std::size_t begin = 0; begin < size; begin += kBytes) {
    std::uint16_t part = 0;
    for (std::size_t i = begin; i < std::min(size, begin + kBytes); ++i) part = static_cast<std::uint16_t>(part + std::min(out[i], static_cast<std::uint8_t>(-out[i])));
    sum += part;
  }
  return sum;
}

// The rows, each behind the number of the filter that leaves the least of it.
PooledArray<std::uint8_t> filtered(const Image& image) {
  const std::size_t row = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.channels), pixel = static_cast<std::size_t>(image.channels);
  PooledArray<std::uint8_t> out(static_cast<std::size_t>(image.height) * (row + 1));
  std::vector<std::uint8_t> tried(row);
  const std::vector<std::uint8_t> nothing(row);
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y) {
    const std::uint8_t* const now = image.pixels.data() + y * row;
    const std::uint8_t* const above = y == 0 ? nothing.data() : now - row;
    std::uint8_t* const to = out.data() + y * (row + 1);
    std::uint64_t best = ~std::uint64_t{0};
    for (const Filter filter : {Filter::kUp, Filter::kSub, Filter::kPaeth, Filter::kNone}) {
      if (best == 0) break;
      const std::uint64_t here = filter_row(filter, now, above, row, pixel, tried.data());
      if (here >= best) continue;
      best = here;
      to[0] = static_cast<std::uint8_t>(filter);
      std::memcpy(to + 1, tried.data(), row);
    }
  }
  return out;
}

struct Deflated {
  PooledArray<std::uint8_t> memory;
  std::size_t size;
};

Deflated deflated(const PooledArray<std::uint8_t>& bytes, int level) {
  const std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> compressor(libdeflate_alloc_compressor(level), libdeflate_free_compressor);
  LAV_CHECK(compressor != nullptr, "libdeflate");
  Deflated out{PooledArray<std::uint8_t>(libdeflate_zlib_compress_bound(compressor.get(), bytes.size())), 0};
  out.size = libdeflate_zlib_compress(compressor.get(), bytes.data(), bytes.size(), out.memory.data(), out.memory.size());
  LAV_CHECK(out.size > 0, "libdeflate");
  return out;
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
  std::array<unsigned char, 13> header{};
  png_save_uint_32(header.data(), static_cast<png_uint_32>(image.width));
  png_save_uint_32(header.data() + 4, static_cast<png_uint_32>(image.height));
  header[8] = 8;  // bits; then the colour, and compression, filters and interlace as usual
  header[9] = image.channels == 1 ? PNG_COLOR_TYPE_GRAY : image.channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_RGB_ALPHA;
  const Deflated data = deflated(filtered(image), level);
  LAV_CHECK(write_chunks(writer, header, {data.memory.data(), data.size}), std::string("libpng: ") + writer.message);
  return out;
}

void write_png(const std::filesystem::path& path, const Image& image, int level) {
  write_file(path, format_png(image, level));
}

}  // namespace layeravatar::io
