#include "layeravatar/splat/splat_twin.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

namespace layeravatar::splat::twin {
namespace {

using Matrix = std::array<std::array<double, 3>, 3>;

struct Splat {
  double q[3];                       // camera space
  double tx, ty;                     // limited
  bool x_limited, y_limited;
  double m[2][3];
  double a, b, c;                    // dilated covariance
  double x, y;                       // pixels
  double conic_a, conic_b, conic_c;
  int radius;
  int x0, x1, y0, y1;                // pixels of the reference's tiles
  std::size_t at;                    // in the scene
};

Matrix symmetric(const double* v) { return {{{v[0], v[1], v[2]}, {v[1], v[3], v[4]}, {v[2], v[4], v[5]}}}; }

std::vector<Splat> project(const Scene& s) {
  const int w = s.camera.width, h = s.camera.height;
  const auto& view = s.camera.camera_from_world;
  const double f = s.camera.focal;
  std::vector<Splat> list;
  for (std::size_t i = 0; i < s.opacities.size(); ++i) {
    Splat p{};
    p.at = i;
    for (std::size_t r = 0; r < 3; ++r)
      p.q[r] = view[4 * r] * s.means[3 * i] + view[4 * r + 1] * s.means[3 * i + 1] +
               view[4 * r + 2] * s.means[3 * i + 2] + view[4 * r + 3];
    const double z = p.q[2];
    if (z <= 0.2) continue;
    const double limit_x = 1.3 * w / (2 * f), limit_y = 1.3 * h / (2 * f);
    p.x_limited = std::abs(p.q[0] / z) > limit_x, p.y_limited = std::abs(p.q[1] / z) > limit_y;
    p.tx = std::clamp(p.q[0] / z, -limit_x, limit_x) * z, p.ty = std::clamp(p.q[1] / z, -limit_y, limit_y) * z;
    for (std::size_t k = 0; k < 3; ++k) {
      p.m[0][k] = f / z * view[k] - f * p.tx / (z * z) * view[8 + k];
      p.m[1][k] = f / z * view[4 + k] - f * p.ty / (z * z) * view[8 + k];
    }
    const Matrix sigma = symmetric(s.covariances.data() + 6 * i);
    double flat[2][2] = {};
    for (std::size_t r = 0; r < 2; ++r)
      for (std::size_t c = 0; c < 2; ++c)
        for (std::size_t j = 0; j < 3; ++j)
          for (std::size_t k = 0; k < 3; ++k) flat[r][c] += p.m[r][j] * sigma[j][k] * p.m[c][k];
    p.a = flat[0][0] + 0.3, p.b = flat[0][1], p.c = flat[1][1] + 0.3;
    const double det = p.a * p.c - p.b * p.b, mid = (p.a + p.c) / 2;
    p.conic_a = p.c / det, p.conic_b = -p.b / det, p.conic_c = p.a / det;
    const double radius = std::ceil(3 * std::sqrt(mid + std::sqrt(std::max(0.1, mid * mid - det))));
    p.x = f * p.q[0] / (z + 1e-7) + (w - 1) / 2.0, p.y = f * p.q[1] / (z + 1e-7) + (h - 1) / 2.0;
    const auto tile = [](double v, int size) { return 16 * std::clamp(static_cast<int>(v / 16), 0, (size + 15) / 16); };
    p.radius = static_cast<int>(radius);
    p.x0 = tile(p.x - radius, w), p.x1 = tile(p.x + radius + 15, w);
    p.y0 = tile(p.y - radius, h), p.y1 = tile(p.y + radius + 15, h);
    list.push_back(p);
  }
  std::stable_sort(list.begin(), list.end(), [](const Splat& l, const Splat& r) {
    return static_cast<float>(l.q[2]) < static_cast<float>(r.q[2]);
  });
  return list;
}

struct Hit {
  const Splat* splat;
  double dx, dy, gaussian, alpha, t;  // t before the splat
};

// What is added at one pixel, and the transmittance behind it.
std::vector<Hit> hits_at(const Scene& s, const std::vector<Splat>& list, int x, int y, double& t, Margins* found = nullptr) {
  std::vector<Hit> hits;
  t = 1;
  for (const Splat& p : list) {
    if (x < p.x0 || x >= p.x1 || y < p.y0 || y >= p.y1) continue;
    const double dx = p.x - x, dy = p.y - y;
    const double e = -0.5 * (p.conic_a * dx * dx + p.conic_c * dy * dy) - p.conic_b * dx * dy;
    const double alpha = std::min(0.99, s.opacities[p.at] * std::exp(e));
    if (found != nullptr && e <= 0) found->cut = std::min(found->cut, std::abs(255 * alpha - 1));
    if (e > 0 || alpha < 1.0 / 255) continue;
    if (t * (1 - alpha) < 1e-4) break;
    if (found != nullptr && !hits.empty()) found->order = std::min(found->order, std::abs(p.q[2] / hits.back().splat->q[2] - 1));
    hits.push_back({&p, dx, dy, std::exp(e), alpha, t});
    t *= 1 - alpha;
  }
  return hits;
}

// Gradients with respect to what one splat looks like on the screen.
struct ScreenGradient {
  double x = 0, y = 0, conic_a = 0, conic_b = 0, conic_c = 0, opacity = 0, depth = 0;
  double colour[3] = {};
};

// Section 9.2, for one Gaussian.
void to_world(const Scene& s, const Splat& p, const ScreenGradient& g, Gradients& out) {
  const double a = p.a, b = p.b, c = p.c, det = a * c - b * b, k2 = 1 / (det * det + 1e-7);
  const double la = k2 * (-c * c * g.conic_a + 2 * b * c * g.conic_b + (det - a * c) * g.conic_c);
  const double lc = k2 * (-a * a * g.conic_c + 2 * a * b * g.conic_b + (det - a * c) * g.conic_a);
  const double lb = 2 * k2 * (b * c * g.conic_a - (det + 2 * b * b) * g.conic_b + a * b * g.conic_c);
  std::size_t entry = 6 * p.at;
  for (std::size_t k = 0; k < 3; ++k)
    for (std::size_t l = k; l < 3; ++l) {
      const double once = p.m[0][k] * p.m[0][l] * la + p.m[1][k] * p.m[1][l] * lc;
      out.covariances[entry++] += k == l ? once + p.m[0][k] * p.m[1][k] * lb
                                         : 2 * once + (p.m[0][k] * p.m[1][l] + p.m[0][l] * p.m[1][k]) * lb;
    }
  const Matrix sigma = symmetric(s.covariances.data() + 6 * p.at);
  double u0[3], u1[3];
  for (std::size_t k = 0; k < 3; ++k) {
    double s0 = 0, s1 = 0;
    for (std::size_t j = 0; j < 3; ++j) s0 += p.m[0][j] * sigma[j][k], s1 += p.m[1][j] * sigma[j][k];
    u0[k] = 2 * s0 * la + s1 * lb, u1[k] = 2 * s1 * lc + s0 * lb;
  }
  const auto& view = s.camera.camera_from_world;
  const auto along = [&](const double* u, std::size_t row) {
    return u[0] * view[4 * row] + u[1] * view[4 * row + 1] + u[2] * view[4 * row + 2];
  };
  const double f = s.camera.focal, z = p.q[2], near = z + 1e-7;
  double q[3] = {p.x_limited ? 0 : -f / (z * z) * along(u0, 2), p.y_limited ? 0 : -f / (z * z) * along(u1, 2), 0};
  q[2] =
      -f / (z * z) * (along(u0, 0) + along(u1, 1)) + 2 * f / (z * z * z) * (p.tx * along(u0, 2) + p.ty * along(u1, 2));
  q[0] += g.x * f / near;
  q[1] += g.y * f / near;
  q[2] += g.depth - f / (near * near) * (g.x * p.q[0] + g.y * p.q[1]);
  for (std::size_t k = 0; k < 3; ++k) {
    out.means[3 * p.at + k] += view[k] * q[0] + view[4 + k] * q[1] + view[8 + k] * q[2];
    out.colours[3 * p.at + k] += g.colour[k];
  }
  out.opacities[p.at] += g.opacity;
  out.screen[2 * p.at] += g.x, out.screen[2 * p.at + 1] += g.y;
}

}  // namespace

Images draw(const Scene& s) {
  const std::vector<Splat> list = project(s);
  const int w = s.camera.width, h = s.camera.height;
  const auto pixels = static_cast<std::size_t>(w * h);
  Images out{Doubles(3 * pixels), Doubles(pixels), Doubles(pixels)};
  for (int y = 0; y < h; ++y)
    for (int x = 0; x < w; ++x) {
      const auto at = static_cast<std::size_t>(y * w + x);
      double t = 1;
      for (const Hit& hit : hits_at(s, list, x, y, t)) {
        for (std::size_t k = 0; k < 3; ++k)
          out.colour[k * pixels + at] += s.colours[3 * hit.splat->at + k] * hit.alpha * hit.t;
        out.alpha[at] += hit.alpha * hit.t;
        out.depth[at] += hit.splat->q[2] * hit.alpha * hit.t;
      }
      for (std::size_t k = 0; k < 3; ++k) out.colour[k * pixels + at] += t * s.background[k];
    }
  return out;
}

std::vector<int> radii(const Scene& s) {
  std::vector<int> out(s.opacities.size());
  for (const Splat& p : project(s))
    if (p.x0 < p.x1 && p.y0 < p.y1) out[p.at] = p.radius;
  return out;
}

Margins margins(const Scene& s, int x, int y) {
  Margins out;
  double t = 1;
  hits_at(s, project(s), x, y, t, &out);
  return out;
}

Gradients gradients(const Scene& s, const Images& by) {
  const std::vector<Splat> list = project(s);
  std::vector<ScreenGradient> screen(s.opacities.size());
  const int w = s.camera.width, h = s.camera.height;
  const auto pixels = static_cast<std::size_t>(w * h);
  const auto value = [](const Doubles& v, std::size_t at) { return v.empty() ? 0.0 : v[at]; };
  for (int y = 0; y < h; ++y)
    for (int x = 0; x < w; ++x) {
      const auto at = static_cast<std::size_t>(y * w + x);
      const double g_alpha = value(by.alpha, at), g_depth = value(by.depth, at);
      double g_colour[3], behind_colour[3] = {}, behind_depth = 0, behind_alpha = 0, t_end = 1;
      for (std::size_t k = 0; k < 3; ++k) g_colour[k] = value(by.colour, k * pixels + at);
      std::vector<Hit> hits = hits_at(s, list, x, y, t_end);
      std::reverse(hits.begin(), hits.end());
      for (const Hit& hit : hits) {
        const Splat& p = *hit.splat;
        ScreenGradient& g = screen[p.at];
        double by_alpha = (p.q[2] - behind_depth) * g_depth + (1 - behind_alpha) * g_alpha;
        double by_background = 0;
        for (std::size_t k = 0; k < 3; ++k) {
          const double colour = s.colours[3 * p.at + k];
          by_alpha += (colour - behind_colour[k]) * g_colour[k];
          by_background += s.background[k] * g_colour[k];
          g.colour[k] += hit.alpha * hit.t * g_colour[k];
          behind_colour[k] = hit.alpha * colour + (1 - hit.alpha) * behind_colour[k];
        }
        behind_depth = hit.alpha * p.q[2] + (1 - hit.alpha) * behind_depth;
        behind_alpha = hit.alpha + (1 - hit.alpha) * behind_alpha;
        by_alpha = hit.t * by_alpha - t_end / (1 - hit.alpha) * by_background;
        g.depth += hit.alpha * hit.t * g_depth;
        g.opacity += hit.gaussian * by_alpha;  // the limit of 0.99 is ignored
        const double v = hit.gaussian * s.opacities[p.at] * by_alpha;
        g.x -= v * (p.conic_a * hit.dx + p.conic_b * hit.dy);
        g.y -= v * (p.conic_c * hit.dy + p.conic_b * hit.dx);
        g.conic_a -= 0.5 * v * hit.dx * hit.dx;
        g.conic_b -= 0.5 * v * hit.dx * hit.dy;
        g.conic_c -= 0.5 * v * hit.dy * hit.dy;
      }
    }
  const std::size_t n = s.opacities.size();
  Gradients out{Doubles(3 * n), Doubles(6 * n), Doubles(3 * n), Doubles(n), Doubles(2 * n)};
  for (const Splat& p : list) to_world(s, p, screen[p.at], out);
  return out;
}

Doubles doubles(const torch::Tensor& t) {
  const torch::Tensor d = t.detach().to(torch::kFloat64).contiguous();
  return {d.data_ptr<double>(), d.data_ptr<double>() + d.numel()};
}

double difference(const torch::Tensor& got, const Doubles& want) {
  const Doubles g = doubles(got);
  if (g.size() != want.size()) return INFINITY;
  double worst = 0;
  for (std::size_t i = 0; i < g.size(); ++i) worst = std::max(worst, std::abs(g[i] - want[i]));
  return worst;
}

geometry::Camera small_camera(int size) {
  geometry::Camera camera = geometry::turntable_cameras(size)[2];
  camera.focal *= 6;
  return camera;
}

Gaussians random_scene(std::int64_t n, std::uint64_t seed, double sigma) {
  torch::manual_seed(seed);
  Gaussians g;
  g.means = 0.1 * torch::randn({n, 3});
  const torch::Tensor l = sigma * torch::randn({n, 3, 3});
  const torch::Tensor rows = l.matmul(l.transpose(1, 2)).reshape({n, 9});
  g.covariances = rows.index_select(1, torch::tensor({0, 1, 2, 4, 5, 8})).contiguous();
  g.colours = torch::rand({n, 3});
  g.opacities = torch::rand({n});
  g.components = torch::randint(0, 6, {n}).to(torch::kUInt8);
  g.components.masked_fill_(g.components == 5, 255);
  return g;
}

void track(Gaussians& g) {
  for (torch::Tensor* t : {&g.means, &g.covariances, &g.colours, &g.opacities}) t->requires_grad_(true);
}

Scene scene_of(const Gaussians& g, const geometry::Camera& camera, int component, bool opaque) {
  torch::Tensor keep = g.opacities.detach() > 0.05F;
  if (component >= 0) keep = keep & (g.components == component);
  const torch::Tensor rows = keep.nonzero().squeeze(1);
  Scene s;
  s.means = doubles(g.means.index_select(0, rows));
  s.covariances = doubles(g.covariances.index_select(0, rows));
  s.colours = doubles(g.colours.index_select(0, rows));
  s.opacities = doubles(g.opacities.index_select(0, rows));
  for (std::int64_t i = 0; i < rows.size(0); ++i)
    s.ids.push_back(static_cast<std::size_t>(rows[i].item<std::int64_t>()));
  s.camera = camera;
  if (opaque) std::fill(s.opacities.begin(), s.opacities.end(), 1.0);
  return s;
}

std::vector<torch::Tensor> differentiable(const RenderOutputs& o) {
  return {o.full, o.alpha, o.depth, o.components, o.component_alphas, o.inner_alpha};
}

std::vector<torch::Tensor> random_gradients(const RenderOutputs& outputs, std::uint64_t seed) {
  torch::manual_seed(seed);
  std::vector<torch::Tensor> out;
  for (const torch::Tensor& t : differentiable(outputs)) out.push_back(torch::randn(t.sizes()));
  return out;
}

Gradients all_gradients(const Gaussians& g, const geometry::Camera& camera, const std::vector<torch::Tensor>& by) {
  const auto n = static_cast<std::size_t>(g.means.size(0));
  Gradients sum{Doubles(3 * n), Doubles(6 * n), Doubles(3 * n), Doubles(n), {}};
  const auto add = [&](int component, bool opaque, const Images& images) {
    const Scene scene = scene_of(g, camera, component, opaque);
    const Gradients part = gradients(scene, images);
    for (std::size_t i = 0; i < scene.ids.size(); ++i) {
      for (std::size_t k = 0; k < 3; ++k) sum.means[3 * scene.ids[i] + k] += part.means[3 * i + k];
      for (std::size_t k = 0; k < 6; ++k) sum.covariances[6 * scene.ids[i] + k] += part.covariances[6 * i + k];
      if (opaque) continue;  // neither colour nor opacity of the inner body is the Gaussian's
      for (std::size_t k = 0; k < 3; ++k) sum.colours[3 * scene.ids[i] + k] += part.colours[3 * i + k];
      sum.opacities[scene.ids[i]] += part.opacities[i];
    }
  };
  add(-1, false, {doubles(by[0]), doubles(by[1]), doubles(by[2])});
  for (int c = 0; c < 5; ++c) add(c, false, {doubles(by[3][c]), doubles(by[4][c]), {}});
  add(0, true, {{}, doubles(by[5]), {}});
  return sum;
}

}  // namespace layeravatar::splat::twin
