#include "layeravatar/io/jpeg.h"

#include <csetjmp>
#include <cstddef>
#include <cstdio>

#include <jpeglib.h>  // needs cstdio

#include <jerror.h>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"

// As in png.cpp: errors arrive by longjmp, so each function that calls setjmp owns no object with a destructor and
// changes no local variable; everything lives in the State of its caller.
namespace layeravatar::io {
namespace {
constexpr std::uint64_t kMaxRatio = 512;  // pixels per byte: a block of 8 x 8 takes at least one bit of Huffman code
constexpr std::uint64_t kMaxPixels = 1ULL << 30U;
constexpr int kMaxScans = 100;  // a progressive scan of a few bytes visits every block; encoders write about ten

struct State {
  jpeg_error_mgr errors{};
  std::jmp_buf jump{};
  std::vector<JSAMPROW> rows;
  char message[JMSG_LENGTH_MAX] = "";
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* state = static_cast<State*>(info->client_data);
  info->err->format_message(info, state->message);
  std::longjmp(state->jump, 1);
}

// Level -1 is a warning: apart from these two, libjpeg goes on with pixels that are not in the file.
void on_message(j_common_ptr info, int level) {
  const int code = info->err->msg_code;
  if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_JFIF_MAJOR) on_error(info);
}

void on_progress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
  auto* state = static_cast<State*>(info->client_data);
  std::snprintf(state->message, sizeof state->message, "more than %d scans", kMaxScans);
  std::longjmp(state->jump, 1);
}

struct Reader : State {
  jpeg_decompress_struct info{};
  jpeg_progress_mgr progress{};
  Reader() {
    info.err = jpeg_std_error(&errors);
    errors.error_exit = on_error;
    errors.emit_message = on_message;
    info.client_data = static_cast<State*>(this);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { jpeg_destroy_decompress(&info); }
};

struct Writer : State {
  jpeg_compress_struct info{};
  jpeg_destination_mgr target{};
  std::string* out = nullptr;
  JOCTET buffer[1U << 14U];
  Writer() {
    info.err = jpeg_std_error(&errors);
    errors.error_exit = on_error;
    errors.emit_message = on_message;
    info.client_data = static_cast<State*>(this);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { jpeg_destroy_compress(&info); }
};

Writer& writer_of(j_compress_ptr info) { return *static_cast<Writer*>(static_cast<State*>(info->client_data)); }

void rewind_buffer(j_compress_ptr info) {
  info->dest->next_output_byte = writer_of(info).buffer;
  info->dest->free_in_buffer = sizeof Writer::buffer;
}

void store(j_compress_ptr info, std::size_t count) {
  Writer& writer = writer_of(info);
  bool stored = true;
  try {
    writer.out->append(reinterpret_cast<const char*>(writer.buffer), count);
  } catch (...) {
    stored = false;
  }
  if (!stored) ERREXIT1(info, JERR_OUT_OF_MEMORY, 0);
}

boolean on_full(j_compress_ptr info) {
  store(info, sizeof Writer::buffer);
  rewind_buffer(info);
  return TRUE;
}

void on_end(j_compress_ptr info) { store(info, sizeof Writer::buffer - info->dest->free_in_buffer); }

bool read_header(Reader& r, const unsigned char* bytes, unsigned long count) {
  if (setjmp(r.jump) != 0) return false;
  jpeg_create_decompress(&r.info);
  r.progress.progress_monitor = on_progress;
  r.info.progress = &r.progress;
  jpeg_mem_src(&r.info, bytes, count);
  jpeg_read_header(&r.info, TRUE);
  return true;
}

bool read_rows(Reader& r) {
  if (setjmp(r.jump) != 0) return false;
  jpeg_start_decompress(&r.info);
  while (r.info.output_scanline < r.info.output_height)
    jpeg_read_scanlines(&r.info, r.rows.data() + r.info.output_scanline, r.info.output_height - r.info.output_scanline);
  jpeg_finish_decompress(&r.info);
  return true;
}

bool write_all(Writer& w, const Image& image, int quality) {
  if (setjmp(w.jump) != 0) return false;
  jpeg_create_compress(&w.info);
  w.target.init_destination = rewind_buffer;
  w.target.empty_output_buffer = on_full;
  w.target.term_destination = on_end;
  w.info.dest = &w.target;
  w.info.image_width = static_cast<JDIMENSION>(image.width);
  w.info.image_height = static_cast<JDIMENSION>(image.height);
  w.info.input_components = image.channels;
  w.info.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&w.info);
  jpeg_set_quality(&w.info, quality, TRUE);
  jpeg_start_compress(&w.info, TRUE);
  jpeg_write_scanlines(&w.info, w.rows.data(), w.info.image_height);
  jpeg_finish_compress(&w.info);
  return true;
}
}  // namespace

Image parse_jpeg(std::string_view bytes, const std::string& file) {
  if (!bytes.starts_with("\xFF\xD8\xFF")) throw Error(ErrorKind::kInput, file + ": not a JPEG file");
  Reader reader;
  const auto require = [&](bool good) {
    if (!good) throw Error(ErrorKind::kInput, file + ": corrupt JPEG: " + reader.message);
  };
  require(read_header(reader, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
  const J_COLOR_SPACE colours = reader.info.jpeg_color_space;
  const bool grey = colours == JCS_GRAYSCALE;
  if (!grey && colours != JCS_RGB && colours != JCS_YCbCr) {
    const char* found = reader.info.num_components == 4 ? "CMYK" : "unknown";
    throw Error(ErrorKind::kInput, file + ": JPEG colours are " + found + ", expected grey or RGB");
  }
  if (reader.info.arith_code) throw Error(ErrorKind::kInput, file + ": JPEG is arithmetically coded, expected Huffman");
  const std::uint64_t width = reader.info.image_width, height = reader.info.image_height;
  if (width * height > kMaxPixels || width * height / kMaxRatio > bytes.size()) {
    throw Error(ErrorKind::kInput, file + ": corrupt JPEG: " + std::to_string(width) + "x" + std::to_string(height) +
                                       " pixels cannot come from " + std::to_string(bytes.size()) + " bytes");
  }
  reader.info.out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
  Image image{static_cast<int>(width), static_cast<int>(height), grey ? 1 : 3, {}};
  const std::size_t row = width * static_cast<std::size_t>(image.channels);
  image.pixels.resize(row * height);
  for (std::uint64_t y = 0; y < height; ++y) reader.rows.push_back(image.pixels.data() + y * row);
  require(read_rows(reader));
  return image;
}

Image read_jpeg(const std::filesystem::path& path) { return parse_jpeg(read_file(path), path.string()); }

std::string format_jpeg(const Image& image, int quality) {
  LAV_CHECK(quality >= 1 && quality <= 100, "quality");
  LAV_CHECK(image.width > 0 && image.height > 0, "empty picture");
  LAV_CHECK(image.width <= JPEG_MAX_DIMENSION && image.height <= JPEG_MAX_DIMENSION, "picture too large for JPEG");
  LAV_CHECK(image.channels == 1 || image.channels == 3, "1 or 3 channels");
  const std::size_t row = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.channels);
  LAV_CHECK(image.pixels.size() == row * static_cast<std::size_t>(image.height), "the pixels do not fill the picture");
  Writer writer;
  std::string out;
  writer.out = &out;
  for (int y = 0; y < image.height; ++y)
    writer.rows.push_back(const_cast<JSAMPROW>(image.pixels.data() + static_cast<std::size_t>(y) * row));
  LAV_CHECK(write_all(writer, image, quality), std::string("libjpeg: ") + writer.message);
  return out;
}

void write_jpeg(const std::filesystem::path& path, const Image& image, int quality) {
  write_file(path, format_jpeg(image, quality));
}

}  // namespace layeravatar::io
