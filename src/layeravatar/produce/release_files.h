// Pictures in the layout of the release's own (spec/model.md section 12.2), for programs that read them.
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>

#include "layeravatar/core/task_queue.h"
#include "layeravatar/io/png.h"
#include "layeravatar/splat/render.h"

namespace layeravatar::produce {

/// Full, body, top, hair, shoes, bottom side by side: [H, 6 W] RGBA, alpha 255, halves rounded to even.
io::Image release_panels(const splat::RenderOutputs& outputs);
/// Labels times 0.2 as the full image blends them on black, then the five alphas, [H, 6 W]: 8-bit grey, or in `false_colours` viridis
/// from the least to the largest of these 8-bit values, RGBA; a constant picture gets the lowest colour.
io::Image release_labels(const splat::RenderOutputs& outputs, bool false_colours);
/// Planes [12, h, 3h] as [3h, 6h]: a row per layer, a column per even channel, each square upside down, viridis from -2 to 2.
io::Image release_planes(const torch::Tensor& planes);

/// "scene_scene_0003": the release's prefix is doubled.
std::string release_name(int scene);

/// What is written of a view: its picture, or the release's panels, or these and its labels.
enum class ViewFiles { kPicture, kPanels, kPanelsAndLabels };

/// Draws views and writes them, each from its Gaussians to its files on one thread, several at a time.
class ViewWriter {
 public:
  /// There when the view is drawn; std::future_error where an earlier failure left it undrawn.
  using Picture = std::shared_future<std::shared_ptr<const io::Image>>;
  ViewWriter();
  /// `<stem>.png` and, for labels, `<stem>_seg.png`; the full picture comes back. `gaussians` is called by another thread. With `reference`,
  /// components without Gaussians are black as the release leaves them, not white, and labels have false colours. Throws what an earlier
  /// view failed with.
  Picture add(const std::filesystem::path& stem, std::function<splat::Gaussians()> gaussians, const geometry::Camera& camera, ViewFiles files, bool reference);
  /// Any other picture, made on one of these threads.
  void add(const std::filesystem::path& file, std::function<io::Image()> picture, int level);
  /// The same without a file.
  std::shared_future<io::Image> add(std::function<io::Image()> picture);
  /// Returns when every file is there.
  void finish() { queue_.finish(); }

 private:
  TaskQueue queue_;
};

}  // namespace layeravatar::produce
