#include "layeravatar/data/picture_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/jpeg.h"

namespace layeravatar::data {
namespace {

namespace fs = std::filesystem;

constexpr std::uint8_t kWhite = 250;  // and above, all channels: background

[[noreturn]] void reject(const fs::path& file, const std::string& what) { throw Error(ErrorKind::kInput, file.string() + ": " + what); }

bool is_jpeg(const fs::path& file) { return file.extension() == ".jpg" || file.extension() == ".jpeg"; }

io::Image read_image(const fs::path& file) {
  if (!is_jpeg(file) && file.extension() != ".png") reject(file, "pictures of this kind are not read; .png and .jpg work");
  io::Image out = is_jpeg(file) ? io::read_jpeg(file) : io::read_png(file);
  if (out.width != out.height) reject(file, fmt::format("expected a square picture, whose centre is the camera's, found {}x{}", out.width, out.height));
  return out;
}

// Colours on white, and the coverage where a channel tells it.
io::Image on_white(const io::Image& image, std::vector<std::uint8_t>* alpha) {
  const std::size_t pixels = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height), channels = static_cast<std::size_t>(image.channels);
  io::Image out{image.width, image.height, 3, std::vector<std::uint8_t>(3 * pixels)};
  if (alpha != nullptr && channels == 4) alpha->resize(pixels);
  for (std::size_t i = 0; i < pixels; ++i) {
    const std::uint8_t* from = image.pixels.data() + channels * i;
    const int a = channels == 4 ? from[3] : 255;
    if (alpha != nullptr && channels == 4) (*alpha)[i] = from[3];
    for (std::size_t c = 0; c < 3; ++c) out.pixels[3 * i + c] = static_cast<std::uint8_t>((from[channels == 1 ? 0 : c] * a + 255 * (255 - a) + 127) / 255);
  }
  return out;
}

bool white(const io::Image& image, std::size_t pixel) {
  const std::uint8_t* c = image.pixels.data() + 3 * pixel;
  return c[0] >= kWhite && c[1] >= kWhite && c[2] >= kWhite;
}

bool white_corners(const io::Image& image) {
  const auto w = static_cast<std::size_t>(image.width), h = static_cast<std::size_t>(image.height);
  return white(image, 0) && white(image, w - 1) && white(image, (h - 1) * w) && white(image, h * w - 1);
}

std::vector<std::uint8_t> silhouette(const fs::path& file, const io::Image& image, const std::vector<std::uint8_t>& alpha) {
  std::vector<std::uint8_t> out(image.pixels.size() / 3);
  const bool covered = std::any_of(alpha.begin(), alpha.end(), [](std::uint8_t a) { return a < 128; });
  if (!covered && !white_corners(image)) reject(file, "the background is not white and no alpha channel tells it apart; give --masks");
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = covered ? alpha[i] >= 128 : !white(image, i);
  return out;
}

std::vector<std::uint8_t> labels_of(const std::vector<fs::path>& masks, std::size_t at, const fs::path& picture, int size) {
  fs::path file = masks.size() == 1 && fs::is_directory(masks[0]) ? masks[0] / (picture.stem().string() + ".png") : masks.at(at);
  if (!fs::exists(file)) {
    const std::string stem = (file.parent_path() / file.stem()).string();
    if (fs::exists(stem + "_0.png")) return read_masks(stem + "_0.png", stem + "_1.png", size);
    if (fs::is_directory(masks[0])) reject(masks[0], fmt::format("picture '{}' has no mask file", picture.stem().string()));
  }
  const io::Image image = io::read_png(file);
  if (image.width != size || image.height != size) reject(file, fmt::format("expected {0}x{0} as its picture, found {1}x{2}", size, image.width, image.height));
  if (image.channels != 1) reject(file, fmt::format("expected labels in 1 channel, found {}", image.channels));
  const auto most = *std::max_element(image.pixels.begin(), image.pixels.end());
  if (most > 5) reject(file, fmt::format("label {}, expected 0..5: none, body, top, hair, shoes, bottom", most));
  return image.pixels;
}

}  // namespace

std::vector<fs::path> picture_files(const std::vector<fs::path>& given) {
  if (given.size() != 1 || !fs::is_directory(given[0])) return given;
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(given[0], error))
    if (entry.path().extension() == ".png" || is_jpeg(entry.path())) out.push_back(entry.path());
  if (error) reject(given[0], "cannot open: " + error.message());
  if (out.empty()) reject(given[0], "expected pictures, .png or .jpg, found 0");
  std::sort(out.begin(), out.end());
  return out;
}

io::Image read_square_picture(const fs::path& file) { return on_white(read_image(file), nullptr); }

std::vector<geometry::Camera> read_picture_cameras(const fs::path& cameras, const std::vector<fs::path>& images, int size) {
  if (!fs::is_directory(cameras)) return geometry::cameras_at(geometry::parse_cam_param(read_file(cameras), cameras.string(), static_cast<std::int64_t>(images.size())), size);
  std::vector<geometry::Matrix4> out;
  for (const fs::path& image : images) {
    const fs::path file = cameras / (image.stem().string() + ".json");
    if (!fs::exists(file)) reject(cameras, fmt::format("picture '{}' has no camera file", image.stem().string()));
    out.push_back(geometry::parse_cam_param(read_file(file), file.string(), 1)[0]);
  }
  return geometry::cameras_at(out, size);
}

Scene read_pictures(const PictureFiles& files) {
  const std::vector<fs::path> images = picture_files(files.images);
  if (images.empty()) throw Error(ErrorKind::kUsage, "--images: expected pictures, found 0");
  const bool folder_of_masks = files.masks.size() == 1 && fs::is_directory(files.masks[0]);
  if (!files.masks.empty() && !folder_of_masks && files.masks.size() != images.size())
    throw Error(ErrorKind::kUsage, fmt::format("--masks: expected {}, as many as pictures, found {}", images.size(), files.masks.size()));
  Scene out;
  auto pixels = std::make_shared<std::vector<std::uint8_t>>();
  std::set<std::string> names;
  int size = 0;
  std::vector<geometry::Camera> cameras;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const fs::path& file = images[i];
    if (!names.insert(file.stem().string()).second) reject(file, "another picture has this name");
    std::vector<std::uint8_t> alpha;
    io::Image image = on_white(read_image(file), &alpha);
    if (size == 0) {
      size = image.width;
      cameras = read_picture_cameras(files.cameras, images, size);
    }
    if (image.width != size) reject(file, fmt::format("expected {0}x{0} as {1}, found {2}x{2}", size, images[0].filename().string(), image.width));
    const std::vector<std::uint8_t> labels = files.masks.empty() ? silhouette(file, image, alpha) : labels_of(files.masks, i, file, size);
    if (std::all_of(labels.begin(), labels.end(), [](std::uint8_t l) { return l == 0; })) reject(file, "no person in the picture: every pixel is background");
    if (!files.masks.empty() && !white_corners(image))
      for (std::size_t k = 0; k < labels.size(); ++k)
        if (labels[k] == 0) std::fill_n(image.pixels.begin() + static_cast<std::ptrdiff_t>(3 * k), 3, std::uint8_t{255});
    pixels->insert(pixels->end(), image.pixels.begin(), image.pixels.end());
    pixels->insert(pixels->end(), labels.begin(), labels.end());
    out.views.push_back({.name = file.stem().string(), .camera = cameras[i], .x = 0, .y = 0, .width = size, .height = size, .colours = {}, .labels = {}});
  }
  std::size_t offset = 0;
  for (SceneView& view : out.views) {
    const std::size_t area = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
    view.colours = std::span<const std::uint8_t>(*pixels).subspan(offset, 3 * area);
    view.labels = std::span<const std::uint8_t>(*pixels).subspan(offset + 3 * area, area);
    offset += 4 * area;
  }
  out.pixels = std::move(pixels);
  return out;
}

}  // namespace layeravatar::data
