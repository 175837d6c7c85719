#include "layeravatar/produce/interpolate.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <optional>

#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/produce/command_parts.h"
#include "layeravatar/produce/film.h"
#include "layeravatar/produce/release_files.h"
#include "layeravatar/produce/sampling.h"

namespace layeravatar::produce {
namespace {

namespace fs = std::filesystem;

std::optional<std::uint64_t> seed_of(const std::string& text) {
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return seed;
}

torch::Tensor weighed(const torch::Tensor& a, const torch::Tensor& b, double of_a, double of_b) {
  LAV_CHECK(a.sizes() == b.sizes(), "two tensors of one shape");
  if (of_b == 0 && of_a == 1) return a.clone();
  if (of_a == 0 && of_b == 1) return b.clone();
  return of_a * a + of_b * b;
}

using AvatarAt = std::function<avatar::Avatar(double alpha)>;

AvatarAt between_seeds(const Studio& studio, const InterpolateOptions& o, std::uint64_t from, std::uint64_t to, const SamplingOptions& sampling) {
  const torch::Tensor a = noise_of(studio, from), b = noise_of(studio, to);
  return [=, &studio, &o](double alpha) {
    const torch::Tensor noise = o.spherical ? along_arc(a, b, alpha) : between(a, b, alpha);
    return sample_from_noise(studio, noise.unsqueeze(0), {fmt::format("seed {} to {} at {}", from, to, alpha)}, sampling).at(0);
  };
}

AvatarAt between_avatars(const Studio& studio, const InterpolateOptions& o, const SamplingOptions& sampling) {
  const auto get = [&](const std::string& text) {
    const auto seed = seed_of(text);
    return seed ? sample_avatars(studio, {*seed}, sampling).at(0) : read_any_avatar(studio, text);
  };
  return [&o, from = get(o.from), to = get(o.to)](double alpha) {
    avatar::Avatar one;
    one.planes = o.spherical ? along_arc(from.planes, to.planes, alpha) : between(from.planes, to.planes, alpha);
    for (std::size_t k = 0; k < one.betas.size(); ++k)
      one.betas[k] = static_cast<float>((1 - alpha) * static_cast<double>(from.betas[k]) + alpha * static_cast<double>(to.betas[k]));
    return one;
  };
}

}  // namespace

std::vector<double> even_steps(int count) {
  LAV_CHECK(count >= 1, "at least one step");
  std::vector<double> out;
  for (int i = 0; i < count; ++i) out.push_back(count == 1 ? 0.0 : static_cast<double>(i) / (count - 1));
  return out;
}

torch::Tensor between(const torch::Tensor& a, const torch::Tensor& b, double alpha) { return weighed(a, b, 1 - alpha, alpha); }

torch::Tensor along_arc(const torch::Tensor& a, const torch::Tensor& b, double alpha) {
  LAV_CHECK(a.sizes() == b.sizes(), "two tensors of one shape");
  if (alpha == 0 || alpha == 1) return between(a, b, alpha);
  constexpr double kLeastSine = 1e-6;
  const torch::Tensor x = a.to(torch::kFloat64), y = b.to(torch::kFloat64);
  const double lengths = (x.norm() * y.norm()).item<double>();
  if (!(lengths > 0)) return between(a, b, alpha);
  const double angle = std::acos(std::clamp((x * y).sum().item<double>() / lengths, -1.0, 1.0));
  const double sine = std::sin(angle);
  if (sine < kLeastSine) return between(a, b, alpha);
  return weighed(a, b, std::sin((1 - alpha) * angle) / sine, std::sin(alpha * angle) / sine);
}

std::vector<fs::path> interpolate(const InterpolateOptions& o, const Say& say) {
  constexpr int kMostFrames = 10000, kCell = 256, kColumns = 10;
  require_range("frames", o.frames, 1, kMostFrames);
  require_fps(o.fps);
  const Studio studio = open_studio(o.model);
  set_precision(studio, o.precision);
  const int size = image_size(studio, o.size);
  const FilmCameras cameras(o.camera, 0, size), small(o.camera, 0, std::min(size, kCell));
  const SamplingOptions sampling = usual_sampling(studio, {.sampler = o.sampler, .spacing = o.spacing, .steps = o.steps, .order = o.order, .progress = {}});
  const auto from = seed_of(o.from), to = seed_of(o.to);
  const AvatarAt avatar_at = from && to ? between_seeds(studio, o, *from, *to, sampling) : between_avatars(studio, o, sampling);
  make_folder(o.output);
  std::vector<fs::path> written;
  ViewWriter views;
  Film film(o.output / "interpolation.mp4", size, size, o.fps, say);
  std::vector<io::Image> cells;
  const std::vector<double> alphas = even_steps(o.frames);
  const std::size_t every = (alphas.size() + kColumns - 1) / kColumns;
  for (std::size_t f = 0; f < alphas.size(); ++f) {
    const avatar::Avatar one = avatar_at(alphas[f]);
    const splat::Gaussians posed = pose(studio, decode(studio, one.planes), one.betas, body::default_viewing_pose());
    film.add(views.add(o.output / fmt::format("frame_{:05}", f), [posed] { return posed; }, cameras.at(f), ViewFiles::kPicture, false));
    if (f % every == 0 || f + 1 == alphas.size()) cells.push_back(picture(render_view(posed, small.at(f), false).full));
  }
  written.push_back(o.output / "frame_00000.png");
  written.push_back(o.output / "strip.png");
  io::write_png(written.back(), tile(cells, static_cast<int>(cells.size())), 6);
  views.finish();
  film.commit(written);
  return written;
}

}  // namespace layeravatar::produce
