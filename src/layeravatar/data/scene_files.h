// One scene in the release's training layout (spec/body_and_data.md sections 11.3 to 12):
//   <scene>/rgb/AAA_LLL.png  <scene>/seg/AAA_LLL_{0,1}.png  <scene>/pose/AAA_LLL.json  <scene>/smplx/smplx_param.npy
// (or the release's smplx_param.pkl) and manifest.json, which only our writer adds: the picture size, the number of views, each file's size and SHA-1.
#pragma once
#include <array>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "layeravatar/body/pose_params.h"
#include "layeravatar/data/render_person.h"

namespace layeravatar::data {

/// Writes the whole folder as <scene>.partial and renames it; what an interrupted run left there is replaced. The
/// parameters are the 189-number vector as .npy, the masks 0/1 in the release's channel order (trap 2).
/// Throws Error(kOutput) when something cannot be written or the scene exists; nothing is left behind.
void write_scene(const std::filesystem::path& folder, const std::vector<geometry::NamedCamera>& cameras,
                 const std::vector<RenderedView>& views, const body::PoseParams& params);

/// The two mask files of a label image [height, width] of 0..5 as the release packs them, 0 or 1 in the order B, G, R: body, top,
/// hair, and shoes, bottom, the label itself (section 11.4 step C). `level` is zlib's.
std::array<std::string, 2> format_masks(std::span<const std::uint8_t> labels, int width, int height, int level = 6);
/// The labels [size, size] of two such files. Throws Error(kInput) for other sizes, values and masks that contradict the label.
std::vector<std::uint8_t> read_masks(const std::filesystem::path& first, const std::filesystem::path& second, int image_size);

/// Whether the scene is there. Throws Error(kInput) naming the first file whose size is not the manifest's,
/// Error(kConfig) when the manifest names another picture size; a scene without manifest is not looked into.
bool scene_is_complete(const std::filesystem::path& folder, int image_size);

/// One view cut to its person; outside lies white, label 0. The pixels belong to the scene, or a copy of it.
struct SceneView {
  std::string name;  // AAA_LLL
  geometry::Camera camera;
  int x = 0, y = 0, width = 0, height = 0;  // the cut, pixels
  std::span<const std::uint8_t> colours;    // [height, width, 3] RGB
  std::span<const std::uint8_t> labels;     // [height, width]
};

struct Scene {
  std::string name;
  body::PoseParams params;
  std::vector<SceneView> views;        // sorted by name
  std::shared_ptr<const void> pixels;  // what the views' spans point into
};

/// Throws Error(kInput) with the messages of section 15: missing parts, a picture of another size, mask values and
/// masks that contradict the label, cameras, a vector of the wrong length.
Scene read_scene(const std::filesystem::path& folder, int image_size);

/// Its parameters alone.
body::PoseParams read_scene_params(const std::filesystem::path& folder);

/// A picture of `size` pixels (the data's size divided by a whole number): [3, size, size] in [0, 1] on white by box
/// filter, labels [size, size] of the first pixel of each box. Throws Error(kConfig) for any other size.
void expand_view(const SceneView& view, int size, float* colours, std::uint8_t* labels);

}  // namespace layeravatar::data
