// What the commands of this library share; not for others.
#pragma once
#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/produce/commands.h"
#include "layeravatar/produce/studio.h"

namespace layeravatar::produce {

/// Throws Error(kConfig): "views = 400, must be in 0..360".
void require_range(const char* name, int value, int low, int high);
/// Throws Error(kConfig): "fps = 0, must be in (0, 240]".
void require_fps(double fps);
/// `wanted`, or the pack's size for 0.
int image_size(const Studio& studio, int wanted);
/// An avatar, or a code of the release, in the planes' size of the pack.
avatar::Avatar read_any_avatar(const Studio& studio, const std::filesystem::path& file);
/// Bytes [H, W, channels] as a picture.
io::Image image_of(const torch::Tensor& bytes);
std::vector<geometry::Camera> read_cameras(const std::filesystem::path& file, int size);

/// The camera of each picture of a film: "front", "turn" around the person, or those of a cam_param .json in turns.
class FilmCameras {
 public:
  /// Empty: `azimuth` degrees from the front, where "turn" begins as well. Throws Error(kConfig) for any other text.
  FilmCameras(const std::string& camera, int azimuth, int size);
  [[nodiscard]] const geometry::Camera& at(std::size_t frame) const { return cameras_[(first_ + (moves_ ? frame : 0)) % cameras_.size()]; }

  /// Of "front": from the person's left by a little, which shows more of the shape.
  static constexpr int kFront = 20;

 private:
  std::vector<geometry::Camera> cameras_;
  std::size_t first_ = 0;
  bool moves_ = true;
};

}  // namespace layeravatar::produce
