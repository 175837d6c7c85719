#include "layeravatar/data/make_people.h"

#include <fmt/format.h>

#include <algorithm>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/data/loader.h"
#include "layeravatar/data/scene_files.h"
#include "layeravatar/io/label_colours.h"
#include "layeravatar/people/person_attributes.h"
#include "layeravatar/people/pose_library.h"

namespace layeravatar::data {
namespace {

constexpr int kSheetSupersample = 3;

people::DressedPerson person_of(people::Wardrobe& wardrobe, std::uint64_t seed,
                                const std::vector<body::PoseParams>& poses) {
  return wardrobe.dress(people::sample_look(seed, wardrobe.package()),
                        poses.empty() ? people::sample_pose(seed) : people::sample_upright_pose(seed, poses));
}

std::string scene_name(std::uint64_t seed) { return fmt::format("{:07}", seed); }

// What is known of these people, beside what the file says of others.
void add_attributes(const people::Wardrobe& wardrobe, const std::filesystem::path& file, const MakePeopleOptions& options) {
  auto all = std::filesystem::exists(file) ? io::parse_attributes(read_file(file), file.string()) : std::map<std::string, io::Attributes>();
  for (int i = 0; i < options.count; ++i) {
    const std::uint64_t seed = options.seed + static_cast<std::uint64_t>(i);
    all[scene_name(seed)] = people::attributes_of(people::sample_look(seed, wardrobe.package()));
  }
  write_file(file, io::format_attributes(all));
}

void check(const MakePeopleOptions& options) {
  if (options.count < 1) throw Error(ErrorKind::kConfig, fmt::format("count = {}, must be > 0", options.count));
  if (options.image_size < 64 || options.image_size > 4096)
    throw Error(ErrorKind::kConfig, fmt::format("image size = {}, must be in 64..4096", options.image_size));
  if (options.supersample < 1 || options.supersample > 8)
    throw Error(ErrorKind::kConfig, fmt::format("supersample = {}, must be in 1..8", options.supersample));
}

// Cells of three square pictures above each other; the sides, where nobody stands, are cut away.
class Sheet {
 public:
  Sheet(int people, int size, int columns) : size_(size), cell_(size * 3 / 4), columns_(std::min(people, columns)) {
    if (people < 1 || columns < 1 || size < 16)
      throw Error(ErrorKind::kConfig, "a sheet needs at least one person, one column and 16 pixels");
    const int rows = (people + columns_ - 1) / columns_;
    image_ = {columns_ * cell_, rows * 3 * size, 3, {}};
    image_.pixels.assign(3 * static_cast<std::size_t>(image_.width) * static_cast<std::size_t>(image_.height), 255);
  }
  /// `colour(x, y)` of picture 0 (front), 1 (back) or 2 (labels) of a person.
  template <class Colour>
  void draw(int person, int picture, Colour colour) {
    const int left = person % columns_ * cell_, top = (person / columns_ * 3 + picture) * size_,
              side = (size_ - cell_) / 2;
    for (int y = 0; y < size_; ++y)
      for (int x = 0; x < cell_; ++x) {
        const auto rgb = colour(x + side, y);
        std::copy(rgb.begin(), rgb.end(),
                  image_.pixels.begin() + 3 * (static_cast<std::ptrdiff_t>(top + y) * image_.width + left + x));
      }
  }
  [[nodiscard]] io::Image take() { return std::move(image_); }

 private:
  int size_, cell_, columns_;
  io::Image image_;
};

std::array<std::uint8_t, 3> pixel(const std::uint8_t* pixels, int channels, std::size_t at) {
  const std::uint8_t* c = pixels + static_cast<std::size_t>(channels) * at;
  return {c[0], c[1], c[2]};
}

std::int64_t view_named(const Dataset& dataset, const std::string& name) {
  const auto& views = dataset.scenes().front().views;
  const auto it = std::find_if(views.begin(), views.end(), [&](const SceneView& v) { return v.name == name; });
  if (it == views.end()) throw Error(ErrorKind::kConfig, fmt::format("view '{}': no such view", name));
  return it - views.begin();
}

}  // namespace

std::array<std::uint8_t, 3> label_colour(int label) {
  return io::kLabelColours[static_cast<std::size_t>(std::clamp(label, 0, 5))];
}

void make_people(people::Wardrobe& wardrobe, const std::filesystem::path& out, const MakePeopleOptions& options,
                 const std::function<void(int, int)>& progress) {
  check(options);
  make_folder(out);
  add_attributes(wardrobe, out / kAttributesFile, options);
  const auto cameras = geometry::training_cameras(options.image_size);
  for (int i = 0; i < options.count; ++i) {
    const std::uint64_t seed = options.seed + static_cast<std::uint64_t>(i);
    const auto folder = out / scene_name(seed);
    if (!scene_is_complete(folder, options.image_size)) {
      const people::DressedPerson person = person_of(wardrobe, seed, options.poses);
      const PersonRenderer renderer(person.mesh);
      std::vector<RenderedView> views(cameras.size());
      const auto count = static_cast<std::int64_t>(cameras.size());
#pragma omp parallel for schedule(dynamic, 1)
      for (std::int64_t v = 0; v < count; ++v)
        views[static_cast<std::size_t>(v)] =
            renderer.view(cameras[static_cast<std::size_t>(v)].camera, options.supersample);
      write_scene(folder, cameras, views, person.params);
    }
    if (progress) progress(i + 1, options.count);
  }
}

io::Image people_sheet(people::Wardrobe& wardrobe, std::uint64_t seed, int count, int size, int columns,
                       const std::vector<body::PoseParams>& poses) {
  Sheet sheet(count, size, columns);
  const auto cameras = geometry::turntable_cameras(size, 2);
  for (int i = 0; i < count; ++i) {
    const auto person = person_of(wardrobe, seed + static_cast<std::uint64_t>(i), poses);
    const PersonRenderer renderer(person.mesh);
    for (int side = 0; side < 2; ++side) {
      const RenderedView view = renderer.view(cameras[static_cast<std::size_t>(side)], kSheetSupersample);
      const auto at = [&](int x, int y) { return static_cast<std::size_t>(y * size + x); };
      sheet.draw(i, side, [&](int x, int y) { return pixel(view.colour.pixels.data(), 4, at(x, y)); });
      if (side == 0) sheet.draw(i, 2, [&](int x, int y) { return label_colour(view.labels[at(x, y)]); });
    }
  }
  return sheet.take();
}

io::Image dataset_sheet(const Dataset& dataset, int count, int size, int columns) {
  const int people = std::min(count, static_cast<int>(dataset.scenes().size()));
  Sheet sheet(people, size, columns);
  const std::vector<std::int64_t> sides = {view_named(dataset, "000_001"), view_named(dataset, "180_001")};
  for (int i = 0; i < people; ++i) {
    const SceneViews views = load_views(dataset, i, sides, size);
    const auto at = [&](int side, int x, int y) { return static_cast<std::size_t>((side * size + y) * size + x); };
    for (int side = 0; side < 2; ++side)
      sheet.draw(i, side, [&](int x, int y) { return pixel(views.images.data(), 3, at(side, x, y)); });
    sheet.draw(i, 2, [&](int x, int y) { return label_colour(views.labels[at(0, x, y)]); });
  }
  return sheet.take();
}

}  // namespace layeravatar::data
