#include "layeravatar/prepare/fuse_labels.h"

#include <fmt/format.h>

#include <algorithm>

#include "layeravatar/core/error.h"
#include "layeravatar/geometry/rasterize.h"

namespace layeravatar::prepare {
namespace {

using Point = std::array<float, 3>;
using Triangle = std::array<std::int32_t, 3>;

// Vertices in the same place are one, so that votes cross the seams of the texture.
std::vector<Triangle> welded(std::span<const Point> vertices, std::span<const Triangle> triangles) {
  std::vector<std::int32_t> order(vertices.size()), head(vertices.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
  const auto at = [&](std::int32_t i) -> const Point& { return vertices[static_cast<std::size_t>(i)]; };
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return at(a) != at(b) ? at(a) < at(b) : a < b; });
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool same = i > 0 && at(order[i]) == at(order[i - 1]);
    head[static_cast<std::size_t>(order[i])] = same ? head[static_cast<std::size_t>(order[i - 1])] : order[i];
  }
  std::vector<Triangle> out(triangles.begin(), triangles.end());
  for (Triangle& t : out)
    for (auto& corner : t) {
      LAV_CHECK(corner >= 0 && static_cast<std::size_t>(corner) < vertices.size(), "triangle index out of range");
      corner = head[static_cast<std::size_t>(corner)];
    }
  return out;
}

std::vector<std::vector<std::int32_t>> neighbours(std::size_t vertices, std::span<const Triangle> triangles) {
  std::vector<std::vector<std::int32_t>> out(vertices);
  for (const Triangle& t : triangles)
    for (std::size_t k = 0; k < 3; ++k) {
      const auto a = t[k], b = t[(k + 1) % 3];
      if (a == b) continue;
      out[static_cast<std::size_t>(a)].push_back(b);
      out[static_cast<std::size_t>(b)].push_back(a);
    }
  for (auto& list : out) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  }
  return out;
}

using Votes = std::vector<std::array<float, 5>>;

geometry::Visibility visible(const Surface& surface, const geometry::Camera& camera) {
  if (!surface.hole) return geometry::rasterize(surface.vertices, surface.triangles, camera);
  return geometry::rasterize(surface.vertices, surface.triangles, camera, surface.hole);
}

float sum(const std::array<float, 5>& votes) { return votes[0] + votes[1] + votes[2] + votes[3] + votes[4]; }

void normalise(std::array<float, 5>& votes) {
  const float all = sum(votes);
  if (all > 0)
    for (float& v : votes) v /= all;
}

// Per vertex, of the labels 1..5: each pixel gives its label to the corners of the triangle that it sees by their barycentric weights, so
// that a view counts by the pixels in which it shows a place. Normalised to a sum of 1; zeros where nobody voted.
Votes vote(const Surface& surface, std::span<const Triangle> triangles, std::span<const LabelledView> views) {
  std::vector<std::array<double, 5>> sums(surface.vertices.size());
  for (const LabelledView& view : views) {
    if (view.labels.size() != static_cast<std::size_t>(view.camera.width) * static_cast<std::size_t>(view.camera.height))
      throw Error(ErrorKind::kInput, fmt::format("{} labels for a picture of {}x{}", view.labels.size(), view.camera.width, view.camera.height));
    const auto seen = visible(surface, view.camera);
    for (std::size_t i = 0; i < view.labels.size(); ++i) {
      const std::int32_t t = seen.triangle[i];
      const std::uint8_t label = view.labels[i];
      if (t < 0 || label < 1 || label > 5) continue;
      for (std::size_t k = 0; k < 3; ++k)
        sums[static_cast<std::size_t>(triangles[static_cast<std::size_t>(t)][k])][label - 1U] += static_cast<double>(seen.barycentric[i][k]);
    }
  }
  Votes out(sums.size());
  for (std::size_t v = 0; v < out.size(); ++v) {
    for (std::size_t l = 0; l < 5; ++l) out[v][l] = static_cast<float>(sums[v][l]);
    normalise(out[v]);
  }
  return out;
}

}  // namespace

void FuseOptions::check() const {
  if (smoothing < 0 || smoothing > 1000) throw Error(ErrorKind::kConfig, fmt::format("smoothing = {}, must be 0..1000", smoothing));
  if (fill < 0 || fill > 10000) throw Error(ErrorKind::kConfig, fmt::format("fill = {}, must be 0..10000", fill));
  if (!(keep >= 0 && keep <= 1)) throw Error(ErrorKind::kConfig, fmt::format("keep = {}, must be 0..1", keep));
}

std::vector<std::vector<std::uint8_t>> fuse_labels(const Surface& surface, std::span<const LabelledView> views, const FuseOptions& options) {
  options.check();
  const std::vector<Triangle> triangles = welded(surface.vertices, surface.triangles);
  Votes votes = vote(surface, triangles, views);
  const auto near = neighbours(votes.size(), triangles);
  const auto mean_of = [&](const Votes& from, std::size_t v) {
    std::array<float, 5> out{};
    for (const auto n : near[v])
      for (std::size_t l = 0; l < 5; ++l) out[l] += from[static_cast<std::size_t>(n)][l];
    normalise(out);
    return out;
  };
  for (int round = 0; round < options.fill; ++round) {
    const Votes before = votes;
    bool any = false;
    for (std::size_t v = 0; v < votes.size(); ++v)
      if (sum(before[v]) == 0) {
        votes[v] = mean_of(before, v);
        any = any || sum(votes[v]) > 0;
      }
    if (!any) break;
  }
  for (int round = 0; round < options.smoothing; ++round) {
    const Votes before = votes;
    for (std::size_t v = 0; v < votes.size(); ++v) {
      const auto mean = mean_of(before, v);
      for (std::size_t l = 0; l < 5; ++l) votes[v][l] += mean[l];
      normalise(votes[v]);
    }
  }
  std::vector<std::vector<std::uint8_t>> out(views.size());
  const auto count = static_cast<std::int64_t>(views.size());
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < count; ++i) {
    const LabelledView& view = views[static_cast<std::size_t>(i)];
    const auto seen = visible(surface, view.camera);
    auto& labels = out[static_cast<std::size_t>(i)];
    labels.assign(view.labels.size(), 0);
    for (std::size_t p = 0; p < labels.size(); ++p) {
      if (seen.triangle[p] < 0) continue;
      std::array<float, 5> score{};
      const Triangle& corners = triangles[static_cast<std::size_t>(seen.triangle[p])];
      for (std::size_t k = 0; k < 3; ++k)
        for (std::size_t l = 0; l < 5; ++l) score[l] += (1 - options.keep) * seen.barycentric[p][k] * votes[static_cast<std::size_t>(corners[k])][l];
      if (view.labels[p] > 0) score[view.labels[p] - 1U] += options.keep;
      const auto best = std::max_element(score.begin(), score.end());
      if (*best > 0) labels[p] = static_cast<std::uint8_t>(best - score.begin() + 1);
    }
  }
  return out;
}

}  // namespace layeravatar::prepare
