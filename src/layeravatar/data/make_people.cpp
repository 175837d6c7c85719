#include "layeravatar/data/make_people.h"

#include <fmt/format.h>

#include <algorithm>

#include "layeravatar/core/error.h"
#include "layeravatar/data/scene_files.h"

namespace layeravatar::data {
namespace {

people::DressedPerson person_of(people::Wardrobe& wardrobe, std::uint64_t seed) {
  return wardrobe.dress(people::sample_look(seed, wardrobe.package()), people::sample_pose(seed));
}

}  // namespace

std::array<std::uint8_t, 3> label_colour(int label) {
  constexpr std::array<std::array<std::uint8_t, 3>, 6> kColours = {
      {{255, 255, 255}, {240, 190, 160}, {205, 60, 60}, {235, 200, 70}, {60, 90, 200}, {70, 165, 95}}};
  return kColours[static_cast<std::size_t>(std::clamp(label, 0, 5))];
}

void make_people(people::Wardrobe& wardrobe, const std::filesystem::path& out, const MakePeopleOptions& options,
                 const std::function<void(int, int)>& progress) {
  if (options.count < 1) throw Error(ErrorKind::kConfig, fmt::format("count = {}, must be > 0", options.count));
  if (options.image_size < 64 || options.image_size > 4096)
    throw Error(ErrorKind::kConfig, fmt::format("image size = {}, must be in 64..4096", options.image_size));
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (error) throw Error(ErrorKind::kOutput, fmt::format("{}: cannot make the folder: {}", out.string(), error.message()));
  const auto cameras = geometry::training_cameras(options.image_size);
  for (int i = 0; i < options.count; ++i) {
    const std::uint64_t seed = options.seed + static_cast<std::uint64_t>(i);
    const auto folder = out / fmt::format("{:07}", seed);
    if (!std::filesystem::exists(folder)) {
      const people::DressedPerson person = person_of(wardrobe, seed);
      std::vector<RenderedView> views(cameras.size());
      const auto count = static_cast<std::int64_t>(cameras.size());
#pragma omp parallel for schedule(dynamic, 1)
      for (std::int64_t v = 0; v < count; ++v)
        views[static_cast<std::size_t>(v)] = render_view(person.mesh, cameras[static_cast<std::size_t>(v)].camera, options.supersample);
      write_scene(folder, cameras, views, person.params);
    }
    if (progress) progress(i + 1, options.count);
  }
}

io::Image people_sheet(people::Wardrobe& wardrobe, std::uint64_t seed, int count, int size) {
  if (count < 1 || size < 16) throw Error(ErrorKind::kConfig, "a sheet needs at least one person and 16 pixels");
  io::Image out{count * size, 3 * size, 3, std::vector<std::uint8_t>(static_cast<std::size_t>(9 * count * size) * static_cast<std::size_t>(size), 255)};
  const auto cameras = geometry::turntable_cameras(size);
  for (int i = 0; i < count; ++i) {
    const people::DressedPerson person = person_of(wardrobe, seed + static_cast<std::uint64_t>(i));
    for (int row = 0; row < 3; ++row) {
      const RenderedView view = render_view(person.mesh, cameras[row == 1 ? 18 : 0], 3);
      for (int y = 0; y < size; ++y)
        for (int x = 0; x < size; ++x) {
          const auto from = static_cast<std::size_t>(y * size + x);
          const auto to = 3 * (static_cast<std::size_t>(row * size + y) * static_cast<std::size_t>(out.width) + static_cast<std::size_t>(i * size + x));
          const auto label = label_colour(view.labels[from]);
          for (std::size_t k = 0; k < 3; ++k) out.pixels[to + k] = row < 2 ? view.colour.pixels[4 * from + k] : label[k];
        }
    }
  }
  return out;
}

}  // namespace layeravatar::data
