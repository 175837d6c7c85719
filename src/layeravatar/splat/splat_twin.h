// The splatter's slow twin for tests: one output at a time, in double, straight from spec/body_and_data.md sections
// 8, 9.
#pragma once
#include <torch/types.h>

#include <array>
#include <cstdint>
#include <vector>

#include "layeravatar/geometry/camera.h"
#include "layeravatar/splat/gaussians.h"
#include "layeravatar/splat/render.h"

namespace layeravatar::splat::twin {

using Doubles = std::vector<double>;

struct Scene {
  Doubles means, covariances, colours, opacities;  // [n, 3], [n, 6], [n, 3], [n]
  std::vector<std::size_t> ids;                    // [n] of the whole set
  geometry::Camera camera;
  std::array<double, 3> background{1, 1, 1};
};

struct Images {
  Doubles colour, alpha, depth;  // [3, H, W], [H, W], [H, W]
};

struct Gradients {
  Doubles means, covariances, colours, opacities;
  Doubles screen;  // [n, 2] with respect to the projected means, in pixels
};

/// The Gaussians above the opacity 0.05 of one component, or of all (-1); `opaque` sets every opacity to 1.
Scene scene_of(const Gaussians& gaussians, const geometry::Camera& camera, int component, bool opaque);

Images draw(const Scene& scene);

/// 3 sigma of each Gaussian on the screen, rounded up to whole pixels; 0 where no tile is touched.
std::vector<int> radii(const Scene& scene);

/// How near one pixel is to another picture: the least relative distance of an alpha from the cut at 1/255, and of the depths of two
/// neighbours in the order of blending.
struct Margins {
  double cut = 1, order = 1;
};
Margins margins(const Scene& scene, int x, int y);

/// In the reference's convention, for the gradients of the images; an empty vector is zero.
Gradients gradients(const Scene& scene, const Images& by_images);

Doubles doubles(const torch::Tensor& tensor);

/// Largest absolute difference.
double difference(const torch::Tensor& got, const Doubles& want);

/// A camera of the turntable, close to a small scene around the origin.
geometry::Camera small_camera(int size);

/// Thin and round Gaussians of all components and none; opacities from below the filter to 1.
Gaussians random_scene(std::int64_t count, std::uint64_t seed, double sigma = 0.012);

/// Asks for the gradients of all four float tensors.
void track(Gaussians& gaussians);

/// Random gradients of the six differentiable outputs (full, alpha, depth, components, component alphas, inner).
std::vector<torch::Tensor> random_gradients(const RenderOutputs& outputs, std::uint64_t seed);

/// The sum over all seven separate passes of their gradients, for `random_gradients`.
Gradients all_gradients(const Gaussians& gaussians, const geometry::Camera& camera,
                        const std::vector<torch::Tensor>& by);

/// The differentiable outputs in the order of `random_gradients`.
std::vector<torch::Tensor> differentiable(const RenderOutputs& outputs);

}  // namespace layeravatar::splat::twin
