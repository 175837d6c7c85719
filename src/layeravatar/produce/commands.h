// generate, animate, interpolate and transfer as library calls; headers without LibTorch, so that the program stays quick to build.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "layeravatar/body/pose_params.h"

namespace layeravatar::produce {

class Opening;
using Say = std::function<void(const std::string&)>;

struct GenerateOptions {
  std::filesystem::path model, output;
  std::shared_ptr<Opening> begun;  // of `model`; null: none
  int count = 4;
  std::uint64_t seed = 0;         // avatar i has seed + i
  std::string sampler;            // ddim, ddpm, dpmpp or unipc; empty: the pack's usual one
  std::string spacing;            // of its steps: uniform, logsnr or quadratic; empty: the sampler's usual one
  int steps = 0;                  // 0: the sampler's usual number, 50 of ddim with an official pack
  int order = 0;                  // of dpmpp and unipc; 0: the usual one
  double eta = 0;                  // noise of ddim's steps, 0..1
  std::string ddpm_variance = "large";  // or small
  std::string precision = "auto";  // of the denoiser: fp32, bf16, or auto (bf16 where the processor has it)
  std::filesystem::path noise;    // .npy [count, 12, h, 3h] instead of the seed
  int views = 36;                 // pictures around each avatar
  std::filesystem::path cameras;  // cam_param JSON: pictures from there instead
  std::string like;               // what is asked for, "top=shirt,hair-colour=black"; empty: nothing
  double guidance = 1;            // of that; above 1 goes farther that way, in two passes of the denoiser a step
  std::vector<std::string> keep;  // "FILE:component" each: components of avatars that all have, the rest is sampled to go with them
  std::vector<float> betas;       // body shape of all avatars, up to 10 numbers; empty: predicted from the planes, with `keep` those of the first one kept
  int size = 0;                   // pixels; 0: the pack's
  bool panels = true;
  bool ply = false;
  bool film = true;
  bool release_names = false;     // the release's files: a strip of components and one of labels for each view, the code
  bool reference = false;         // with them its colours as well: labels in viridis, empty components black
};
/// Returns the files written, in order.
std::vector<std::filesystem::path> generate(const GenerateOptions& options, const Say& say);

struct AnimateOptions {
  std::filesystem::path model, avatar, output;
  std::vector<body::PoseParams> motion;
  std::array<double, 9> world_from_motion = {1, 0, 0, 0, 1, 0, 0, 0, 1};  // rotation from the motion's axes, row-major
  int azimuth = 20;                // degrees, from where the motion is seen
  std::string camera;              // empty: from there; front, turn, or a cam_param JSON whose cameras take turns
  double fps = 30;
  int size = 0;
  bool release_names = false, reference = false;  // as GenerateOptions
};
/// Frame by frame: memory does not grow with the motion.
std::vector<std::filesystem::path> animate(const AnimateOptions& options, const Say& say);

struct InterpolateOptions {
  std::filesystem::path model, output;
  std::string from, to;           // avatar files, or seeds
  int frames = 10;                // both ends among them
  bool spherical = false;
  std::string sampler, spacing;   // as GenerateOptions
  int steps = 0;
  int order = 0;
  std::string precision = "auto";
  std::string camera;             // empty: front view; front, turn, or a cam_param JSON whose cameras take turns
  double fps = 10;
  int size = 0;
};
/// Between two seeds their noises are mixed and sampled; otherwise the planes and body shapes of the two avatars are mixed.
std::vector<std::filesystem::path> interpolate(const InterpolateOptions& options, const Say& say);

struct TransferOptions {
  std::filesystem::path model, output;
  std::filesystem::path base, top, bottom, hair, shoes;  // empty: the base's own
  int views = 36;
  int size = 0;
  bool release_names = false, reference = false;  // as GenerateOptions
};
std::vector<std::filesystem::path> transfer(const TransferOptions& options, const Say& say);

struct ExportOptions {
  std::filesystem::path model, avatar, output;
};
/// The avatar in the default pose as a 3DGS .ply.
std::vector<std::filesystem::path> export_ply(const ExportOptions& options);

}  // namespace layeravatar::produce
