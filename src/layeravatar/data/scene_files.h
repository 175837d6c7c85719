// One scene in the release's training layout (spec/body_and_data.md sections 11.3 to 12):
//   <scene>/rgb/AAA_LLL.png  <scene>/seg/AAA_LLL_{0,1}.png  <scene>/pose/AAA_LLL.json  <scene>/smplx/smplx_param.npy
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/body/pose_params.h"
#include "layeravatar/data/render_person.h"

namespace layeravatar::data {

/// Writes the whole folder under a temporary name and renames it. The parameters are the 189-number vector as .npy.
void write_scene(const std::filesystem::path& folder, const std::vector<geometry::NamedCamera>& cameras,
                 const std::vector<RenderedView>& views, const body::PoseParams& params);

/// One view cut to its person; outside lies white, label 0.
struct SceneView {
  std::string name;                  // AAA_LLL
  geometry::Camera camera;
  int x = 0, y = 0, width = 0, height = 0;
  std::vector<std::uint8_t> colours; // [height, width, 3] RGB
  std::vector<std::uint8_t> labels;  // [height, width]
};

struct Scene {
  std::string name;
  body::PoseParams params;
  std::vector<SceneView> views;      // sorted by name
};

/// Throws Error(kInput) with the messages of section 15: missing parts, a picture of another size, mask values, cameras.
Scene read_scene(const std::filesystem::path& folder, int image_size);

/// A picture of `size` pixels (the data's size divided by a whole number): [3, size, size] in [0, 1] on white by box
/// filter, labels [size, size] of the first pixel of each box. Throws Error(kConfig) for any other size.
void expand_view(const SceneView& view, int size, float* colours, std::uint8_t* labels);

}  // namespace layeravatar::data
